import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import { score } from "./ranking";
import type { Scene } from "./scene";
import { formatScore, formatShare, nameOf, noun, placeOf } from "./words";

const MOST_LATENTS = 200;
const MOST_TOKENS = 500;

/** The same as tables: the latents that lead, and the tokens on which the shown one and the pinned ones fire. */
export const tableView = () =>
  new Tables<Scene>({
    label: "features as tables",
    of: ({ data, version, order, sort, shown, pinned, names, job }) => [
      ...[data, job.state === "running" ? 0 : version, order.length && order[0].latent],
      ...[sort, shown, pinned.join(), names],
    ],
    make: (scene) => {
      const { shown, pinned } = scene;
      const latents = [...new Set([...(shown === null ? [] : [shown]), ...pinned])];
      return [latentTable(scene), ...latents.map((latent) => tokenTable(scene, latent))];
    },
  });

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
  return table(`The ${rows.length} leading of ${all} ${noun(spec)}s that fire.`, [noun(spec), ...sorts], rows);
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
  return table(
    [h("strong", {}, nameOf(scene, latent)), ` ${cut}${order.length} tokens here, fires on ${share}`],
    head,
    rows,
  );
}
