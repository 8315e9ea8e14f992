import { expect, test } from "vitest";
import { palettes } from "../../../src/core/theme";
import type { ResidualMapArrays, ResidualMapSpec, WireLayer } from "../../../src/protocol/residual_map";
import { coloringOf, colorings } from "../../../src/views/residual_map/colors";
import { MapData } from "../../../src/views/residual_map/data";
import { Buckets, encloses, lassoed, towards } from "../../../src/views/residual_map/nearest";
import { shuffled } from "../../../src/views/residual_map/order";
import { framed, frameOf, Plane } from "../../../src/views/residual_map/plane";
import { splat } from "../../../src/views/residual_map/splat";
import { formatShare } from "../../../src/views/residual_map/words";
import { wire } from "../../fixture";

const every = () => true;

/** Two prompts of three tokens; the first token of each is no point. Layer 1 is layer 0 turned by a quarter. */
function made(): MapData {
  const spec: ResidualMapSpec = {
    title: "How?",
    meaning: "",
    notes: [],
    method: "PCA",
    layers: [0, 1],
    axes: ["PC 1", "PC 2"],
    n_given: 0,
    n_points: 4,
    vocab: ["␣a", "␣b", "␣c"],
    labels: ["x", "y"],
    code: "",
    reads: [],
    provenance: [],
  };
  const layer = (row: number, coords: number[], turn: number[][]): WireLayer => ({
    row,
    low: [-1, -1],
    high: [1, 1],
    coords: wire("uint16", [2, 4], coords),
    turn,
    shares: [0.5, 0.2],
    turned_shares: [0.2, 0.5],
    explained: 0.7,
    cosines: [],
    scree: [0.5, 0.2],
    spread: 1,
  });
  const [most, least] = [65535, 0];
  const still = [
    [1, 0],
    [0, 1],
  ];
  const arrays: ResidualMapArrays = {
    text: wire("uint16", [6], [0, 1, 2, 0, 2, 1]),
    starts: wire("int32", [2], [0, 3]),
    taken: wire("uint8", [6], [0, 1, 1, 0, 1, 1]),
    labels: wire("int32", [2], [1, 0]),
    layers: [
      layer(0, [most, least, most, least, most, most, least, least], still),
      layer(
        1,
        [least, least, most, most, most, least, most, least],
        [
          [0, -1],
          [1, 0],
        ],
      ),
    ],
  };
  return new MapData(spec, arrays);
}

test("points are counted through all prompts, and know their tokens", () => {
  const data = made();
  expect(Array.from(data.token)).toEqual([1, 2, 4, 5]);
  expect([0, 1, 2, 3].map((point) => data.label(point))).toEqual(["␣b", "␣c", "␣c", "␣b"]);
  expect([0, 3].map((point) => [data.position(point), data.groupName(point)])).toEqual([
    [1, "y"],
    [2, "x"],
  ]);
  expect(data.around(3, 1, 5)).toEqual({ labels: ["␣c", "␣b"], at: 1, cut: true });
  expect(data.find(1, 1)).toBe(2);
  expect(data.find(1, 0)).toBeNull();
  expect(data.find(0, 3)).toBeNull();
  expect(data.at(2)).toEqual([1, 3]);
  expect(data.at(2, 1)).toEqual([3]);
  expect(data.words(0)).toEqual(["␣a"]);
});

test("a layer is turned onto the one before", () => {
  const data = made();
  const there = data.place(0, [0, 1], true);
  const turned = data.place(1, [0, 1], true);
  const plain = data.place(1, [0, 1], false);
  for (const point of [0, 1, 2, 3]) {
    expect(turned?.x[point]).toBeCloseTo(there?.x[point] as number);
    expect(turned?.y[point]).toBeCloseTo(there?.y[point] as number);
  }
  expect(Array.from(plain?.x ?? [])).not.toEqual(Array.from(there?.x ?? []));
  expect(data.place(1, [1, 0], false)?.x).toEqual(plain?.y);
});

test("what was announced has to come", () => {
  const data = made();
  expect(data.count).toBe(4);
  expect(() => new MapData({ ...data.spec, n_points: 5 }, { ...arraysOf(), layers: [] })).toThrow(
    "5 points were announced, 4 came.",
  );
});

function arraysOf(): ResidualMapArrays {
  return {
    text: wire("uint16", [4], [0, 1, 2, 0]),
    starts: wire("int32", [1], [0]),
    taken: wire("uint8", [4], [1, 1, 1, 1]),
    labels: wire("int32", [0], []),
    layers: [],
  };
}

test("colours name kinds with most points, and put the rest together", () => {
  const data = made();
  expect(colorings(data).map(({ value }) => value)).toEqual(["label", "token", "position", "prompt"]);
  const byLabel = coloringOf(data, "label", palettes.light);
  expect(byLabel.kinds.map(({ name, count }) => [name, count])).toEqual([
    ["x", 2],
    ["y", 2],
  ]);
  expect(Array.from(byLabel.of)).toEqual([1, 1, 0, 0]);
  const byToken = coloringOf(data, "token", palettes.light);
  expect(byToken.kinds.map(({ name }) => name)).toEqual(["␣b", "␣c"]);
  const byPosition = coloringOf(data, "position", palettes.dark);
  expect(byPosition.ramp).toMatchObject({ low: "0", high: "2" });
  expect(byPosition.of[1]).toBeGreaterThan(byPosition.of[0]);
});

test("the nearest point is found, and none that is too far or hidden", () => {
  const u = Float32Array.from({ length: 400 }, (_, n) => (n % 20) / 20 + 0.025);
  const v = Float32Array.from({ length: 400 }, (_, n) => Math.floor(n / 20) / 20 + 0.025);
  const buckets = new Buckets(u, v);
  expect(buckets.nearest(0.13, 0.08, 0.03, 0.03, every)).toBe(22);
  expect(buckets.nearest(0.13, 0.08, 0.03, 0.03, (point) => point !== 22)).toBeNull();
  expect(buckets.nearest(0.15, 0.1, 0.001, 0.001, every)).toBeNull();
  expect(buckets.nearest(1.4, 0.5, 0.03, 0.03, every)).toBeNull();
});

test("arrows go to the next point in their direction", () => {
  const u = Float32Array.from([0.5, 0.7, 0.5, 0.55]);
  const v = Float32Array.from([0.5, 0.5, 0.3, 0.9]);
  expect(towards(u, v, 0, [1, 0], 1, every)).toBe(1);
  expect(towards(u, v, 0, [0, -1], 1, every)).toBe(2);
  expect(towards(u, v, 0, [0, 1], 1, every)).toBe(3);
  expect(towards(u, v, 0, [-1, 0], 1, every)).toBeNull();
  expect(towards(u, v, 0, [1, 0], 1, (point) => point !== 1)).toBe(3);
});

test("a lasso may be hollow", () => {
  const hollow: [number, number][] = [
    [0, 0],
    [1, 0],
    [1, 1],
    [0.6, 1],
    [0.6, 0.4],
    [0.4, 0.4],
    [0.4, 1],
    [0, 1],
  ];
  expect(encloses(hollow, 0.2, 0.8)).toBe(true);
  expect(encloses(hollow, 0.5, 0.8)).toBe(false);
  const [u, v] = [Float32Array.from([0.2, 0.5, 0.8, 2]), Float32Array.from([0.8, 0.8, 0.8, 0.5])];
  expect(lassoed(u, v, hollow, every)).toEqual([0, 2]);
  expect(lassoed(u, v, hollow, (point) => point > 0)).toEqual([2]);
});

test("a frame holds all points, as long across as up", () => {
  const placed = { x: Float32Array.from([-4, 4]), y: Float32Array.from([0, 2]), left: -4, right: 4, low: 0, high: 2 };
  const frame = frameOf(placed, 2, true);
  expect(frame.halfWidth / frame.halfHeight).toBeCloseTo(2);
  const { u, v } = framed(placed, frame);
  for (const share of [...u, ...v]) expect(share).toBeGreaterThan(0);
  expect(v[0]).toBeGreaterThan(v[1]);
  expect(frameOf(placed, 2, false).halfHeight).toBeLessThan(frame.halfHeight);
  expect(frameOf(placed, 2, true, 10)).toMatchObject({ halfHeight: 10, halfWidth: 20 });
});

test("zooming keeps the place under the pointer, and the plane stays in sight", () => {
  const plane = new Plane();
  const under = (x: number) => plane.left + x / plane.zoom;
  const before = under(0.3);
  plane.zoomBy(4, 0.3, 0.6);
  expect(under(0.3)).toBeCloseTo(before);
  plane.panBy(100, -100);
  expect(plane.left).toBeGreaterThan(-1);
  expect(plane.top).toBeLessThan(1);
  plane.reveal(0.9, 0.1);
  expect((0.9 - plane.left) * plane.zoom).toBeLessThan(1);
  plane.reset();
  expect(plane.whole).toBe(true);
});

test("points are painted over each other in their order, and not where they are hidden", () => {
  const sheet = { words: new Uint32Array(400).fill(0xffffffff), width: 20, height: 20 };
  const cloud = {
    u: Float32Array.from([0.5, 0.5, 0.1]),
    v: Float32Array.from([0.5, 0.5, 0.1]),
    of: Uint8Array.from([0, 1, 2]),
    words: Uint32Array.from([0xff0000ff, 0xff00ff00, 0xffff0000]),
    shapes: Uint8Array.from([0, 0, 0]),
    drawn: Uint8Array.from([1, 1, 0]),
    ...{ scaleX: 20, shiftX: 0, scaleY: 20, shiftY: 0 },
  };
  splat(sheet, cloud, Int32Array.from([0, 1, 2]), 0xffffffff, { radius: 2, rim: 1 });
  expect(sheet.words[10 * 20 + 10]).toBe(0xff00ff00);
  expect(sheet.words[2 * 20 + 2]).toBe(0xffffffff);
  splat(sheet, cloud, Int32Array.from([1, 0]), 0xffffffff, { radius: 2, rim: 0 });
  expect(sheet.words[10 * 20 + 10]).toBe(0xff0000ff);
});

test("a shuffled order has every point once, and is the same again", () => {
  const order = shuffled(1000);
  expect(Array.from(order).sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  expect(order).toEqual(shuffled(1000));
  expect(order[0]).not.toBe(0);
});

test("a small share is not said to be none", () => {
  expect([0, 0.001, 0.25].map(formatShare)).toEqual(["0%", "<1%", "25%"]);
});
