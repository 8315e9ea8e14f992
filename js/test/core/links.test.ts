import { afterEach, beforeEach, expect, test } from "vitest";
import { Links } from "../../src/core/links";
import type { Spot, ViewState, WireLink } from "../../src/protocol/common";
import { FakeModel } from "../fixture";

const LINK: WireLink = { group: "one", by: ["layer", "head", "pos"], same_tokens: true, empties: true };
let stop: AbortController;

beforeEach(() => {
  stop = new AbortController();
});
afterEach(() => stop.abort());

/** A view that writes down what it hears. */
function view(text: string, links: WireLink[] = [LINK]) {
  const words = text.split(" ");
  const heard: [string, Spot | null][] = [];
  const linked = {
    point: (spot: Spot | null) => void heard.push(["point", spot]),
    go: (spot: Spot | null) => void heard.push(["go", spot]),
    words: (pos: number) => words.slice(pos, pos + 1),
  };
  return { heard, links: new Links(new FakeModel<ViewState>({ links }), linked, stop.signal) };
}

test("views of one group hear of each other, and nobody of itself", () => {
  const [a, b, c] = [view("the cat sat"), view("the cat sat"), view("the cat sat", [{ ...LINK, group: "other" }])];
  a.links.point({ layer: 1, pos: 2 });
  a.links.select({ layer: 1, pos: 2 });
  b.links.select(null);
  expect(b.heard).toEqual([
    ["point", { layer: 1, pos: 2 }],
    ["go", { layer: 1, pos: 2 }],
  ]);
  expect(a.heard).toEqual([["go", null]]);
  expect(c.heard).toEqual([]);
});

test("only what the link names is shared, and a place of nothing else is none", () => {
  const [a, b] = [view("the cat sat"), view("the cat sat", [{ ...LINK, by: ["layer"] }])];
  a.links.point({ layer: 1, pos: 2 });
  a.links.point({ pos: 2 });
  a.links.select({ pos: 2 });
  expect(b.heard).toEqual([
    ["point", { layer: 1 }],
    ["point", null],
  ]);
});

test("a position counts where both have the same token, unless positions were asked for as such", () => {
  const as_such = { ...LINK, group: "as such", same_tokens: false };
  const a = view("the cat sat", [LINK, as_such]);
  const [other, longer, numbers] = [view("the dog sat"), view("the cat sat down", [as_such]), view("")];
  a.links.point({ layer: 0, pos: 1 });
  expect(other.heard).toEqual([["point", { layer: 0 }]]);
  expect(longer.heard).toEqual([["point", { layer: 0, pos: 1 }]]);
  expect(numbers.heard.at(-1)).toEqual(["point", { layer: 0, pos: 1 }]);
});

test("where the pointer stays is said once, and a view that goes takes its mark along", () => {
  const [a, b] = [view("the cat sat"), view("the cat sat")];
  a.links.point({ layer: 1 });
  a.links.point({ layer: 1 });
  expect(b.heard).toHaveLength(1);
  stop.abort();
  expect(a.heard).toEqual([]);
  a.links.select({ layer: 1 });
  b.links.point({ layer: 1 });
  expect(a.heard).toEqual([]);
});

test("pages that were saved before there were links have none", () => {
  const heard: unknown[] = [];
  const linked = { point: () => heard.push(1), go: () => heard.push(1), words: () => [] };
  const links = new Links(new FakeModel<ViewState>({}), linked, stop.signal);
  links.point({ layer: 1 });
  view("the cat sat").links.point({ layer: 2 });
  expect(heard).toEqual([]);
});
