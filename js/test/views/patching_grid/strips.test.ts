import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { JobStatus } from "../../../src/protocol/common";
import type { Cell, GridState, WireStrips } from "../../../src/protocol/patching_grid";
import view from "../../../src/views/patching_grid";
import { arrays, FakeModel, panel, spec, state, term } from "../../fixture";

let el: HTMLElement;
const drawn = () => new Promise((resolve) => setTimeout(resolve, 40));
const one = <E extends HTMLElement = HTMLElement>(selector: string) => el.querySelector(selector) as E;

beforeEach(() => {
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => el.remove());

const HEAD: Cell = { site: "z", layer: 4, head: 1 };
const DONE: JobStatus = { state: "done", done: 4, total: 4, seconds: 1, eta: null, error: null, note: null };

function grid(overrides: Partial<GridState> = {}, byPosition = true) {
  const heads = { columns: "head" as const, labels: ["0", "1"] };
  const of = spec({ panels: [panel("z", heads), panel("mlp_out", { columns: "layer" })], by_position: byPosition });
  return state({ selected: HEAD, ...overrides }, of);
}

/** Strips of some heads of z, the first one on top. A value says where it is: 10 row + position. */
function strips(...heads: [Cell, Partial<JobStatus>?][]): WireStrips {
  const lines = heads.map(([{ layer, head }]) => ({ layer, head: head as number, latent: null, name: "" })).reverse();
  const panels = [panel("z", { term: term("z"), lines })];
  return {
    heads: heads.map(([cell, job]) => ({ cell, job: { ...DONE, ...job } })),
    panels,
    code_sites: { z: "z[$layer][$head][$pos]\nprint($metric)" },
    code_fills: {},
    code_mean: {},
    code_refused: {},
    arrays: arrays(spec({ panels })),
  };
}

const press = (plot: Element, key: string) =>
  plot.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const requests = (model: FakeModel) => model.sent as { kind: string; id: string; name?: string; cell?: Cell }[];

test("a pinned head can be asked for by position, once, and the answer ends the asking", async () => {
  const model = new FakeModel(grid());
  view.render({ model, el });
  one("[data-action=by-position]").click();
  expect(requests(model)).toEqual([{ kind: "request", id: expect.any(String), name: "by_position", cell: HEAD }]);
  await drawn();
  expect(one<HTMLButtonElement>("[data-action=by-position]").disabled).toBe(true);
  model.emit("msg:custom", { kind: "reply", id: requests(model)[0].id, ok: true, value: "" }, []);
  model.set("strips", strips([HEAD, { state: "running", done: 1 }]));
  await drawn();
  expect(el.querySelector("[data-action=by-position]")).toBeNull();
  expect(one(".iw-strip-list").textContent).toContain("z 4.1 1 of 4Cancel");
  expect(el.querySelectorAll(".iw-strips canvas.iw-cells")).toHaveLength(1);
});

test("the key p opens the head at the cursor, and says so where that cannot be", async () => {
  const model = new FakeModel(grid());
  view.render({ model, el });
  const plot = one("[role=grid][data-site=z]");
  press(plot, "ArrowLeft");
  press(plot, "p");
  expect(requests(model).at(-1)?.cell).toEqual({ site: "z", layer: 4, head: 0 });
  expect(model.state.selected).toEqual({ site: "z", layer: 4, head: 0 });
  press(one("[role=grid][data-site=mlp_out]"), "p");
  expect(model.sent).toHaveLength(1);
  const saved = Object.assign(new FakeModel(grid()), { frozen: true });
  view.render({ model: saved, el });
  press(one("[role=grid][data-site=z]"), "p");
  expect(saved.sent).toEqual([]);
  expect(one("[aria-live]").textContent).toContain("not computed in this page");
  expect(one(".iw-act").textContent).toContain("not computed in this page");
});

test("a refusal is told, and the head can be asked for again", async () => {
  const model = new FakeModel(grid());
  view.render({ model, el });
  one("[data-action=by-position]").click();
  const id = requests(model)[0].id;
  model.emit("msg:custom", { kind: "reply", id, ok: false, value: "ResultError: <b>no</b>" }, []);
  await drawn();
  expect(one(".iw-strips [role=alert]").textContent).toContain("ResultError: <b>no</b>");
  expect(one<HTMLButtonElement>("[data-action=by-position]").disabled).toBe(false);
});

test("a head that failed can be asked for again, and is asked for until Python has begun", async () => {
  const failed = () => strips([HEAD, { state: "failed", error: "out of memory" }]);
  const model = new FakeModel(grid({ strips: failed() }));
  view.render({ model, el });
  const button = () => one<HTMLButtonElement>("[data-action=by-position]");
  button().click();
  await drawn();
  expect(button().disabled).toBe(true);
  model.set("strips", failed());
  await drawn();
  expect(button().disabled).toBe(false);
});

test("a view without its experiment, and a cell that is no head, offer nothing", () => {
  view.render({ model: new FakeModel(grid({}, false)), el });
  expect(el.querySelector("[data-action=by-position]")).toBeNull();
  view.render({ model: new FakeModel(grid({ selected: { site: "mlp_out", layer: 4 } })), el });
  expect(el.querySelector("[data-action=by-position]")).toBeNull();
});

test("a position is pinned, explained and coded as the strip's own, and Escape leads back to its head", async () => {
  const other: Cell = { site: "z", layer: 0, head: 0 };
  const model = new FakeModel(grid({ strips: strips([HEAD], [other]) }));
  view.render({ model, el });
  const plot = one(".iw-strips [role=grid]");
  expect([plot.getAttribute("aria-rowcount"), plot.getAttribute("aria-colcount")]).toEqual(["2", "4"]);
  press(plot, "Home");
  for (const key of ["ArrowUp", "ArrowRight", "ArrowRight", "Enter"]) press(plot, key);
  expect(model.state.selected).toEqual({ ...HEAD, pos: 2 });
  // Row 1, position 2 is 12, so its effect is (12 + 1) / 4.
  expect(one(".iw-readout").textContent).toContain("z · layer 4, head 1 · ␣sat (position 2)effect +3.25");
  one("[data-action=code]").click();
  expect(one(".iw-code pre").textContent).toContain("z[4][1][2]");
  expect(el.querySelectorAll('.iw-strips [aria-selected="true"]')).toHaveLength(1);
  press(plot, "Escape");
  expect(model.state.selected).toEqual(HEAD);
  expect(one(".iw-readout").textContent).not.toContain("position");
});

test("strips have their tables, rows of the last one opened on top", () => {
  view.render({ model: new FakeModel(grid({ strips: strips([HEAD], [{ site: "z", layer: 0, head: 0 }]) })), el });
  one("[data-action=table]").click();
  const rows = [...el.querySelectorAll("table.iw-table")].at(-1)?.querySelectorAll("tbody tr th") ?? [];
  expect([...rows].map(({ textContent }) => textContent)).toEqual(["4.1", "0.0"]);
});

test("each strip is cancelled while it runs and removed afterwards; a failure is an alert", async () => {
  const other: Cell = { site: "z", layer: 0, head: 0 };
  const model = new FakeModel(
    grid({
      strips: strips([HEAD, { state: "running", done: 0 }], [other, { state: "failed", error: "out of memory" }]),
    }),
  );
  view.render({ model, el });
  for (const button of el.querySelectorAll<HTMLElement>(".iw-strip-list button")) button.click();
  expect(model.sent).toEqual([
    { kind: "cancel_strip", cell: HEAD },
    { kind: "remove_strip", cell: other },
  ]);
  expect(one(".iw-strips [role=alert]").textContent).toContain("z 0.0: out of memory");
  one<HTMLElement>(".iw-strip-list button").focus();
  model.set("strips", strips([HEAD]));
  await drawn();
  expect(document.activeElement?.closest(".iw-strip-list")).toBeTruthy();
  model.set("strips", null);
  await drawn();
  expect(one(".iw-strips").hidden).toBe(true);
});

test("numbers that arrive keep the reader's place in a strip", async () => {
  const model = new FakeModel(grid({ strips: strips([HEAD, { state: "running", done: 1 }]) }));
  view.render({ model, el });
  const plot = one(".iw-strips [role=grid]");
  plot.focus();
  press(plot, "End");
  model.set("strips", strips([HEAD]));
  await drawn();
  expect(document.activeElement).toBe(plot);
  expect(plot.textContent).toContain("position 3");
});

test("a state saved before there were strips is shown as before", () => {
  const model = new FakeModel(grid());
  Reflect.deleteProperty(model.state, "strips");
  view.render({ model, el });
  expect(one(".iw-view").dataset.ready).toBe("true");
});
