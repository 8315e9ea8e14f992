/** What a reader does with mouse, pen or fingers on a plot; places are in CSS pixels from its upper left corner. */
export interface Gestures {
  hover(x: number, y: number): void;
  leave(): void;
  click(x: number, y: number, event: PointerEvent): void;
  /** Moves the content by a distance; returns whether there was anything to move. */
  drag(dx: number, dy: number): boolean;
  zoom(factor: number, x: number, y: number): void;
  reset(): void;
  /** Asked at a press whether the drag that may follow draws a line, rather than moves the content. */
  draw?(x: number, y: number, event: PointerEvent): Stroke | null;
}

/** A line that is being drawn. */
export interface Stroke {
  to(x: number, y: number): void;
  /** Called at last; with false where it came to nothing. */
  end(drawn: boolean): void;
}

const SLOP = 4;

/** Listens for gestures. The page keeps its own scrolling: a plain wheel and a vertical swipe are not taken. */
export function listen(element: HTMLElement, gestures: Gestures, signal: AbortSignal): void {
  const pointers = new Map<number, { x: number; y: number }>();
  let start: { x: number; y: number } | null = null;
  let dragging = false;
  let distance = 0;
  let stroke: Stroke | null = null;
  const place = (event: MouseEvent) => {
    const box = element.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return { distance: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
  };
  const on = <Name extends keyof HTMLElementEventMap>(
    name: Name,
    handler: (event: HTMLElementEventMap[Name]) => void,
    passive = true,
  ) => element.addEventListener(name, handler, { signal, passive });

  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    const at = place(event);
    pointers.set(event.pointerId, at);
    start = at;
    dragging = pointers.size > 1;
    stroke?.end(false);
    stroke = dragging ? null : (gestures.draw?.(at.x, at.y, event) ?? null);
    if (pointers.size === 2) distance = spread().distance;
  });
  on("pointermove", (event) => {
    const at = place(event);
    const before = pointers.get(event.pointerId);
    if (before) pointers.set(event.pointerId, at);
    if (pointers.size === 2) {
      const now = spread();
      if (distance > 0) gestures.zoom(now.distance / distance, now.x, now.y);
      distance = now.distance;
    } else if (before && start) {
      if (!dragging && Math.hypot(at.x - start.x, at.y - start.y) > SLOP) {
        dragging = true;
        element.setPointerCapture(event.pointerId);
      }
      if (stroke) {
        if (dragging) stroke.to(at.x, at.y);
      } else if (dragging && gestures.drag(at.x - before.x, at.y - before.y)) gestures.leave();
    } else gestures.hover(at.x, at.y);
  });
  const end = (event: PointerEvent) => {
    const was = pointers.delete(event.pointerId);
    if (!was || pointers.size > 0) return;
    if (!dragging && event.type === "pointerup") {
      const at = place(event);
      gestures.click(at.x, at.y, event);
    }
    stroke?.end(dragging && event.type === "pointerup");
    stroke = null;
    start = null;
    dragging = false;
  };
  on("pointerup", end);
  on("pointercancel", end);
  on("pointerleave", (event) => {
    if (!pointers.has(event.pointerId)) gestures.leave();
  });
  on("dblclick", () => gestures.reset());
  on(
    "wheel",
    (event) => {
      const { x, y } = place(event);
      // A pinch on a touchpad arrives as a wheel with the control key.
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        gestures.zoom(Math.exp(-Math.max(-60, Math.min(60, event.deltaY)) * 0.01), x, y);
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && gestures.drag(-event.deltaX, 0)) {
        event.preventDefault();
      }
    },
    false,
  );
}
