import { afterEach, beforeEach, expect, test, vi } from "vitest";
import view from "../../src/views/patching_grid";
import { arrays, FakeModel, heads, pair, panel, spec, state, unaligned } from "../fixture";

let el: HTMLElement;
const drawn = () => new Promise((resolve) => setTimeout(resolve, 40));
const one = <E extends HTMLElement = HTMLElement>(selector: string) => el.querySelector(selector) as E;

beforeEach(() => {
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => el.remove());

test("shows question, prompts, panels and provenance, and is ready", () => {
  view.render({ model: new FakeModel(state()), el });
  expect(one(".iw-view").dataset.ready).toBe("true");
  expect(one(".iw-view").dataset.lmSuppressShortcuts).toBe("true");
  expect(one(".iw-title").textContent).toBe("Where is what makes the model say Mary rather than John?");
  expect([...el.querySelectorAll(".iw-chip")].map((token) => token.textContent)).toEqual([" cat", " dog"]);
  expect(el.querySelectorAll("canvas.iw-cells")).toHaveLength(2);
  expect(one(".iw-footer").textContent).toContain("demo model");
});

test("hostile tokens are text wherever they appear", () => {
  const evil = '<img src=x onerror="document.title=1">';
  const of = spec({
    pairs: [pair([evil, evil, "c", "d"], [evil, "b", "c", "d"], evil, `<script>${evil}</script>`)],
    provenance: [evil],
  });
  view.render({ model: new FakeModel(state({ selected: { site: "resid_pre", layer: 0, pos: 1 } }, of)), el });
  one("[data-action=table]").click();
  one("[data-action=code]").click();
  expect(el.querySelector("img, script")).toBeNull();
  expect(one(".iw-title").textContent).toContain(evil);
});

test("keys move the spoken cell, Enter pins it, Escape lets go", () => {
  const model = new FakeModel(state({ selected: { site: "resid_pre", layer: 0, pos: 1 } }));
  view.render({ model, el });
  const plot = one("[role=grid][data-site=resid_pre]");
  const press = (key: string) =>
    plot.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  press("ArrowUp");
  press("ArrowRight");
  expect(document.getElementById(plot.getAttribute("aria-activedescendant") ?? "")?.textContent).toContain(
    "layer 4, ␣sat at position 2",
  );
  press("Enter");
  expect(model.state.selected).toEqual({ site: "resid_pre", layer: 4, pos: 2 });
  expect(model.saved).toBe(1);
  press("Escape");
  expect(model.state.selected).toBeNull();
});

test("whatever has the focus keeps its keys from JupyterLab", () => {
  view.render({ model: new FakeModel(state()), el });
  for (const selector of ["[role=grid]", "[data-action=table]", "[data-metric=rank]"]) {
    one(selector).dispatchEvent(new FocusEvent("focusin", { bubbles: true }));
    expect(one(selector).dataset.lmSuppressShortcuts).toBe("true");
  }
});

test("metric, pair and colour limit are written, and Python's changes are shown", async () => {
  const labels = ["a", "b", "c", "d"];
  const baselines = [
    [3, -1],
    [3, -1],
  ];
  const term = { name: "logit_diff", label: "logit difference", meaning: "", unit: "" };
  const of = spec({
    pairs: [pair(labels, ["a", "x", "c", "d"]), pair(labels, ["a", "y", "c", "d"])],
    metrics: [
      { term, baselines },
      { term: { ...term, name: "prob" }, baselines },
    ],
  });
  const model = new FakeModel(state({}, of));
  view.render({ model, el });
  one("[data-metric=prob]").click();
  expect(model.state.metric).toBe("prob");
  (el.querySelectorAll(".iw-pairs [role=radio]")[3] as HTMLElement).click();
  expect(model.state.pair).toBe(1);
  expect(one(".iw-which").textContent).toContain("pair 2 of 2");
  (el.querySelectorAll(".iw-limits [role=radio]")[1] as HTMLElement).click();
  expect(model.state.color_limit).toBeGreaterThan(1);
  model.set("pair", 0);
  await drawn();
  expect(one(".iw-which").textContent).toContain("pair 1 of 2");
});

test("a scale that does not end at 1 says so, with one way back to ±1 and none to where it is already", async () => {
  const of = spec();
  const model = new FakeModel(state({ color_limit: 0.3 }, of));
  model.state.arrays = arrays(of, () => -1 + 0.22 * 4);
  view.render({ model, el });
  const limits = () => [...el.querySelectorAll(".iw-limits [role=radio]")].map(({ textContent }) => textContent);
  expect(one(".iw-keys").textContent).toContain("scale ends at ±0.3");
  expect(limits()).toEqual(["±0.3", "±1"]);
  (el.querySelectorAll(".iw-limits [role=radio]")[1] as HTMLElement).click();
  expect(model.state.color_limit).toBe(1);
  expect(one(".iw-keys").textContent).not.toContain("scale ends");
  expect(limits()).toEqual(["±1", "fit ±0.22"]);
});

test("a view that opens while rows stream asks for what it missed, follows, and can cancel", async () => {
  const model = new FakeModel(
    state({ job: { state: "running", done: 3, total: 24, seconds: 1, eta: 12, error: null, note: null } }),
  );
  view.render({ model, el });
  expect(model.sent).toEqual([{ kind: "resync" }]);
  expect(one(".iw-job").textContent).toContain("3 of 24 cells · about 12 s left");
  const buffers = [new Float32Array(8).fill(99), new Uint8Array(4).fill(1), new Int32Array(8), new Float32Array(8)];
  model.emit(
    "msg:custom",
    { kind: "rows", seq: 9, rows: [[1, 2]], vocab: {} },
    buffers.map((b) => unaligned(b.buffer)),
  );
  await drawn();
  one(".iw-cancel").click();
  expect(model.sent.at(-1)).toEqual({ kind: "cancel" });
  model.set("job", { state: "cancelled", done: 5, total: 24, seconds: 2, eta: null, error: null, note: null });
  await drawn();
  expect(one(".iw-job").textContent).toContain("5 of 24 cells computed");
  expect(el.querySelector(".iw-cancel")).toBeNull();
});

test("the strip of a job that was watched stays when it is done, and a finished grid has none", async () => {
  const running = { state: "running", done: 3, total: 24, seconds: 1, eta: null, error: null, note: null } as const;
  const model = new FakeModel(state({ job: running }));
  view.render({ model, el });
  model.set("job", { ...running, state: "done", done: 24, seconds: 2.1 });
  await drawn();
  expect([one(".iw-job").hidden, one(".iw-job").textContent]).toEqual([false, "Done in 2 s."]);
  view.render({ model: new FakeModel(state()), el });
  expect(one(".iw-job").hidden).toBe(true);
});

test("an error is an alert, and what was computed stays", () => {
  view.render({
    model: new FakeModel(
      state({
        job: {
          state: "failed",
          done: 5,
          total: 24,
          seconds: 2,
          eta: null,
          error: "OutOfMemoryError: 2 GiB",
          note: null,
        },
      }),
    ),
    el,
  });
  expect(one("[role=alert]").textContent).toContain("OutOfMemoryError: 2 GiB");
  expect(el.querySelectorAll("canvas.iw-cells")).toHaveLength(2);
});

const queued = { state: "running", done: 0, total: 0, seconds: 1, eta: null, error: null } as const;

test("while a server has yet to say what the grid is, its word on the job is shown, and then the grid", async () => {
  const { spec: of, arrays } = state();
  const job = { ...queued, note: "in the queue at https://host: You are number 2." };
  const model = new FakeModel(state({ spec: null, arrays: null, job }));
  const stop = view.render({ model, el });
  expect(one("[role=status]").textContent).toContain("in the queue at https://host: You are number 2.");
  model.set("job", { ...queued, note: "running at https://host" });
  expect(one("[role=status]").textContent).toContain("running at https://host");
  one(".iw-cancel").click();
  expect(model.sent).toEqual([{ kind: "cancel" }]);
  model.set("job", { ...queued, done: 3, total: 24, note: "running at https://host" });
  model.set("spec", of);
  model.set("arrays", arrays);
  expect(one(".iw-view").dataset.ready).toBe("true");
  expect(one(".iw-job").textContent).toContain("3 of 24 cells · running at https://host");
  expect(el.querySelectorAll(".iw-view")).toHaveLength(1);
  stop();
  expect([el.childElementCount, model.listening]).toEqual([0, 0]);
});

test("what a server refuses is an alert in place of the grid, and a cancelled wait says so", () => {
  const model = new FakeModel(state({ spec: null, arrays: null, job: { ...queued, note: null } }));
  view.render({ model, el });
  model.set("job", { ...queued, state: "cancelled", note: null });
  expect(one(".iw-job").textContent).toContain("Cancelled before it began.");
  expect(one(".iw-cancel").hidden).toBe(true);
  model.set("job", { ...queued, state: "failed", error: "PromptError: <b>too long</b>", note: null });
  expect(one("[role=alert]").textContent).toBe("The computation failed. PromptError: <b>too long</b>");
});

test("the table has every cell under its token and layer", () => {
  view.render({ model: new FakeModel(state()), el });
  one("[data-action=table]").click();
  const rows = [...el.querySelectorAll("table.iw-table[data-site=mlp_out] tbody tr")];
  expect(rows.map((row) => row.querySelector("th")?.textContent)).toEqual(["8", "4", "0"]);
  // The value at site 1, layer index 2, position 3 is 123, so its effect is (123 + 1) / 4.
  expect(rows[0].querySelectorAll("td")[3].textContent).toBe("+31.00");
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
  const broken = state();
  const { arrays } = broken;
  if (arrays) arrays.status = { ...arrays.status, shape: [9] };
  view.render({ model: new FakeModel(broken), el });
  expect(one("[role=alert]").textContent).toContain("cannot be shown");
});

test("a grid of heads by position pins a cell by layer, head and position", () => {
  const of = spec({ panels: [panel("z", { lines: heads })] });
  const model = new FakeModel(state({ selected: { site: "z", layer: 0, head: 1, pos: 3 } }, of));
  view.render({ model, el });
  const plot = one("[role=grid]");
  expect(plot.getAttribute("aria-rowcount")).toBe("4");
  const press = (key: string) => plot.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  press("ArrowUp");
  press("Enter");
  expect(model.state.selected).toEqual({ site: "z", layer: 1, head: 0, pos: 3 });
  one("[data-action=table]").click();
  const rows = [...el.querySelectorAll("table tbody tr th")].map((head) => head.textContent);
  expect(rows).toEqual(["1.1", "1.0", "0.1", "0.0"]);
});

test("keys stay within a panel that is narrower than its neighbour", () => {
  const of = spec({
    panels: [
      panel("z", { columns: "head", labels: ["0", "1", "2"] }),
      panel("k", { columns: "head", labels: ["0", "1"], notes: ["", "shared by heads 2 and 3"] }),
    ],
  });
  const model = new FakeModel(state({ selected: { site: "k", layer: 4, head: 0 } }, of));
  view.render({ model, el });
  const plot = one("[role=grid][data-site=k]");
  for (const key of ["ArrowRight", "ArrowRight", "ArrowRight", "Enter"])
    plot.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  expect(model.state.selected).toEqual({ site: "k", layer: 4, head: 1 });
  expect(one(".iw-readout").textContent).toContain("Shared by heads 2 and 3.");
});

test("each pair has a small grid that opens it; a pair chosen from Python closes them", async () => {
  const labels = ["a", "b", "c", "d"];
  const of = spec({
    pairs: [pair(labels, ["a", "x", "c", "d"]), pair(labels, ["a", "y", "c", "d"], "␣Tom")],
    metrics: spec().metrics.map((metric) => ({ ...metric, baselines: [metric.baselines[0], metric.baselines[0]] })),
  });
  const model = new FakeModel(state({}, of));
  view.render({ model, el });
  const each = () => (el.querySelectorAll(".iw-pairs [role=radio]")[1] as HTMLElement).click();
  each();
  const small = [...el.querySelectorAll<HTMLElement>(".iw-small")];
  expect(small.map(({ textContent }) => textContent)).toEqual([
    expect.stringContaining("pair 1Mary / John, strongest: mlp_out, layer 8"),
    expect.stringContaining("pair 2Tom / John, strongest: mlp_out, layer 8"),
  ]);
  expect([one(".iw-panels").hidden, one(".iw-each").hidden]).toEqual([true, false]);
  small[1].click();
  expect(model.state.pair).toBe(1);
  expect([one(".iw-panels").hidden, one(".iw-each").hidden]).toEqual([false, true]);
  each();
  expect(model.state.pair).toBeNull();
  model.set("pair", 0);
  await drawn();
  expect(one(".iw-each").hidden).toBe(true);
});

test("a cell that is selected in one of two linked grids is selected in the other, without a kernel", async () => {
  const links = [{ group: "g", by: ["site", "layer", "pos"], same_tokens: true, empties: true }];
  const other = document.createElement("div");
  document.body.append(other);
  const [a, b] = [state({ links }), state({ links })].map((of) => new FakeModel(of));
  view.render({ model: a, el });
  const close = view.render({ model: b, el: other });
  (el.querySelector(".iw-readout button") as HTMLElement).click();
  expect(a.state.selected).not.toBeNull();
  expect(b.state.selected).toEqual(a.state.selected);
  await new Promise((resolve) => setTimeout(resolve, 40));
  expect(other.querySelector(".iw-readout strong")?.textContent).toBe(
    el.querySelector(".iw-readout strong")?.textContent,
  );
  close();
  other.remove();
});
