import { expect, test } from "vitest";
import { FeatureData } from "../../../src/views/features/data";
import { featuresToCsv } from "../../../src/views/features/export_csv";
import { leading, ranked, search } from "../../../src/views/features/ranking";
import { differences } from "../../../src/views/features/strips";
import { arrays, FIRES, LABELS, spec } from "../../features_fixture";
import { unaligned } from "../../fixture";

const whole = () => new FeatureData(spec(), arrays(spec()));
const numbers = (kind: Int32ArrayConstructor | Float32ArrayConstructor, ...values: number[]) =>
  unaligned(kind.from(values).buffer as ArrayBuffer);

test("a latent at every token, and a token with all its latents", () => {
  const data = whole();
  expect(Array.from(data.values(3, 0))).toEqual([0, 1.5, 0, 2.5, 0, 0.5, 0, 0]);
  expect(data.at(5)).toEqual([
    { latent: 7, value: 0.75 },
    { latent: 3, value: 0.5 },
  ]);
  expect(data.statistics(3, 0)).toEqual({ maximum: 2.5, total: 4.5, fires: 3 });
  expect([data.firingCount, data.fires(63), data.isWhole(3)]).toEqual([4, 0, true]);
});

test("rankings are those of Python: size first, of equals the smaller number", () => {
  const data = whole();
  expect(ranked(data, "max")).toEqual([
    { latent: 40, score: 9 },
    { latent: 3, score: 2.5 },
    { latent: 5, score: 1 },
    { latent: 7, score: 0.75 },
  ]);
  expect(ranked(data, "mean").map(({ latent, score }) => [latent, score])).toEqual([
    [40, 9 / 8],
    [3, 4.5 / 8],
    [7, 1.5 / 8],
    [5, 1 / 8],
  ]);
  expect(ranked(data, "density").map(({ latent }) => latent)).toEqual([3, 7, 5, 40]);
  expect(leading(data, ranked(data, "max"))).toBe(3); // 40 fires only where the text starts
});

test("two texts: the difference of means, each over its own tokens", () => {
  const of = spec({
    texts: [
      { name: "text", labels: LABELS.slice(0, 3), starts: [0] },
      { name: "against", labels: LABELS.slice(3), starts: [0, 2] },
    ],
  });
  const data = new FeatureData(of, arrays(of));
  const scores = Object.fromEntries(ranked(data, "difference").map(({ latent, score }) => [latent, score]));
  expect(scores[3]).toBeCloseTo(1.5 / 3 - 3 / 5);
  expect(scores[40]).toBeCloseTo(3);
  expect(Array.from(data.values(3, 1))).toEqual([2.5, 0, 0.5, 0, 0]);
  expect(data.place(6)).toEqual({ text: 1, document: 2, position: 1, label: "␣left" });
  expect(data.place(2)).toEqual({ text: 0, document: 0, position: 2, label: "␣met" });
});

test("tokens that stream in make the same numbers as the whole", () => {
  const none = FIRES.map(() => ({}));
  const data = new FeatureData(spec(), arrays(spec(), none, { computed: none.map(() => 0) }));
  expect(Array.from(data.values(3, 0)).every(Number.isNaN)).toBe(true);
  data.apply({ kind: "tokens", seq: 1 }, [
    numbers(Int32Array, 3, 5),
    numbers(Int32Array, 1, 2),
    numbers(Int32Array, 3, 3, 7),
    numbers(Float32Array, 2.5, 0.5, 0.75),
    numbers(Int32Array, 3, 7),
    numbers(Float32Array, 2.5, 0.75),
    numbers(Float32Array, 3, 0.75),
    numbers(Int32Array, 2, 1),
  ]);
  const no = Number.NaN;
  expect(Array.from(data.values(3, 0))).toEqual([no, no, no, 2.5, no, 0.5, no, no]);
  expect(data.read(0)).toBe(2);
  expect(data.statistics(7, 0)).toEqual({ maximum: 0.75, total: 0.75, fires: 1 });
});

test("a latent of which tokens are missing knows it, until Python has told all", () => {
  const data = new FeatureData(spec(), arrays(spec(), FIRES, { hidden: [[5, 3]] }));
  expect([data.isWhole(3), data.isWhole(7), data.hasAll(1), data.hasAll(2)]).toEqual([false, true, false, true]);
  expect(data.values(3, 0)[5]).toBe(0);
  data.complete(3, { tokens: [1, 3, 5], activations: [1.5, 2.5, 0.5] });
  expect(data.isWhole(3)).toBe(true);
  expect(data.values(3, 0)[5]).toBe(0.5);
});

test("a latent that was asked for below the threshold is drawn there, but does not fire", () => {
  const data = new FeatureData(spec({ threshold: 1 }), arrays(spec()));
  expect(data.value(3, 5)).toBe(0.5);
  expect(data.at(5)).toEqual([]);
});

test("a search finds numbers, names and notes, also of latents that are silent here", () => {
  const order = ranked(whole(), "max");
  const texts = { names: { 5: "Commas", 60: "commands" }, notes: { 7: "fires after COMMAS?" } };
  const found = (wanted: string) => search(order, wanted, texts, 64).map(({ latent }) => latent);
  expect(found(" ")).toEqual([40, 3, 5, 7]);
  expect(found("comma")).toEqual([5, 7, 60]);
  expect(found("4")).toEqual([4, 40]);
  expect(found("#63")).toEqual([63]);
  expect(found("64")).toEqual([]);
  expect(found("nothing of it")).toEqual([]);
});

test("what differs between texts is what is left between their shared ends", () => {
  const sets = (a: string, b: string) => differences([a.split(""), b.split("")]).map((set) => [...set]);
  expect(sets("abcde", "abXde")).toEqual([[2], [2]]);
  expect(sets("abcde", "abXYde")).toEqual([[2], [2, 3]]);
  expect(sets("aaa", "aa")).toEqual([[2], []]);
  expect(differences([["a"]]).map((set) => [...set])).toEqual([[]]);
});

test("CSV has every activation that is here, with quotes where they are needed", () => {
  const csv = featuresToCsv({ data: whole(), spec: spec(), names: { 5: 'a "comma", I think' } })
    .join("")
    .split("\n");
  expect(csv[0]).toBe("text,side,position,token,latent,name,activation");
  expect(csv).toContain("0,text,3,␣John,3,,2.5");
  expect(csv).toContain('0,text,4,",",5,"a ""comma"", I think",1');
  expect(csv).toHaveLength(1 + 8 + 1);
});
