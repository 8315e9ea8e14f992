import { fill, h } from "./dom";
import type { Model, RenderProps } from "./model";
import { type Awaited, isWaiting, Waiting } from "./waiting";

interface Words {
  /** What the view is called by a screen reader. */
  label: string;
  /** What cannot be shown when it cannot: "these features". */
  subject: string;
}

/** anywidget's `render` of a view: it waits until there is something to draw, and says why where that cannot be drawn. */
export function rendering<State extends Awaited>(
  { label, subject }: Words,
  open: (model: Model<State>, el: HTMLElement) => { destroy(): void },
): (props: RenderProps<State>) => () => void {
  return ({ model, el, signal }) => {
    let shown: { destroy(): void };
    const show = () => {
      try {
        shown = open(model, el);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        fill(el, h("p", { role: "alert" }, `${subject} cannot be shown: ${reason}`));
        shown = { destroy: () => fill(el) };
      }
    };
    if (isWaiting(model)) {
      shown = new Waiting(model, el, label, () => {
        shown.destroy();
        show();
      });
    } else show();
    const close = () => shown.destroy();
    signal?.addEventListener("abort", close, { once: true });
    return close;
  };
}
