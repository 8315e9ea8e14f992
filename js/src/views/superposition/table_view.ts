import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { Tables, table } from "../../core/tables";
import type { Scene } from "./scene";
import { percent, shareOfDimension } from "./words";

const MOST_ROWS = 800;
const HEAD = ["on", "feature", "importance", "length", "dimensionality", "interference", "bias", "shape"];

/** The features of all models that are shown as a table; where that would be too long, of the large one. */
export const tableView = () =>
  new Tables<Scene>({
    label: "features as a table",
    of: ({ toys, level, pinned }) => [toys, level, pinned],
    make: (scene) => {
      const { toys, level } = scene;
      const all = toys.levels * toys.features <= MOST_ROWS;
      const levels = all ? [...Array(toys.levels).keys()] : [level];
      const rows = levels.flatMap((at) =>
        Array.from({ length: toys.features }, (_, feature) => row(scene, at, feature)),
      );
      const which = all ? "Features of every model." : "Features of the model that is shown large. CSV has all models.";
      return [table(`${which} Interference is what others put on a feature’s direction.`, HEAD, rows)];
    },
  });

function row({ toys, spec, level, pinned }: Scene, at: number, feature: number): HTMLElement {
  const { norm, dimensionality, interference, bias } = toys.facts(at, feature);
  const values = [
    String(feature),
    formatNumber(spec.importance[feature]),
    norm.toFixed(2),
    shareOfDimension(spec, dimensionality),
    interference.toFixed(2),
    formatNumber(bias, { plus: true }),
    toys.shapeOf(at, feature)?.name ?? "not kept",
  ];
  return h(
    "tr",
    { "aria-current": at === level && feature === pinned && "true" },
    h("th", { scope: "row" }, percent(spec.probabilities[at])),
    ...values.map((value) => h("td", {}, value)),
  );
}
