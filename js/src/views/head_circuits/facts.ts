import { prepare } from "../../core/canvas";
import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import type { Palette } from "../../core/theme";
import type { Scene } from "./scene";

const PLANE = 132;
const CHART = { width: 236, height: 92 };

/** What a head's weights say in short: the eigenvalues of its OV circuit, and its score by offset. */
export class Facts {
  readonly element: HTMLElement;
  readonly #plane = h("canvas", { role: "img" });
  readonly #chart = h("canvas", { role: "img" });
  readonly #planeName = h("div", { class: "iw-panel-name" });
  readonly #chartName = h("div", { class: "iw-panel-name" });
  readonly #chartAxis = h("div", { class: "iw-quiet iw-offsets" });
  readonly #planeBox: HTMLElement;
  readonly #chartBox: HTMLElement;
  readonly #changed = changeDetector();

  constructor() {
    const meaning = h(
      "p",
      { class: "iw-quiet" },
      "right of 0 tokens raise themselves, left of it they lower themselves",
    );
    this.#planeBox = h("div", { class: "iw-fact" }, this.#planeName, this.#plane, meaning);
    this.#chartBox = h("div", { class: "iw-fact" }, this.#chartName, this.#chart, this.#chartAxis);
    this.element = h("div", { class: "iw-facts" }, this.#planeBox, this.#chartBox);
  }

  update({ data, shown, palette }: Scene): void {
    if (!this.#changed(data, shown.layer, shown.head, palette)) return;
    const eigenvalues = data.eigenvalues(shown);
    const known = eigenvalues.length > 0 && !Number.isNaN(eigenvalues[0]);
    this.#planeBox.hidden = !known;
    const score = formatNumber(data.copying(shown), { plus: true });
    fill(this.#planeName, "Eigenvalues of OV", h("span", { class: "iw-quiet" }, `copying ${score}`));
    this.#plane.setAttribute(
      "aria-label",
      `eigenvalues of the OV circuit; their sum over the sum of their sizes is ${score}`,
    );
    if (known) drawPlane(this.#plane, eigenvalues, palette);
    const offsets = data.byOffset(shown);
    const there = offsets.length > 1 && !Number.isNaN(offsets[0]) && offsets.some((value) => Math.abs(value) > 1e-6);
    this.#chartBox.hidden = !there;
    const best = offsets.indexOf(Math.max(...offsets));
    fill(this.#chartName, "Score by offset", h("span", { class: "iw-quiet" }, `highest ${best} back`));
    const said = Array.from(offsets, (value, offset) => `${offset}: ${formatNumber(value, { plus: true })}`).join(", ");
    this.#chart.setAttribute("aria-label", `mean score by how many tokens the key lies before: ${said}`);
    fill(
      this.#chartAxis,
      h("span", {}, "0"),
      h("span", {}, "tokens before"),
      h("span", {}, String(offsets.length - 1)),
    );
    if (there) drawChart(this.#chart, offsets, palette);
  }
}

function drawPlane(canvas: HTMLCanvasElement, values: Float32Array, palette: Palette): void {
  const context = prepare(canvas, PLANE, PLANE);
  if (!context) return;
  const middle = PLANE / 2;
  let most = 1e-12;
  for (let n = 0; n < values.length; n += 2) most = Math.max(most, Math.hypot(values[n], values[n + 1]));
  context.fillStyle = palette.line;
  context.fillRect(0, middle - 0.5, PLANE, 1);
  context.fillRect(middle - 0.5, 0, 1, PLANE);
  for (let n = 0; n < values.length; n += 2) {
    context.fillStyle = values[n] < 0 ? palette.corrupt : palette.clean;
    context.beginPath();
    const scale = (middle - 5) / most;
    context.arc(middle + values[n] * scale, middle - values[n + 1] * scale, 2.6, 0, 2 * Math.PI);
    context.fill();
  }
}

function drawChart(canvas: HTMLCanvasElement, values: Float32Array, palette: Palette): void {
  const { width, height } = CHART;
  const context = prepare(canvas, width, height);
  if (!context) return;
  const most = values.reduce((found, value) => Math.max(found, Math.abs(value)), 1e-12);
  const [step, middle] = [width / values.length, height / 2];
  context.fillStyle = palette.line;
  context.fillRect(0, middle - 0.5, width, 1);
  values.forEach((value, n) => {
    const tall = ((middle - 3) * Math.abs(value)) / most;
    context.fillStyle = value < 0 ? palette.corrupt : palette.clean;
    context.fillRect(n * step + 1, value < 0 ? middle : middle - tall, step - 2, tall);
  });
}
