import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { FeatureState } from "../../src/protocol/features";
import view from "../../src/views/features";
import { arrays, card, FIRES, LABELS, spec, state } from "../features_fixture";
import { FakeModel, unaligned } from "../fixture";

let el: HTMLElement;
const drawn = () => new Promise((resolve) => setTimeout(resolve, 40));
const one = <E extends HTMLElement = HTMLElement>(selector: string) => el.querySelector(selector) as E;
const all = (selector: string) => [...el.querySelectorAll<HTMLElement>(selector)];
const token = (at: number) => one(`[data-token="${at}"]`);
const fill = (at: number) => (token(at).firstElementChild as HTMLElement).style.background;
const press = (element: HTMLElement, key: string, more = {}) =>
  element.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const point = (at: number) => token(at).dispatchEvent(new PointerEvent("pointerover", { bubbles: true }));
const row = (latent: number) => one(`.iw-row[data-latent="${latent}"]`);

function show(overrides: Partial<FeatureState> = {}, of = spec()): FakeModel<FeatureState> {
  const model = new FakeModel<FeatureState>(state(overrides, of));
  view.render({ model, el });
  return model;
}

const asked = (model: FakeModel<FeatureState>, name: string) =>
  model.sent.filter((sent) => (sent as { name?: string }).name === name) as { id: string; latent: number }[];

beforeEach(() => {
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockReturnValue(null);
  el = document.createElement("div");
  document.body.append(el);
});

afterEach(() => el.remove());

test("shows the question, the text, the leading latent and its card, and is ready", () => {
  show();
  expect(one(".iw-view").dataset.ready).toBe("true");
  expect(one(".iw-title").textContent).toBe("Which features fire on this text?");
  expect(all(".iw-tok").map((element) => element.textContent)).toEqual(LABELS.map((label) => label.replace("␣", " ")));
  expect([1, 3, 5].every((at) => fill(at) !== "")).toBe(true);
  expect([0, 2, 4].every((at) => fill(at) === "")).toBe(true);
  expect(one(".iw-card-number").textContent).toBe("Latent 3");
  expect(one(".iw-card").textContent).toContain("strongest 2.50 at ␣John (position 3)");
  expect(all(".iw-row").map((element) => Number(element.dataset.latent))).toEqual([40, 3, 5, 7]);
  expect(one(".iw-footer").textContent).toContain("demo model");
});

test("hostile tokens, names, notes and cards are text wherever they appear", async () => {
  const evil = '<img src=x onerror="document.title=1">';
  const of = spec({ texts: [{ name: evil, labels: LABELS.map(() => evil), starts: [0] }], provenance: [evil] });
  of.dictionary.name = evil;
  const wicked = {
    ...card,
    corpus: evil,
    promotes: [{ label: evil, logit: 1 }],
    written_by: [{ component: evil, weight: 1, latent: null }],
    examples: [{ labels: [evil], values: [1], peak: 0 }],
  };
  show({ names: { 3: evil }, notes: { 3: evil }, cards: { 3: wicked, 7: wicked }, pinned: [3] }, of);
  point(1);
  one("[data-action=table]").click();
  await drawn();
  expect(el.querySelector("img, script")).toBeNull();
  expect(one<HTMLInputElement>(".iw-card-name").value).toBe(evil);
});

test("the code reads the latent that is shown, and says where there is none", async () => {
  const model = show();
  one("[data-action=code]").click();
  expect(one(".iw-code pre").textContent).toBe("print(3)\n");
  expect(one(".iw-code-head").textContent).toContain("latent 3");
  model.set("selected", { latent: 7, token: null });
  await drawn();
  expect(one(".iw-code pre").textContent).toBe("print(7)\n");
  model.set("spec", spec({ code: "" }));
  await drawn();
  expect(one(".iw-code").textContent).toBe("This result came without code.");
});

test("pointing at a token ranks its latents; a click on one shows it", () => {
  const model = show();
  point(5);
  const fires = () => all(".iw-fires button").map((button) => Number(button.dataset.latent));
  expect(fires()).toEqual([7, 3]);
  expect(one(".iw-token-panel").textContent).toContain("position 5");
  one('.iw-fires [data-latent="7"]').click();
  expect(model.state.selected).toEqual({ latent: 7, token: null });
  expect(fill(6)).not.toBe("");
  expect(fill(3)).toBe("");
});

test("a click holds a token, and its latents stay when the pointer leaves; Escape lets go", () => {
  const model = show();
  token(5).click();
  expect(model.state.selected).toEqual({ latent: 3, token: 5 });
  one(".iw-strip").dispatchEvent(new PointerEvent("pointerleave"));
  expect(all(".iw-fires button")).toHaveLength(2);
  expect(token(5).getAttribute("aria-selected")).toBe("true");
  press(one(".iw-strip"), "Escape");
  expect(model.state.selected).toEqual({ latent: 3, token: null });
  expect(one(".iw-token-panel").textContent).toContain("Point at a token");
});

test("keys walk through the text, tell each token, and brackets go where the latent fires", () => {
  const model = show();
  const strip = one(".iw-strip");
  strip.focus();
  press(strip, "ArrowRight");
  const active = () => document.getElementById(strip.getAttribute("aria-activedescendant") ?? "");
  expect(active()?.getAttribute("aria-label")).toBe("␣Mary, position 1, latent 3 1.50");
  press(strip, "]");
  expect(active()?.dataset.token).toBe("3");
  press(strip, "[");
  expect(active()?.dataset.token).toBe("1");
  press(strip, "End", { ctrlKey: true });
  expect(active()?.dataset.token).toBe("7");
  press(strip, "]"); // around the end
  expect(active()?.dataset.token).toBe("1");
  press(strip, "Enter");
  expect(model.state.selected?.token).toBe(1);
});

test("the list is walked, shown and pinned by keys; pinned latents are rows under the text", () => {
  const model = show();
  const list = one(".iw-list");
  list.focus();
  press(list, "ArrowDown");
  press(list, "ArrowDown");
  press(list, "Enter");
  expect(model.state.selected).toEqual({ latent: 5, token: null });
  press(list, "p");
  press(list, "End");
  press(list, "p");
  expect(model.state.pinned).toEqual([5, 7]);
  expect(all(".iw-strip-name").map((name) => name.textContent)).toEqual(["5", "7"]);
  press(list, "p");
  expect(model.state.pinned).toEqual([5]);
});

test("the step buttons hold the next token on which the latent fires, around the end", () => {
  const model = show();
  const held = () => model.state.selected?.token;
  one("[data-step='1']").click();
  expect(held()).toBe(1);
  one("[data-step='1']").click();
  expect(held()).toBe(3);
  one("[data-step='-1']").click();
  one("[data-step='-1']").click();
  expect(held()).toBe(5);
});

test("names and notes are written to the state, emptied ones leave it", () => {
  const model = show({ names: { 5: "commas" } });
  const name = one<HTMLInputElement>(".iw-card-name");
  name.value = "  names  of people ";
  name.dispatchEvent(new Event("change"));
  expect(model.state.names).toEqual({ 3: "names of people", 5: "commas" });
  const note = one<HTMLTextAreaElement>(".iw-card textarea");
  note.value = "line one\nline two";
  note.dispatchEvent(new Event("change"));
  expect(model.state.notes).toEqual({ 3: "line one\nline two" });
  note.value = "   ";
  note.dispatchEvent(new Event("change"));
  expect(model.state.notes).toEqual({});
});

test("what is being written is kept for its own latent when another one is shown", async () => {
  const model = show();
  one<HTMLTextAreaElement>(".iw-card textarea").value = "half a thought";
  row(5).click();
  expect(model.state.notes).toEqual({ 3: "half a thought" });
  expect(one<HTMLTextAreaElement>(".iw-card textarea").value).toBe("");
});

test("a card that is not there is asked for once, and comes with the state", async () => {
  const model = show();
  row(7).click();
  row(7).click();
  await drawn();
  expect(asked(model, "card").map(({ latent }) => latent)).toEqual([7]);
  expect(one(".iw-card").textContent).toContain("Finding out");
  model.set("cards", { 3: card, 7: card });
  model.emit("msg:custom", { kind: "reply", id: asked(model, "card")[0].id, ok: true, value: "found" }, []);
  await drawn();
  expect(one(".iw-card").textContent).toContain("Top examples");
});

test("a card that could not be made says why, and can be asked for again", async () => {
  const model = show();
  row(7).click();
  model.emit("msg:custom", { kind: "reply", id: asked(model, "card")[0].id, ok: false, value: "no corpus" }, []);
  await drawn();
  expect(one(".iw-card [role=alert]").textContent).toContain("no corpus");
  one("[data-action=ask]").click();
  expect(asked(model, "card")).toHaveLength(2);
});

test("tokens that are missing are asked for; a saved page says that it has only part", async () => {
  const of = spec();
  const part = () => arrays(of, FIRES, { hidden: [[5, 3]] });
  const model = show({ arrays: part() });
  expect(fill(5)).toBe("");
  expect(one(".iw-missing").textContent).toContain("fires on 3 tokens, and 2 of them are here");
  const [{ id, latent }] = asked(model, "column");
  expect(latent).toBe(3);
  const value = JSON.stringify({ tokens: [1, 3, 5], activations: [1.5, 2.5, 0.5] });
  model.emit("msg:custom", { kind: "reply", id, ok: true, value }, []);
  await drawn();
  expect(fill(5)).not.toBe("");
  expect(one(".iw-missing").hidden).toBe(true);
  const saved = new FakeModel<FeatureState>(state({ arrays: part() }));
  Object.assign(saved, { frozen: true });
  view.render({ model: saved, el });
  expect(saved.sent).toEqual([]);
  expect(one(".iw-missing").textContent).toContain("2 of them are here");
});

test("unread tokens are marked, and fill in as they stream", async () => {
  const none = FIRES.map(() => ({}));
  const running = { state: "running", done: 0, total: 8, seconds: 0, eta: null, error: null, note: null } as const;
  const model = show({ arrays: arrays(spec(), none, { computed: none.map(() => 0) }), job: running });
  expect(all(".iw-tok-unread")).toHaveLength(8);
  const buffer = (values: Int32Array | Float32Array) => unaligned(values.buffer as ArrayBuffer);
  const ints = (...values: number[]) => buffer(Int32Array.from(values));
  const floats = (...values: number[]) => buffer(Float32Array.from(values));
  model.emit("msg:custom", { kind: "tokens", seq: 1 }, [
    ...[ints(3, 5), ints(1, 1), ints(3, 3), floats(2.5, 0.5)],
    ...[ints(3), floats(2.5), floats(3), ints(2)],
  ]);
  await drawn();
  expect(all(".iw-tok-unread")).toHaveLength(6);
  expect(fill(3)).not.toBe("");
  one(".iw-cancel").click();
  expect(model.sent).toContainEqual({ kind: "cancel" });
});

test("the sort, the scale and pins that Python sets are followed", async () => {
  const model = show();
  one("[data-sort=density]").click();
  expect(model.state.sort).toBe("density");
  expect(all(".iw-row").map((element) => Number(element.dataset.latent))).toEqual([3, 7, 5, 40]);
  model.set("pinned", [40, 7]);
  model.set("color_limit", 1);
  await drawn();
  expect(all(".iw-strip-name").map((name) => name.textContent)).toEqual(["40", "7"]);
  expect(token(3).classList.contains("iw-tok-beyond")).toBe(true);
  expect(one(".iw-legend").textContent).toContain("2 tokens beyond, up to 2.50");
});

test("a long text has elements for what is in sight only", () => {
  const labels = Array.from({ length: 20_000 }, (_, n) => `␣token${n % 100}`);
  const of = spec({ texts: [{ name: "text", labels, starts: [0] }] });
  show(
    {
      arrays: arrays(
        of,
        labels.map((_, n): Record<number, number> => (n % 500 ? {} : { 3: 1 })),
      ),
    },
    of,
  );
  expect(all(".iw-tok").length).toBeGreaterThan(50);
  expect(all(".iw-tok").length).toBeLessThan(800);
  const strip = one(".iw-strip");
  strip.focus();
  press(strip, "End", { ctrlKey: true });
  expect(token(19_999)).not.toBeNull();
  expect(token(19_999).getAttribute("aria-posinset")).toBe("20000");
});

test("two texts stand one above the other, and what differs is marked", () => {
  const of = spec({
    texts: [
      { name: "text", labels: ["a", "␣b"], starts: [0] },
      { name: "against", labels: ["a", "␣c"], starts: [0] },
    ],
  });
  show({ arrays: arrays(of, [{ 3: 1 }, { 3: 2 }, { 3: 1 }, {}]), sort: "difference" }, of);
  expect(one(".iw-title").textContent).toBe("Which features tell the two texts apart?");
  expect(all(".iw-strip")).toHaveLength(2);
  expect(all(".iw-tok-marked").map((element) => element.textContent)).toEqual([" b", " c"]);
  expect(one(".iw-row .iw-value").textContent).toBe("+1.00");
});

test("a text on which nothing fires says so", () => {
  show({
    arrays: arrays(
      spec(),
      FIRES.map(() => ({})),
    ),
  });
  expect(one(".iw-latents").textContent).toContain("No latent");
  expect(one(".iw-card").hidden).toBe(true);
  point(1);
  expect(one(".iw-token-panel").textContent).toContain("No latent fires here.");
});

test("until a server has answered, the page tells how the job stands, and then shows the text", async () => {
  const { spec, arrays: there, job } = state();
  const waits = { ...job, state: "running", note: "2nd in the queue" } as const;
  const model = show({ spec: {} as never, arrays: null as never, job: waits });
  expect(el.textContent).toContain("Waiting: 2nd in the queue");
  model.set("spec", spec);
  model.set("arrays", there);
  await drawn();
  expect(all(".iw-tok")).toHaveLength(8);
});

const reading = {
  ...({ latent: 3, mode: "clamp", strength: 5, token: null, kl: 1.25 } as const),
  before: [{ label: "␣Sorry", prob: 0.9 }],
  after: [{ label: "␣Sure", prob: 0.7 }],
  text_before: " Sorry, no.",
  text_after: " Sure thing.",
};
const slider = () => one<HTMLInputElement>(".iw-dial input");
const mode = () => one<HTMLSelectElement>(".iw-dial select");
const settled = () => new Promise((resolve) => setTimeout(resolve, 200));

test("the dial asks once the slider rests, one thing at a time, and of those in between the last", async () => {
  const model = show({ selected: { latent: 3, token: 2 } });
  mode().value = "clamp";
  mode().dispatchEvent(new Event("change"));
  expect([slider().min, slider().max, slider().value].map(Number)).toEqual([0, 10, 5]);
  slider().value = "7.5";
  slider().dispatchEvent(new Event("input"));
  expect(one(".iw-dial output").textContent).toBe("7.50");
  await settled();
  const dials = () =>
    model.sent.filter((sent) => (sent as { name?: string }).name === "dial") as (typeof reading & { id: string })[];
  expect(dials()).toMatchObject([{ latent: 3, mode: "clamp", strength: 7.5, token: 2 }]);
  for (const value of ["8", "9"]) {
    slider().value = value;
    slider().dispatchEvent(new Event("input"));
    await settled();
  }
  expect(dials()).toHaveLength(1);
  expect(one(".iw-dial-reading").getAttribute("aria-busy")).toBe("true");
  model.emit("msg:custom", { kind: "reply", id: dials()[0].id, ok: true, value: "{}" }, []);
  await drawn();
  expect(dials().map(({ strength }) => strength)).toEqual([7.5, 9]);
  model.emit("msg:custom", { kind: "reply", id: dials()[1].id, ok: false, value: "too far" }, []);
  await drawn();
  await drawn();
  expect(one(".iw-dial [role=alert]").textContent).toBe("Not turned: too far");
  expect(slider().value).toBe("9");
});

test("a reading shows both sides in the card of its latent only, and the slider stays where it was taken", async () => {
  const model = show({ dial: reading, selected: { latent: 3, token: null } });
  expect([mode().value, Number(slider().value)]).toEqual(["clamp", 5]);
  const told = one(".iw-dial-reading").textContent;
  for (const words of ["as it is", "␣Sorry", "… Sorry, no.", "set to 5.00", "␣Sure", "… Sure thing.", "1.25 nats"])
    expect(told).toContain(words);
  expect(told).not.toContain("kernel");
  model.set("selected", { latent: 7, token: null });
  await drawn();
  expect(one(".iw-dial-reading").textContent).toContain("Move the slider");
});

test("a saved page shows the reading and what more would take, and no dial without one", () => {
  const frozen = (dial: typeof reading | null) => {
    const model = new FakeModel<FeatureState>(state({ dial, selected: { latent: 3, token: null } }));
    view.render({ model: Object.assign(model, { frozen: true }), el });
  };
  frozen(reading);
  expect(one(".iw-dial-controls").hidden).toBe(true);
  expect(one(".iw-dial-reading").textContent).toContain("Turning it further needs the notebook's kernel.");
  frozen(null);
  expect(one(".iw-dial").hidden).toBe(true);
});
