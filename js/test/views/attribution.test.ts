import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { AttributionState } from "../../src/protocol/attribution";
import view from "../../src/views/attribution";
import { AttributionData, neuronsOf, Sources } from "../../src/views/attribution/data";
import { attributionToCsv } from "../../src/views/attribution/export_csv";
import { byRow, cellAt, layOut } from "../../src/views/attribution/layout";
import { placed } from "../../src/views/attribution/paint";
import { arrays, COMPONENTS, CONTRIBUTIONS, LABELS, NEURONS, SOURCES, spec, state } from "../attribution_fixture";
import { FakeModel } from "../fixture";

let el: HTMLElement;
const drawn = () => new Promise((resolve) => setTimeout(resolve, 40));
const one = <E extends HTMLElement = HTMLElement>(selector: string) => el.querySelector(selector) as E;
const all = (selector: string) => [...el.querySelectorAll<HTMLElement>(selector)];
const at = (name: string) => COMPONENTS.findIndex((part) => part.name === name);
const row = (name: string) => one(`.iw-rank[data-component="${at(name)}"]`);
const fill = (token: number) => (one(`[data-token="${token}"]`).firstElementChild as HTMLElement).style.background;
const press = (element: HTMLElement, key: string) =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const HEAD = { site: "z", layer: 1, head: 0 };

function show(overrides: Partial<AttributionState> = {}): FakeModel<AttributionState> {
  const model = new FakeModel<AttributionState>(state(overrides));
  view.render({ model, el });
  return model;
}

const asked = (model: FakeModel<AttributionState>) =>
  model.sent.filter((sent) => (sent as { kind: string }).kind === "request") as { id: string; name: string }[];

beforeEach(() => {
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => el.remove());

test("shows the question, the sum with its residue, the text and what counts most", () => {
  show();
  expect(one(".iw-view").dataset.ready).toBe("true");
  expect(one(".iw-title").textContent).toBe("What makes the model say the answer rather than the wrong answer?");
  expect(one(".iw-subtitle").textContent).toContain("frozen at what it is in this run (2.50 to 3.50)");
  const words = ["embedding +0.20", "attention +1.60", "MLPs +1.05", "biases +0.020", "= +2.87 logits"];
  for (const said of [...words, "is that to within 2.0e−6"]) expect(one(".iw-sum").textContent).toContain(said);
  expect(
    all(".iw-rank")
      .map((element) => element.querySelector(".iw-name")?.textContent)
      .slice(0, 3),
  ).toEqual(["head 1.0", "head 1.1", "MLP 1"]);
  expect(row("head 1.0").getAttribute("aria-label")).toBe(
    "head 1.0, +2.50 logits, 95% interval −3.85 to +8.85, 87% of the difference",
  );
});

test("one prompt is named with its own answers, and has no interval", async () => {
  const model = show();
  const select = one<HTMLSelectElement>("select[aria-label=prompt]");
  select.value = "1";
  select.dispatchEvent(new Event("change"));
  expect(model.state.prompt).toBe(1);
  expect(one(".iw-title").textContent).toBe("What makes the model say Tom rather than Ann?");
  expect(one(".iw-sum").textContent).toContain("= +3.77 logits");
  expect(row("head 1.0").getAttribute("aria-label")).toBe("head 1.0, +3.00 logits, 80% of the difference");
  expect(all(".iw-tok")).toHaveLength(3);
});

test("a head is chosen, asked for once, and colours the text with what it brings", async () => {
  const model = show();
  row("head 1.0").click();
  expect(model.state.selected).toEqual(HEAD);
  await drawn();
  expect(asked(model)).toMatchObject([{ name: "sources", layer: 1, head: 0 }]);
  expect(one(".iw-strip-caption").textContent).toContain("is being taken apart");
  model.set("sources", { "1.0": SOURCES });
  await drawn();
  expect(one(".iw-strip-caption").textContent).toContain("What head 1.0 brings from each token");
  expect(LABELS.map((_, token) => fill(token) !== "")).toEqual([false, true, false, false, true, false, true, true]);
  expect(all(".iw-card .iw-lines li")[0].textContent).toContain("saw");
  expect(all(".iw-card .iw-lines li")[0].textContent).toContain("+2.25");
  one('[data-token="1"]').dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
  expect(one(".iw-strip-read").textContent).toContain("+1.50, weight 0.75");
  expect(asked(model)).toHaveLength(1);
});

test("what Python refuses is said, and can be asked for again", async () => {
  const model = show({ selected: { site: "mlp_out", layer: 1, head: null } });
  await drawn();
  const [question] = asked(model);
  expect(question.name).toBe("neurons");
  model.emit("msg:custom", { kind: "reply", id: question.id, ok: false, value: "SiteError: no neurons" }, []);
  await drawn();
  expect(one(".iw-card [role=alert]").textContent).toContain("SiteError: no neurons");
  one(".iw-card .iw-section button").click();
  await drawn();
  expect(asked(model)).toHaveLength(2);
  model.set("neuron_parts", { 1: NEURONS });
  await drawn();
  expect(
    all(".iw-card .iw-lines li")
      .slice(0, 3)
      .map((line) => line.firstElementChild?.textContent),
  ).toEqual(["1.7", "1.30", "1.2"]);
  expect(one(".iw-card").textContent).toContain("37 others together +0.15");
});

test("a page that was saved says what it does not have, and asks for nothing", async () => {
  const model = Object.assign(new FakeModel<AttributionState>(state({ selected: HEAD })), { frozen: true });
  view.render({ model, el });
  await drawn();
  expect(one(".iw-strip-caption").textContent).toContain("was not opened before this page was saved");
  expect(model.sent).toEqual([]);
});

test("the keyboard goes through the map by layers and heads, and chooses", () => {
  const model = show();
  const map = one(".iw-map");
  const said = () => one(".iw-map [role=gridcell]").textContent;
  map.focus();
  expect(said()).toContain("head 1.0, +2.50 logits");
  press(map, "ArrowRight");
  expect(said()).toContain("head 1.1");
  press(map, "ArrowDown");
  expect(said()).toContain("head 0.1");
  press(map, "End");
  expect(said()).toContain("MLP 0 bias");
  press(map, "PageUp");
  expect(said()).toContain("last biases");
  press(map, "Home");
  press(map, "PageDown");
  press(map, "PageDown");
  expect(said()).toContain("embedding");
  press(map, "ArrowUp");
  press(map, "Home");
  press(map, "Enter");
  expect(model.state.selected).toEqual({ site: "z", layer: 0, head: 0 });
  press(map, "Escape");
  expect(model.state.selected).toBeNull();
});

test("hostile tokens and names are text wherever they appear", async () => {
  const evil = '<img src=x onerror="document.title=1">';
  const of = spec({
    text: { name: evil, labels: LABELS.map(() => evil), starts: [0, 5] },
    components: COMPONENTS.map((part) => ({ ...part, name: evil })),
    provenance: [evil],
    code: { z: evil },
  });
  const numbers = arrays(CONTRIBUTIONS, { answers: [evil, evil], wrong_answers: [evil, evil] });
  const opened = { sources: { "1.0": SOURCES }, neuron_parts: { 1: NEURONS } };
  show({ spec: of, arrays: numbers, selected: HEAD, ...opened });
  one("[data-action=table]").click();
  one("[data-action=code]").click();
  await drawn();
  expect(el.querySelector("img, script")).toBeNull();
});

test("the code is of the chosen component on the shown prompt", async () => {
  const model = show({ selected: HEAD });
  one("[data-action=code]").click();
  expect(one(".iw-code pre").textContent).toBe("print(1, 0, [5, 6, 7, 8, 9], 4, w[11] - w[21])\n");
  model.set("prompt", 1);
  await drawn();
  expect(one(".iw-code pre").textContent).toBe("print(1, 0, [15, 16, 17], 2, w[12] - w.mean(0))\n");
  model.set("selected", { site: "bias", layer: null, head: null });
  await drawn();
  expect(one(".iw-code").textContent).toBe("There are no lines for this component.");
});

test("prompts that are still to come have their own mark, and the mean is over the others", () => {
  const blank = [CONTRIBUTIONS[0], [CONTRIBUTIONS[1][0].map(() => Number.NaN)]];
  const job = { state: "running", done: 1, total: 2, seconds: 1, eta: null, error: null, note: null } as const;
  show({ arrays: arrays(blank), job });
  expect(one(".iw-subtitle").textContent).toContain("in a mean over 1 prompt.");
  expect(one(".iw-sum").textContent).toContain("= +1.97");
  expect(one("select").textContent).toContain("(to come)");
});

test("numbers by their definition: mean, spread, sums and the steps of the sum", () => {
  const data = new AttributionData(spec(), arrays());
  expect(data.values(null, 0)[at("head 1.0")]).toBe(2.5);
  expect(data.spread(0, at("head 1.0")).each).toEqual([2, 3]);
  expect(data.sums(0, 0).get("MLPs")).toBeCloseTo(0.95, 6);
  const steps = data.steps(0, 0);
  expect(steps.map(({ group, layer }) => `${group} ${layer ?? ""}`.trim())).toEqual([
    "embedding",
    "attention 0",
    "MLPs 0",
    "attention 1",
    "MLPs 1",
    "biases",
  ]);
  expect(steps[3].to - steps[3].from).toBeCloseTo(1, 6);
  expect(steps[5].to).toBeCloseTo(data.logit(0, 0), 6);
  for (let n = 1; n < steps.length; n++) expect(steps[n].from).toBe(steps[n - 1].to);
  expect(new Sources(SOURCES).weight(1, 0, 2)).toBe(0.25);
  expect(neuronsOf(NEURONS, data, 0, 0, 2).map(({ neuron }) => neuron)).toEqual([30, 7]);
});

test("every component has a cell of its own at every width, and each is found at its middle", () => {
  for (const width of [280, 400, 559, 560, 760, 1200, 2000]) {
    const layout = layOut(spec(), width);
    expect(layout.cells.map(({ component }) => component)).toEqual(COMPONENTS.map((_, n) => n));
    for (const cell of layout.cells) {
      expect(cellAt(layout, cell.x + cell.width / 2, cell.y + cell.height / 2)).toBe(cell);
      expect(cell.x + cell.width).toBeLessThanOrEqual(width);
    }
    expect(byRow(layout).map(({ length }) => length)).toEqual([1, 4, 4, 1]);
    const steps = placed(new AttributionData(spec(), arrays()).steps(0, 0), layout);
    for (let n = 1; n < steps.length; n++) expect(steps[n].y + steps[n].height).toBeCloseTo(steps[n - 1].y, 6);
  }
});

test("the CSV has a line for every contribution, with the columns of Python", () => {
  const data = new AttributionData(spec(), arrays());
  const lines = attributionToCsv({ data, spec: spec() }).join("").trim().split("\n");
  expect(lines).toHaveLength(1 + 2 * COMPONENTS.length);
  expect(lines[0]).toBe("prompt,position,component,kind,layer,head,contribution,accumulated");
  expect(lines[1 + COMPONENTS.length + at("head 1.0")]).toMatch(/^1,2,head 1\.0,head,1,0,3,4\.0/);
});
