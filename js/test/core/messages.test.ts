import { expect, test } from "vitest";
import { Messages, uuid } from "../../src/core/messages";
import { FakeModel, state } from "../fixture";

const rows = (seq: number) => ({ kind: "rows", seq, rows: [], vocab: {} });

test("rows in order are passed on; a gap asks for a resync once, and goes on from there", () => {
  const model = new FakeModel(state());
  const got: number[] = [];
  new Messages(model, ({ seq }) => got.push(seq));
  for (const seq of [4, 5, 8, 9]) model.emit("msg:custom", rows(seq), []);
  expect(got).toEqual([4, 5, 8, 9]);
  expect(model.sent).toEqual([{ kind: "resync" }]);
});

test("each request gets the reply of its own id, whatever their order", async () => {
  const model = new FakeModel(state());
  const messages = new Messages(model, () => {});
  const [first, second] = [messages.request({ name: "html" }), messages.request({ name: "html" })];
  const [a, b] = model.sent as { id: string }[];
  expect(a.id).not.toBe(b.id);
  model.emit("msg:custom", { kind: "reply", id: "someone else's", ok: true, value: "x" }, []);
  model.emit("msg:custom", { kind: "reply", id: b.id, ok: false, value: "no result yet" }, []);
  model.emit("msg:custom", { kind: "reply", id: a.id, ok: true, value: "<html>" }, []);
  await expect(first).resolves.toBe("<html>");
  await expect(second).rejects.toThrow("no result yet");
});

test("a saved page sends nothing, and a destroyed view listens no more", () => {
  const model = Object.assign(new FakeModel(state()), { frozen: true });
  const messages = new Messages(model, () => {});
  messages.send({ kind: "cancel" });
  expect([model.sent, messages.live]).toEqual([[], false]);
  messages.destroy();
  expect(model.listening).toBe(0);
});

test("ids do not repeat", () => expect(new Set(Array.from({ length: 100 }, uuid)).size).toBe(100));
