import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { SuperpositionArrays, SuperpositionSpec, SuperpositionState } from "../../src/protocol/superposition";
import view from "../../src/views/superposition";
import { layoutChart } from "../../src/views/superposition/chart";
import { Toys } from "../../src/views/superposition/data";
import { toysToCsv } from "../../src/views/superposition/export_csv";
import { tiles } from "../../src/views/superposition/strip";
import {
  explainFeature,
  explainModel,
  onBriefly,
  percent,
  shareOfDimension,
} from "../../src/views/superposition/words";
import { FakeModel, wire } from "../fixture";

let el: HTMLElement;
const drawn = () => new Promise((resolve) => setTimeout(resolve, 40));
const one = <E extends HTMLElement = HTMLElement>(selector: string) => el.querySelector(selector) as E;

beforeEach(() => {
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => el.remove());

const spec = (overrides: Partial<SuperpositionSpec> = {}): SuperpositionSpec => ({
  title: "How does a model fit 3 features into 2 dimensions?",
  model: "ReLU(WᵀWx + b)",
  probabilities: [1, 0.1],
  importance: [1, 0.9, 0.81],
  n_hidden: 2,
  n_models: 2,
  steps: 100,
  correlated: [],
  anticorrelated: [],
  landmarks: [
    { share: 1, label: "1", name: "feature on its own" },
    { share: 0.5, label: "1/2", name: "antipodal pair" },
  ],
  code: "p = $probability\nmodel = $model",
  provenance: ["made by hand"],
  ...overrides,
});

/** Features 0 and 1 alone; then an antipodal pair of 0 and 2, with 1 across it. The second model is always best. */
function arrays(overrides: Partial<SuperpositionArrays> = {}): SuperpositionArrays {
  const perFeature = (...best: number[]) => {
    const other = [9, 9, 9];
    return wire("float32", [2, 2, 3], [...other, ...best.slice(0, 3), ...other, ...best.slice(3)]);
  };
  return {
    trained: 100,
    best: [1, 1],
    weights: wire("float32", [2, 2, 3], [1, 0, 0, 0, 1, 0, 1, 0, -1, 0, 1, 0]),
    norms: perFeature(1, 1, 0, 1, 1, 1),
    dimensionality: perFeature(1, 1, 0, 0.5, 1, 0.5),
    interference: perFeature(0, 0, 0, 1, 0, 1),
    biases: perFeature(0, 0, 0.5, 0, 0, 0),
    losses: wire("float32", [2, 2], [2, 1, 0.4, 0.1]),
    lost: wire("float32", [2, 2], [0.9, 0.3, 0.8, 0.02]),
    shapes: [
      [
        { name: "feature on its own", features: [0] },
        { name: "feature on its own", features: [1] },
      ],
      [
        { name: "antipodal pair", features: [0, 2] },
        { name: "feature on its own", features: [1] },
      ],
    ],
    geometry: ["2 on their own, 1 not kept", "antipodal pair, 1 on its own"],
    ...overrides,
  };
}

const state = (overrides: Partial<SuperpositionState> = {}): SuperpositionState => ({
  spec: spec(),
  arrays: arrays(),
  job: { state: "done", done: 100, total: 100, seconds: 1, eta: null, error: null, note: null },
  selected: null,
  theme: "light",
  ...overrides,
});

const toys = (of = spec(), with_ = arrays()) => new Toys(of, with_);
const press = (target: HTMLElement, key: string) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));

test("shows the question, a picture for each sparsity and the sparsest one large", () => {
  view.render({ model: new FakeModel(state()), el });
  expect(one(".iw-view").dataset.ready).toBe("true");
  expect(one(".iw-view").dataset.lmSuppressShortcuts).toBe("true");
  expect(one(".iw-title").textContent).toBe("How does a model fit 3 features into 2 dimensions?");
  expect([...el.querySelectorAll(".iw-toy")].map((tile) => tile.textContent)).toEqual([
    "always on loses 30%2 on their own, 1 not kept",
    "on 10% loses 2%antipodal pair, 1 on its own",
  ]);
  expect(one(".iw-large-head").textContent).toBe("Features on 10% of the time · antipodal pair, 1 on its own");
  expect(one(".iw-footer").textContent).toContain("made by hand");
});

test("what the kernel sends is text wherever it appears", () => {
  const evil = '<img src=x onerror="document.title=1">';
  const names = arrays({ geometry: [evil, evil], shapes: [[], [{ name: evil, features: [0, 2] }]] });
  const of = spec({ title: evil, model: evil, provenance: [evil], code: evil });
  view.render({ model: new FakeModel(state({ spec: of, arrays: names, selected: { sparsity: 1, feature: 0 } })), el });
  one("[data-action=table]").click();
  one("[data-action=code]").click();
  expect(el.querySelector("img, script")).toBeNull();
  expect(one(".iw-title").textContent).toBe(evil);
});

test("a tile, the keys and the read-out write what is selected", () => {
  const model = new FakeModel(state());
  view.render({ model, el });
  one('[data-level="0"]').click();
  expect(model.state.selected).toEqual({ sparsity: 0, feature: null });
  const plot = one("[role=listbox]");
  press(plot, "ArrowDown");
  press(plot, "ArrowDown");
  expect(document.getElementById(plot.getAttribute("aria-activedescendant") ?? "")?.textContent).toContain(
    "feature 1, always on: length 1.00, dimensionality 1",
  );
  press(plot, "Enter");
  expect(model.state.selected).toEqual({ sparsity: 0, feature: 1 });
  press(plot, "ArrowRight");
  expect(model.state.selected).toEqual({ sparsity: 1, feature: 1 });
  one(".iw-clear").click();
  expect(model.state.selected).toEqual({ sparsity: 1, feature: null });
  press(plot, "End");
  press(plot, " ");
  expect(model.state.selected).toEqual({ sparsity: 1, feature: 2 });
  press(plot, "Escape");
  expect(model.state.selected).toEqual({ sparsity: 1, feature: null });
});

test("Python's changes are shown, and a selection that the models have not is not believed", async () => {
  const model = new FakeModel(state({ selected: { sparsity: 7, feature: 9 } }));
  view.render({ model, el });
  expect(one(".iw-large-head").textContent).toContain("10%");
  expect(el.querySelector(".iw-clear")).toBeNull();
  model.set("selected", { sparsity: 1, feature: 2 });
  await drawn();
  expect(one(".iw-where").textContent).toBe("feature 2 on 10% of the time");
  model.set("arrays", arrays({ geometry: ["one", "two"] }));
  await drawn();
  expect(one(".iw-large-head").textContent).toContain("two");
});

test("a training is followed and can be cancelled", async () => {
  const running = { state: "running", done: 30, total: 100, seconds: 1, eta: 4, error: null, note: null } as const;
  const model = new FakeModel(state({ job: running, arrays: arrays({ trained: 30 }) }));
  view.render({ model, el });
  expect(one(".iw-job").textContent).toContain("30 of 100 steps · about 4 s left");
  expect(one("[role=progressbar]").getAttribute("aria-valuenow")).toBe("30");
  one(".iw-cancel").click();
  expect(model.sent).toEqual([{ kind: "resync" }, { kind: "cancel" }]);
  model.set("job", { ...running, state: "cancelled", done: 40 });
  await drawn();
  expect(one(".iw-job").textContent).toBe("Cancelled: 40 of 100 steps trained, the rest is not.");
  model.set("job", { ...running, state: "failed", error: "RuntimeError: no", note: null });
  await drawn();
  expect(one("[role=alert]").textContent).toContain("RuntimeError: no");
});

test("the strip of a job that was watched stays, and finished models have none", async () => {
  const running = { state: "running", done: 30, total: 100, seconds: 1, eta: null, error: null, note: null } as const;
  const model = new FakeModel(state({ job: running }));
  view.render({ model, el });
  model.set("job", { ...running, state: "done", seconds: 2.1 });
  await drawn();
  expect([one(".iw-job").hidden, one(".iw-job").textContent]).toEqual([false, "Done in 2 s."]);
  view.render({ model: new FakeModel(state()), el });
  expect(one(".iw-job").hidden).toBe(true);
});

test("everything ends with the cleanup function, and with the signal", () => {
  const model = new FakeModel(state());
  const stop = view.render({ model, el });
  const abort = new AbortController();
  const other = document.createElement("div");
  view.render({ model, el: other, signal: abort.signal });
  stop();
  abort.abort();
  expect([el.childElementCount, other.childElementCount, model.listening]).toEqual([0, 0, 0]);
});

test("a state that cannot be shown says so instead of staying blank", () => {
  const wrong = arrays({ norms: wire("float32", [1], [1]) });
  view.render({ model: new FakeModel(state({ arrays: wrong })), el });
  expect(one("[role=alert]").textContent).toBe(
    "These toy models cannot be shown: its arrays do not fit its description.",
  );
});

test("the code is filled in for the model that is shown, numbers as Python writes them", () => {
  view.render({ model: new FakeModel(state({ selected: { sparsity: 0, feature: null } })), el });
  one("[data-action=code]").click();
  expect(one(".iw-code pre").textContent).toBe("p = 1.0\nmodel = 1");
});

test("facts are those of the best model, and others are there as well", () => {
  const known = toys();
  expect(known.facts(1, 2)).toEqual({ norm: 1, dimensionality: 0.5, interference: 1, bias: 0 });
  expect(known.facts(1, 2, 0).norm).toBe(9);
  expect([known.kept(0), known.kept(1)]).toEqual([2, 3]);
  expect([...known.gram(1)]).toEqual([1, 0, -1, 0, 1, 0, -1, 0, 1]);
  expect(known.along(1, 0, 2)).toBe(-1);
  expect(known.lost(1)).toBeCloseTo(0.02);
});

test("models are explained in words", () => {
  const known = toys();
  expect(explainModel(known, 0)).toBe(
    "No superposition: the model keeps 2 features, each in a dimension of its own, and drops the other. " +
      "30% of what there is to know is lost.",
  );
  expect(explainModel(known, 1)).toBe(
    "Superposition: 3 of 3 features in 2 dimensions (antipodal pair, 1 on its own). " +
      "They disturb each other only when they are on together. 2% of what there is to know is lost.",
  );
});

test("features are explained in words", () => {
  const known = toys();
  expect(explainFeature(known, 0, 0)).toBe("It has a dimension of its own: no other feature disturbs it.");
  expect(explainFeature(known, 0, 2)).toContain("does not keep it");
  expect(explainFeature(known, 1, 0)).toBe(
    "It is part of an antipodal pair with feature 2, and has 1/2 (0.50) of a dimension to itself. " +
      "When feature 2 alone is on, it puts −1.00 on this one’s read-out, below 0, which ReLU cuts off.",
  );
  const linear = toys(spec({ model: "WᵀWx + b", anticorrelated: [[0, 2]] }));
  expect(explainFeature(linear, 1, 0)).toMatch(/read-out\. It is never on together with feature 2\.$/);
});

test("shares are said as people say them", () => {
  expect([1, 0.5, 0.123, 0.008, 1e-6, 0].map(percent)).toEqual(["100%", "50%", "12%", "0.8%", "<0.1%", "0%"]);
  expect([1, 0.503, 0.31, 0.001].map((share) => shareOfDimension(spec(), share))).toEqual([
    "1",
    "1/2 (0.50)",
    "0.31",
    "0",
  ]);
  expect([onBriefly(spec(), 0), onBriefly(spec(), 1)]).toEqual(["always on", "on 10%"]);
});

test("the CSV has every model of every sparsity", () => {
  const [head, ...parts] = toysToCsv(toys());
  expect(head).toBe("probability,model,best,feature,importance,norm,dimensionality,interference,bias,loss,lost\n");
  const lines = parts.join("").trim().split("\n");
  expect(lines).toHaveLength(12);
  expect(lines[11]).toBe("0.1,1,True,2,0.81,1,0.5,1,0,0.1,0.02");
  expect(lines[6]).toBe("0.1,0,False,0,1,9,9,9,9,0.4,0.8");
});

test("tiles stand in lines as even as can be, and never leave the width", () => {
  expect(tiles(1300, 8)).toEqual({ columns: 8, size: 153 });
  expect(tiles(360, 8).columns).toBe(3);
  expect(tiles(700, 8).columns).toBe(4);
  for (const width of [240, 360, 700, 1300, 2000])
    for (const count of [1, 3, 8, 20]) {
      const { columns, size } = tiles(width, count);
      expect(columns * size + (columns - 1) * 10).toBeLessThanOrEqual(width);
    }
});

test("columns of the chart follow the logarithm where that tells them apart, and are even where it does not", () => {
  const at = (probabilities: number[]) => {
    const levels = probabilities.length;
    const scene = { spec: spec({ probabilities }), toys: { levels } as Toys };
    const { columns, plot } = layoutChart(scene, 600, 300);
    expect(columns[0]).toBeGreaterThan(plot.x);
    expect(columns[levels - 1]).toBeLessThan(plot.x + plot.width);
    return columns;
  };
  const [a, b, c] = at([1, 0.1, 0.01]);
  expect(b - a).toBeCloseTo(c - b);
  const [d, e, f] = at([1, 0.3, 0.01]);
  expect(f - e).toBeGreaterThan(2 * (e - d));
  const [g, h, i] = at([1, 0.99, 0.01]);
  expect(h - g).toBeCloseTo(i - h);
  expect(at([0.3])).toHaveLength(1);
});
