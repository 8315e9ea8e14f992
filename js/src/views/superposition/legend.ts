import { changeDetector, fill, h } from "../../core/dom";
import { ramp } from "../../core/legend";
import { focusOf, inPlane, type Scene } from "./scene";

/** What colours and lengths mean, in words. */
export class Legend {
  readonly element = h("div", { class: "iw-legend" });
  #changed = changeDetector();

  update(scene: Scene): void {
    const { spec, palette } = scene;
    const seen = focusOf(scene) !== null;
    if (!this.#changed(spec, palette, seen)) return;
    const scaled = !inPlane(spec) || seen;
    const key = (kind: string, text: string) =>
      h("span", { class: "iw-key" }, h("i", { class: `iw-swatch iw-toy-${kind}`, "aria-hidden": "true" }), text);
    fill(
      this.element,
      h("div", { class: "iw-scale" }, ...(scaled ? this.#signed(scene) : this.#important(scene))),
      key("length", "length kept"),
      key("own", "of it, the share that is its own"),
      spec.n_models > 1 ? key("others", "models that lost more") : null,
    );
  }

  #signed({ spec, palette }: Scene): Node[] {
    const [low, high] = inPlane(spec)
      ? ["opposite to the marked feature", "along it"]
      : ["takes from the read-out, −1", "+1, adds to it"];
    return [h("span", {}, low), ramp(palette.scale.css), h("span", {}, high)];
  }

  #important({ palette }: Scene): Node[] {
    return [h("span", {}, "less important"), ramp([palette.faint, palette.fg]), h("span", {}, "more important")];
  }
}
