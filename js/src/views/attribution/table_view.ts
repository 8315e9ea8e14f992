import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import { Tables, table } from "../../core/tables";
import { neuronsOf, Sources } from "./data";
import type { Scene } from "./scene";
import { sourcesKey } from "./text_strip";
import { nameOf, signed } from "./words";

const MOST = 1200;
const MOST_SOURCES = 400;

/** The same as tables: every component in the order of the model, and what the chosen one is made of. */
export const tableView = () =>
  new Tables<Scene>({
    label: "contributions as tables",
    of: ({ data, prompt, target, selected, sources, neurons }) => [data, prompt, target, selected, sources, neurons],
    make: (scene) => [componentTable(scene), sourceTable(scene), neuronTable(scene)],
  });

function componentTable(scene: Scene): HTMLElement {
  const { data, prompt, target, values, selected } = scene;
  const many = prompt === null && data.done.length > 1;
  let total = 0;
  const rows: HTMLElement[] = [];
  values.forEach((value, at) => {
    total += value;
    if (rows.length >= MOST) return;
    const { half } = many ? data.spread(target, at) : { half: Number.NaN };
    const cells = [signed(value), ...(many ? [Number.isNaN(half) ? "" : `±${formatNumber(half)}`] : []), signed(total)];
    rows.push(
      h(
        "tr",
        { "aria-current": at === selected && "true" },
        h("th", { scope: "row" }, nameOf(scene, at)),
        ...cells.map((text) => h("td", {}, text)),
      ),
    );
  });
  const cut = values.length > rows.length ? `the first ${rows.length} of ${values.length}; all are in the CSV. ` : "";
  const caption = [
    `${cut}In the order of the model. The model's own logit difference: ${signed(data.logit(prompt, target))}.`,
  ];
  return table(caption, ["component", many ? "mean" : "contribution", ...(many ? ["95%"] : []), "sum so far"], rows);
}

function sourceTable(scene: Scene): HTMLElement | null {
  const { spec, data, prompt, target, selected } = scene;
  const key = sourcesKey(scene, selected);
  const wire = key === null ? undefined : scene.sources[key];
  if (!wire || selected === null) return null;
  const sources = new Sources(wire);
  const rows: HTMLElement[] = [];
  for (const p of prompt === null ? data.done : [prompt]) {
    for (let at = 0; at < data.offsets[p + 1] - data.offsets[p] && rows.length < MOST_SOURCES; at++) {
      if (!sources.weight(p, target, at)) continue;
      rows.push(
        h(
          "tr",
          {},
          h("td", {}, `${p}, ${at}`),
          h("th", { scope: "row" }, tokenElement(spec.text.labels[data.offsets[p] + at])),
          h("td", {}, formatNumber(sources.weight(p, target, at))),
          h("td", {}, signed(sources.contribution(p, target, at))),
        ),
      );
    }
  }
  const caption = [h("strong", {}, nameOf(scene, selected)), " by source token"];
  return table(caption, ["prompt, position", "token", "weight", "contribution"], rows);
}

function neuronTable(scene: Scene): HTMLElement | null {
  const { spec, data, prompt, target, selected, neurons } = scene;
  const part = selected === null ? null : spec.components[selected];
  const wire = part?.kind === "mlp" ? neurons[String(part.layer)] : undefined;
  if (!wire || !part) return null;
  const shown = neuronsOf(wire, data, prompt, target, 60);
  const rows = shown.map(({ neuron, activation, contribution }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, `${part.layer}.${neuron}`),
      h("td", {}, formatNumber(activation)),
      h("td", {}, signed(contribution)),
    ),
  );
  const caption = [
    h("strong", {}, part.name),
    ` the ${rows.length} leading of ${wire.count.toLocaleString("en-US")} neurons`,
  ];
  return table(caption, ["neuron", "activation", "contribution"], rows);
}
