import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { score } from "./ranking";
import type { Scene } from "./scene";
import { formatScore, formatShare, nameOf, noun, placeOf } from "./words";

const MOST_LATENTS = 200;
const MOST_TOKENS = 500;

/** The same as tables: the latents that lead, and the tokens on which the shown one and the pinned ones fire. */
export class TableView {
  readonly element = h("div", {
    class: "iw-tables",
    hidden: true,
    tabindex: 0,
    role: "region",
    "aria-label": "features as tables",
  });
  #changed = changeDetector();

  update(scene: Scene): void {
    if (this.element.hidden) return;
    const { data, version, order, shown, pinned, names, job } = scene;
    const moment = job.state === "running" ? 0 : version;
    if (!this.#changed(data, moment, order.length && order[0].latent, scene.sort, shown, pinned.join(), names)) return;
    const latents = [...new Set([...(shown === null ? [] : [shown]), ...pinned])];
    fill(this.element, latentTable(scene), ...latents.map((latent) => tokenTable(scene, latent)));
  }
}

function latentTable(scene: Scene): HTMLElement {
  const { spec, data, order, shown } = scene;
  const several = spec.texts.length > 1;
  const read = spec.texts.map((_, text) => data.read(text));
  const sorts = ["max", "mean", "density", ...(several ? (["difference"] as const) : [])] as const;
  const rows = order
    .slice(0, MOST_LATENTS)
    .map(({ latent }) =>
      h(
        "tr",
        { "aria-current": latent === shown && "true" },
        h("th", { scope: "row" }, nameOf(scene, latent)),
        ...sorts.map((sort) => h("td", {}, formatScore(score(data, latent, sort, read), sort))),
      ),
    );
  const all = data.firingCount.toLocaleString("en-US");
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, `The ${rows.length} leading of ${all} ${noun(spec)}s that fire.`),
    h("thead", {}, h("tr", {}, ...[noun(spec), ...sorts].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows),
  );
}

function tokenTable(scene: Scene, latent: number): HTMLElement {
  const { data } = scene;
  const { tokens, values } = data.column(latent);
  const order = Array.from(tokens.keys()).sort((a, b) => Math.abs(values[b]) - Math.abs(values[a]));
  const rows = order.slice(0, MOST_TOKENS).map((at) => {
    const { label } = data.place(tokens[at]);
    return h(
      "tr",
      {},
      h("td", {}, placeOf(scene, tokens[at])),
      h("th", { scope: "row" }, tokenElement(label)),
      h("td", {}, formatNumber(values[at])),
    );
  });
  const cut = order.length > rows.length ? `the ${rows.length} strongest of ` : "";
  const head = ["place", "token", "activation"];
  const share = formatShare(data.fires(latent) / Math.max(1, data.count));
  return h(
    "table",
    { class: "iw-table" },
    h("caption", {}, h("strong", {}, nameOf(scene, latent)), ` ${cut}${order.length} tokens here, fires on ${share}`),
    h("thead", {}, h("tr", {}, ...head.map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", {}, ...rows),
  );
}
