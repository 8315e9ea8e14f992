import { thinLabels } from "../../core/axes";
import { prepare } from "../../core/canvas";
import { axisFonts } from "../../core/column_axis";
import { changeDetector, fill, h, setAttributes } from "../../core/dom";
import { bare, isolated, tokenElement } from "../../core/labels";
import { Segmented } from "../../core/segmented";
import type { LensPin, LensTrajectory } from "../../protocol/lens_table";
import { type Actions, current, type Scene, samePin } from "./scene";
import { seriesColor } from "./series";
import { formatQuantity, lineName, quantityAt, rowLabel, sideOf } from "./words";

const MARGIN = { left: 40, right: 10, top: 8, bottom: 34 };
const HEIGHT = 190;
const LEAST_LOG = 1e-6;

/** A line through the layers. */
export interface Line extends LensPin {
  color: string;
  /** Whether it stays when the reader moves on. */
  pinned: boolean;
}

/** The pinned lines, and those of every followed token at the cell that is read out. */
export function linesOf(scene: Scene): Line[] {
  const { pinned, data, palette } = scene;
  const { pos, prompt } = current(scene);
  const here = data.answers.flatMap((_, answer) =>
    data.prompts > 1 ? [0, 1].map((side) => ({ pos, answer, prompt: side })) : [{ pos, answer, prompt }],
  );
  const kept = pinned.filter(({ pos: at, answer }) => at < data.length && answer < data.answers.length);
  const fresh = here.filter((pin) => !kept.some((other) => samePin(other, pin)));
  // Both prompts of a token share its colour; the corrupt one is dashed.
  const names = new Map<string, number>();
  return [...kept.map((pin) => ({ ...pin, pinned: true })), ...fresh.map((pin) => ({ ...pin, pinned: false }))].map(
    (line) => {
      const key = `${line.pos} ${line.answer}`;
      if (!names.has(key)) names.set(key, names.size);
      return { ...line, color: seriesColor(palette, names.get(key) as number) };
    },
  );
}

/** How a value is drawn: from 0 below to 1 above. */
interface Upward {
  of(value: number): number;
  ticks: { at: number; text: string }[];
}

function upward({ data, rows }: Scene, lines: readonly Line[], trajectory: LensTrajectory): Upward {
  if (trajectory === "prob")
    return {
      of: (value) => value,
      ticks: [0, 0.25, 0.5, 0.75, 1].map((at) => ({ at, text: at % 0.5 ? "" : String(at) })),
    };
  const known = lines.flatMap(({ prompt, pos, answer }) =>
    rows.map((row) => quantityAt(data, trajectory, answer, data.at(prompt, row, pos))).filter(Number.isFinite),
  );
  if (trajectory === "logprob") {
    const low = Math.max(Math.log10(LEAST_LOG), Math.floor(Math.min(-1, ...known.map((value) => value / Math.LN10))));
    const ticks = Array.from({ length: -low + 1 }, (_, n) => ({
      at: n / -low,
      text: low + n === 0 ? "1" : low + n === -1 ? "0.1" : `10${superscript(low + n)}`,
    }));
    return { of: (value) => Math.max(0, 1 - value / Math.LN10 / low), ticks };
  }
  const most = Math.log10(1 + Math.max(9, ...known));
  const tens = Array.from({ length: Math.floor(most) + 1 }, (_, n) => n);
  const ticks = tens.map((ten) => ({
    at: 1 - ten / most,
    text: ten ? `${(10 ** ten - 1).toLocaleString("en-US")}` : "0",
  }));
  return { of: (value) => 1 - Math.log10(1 + value) / most, ticks };
}

function superscript(power: number): string {
  return String(power).replace(/[-\d]/g, (digit) => (digit === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(digit)]));
}

/** Draws lines through the layers in a box. */
export function drawChart(
  context: CanvasRenderingContext2D,
  scene: Scene,
  lines: readonly Line[],
  {
    x,
    y,
    width,
    height,
    fonts,
  }: { x: number; y: number; width: number; height: number; fonts: { label: string; title: string } },
): void {
  const { data, rows, spec, palette, trajectory } = scene;
  const scale = upward(scene, lines, trajectory);
  const [left, top] = [x + MARGIN.left, y + MARGIN.top];
  const [wide, tall] = [width - MARGIN.left - MARGIN.right, height - MARGIN.top - MARGIN.bottom];
  const across = (n: number) => left + (rows.length > 1 ? (n / (rows.length - 1)) * wide : wide / 2);
  const up = (share: number) => top + (1 - share) * tall;
  context.font = fonts.label;
  context.textBaseline = "middle";
  for (const { at, text } of scale.ticks) {
    context.fillStyle = palette.line;
    context.fillRect(left, Math.round(up(at)), wide, 1);
    context.fillStyle = palette.muted;
    context.textAlign = "right";
    context.fillText(text, left - 6, up(at));
  }
  const layers = rows.flatMap((row, n) => (spec.rows[row].site === "resid_mid" ? [] : [n]));
  context.textAlign = "center";
  const gap = (36 / Math.max(1, wide)) * Math.max(1, layers.length - 1);
  for (const tick of thinLabels(layers.length, gap, { first: [0], last: true }))
    context.fillText(rowLabel(spec.rows[rows[layers[tick]]]), across(layers[tick]), top + tall + 12);
  context.font = fonts.title;
  context.fillText("layer", left + wide / 2, top + tall + 27);
  const here = rows.indexOf(current(scene).row);
  if (here >= 0) {
    context.fillStyle = palette.faint;
    context.fillRect(Math.round(across(here)), top, 1, tall);
  }
  context.lineJoin = "round";
  for (const { prompt, pos, answer, color, pinned } of [...lines].reverse()) {
    context.strokeStyle = color;
    context.lineWidth = pinned ? 2.25 : 1.75;
    context.setLineDash(prompt ? [5, 3] : []);
    context.beginPath();
    let open = false;
    rows.forEach((row, n) => {
      const value = quantityAt(data, trajectory, answer, data.at(prompt, row, pos));
      if (Number.isNaN(value)) open = false;
      else if (open) context.lineTo(across(n), up(scale.of(value)));
      else {
        context.moveTo(across(n), up(scale.of(value)));
        open = true;
      }
    });
    context.stroke();
    context.setLineDash([]);
    if (here < 0) continue;
    const value = quantityAt(data, trajectory, answer, data.at(prompt, rows[here], pos));
    if (Number.isNaN(value)) continue;
    context.beginPath();
    context.arc(across(here), up(scale.of(value)), 3.5, 0, 2 * Math.PI);
    context.fillStyle = prompt ? palette.bg : color;
    context.fill();
    context.lineWidth = 1.5;
    context.stroke();
  }
}

const KINDS: { value: LensTrajectory; text: string; title: string }[] = [
  { value: "prob", text: "probability", title: "probability" },
  { value: "logprob", text: "log scale", title: "probability on a logarithmic scale" },
  { value: "rank", text: "rank", title: "rank on a logarithmic scale, the top prediction above" },
];

/** The followed tokens through the layers, at the token that is read out and at those that are pinned. */
export class Chart {
  readonly element: HTMLElement;
  readonly #canvas = h("canvas", { class: "iw-lens-lines", "aria-hidden": "true" });
  readonly #title = h("div", { class: "iw-lens-place" });
  readonly #list = h("ul", { class: "iw-lens-legend-list" });
  readonly #kinds: Segmented<LensTrajectory>;
  readonly #entries: Entry[] = [];
  readonly #changed = changeDetector();
  #scene: Scene | null = null;
  #width = 0;

  constructor(
    private readonly actions: Actions,
    signal: AbortSignal,
  ) {
    this.#kinds = new Segmented("what lines show", actions.setTrajectory);
    const head = h("div", { class: "iw-lens-chart-head" }, this.#title, this.#kinds.element);
    this.element = h(
      "section",
      { class: "iw-lens-chart", "aria-label": "through the layers" },
      head,
      this.#canvas,
      this.#list,
    );
    const row = (event: PointerEvent | MouseEvent) => {
      const scene = this.#scene;
      if (!scene) return null;
      const wide = this.#width - MARGIN.left - MARGIN.right;
      const share = (event.clientX - this.#canvas.getBoundingClientRect().left - MARGIN.left) / wide;
      const shown = Math.round(Math.min(1, Math.max(0, share)) * (scene.rows.length - 1));
      const { prompt, pos } = scene.selected ?? current({ ...scene, pointed: null });
      return { prompt, pos, row: scene.rows[shown] };
    };
    this.#canvas.addEventListener("pointermove", (event) => actions.point(row(event)), { signal });
    this.#canvas.addEventListener("pointerleave", () => actions.point(null), { signal });
    this.#canvas.addEventListener("click", (event) => actions.select(row(event)), { signal });
    this.#list.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("button[data-line]");
      if (!button || !this.#scene) return;
      const { pos, answer, prompt } = linesOf(this.#scene)[Number(button.dataset.line)];
      this.actions.pin({ pos, answer, prompt });
    });
  }

  update(scene: Scene, width: number): void {
    this.#scene = scene;
    this.#width = width;
    const { spec, data, version, rows, palette, pinned, trajectory } = scene;
    const { prompt, row, pos } = current(scene);
    const place = [prompt, row, pos, devicePixelRatio];
    const pins = JSON.stringify(pinned);
    const fonts = axisFonts(this.element);
    if (!this.#changed(spec, data, version, rows, palette, pins, trajectory, width, fonts.label, ...place)) return;
    this.#kinds.update(KINDS, trajectory);
    const lines = linesOf(scene);
    fill(this.#title, h("strong", {}, "through the layers"), " at ", tokenElement(spec.prompts[prompt].labels[pos]));
    const context = prepare(this.#canvas, width, HEIGHT);
    if (context) drawChart(context, scene, lines, { x: 0, y: 0, width, height: HEIGHT, fonts });
    this.#tell(lines, scene);
  }

  /** Entries stay the elements they were, so that neither a press nor the focus is lost while lines change. */
  #tell(lines: readonly Line[], scene: Scene): void {
    while (this.#entries.length < lines.length) this.#entries.push(new Entry(this.#entries.length));
    this.#entries.length = lines.length;
    if (this.#list.childElementCount !== lines.length) fill(this.#list, ...this.#entries.map(({ element }) => element));
    for (const [n, line] of lines.entries()) this.#entries[n].update(scene, line);
  }
}

/** A line in words, and the button that pins it. */
class Entry {
  readonly element: HTMLElement;
  readonly #swatch = h("i", { class: "iw-lens-swatch", "aria-hidden": "true" });
  readonly #line = h("span", { class: "iw-lens-line" });
  readonly #value = h("span", { class: "iw-value" });
  readonly #pin: HTMLButtonElement;

  constructor(number: number) {
    this.#pin = h("button", { type: "button", class: "iw-lens-pin", "data-line": number });
    this.element = h("li", {}, this.#swatch, this.#line, this.#value, this.#pin);
  }

  update(scene: Scene, { prompt, pos, answer, color, pinned }: Line): void {
    const { data, spec, trajectory } = scene;
    const { row } = current(scene);
    const value = quantityAt(data, trajectory, answer, data.at(prompt, row, pos));
    const said = trajectory === "logprob" ? formatQuantity("prob", Math.exp(value)) : formatQuantity(trajectory, value);
    this.#swatch.classList.toggle("iw-lens-dashed", prompt > 0);
    this.#swatch.style.setProperty("--_color", color);
    const side = sideOf(scene, prompt);
    const where = ` after ${isolated(bare(spec.prompts[prompt].labels[pos]))} (${pos})${side ? `, ${side}` : ""}`;
    fill(this.#line, tokenElement(data.answers[answer]), h("span", { class: "iw-quiet" }, where));
    fill(this.#value, said);
    const what = `${pinned ? "unpin" : "pin"} ${lineName(scene, prompt, pos, answer)}`;
    setAttributes(this.#pin, { "aria-pressed": String(pinned), "aria-label": what, title: what });
    fill(this.#pin, pinned ? "×" : "pin");
  }
}
