import { changeDetector, fill, h } from "../../core/dom";
import { formatLimit, formatNumber } from "../../core/format";
import { colorsOf, fillKeys, key, scaleBar, ticksTo } from "../../core/legend";
import { type Actions, atOf, limitOf, type Scene } from "./scene";
import { barsEnd } from "./text";
import { unitOf } from "./words";

/** What the colours mean and where they end, and how exact what is shown is. */
export class Legend {
  readonly element: HTMLElement;
  readonly #changed = changeDetector();
  readonly #scale = h("div", { class: "iw-scale" });
  readonly #keys = h("div", { class: "iw-keys" });
  readonly #read = h("button", { type: "button", class: "iw-read" }, "read this layer token by token");

  constructor(actions: Actions) {
    this.#read.addEventListener("click", () => actions.read());
    this.element = h("div", { class: "iw-legend" }, this.#scale, this.#keys, this.#read);
  }

  update(scene: Scene): void {
    const { spec, data, version, kind, shown, palette, scale, job, live, reading } = scene;
    const bars = formatNumber(barsEnd(scene));
    const place = [shown?.layer, shown?.head, kind.side, kind.weighted, bars];
    if (!this.#changed(spec, data, version, palette, scale, job.state, live, reading, ...place)) return;
    const signed = kind.side === "difference";
    const limit = shown ? limitOf(scene, shown) : 1;
    fill(
      this.#scale,
      h("span", {}, signed ? `${unitOf(scene)}, corrupt less clean` : unitOf(scene)),
      scaleBar(colorsOf(palette, signed), ticksTo(formatLimit(limit), signed)),
    );
    const keys: Node[] = signed ? [] : [key("to", "where the token looks")];
    keys.push(key(signed ? "both" : "from", `who looks at it, bars up to ${bars}`));
    if (shown && data.lacks(atOf(scene, shown))) keys.push(key("none", "no number"));
    const left = spec.layers.length - data.layersRead;
    if (left > 0) keys.push(key("pending", job.state === "running" ? "still to come" : "not read"));
    if (!spec.whole) keys.push(h("span", {}, exactness(scene)));
    fillKeys(this.#keys, keys);
    const block = shown ? data.block(shown) : 1;
    this.#read.hidden = !(spec.reads && live && block > 1 && job.state !== "running");
    this.#read.disabled = reading;
    fill(this.#read, reading ? "reading…" : `read layer ${shown?.layer ?? ""} token by token`);
  }
}

function exactness({ spec, data, kind, shown, live }: Scene): string {
  const count = data.labels(kind.side).length;
  const block = spec.block * Math.ceil(Math.ceil(count / spec.block) / spec.small);
  const small = `In small pictures a pixel is the largest of ${block} by ${block} tokens`;
  const own = shown ? data.block(shown) : 1;
  const large = own > 1 ? `, in the large one of ${own} by ${own}` : "";
  return `${small}${large}.${live ? "" : ` This page keeps what was looked at, ${spec.kept / 2 ** 20} MiB at most.`}`;
}
