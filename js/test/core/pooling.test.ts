import { expect, test } from "vitest";
import { bins, strongest } from "../../src/core/pooling";

function random(seed: number): () => number {
  let at = seed;
  return () => {
    at = (at * 1664525 + 1013904223) % 4294967296;
    return at / 4294967296;
  };
}

test("every cell is in some bin and every bin has a cell, at any size and shift", () => {
  const next = random(1);
  for (let round = 0; round < 500; round++) {
    const cells = 1 + Math.floor(next() * 2500);
    const pixels = 20 + Math.floor(next() * 1500);
    const size = Math.max(pixels / cells, next() < 0.5 ? pixels / cells : next() * 5);
    const start = next() < 0.5 ? 0 : next() * Math.max(0, cells - pixels / size);
    const { count, cellFrom, cellTo, pixelFrom, pixelTo } = bins(pixels, start, size, cells);
    const firstWhole = Math.ceil(start);
    const lastWhole = Math.min(cells, Math.floor(start + pixels / size + 1e-6)) - 1;
    const covered = new Set<number>();
    const wrong: number[] = [];
    for (let i = 0; i < count; i++) {
      if (cellTo[i] <= cellFrom[i] || cellTo[i] > cells || pixelTo[i] > pixels) wrong.push(i);
      if (size < 1 && pixelTo[i] - pixelFrom[i] !== 1) wrong.push(i);
      for (let cell = cellFrom[i]; cell < cellTo[i]; cell++) covered.add(cell);
    }
    for (let cell = firstWhole; cell <= lastWhole; cell++) if (!covered.has(cell)) wrong.push(cell);
    expect(wrong, `${cells} cells in ${pixels} pixels`).toEqual([]);
  }
});

test("a single hot cell among 80 x 2,000 colours a pixel wherever it is, and at any zoom", () => {
  const next = random(2);
  const [rows, columns] = [80, 2000];
  for (let round = 0; round < 60; round++) {
    const values = new Float32Array(rows * columns).map(() => (next() - 0.5) * 0.2);
    const hot = Math.floor(next() * values.length);
    values[hot] = next() < 0.5 ? -3 : 3;
    const across = bins(317 + round * 13, 0, (317 + round * 13) / columns, columns);
    const up = bins(41 + round, 0, (41 + round) / rows, rows);
    let found = false;
    for (let r = 0; r < up.count; r++) {
      for (let c = 0; c < across.count; c++) {
        const at = strongest(
          values,
          0,
          columns,
          [up.cellFrom[r], up.cellTo[r]],
          [across.cellFrom[c], across.cellTo[c]],
        );
        found ||= at === hot;
      }
    }
    expect(found, `cell ${hot}`).toBe(true);
  }
});

test("what has no number never wins, and an empty stretch has no winner", () => {
  const values = Float32Array.from([Number.NaN, 0, Number.NaN, Number.NaN]);
  expect(strongest(values, 0, 4, [0, 1], [0, 4])).toBe(1);
  expect(strongest(values, 0, 4, [0, 1], [2, 4])).toBe(-1);
});
