import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Nested } from "../../src/core/nested";
import type { OpenRequest, Spot, ToPython, ViewState, WireOpened, WireWay } from "../../src/protocol/common";
import { FakeModel } from "../fixture";

const WAY: WireWay = {
  name: "parts",
  meaning: "what wrote it",
  key: "o",
  needs: ["layer"],
  sites: ["mlp_out"],
  apart: ["layer"],
};
const PLACE: Spot = { site: "mlp_out", layer: 2 };
const OPENED: WireOpened = {
  model: "m",
  way: "parts",
  place: { layer: 2 },
  trail: ["patching", "mlp_out, layer 2", "parts"],
};
let stop: AbortController;
let root: HTMLElement;

/** Loads no module: happy-dom cannot. What is drawn stands for the view. */
vi.mock("../../src/core/module", () => ({
  loadModule: async (source: string) => ({
    default: {
      render({ el }: { el: HTMLElement }) {
        const plot = document.createElement("p");
        plot.tabIndex = 0;
        plot.textContent = source;
        el.append(plot);
      },
    },
  }),
}));

beforeEach(() => {
  stop = new AbortController();
  Element.prototype.scrollIntoView = () => {};
  root = document.createElement("div");
  document.body.append(root);
});
afterEach(() => {
  stop.abort();
  root.remove();
});

function nested(state: Partial<ViewState>, { live = true, place = PLACE as Spot | null } = {}) {
  const model = new FakeModel<ViewState>({ ways: [WAY], no_ways: "no model", opened: [], links: [], ...state });
  Object.assign(model, { widget_manager: { get_model: async () => new FakeModel({ _esm: "the view" }) } });
  const asked: Omit<OpenRequest, "kind" | "id">[] = [];
  const sent: ToPython[] = [];
  const said: string[] = [];
  const answers: ((id: string) => void)[] = [];
  const refusals: ((error: Error) => void)[] = [];
  const home = vi.fn();
  const line = {
    live,
    send: (message: ToPython) => void sent.push(message),
    request: (question: Omit<OpenRequest, "kind" | "id">) => {
      asked.push(question);
      return new Promise<string>((resolve, reject) => {
        answers.push(resolve);
        refusals.push(reject);
      });
    },
  };
  const host = { place: () => place, home, say: (text: string) => void said.push(text) };
  const one = new Nested(model, line, host, stop.signal);
  root.append(one.bar, one.element);
  one.listen(root, stop.signal);
  one.update();
  const press = (key: string, on: Element = root, options: KeyboardEventInit = {}) =>
    on.dispatchEvent(
      new KeyboardEvent("keydown", { key, bubbles: true, composed: true, cancelable: true, ...options }),
    );
  return { model, one, asked, sent, said, answers, refusals, home, press };
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 10));
const section = () => root.querySelector("section") as HTMLElement;
const inside = () => section().querySelector("div")?.shadowRoot?.querySelector("p");

test("a key asks once, and the focus goes into the view that comes", async () => {
  const { model, asked, answers, press } = nested({});
  press("o");
  press("o");
  expect(asked).toEqual([{ name: "open", way: "parts", place: PLACE }]);
  expect(root.querySelector("button")?.getAttribute("aria-disabled")).toBe("true");
  model.set("opened", [OPENED]);
  answers[0]("m");
  await settled();
  expect(inside()?.textContent).toBe("the view");
  expect(section().getAttribute("aria-label")).toBe("parts of mlp_out, layer 2");
  expect(section().querySelector("div")?.shadowRoot?.activeElement).toBe(inside());
  expect(root.querySelector("[data-way=parts]")?.getAttribute("aria-expanded")).toBe("true");
});

test("what is open is gone to, not asked for", async () => {
  const { asked, press } = nested({ opened: [OPENED] });
  press("o");
  await settled();
  expect(asked).toEqual([]);
  expect(document.activeElement).toBe(section().querySelector("div"));
});

test("keys with others held, in a field, and in an opened view are not taken", async () => {
  const { asked, press } = nested({ opened: [{ ...OPENED, place: { layer: 1 } }] });
  const field = document.createElement("input");
  root.append(field);
  press("o", root, { ctrlKey: true });
  press("o", field);
  await settled();
  press("o", inside() as Element);
  expect(asked).toEqual([]);
});

test("a place that a way does not lead on from has no button and no key", () => {
  for (const place of [null, { site: "z", layer: 1 }, { site: "mlp_out" }]) {
    const { asked, press, one } = nested({}, { place });
    press("o");
    expect(asked).toEqual([]);
    expect(one.bar.querySelector("button")).toBeNull();
  }
});

test("what Python refuses is said, and may be asked again", async () => {
  const { refusals, press, asked, one } = nested({});
  press("o");
  refusals[0](new Error("nothing has written to it yet"));
  await settled();
  expect(one.bar.querySelector("[role=alert]")?.textContent).toBe(
    "parts could not be opened. nothing has written to it yet",
  );
  press("o");
  expect(asked).toHaveLength(2);
});

test("Escape and the way lead home, and closing asks Python to", async () => {
  const { sent, home, press, model } = nested({ opened: [OPENED] });
  await settled();
  press("Escape", section());
  expect(home).toHaveBeenCalledTimes(1);
  (section().querySelector("ol button") as HTMLElement).click();
  expect(home).toHaveBeenCalledTimes(2);
  (section().querySelector(".iw-close") as HTMLElement).click();
  expect(sent).toEqual([{ kind: "close", model: "m" }]);
  model.set("opened", []);
  expect(root.querySelector("section")).toBeNull();
});

test("a view that was asked for from another place says so", () => {
  const { model } = nested({ opened: [OPENED] });
  model.set("opened", [{ ...OPENED, trail: ["patching", "mlp_out, layer 3", "parts"] }]);
  expect(root.querySelectorAll("section")).toHaveLength(1);
  expect(section().getAttribute("aria-label")).toBe("parts of mlp_out, layer 3");
});

test("where nobody answers, what was computed closes and opens again", async () => {
  const { asked, press, one } = nested({ opened: [OPENED] }, { live: false });
  (section().querySelector(".iw-close") as HTMLElement).click();
  expect(section().hidden).toBe(true);
  press("o");
  await settled();
  expect(section().hidden).toBe(false);
  expect(asked).toEqual([]);
  expect(one.bar.hidden).toBe(false);
});

test("where nobody answers, what was not computed is said to be missing", () => {
  const { asked, said, press } = nested({}, { live: false });
  press("o");
  expect(said).toEqual(["parts: not computed in this page."]);
  expect(asked).toEqual([]);
});

test("a view that nothing opens from says why when asked", () => {
  const { one } = nested({ ways: [] });
  one.bar.querySelector("button")?.click();
  expect(one.bar.querySelector("[role=alert]")?.textContent).toBe("Nothing opens from here: no model");
});

test("where views cannot find each other, the view says to show it elsewhere", async () => {
  const { model } = nested({});
  Object.assign(model, { widget_manager: undefined });
  model.set("opened", [OPENED]);
  await settled();
  expect(section().textContent).toContain("It cannot be shown here: this notebook does not let views find each other.");
});
