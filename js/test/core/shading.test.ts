import { expect, test } from "vitest";
import { Shading } from "../../src/core/shading";
import { palettes } from "../../src/core/theme";

function luminance(color: string): number {
  if (color.startsWith("#")) return color === "#fff" ? 1 : 0;
  const [r, g, b] = (color.match(/\d+/g) ?? []).map((channel) => {
    const share = Number(channel) / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

test.each(["light", "dark"] as const)("text stands out on every colour of the %s scale", (name) => {
  const shading = new Shading(palettes[name], 1, true);
  for (let value = -1; value <= 1; value += 1 / 128) {
    const shade = shading.of(value);
    if (!shade) continue;
    const [low, high] = [luminance(shade.color), luminance(shade.ink)].sort((a, b) => a - b);
    expect((high + 0.05) / (low + 0.05)).toBeGreaterThan(4.5);
  }
});

test("0 and no number have no colour; the scale ends at its limit, which is told", () => {
  const shading = new Shading(palettes.light, 2, false);
  expect([shading.of(0), shading.of(Number.NaN)]).toEqual([null, null]);
  expect(shading.of(2)).toEqual(shading.of(5));
  expect([shading.beyond(2), shading.beyond(2.1), shading.beyond(Number.NaN)]).toEqual([false, true, false]);
  expect([shading.share(1), shading.share(-9), shading.share(Number.NaN)]).toEqual([0.5, 1, 0]);
  expect(shading.ramp.at(-1)).toBe(shading.of(2)?.color);
  expect(shading.ramp).toHaveLength(129);
});
