import { changeDetector, fill, h } from "../../core/dom";
import { formatCount, formatLimit, formatNumber } from "../../core/format";
import type { Scene } from "./scene";

/** What the colours mean, where they end, and which marks occur. */
export class Legend {
  readonly element = h("div", { class: "iw-legend" });
  readonly #changed = changeDetector();

  update({ palette, limit, values, job }: Scene): void {
    if (!this.#changed(palette, limit, values, job.state)) return;
    const ramp = h("div", { class: "iw-ramp" });
    ramp.style.background = `linear-gradient(to right, ${palette.scale.css.filter((_, n) => n % 16 === 0).join(", ")})`;
    const end = formatLimit(limit);
    const ticks = h("div", { class: "iw-ticks" }, ...[`−${end}`, "0", end].map((text) => h("span", {}, text)));
    const keys: HTMLElement[] = [];
    const key = (kind: string, text: string) =>
      keys.push(
        h("span", { class: "iw-key" }, h("i", { class: `iw-swatch iw-swatch-${kind}`, "aria-hidden": "true" }), text),
      );
    const beyond = values.filter((value) => Math.abs(value) > limit * (1 + 1e-6));
    const most = beyond.reduce((all, value) => Math.max(all, Math.abs(value)), 0);
    if (beyond.length) key("beyond", `${formatCount(beyond.length, "component")} beyond, up to ${formatNumber(most)}`);
    if (values.some(Number.isNaN)) key("pending", job.state === "running" ? "still to come" : "not computed");
    fill(
      this.element,
      h(
        "div",
        { class: "iw-scale" },
        h("span", { class: "iw-end" }, "against the answer"),
        h("div", { class: "iw-rampbox" }, ramp, ticks),
        h("span", { class: "iw-end" }, "for it, in logits"),
      ),
      keys.length ? h("div", { class: "iw-keys" }, ...keys) : null,
    );
  }
}
