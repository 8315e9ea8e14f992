const STOPS = "button, select, input, textarea, a[href], [tabindex]";
/** What is pressed and then let go of, in one place. */
const PRESSED = "button, [role=option], a[href]";

/** Lets a drawing replace elements without taking the focus from the reader: it goes to what then stands in its place. */
export function keepFocus(root: HTMLElement, draw: () => void): void {
  const held = (root.getRootNode() as Document | ShadowRoot).activeElement;
  if (!(held instanceof HTMLElement) || held === root || !root.contains(held)) {
    draw();
    return;
  }
  const places: { around: Element; at: number }[] = [];
  for (let around = held.parentElement; around && root.contains(around); around = around.parentElement)
    places.push({ around, at: [...around.querySelectorAll(STOPS)].indexOf(held) });
  draw();
  const now = (root.getRootNode() as Document | ShadowRoot).activeElement;
  if (now !== null && now !== document.body && now !== held) return; // a drawing may take it where it should be
  if (isShown(held, root)) {
    if (now !== held) held.focus({ preventScroll: true }); // it was moved
    return;
  }
  for (const { around, at } of places) {
    const stops = isShown(around, root) ? [...around.querySelectorAll<HTMLElement>(STOPS)] : [];
    const there = stops.filter((stop) => isShown(stop, root));
    if (there.length === 0) continue;
    there[Math.min(at, there.length - 1)].focus({ preventScroll: true });
    return;
  }
}

function isShown(element: Element, root: Element): boolean {
  return root.contains(element) && !element.closest("[hidden], :disabled");
}

/**
 * Whether a button of a view is pressed and not yet let go of. A drawing would replace it, and the click that ends the
 * press would go nowhere: who draws waits for `released`.
 */
export class Press {
  #held = false;

  constructor(root: HTMLElement, released: () => void, signal: AbortSignal) {
    const options = { signal, capture: true };
    root.addEventListener(
      "pointerdown",
      ({ target }) => {
        this.#held = target instanceof Element && target.closest(PRESSED) !== null;
      },
      options,
    );
    const release = (): void => {
      if (!this.#held) return;
      this.#held = false;
      released();
    };
    for (const end of ["pointerup", "pointercancel", "dragend"]) window.addEventListener(end, release, options);
    // A press that ends outside the window is not told of.
    window.addEventListener("pointermove", ({ buttons }) => buttons === 0 && release(), options);
  }

  get held(): boolean {
    return this.#held;
  }
}
