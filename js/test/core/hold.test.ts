import { afterEach, beforeEach, expect, test } from "vitest";
import { fill, h } from "../../src/core/dom";
import { Frame } from "../../src/core/frame";
import { keepFocus } from "../../src/core/hold";
import { Stage } from "../../src/core/stage";
import type { Awaited } from "../../src/core/waiting";
import { FakeModel } from "../fixture";

const root = h("div");
const list = (...names: string[]) => names.map((name) => h("li", {}, h("button", {}, name)));
const focused = () => document.activeElement?.textContent;

beforeEach(() => document.body.append(root));
afterEach(() => {
  fill(root);
  root.remove();
});

function held(name: string): void {
  [...root.querySelectorAll("button")].find((button) => button.textContent === name)?.focus();
  expect(focused()).toBe(name);
}

test("the focus stays at its place in a list that is made again, and at the end of a shorter one", () => {
  const all = h("ul");
  fill(root, h("button", {}, "before"), all, h("button", {}, "after"));
  fill(all, ...list("a", "b", "c"));
  held("b");
  keepFocus(root, () => fill(all, ...list("d", "e", "f")));
  expect(focused()).toBe("e");
  keepFocus(root, () => fill(all, ...list("g")));
  expect(focused()).toBe("g");
});

test("where nothing is left around it the focus goes to what comes next", () => {
  const card = h("section", {}, h("button", {}, "let go"));
  fill(root, card, h("button", {}, "code"), h("button", {}, "table"));
  held("let go");
  keepFocus(root, () => {
    card.hidden = true;
  });
  expect(focused()).toBe("code");
});

test("what is moved keeps the focus, and a drawing may take it elsewhere", () => {
  const [one, other] = list("one", "other");
  fill(root, one, other);
  held("one");
  keepFocus(root, () => fill(root, h("div", {}, other), h("div", {}, one)));
  expect(focused()).toBe("one");
  keepFocus(root, () => {
    fill(root, other);
    other.querySelector("button")?.focus();
  });
  expect(focused()).toBe("other");
});

test("a focus outside is nobody's", () => {
  const outside = h("input");
  document.body.append(outside);
  outside.focus();
  fill(root, ...list("a"));
  keepFocus(root, () => fill(root, ...list("b")));
  expect(document.activeElement).toBe(outside);
  outside.remove();
});

const nextFrame = () => new Promise(requestAnimationFrame);

test.each(["pointerup", "pointercancel", "pointermove"])("nothing is drawn between a press and %s", async (end) => {
  const body = h("ul");
  const frame = new Frame("a view", "", body);
  const model = new FakeModel({ job: { state: "done" } } as Awaited);
  const clicked: string[] = [];
  body.addEventListener("click", ({ target }) => clicked.push((target as Element).textContent ?? ""));
  const stage = new Stage<Awaited>(model, { draw: () => fill(body, ...list("a", "b")) });
  stage.open(root, frame, [], "done");
  const pressed = body.querySelectorAll("button")[1];
  pressed.dispatchEvent(new MouseEvent("pointerdown", { bubbles: true }));
  stage.redraw();
  await nextFrame();
  await nextFrame();
  expect(pressed.isConnected).toBe(true);
  window.dispatchEvent(new MouseEvent(end));
  pressed.click();
  await nextFrame();
  await nextFrame();
  expect(clicked).toEqual(["b"]);
  expect(pressed.isConnected).toBe(false);
  stage.close();
});
