import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import type { Actions, Scene } from "./scene";
import { formatShare, layerName } from "./words";

/** The layers as a slider: a column for each, as high as the share of the variance that its axes show. */
export class Layers {
  readonly element: HTMLElement;
  readonly #bars = h("div", { class: "iw-layers", role: "slider", tabindex: 0, "aria-label": "layer" });
  readonly #play = h("button", { type: "button", class: "iw-play", "aria-label": "play through the layers" }, "▶");
  readonly #now = h("span", { class: "iw-layer-now" });
  #scene: Scene | null = null;
  #changed = changeDetector();

  constructor(
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.element = h("div", { class: "iw-layer-line" }, this.#play, this.#now, this.#bars);
    this.#play.title = "play through the layers";
    this.#play.addEventListener("click", () => actions.play());
    this.#bars.addEventListener("keydown", (event) => this.#key(event), { signal });
    const choose = (event: PointerEvent) => {
      const box = this.#bars.getBoundingClientRect();
      const count = this.#scene?.spec.layers.length ?? 1;
      const at = Math.floor(((event.clientX - box.left) / box.width) * count);
      const row = Math.min(count - 1, Math.max(0, at));
      if (row !== this.#scene?.wanted) actions.setLayer(row);
    };
    this.#bars.addEventListener(
      "pointerdown",
      (event) => {
        if (event.button !== 0) return;
        this.#bars.setPointerCapture(event.pointerId);
        this.#bars.focus({ preventScroll: true });
        choose(event);
      },
      { signal },
    );
    this.#bars.addEventListener("pointermove", (event) => event.buttons && choose(event), { signal });
  }

  set playing(playing: boolean) {
    fill(this.#play, playing ? "❚❚" : "▶");
    this.#play.setAttribute("aria-label", playing ? "stop" : "play through the layers");
  }

  update(scene: Scene): void {
    this.#scene = scene;
    const { spec, data, version, wanted, axes, align, live } = scene;
    this.element.hidden = spec.layers.length < 2;
    if (!this.#changed(spec, data, version, wanted, axes.join(), align, live)) return;
    fill(this.#now, layerName(scene, wanted));
    setAttributes(this.#bars, {
      "aria-valuemin": spec.layers[0],
      "aria-valuemax": spec.layers[spec.layers.length - 1],
      "aria-valuenow": spec.layers[wanted],
      "aria-valuetext": layerName(scene, wanted) + (data.has(wanted) ? "" : ", which is not here"),
    });
    const every = Math.max(1, Math.ceil(spec.layers.length / 16));
    fill(
      this.#bars,
      ...spec.layers.map((layer, row) => {
        const known = data.layers.get(row);
        const shares = known && (align ? known.turned_shares : known.shares);
        const parts = axes.map((axis) => shares?.[axis] ?? 0);
        const named = row % every === 0 || row === spec.layers.length - 1;
        const bar = h(
          "div",
          { class: "iw-layer-bar" },
          ...parts.map((share, n) => {
            const part = h("i", { class: n === 0 ? "iw-first" : "iw-second" });
            part.style.height = `${100 * Math.min(1, share)}%`;
            return part;
          }),
        );
        const here = data.has(row);
        const title = known
          ? `layer ${layer}${parts.some((share) => share > 0) ? `: ${parts.map(formatShare).join(" and ")} of the variance` : ""}`
          : `layer ${layer}: not placed yet`;
        const column = h(
          "div",
          { class: "iw-layer", title, "data-here": String(here || live), "data-current": String(row === wanted) },
          bar,
          h("span", {}, named || row === wanted ? String(layer) : ""),
        );
        return column;
      }),
    );
  }

  #key(event: KeyboardEvent): void {
    const scene = this.#scene;
    if (!scene) return;
    const last = scene.spec.layers.length - 1;
    const to = {
      ArrowRight: scene.wanted + 1,
      ArrowUp: scene.wanted + 1,
      ArrowLeft: scene.wanted - 1,
      ArrowDown: scene.wanted - 1,
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    this.actions.setLayer(Math.min(last, Math.max(0, to)));
  }
}
