import { thinLabels } from "../../core/axes";
import { prepare } from "../../core/canvas";
import { changeDetector, h, setAttributes } from "../../core/dom";
import { listen } from "../../core/pointer";
import type { Actions, Scene } from "./scene";
import { formatShare, placeOf } from "./words";

const TOP = 12;
const BOTTOM = 34;
const LEFT = 34;
const LINE = 14;
/** Room for the names of lines at their ends. */
const NAMES = 134;

/** Where the parts of a chart are, in CSS pixels from its upper left corner. */
interface Frame {
  width: number;
  height: number;
  /** Room at the right for the names of lines. */
  names: number;
  /** Lowest value on the axis; the highest is 1. */
  low: number;
  rows: readonly number[];
}

/** The layers at the chosen position as a line with its interval, beside the control and what knows nothing. */
export class Chart {
  readonly element: HTMLElement;
  readonly #heading = h("div", { class: "iw-panel-name" });
  readonly #canvas = h("canvas", { role: "img" });
  readonly #changed = changeDetector();
  #scene: Scene | null = null;
  #frame: Frame | null = null;

  constructor(actions: Actions, signal: AbortSignal) {
    this.element = h("div", { class: "iw-chart" }, this.#heading, this.#canvas);
    const cellAt = (x: number) => {
      const [scene, frame] = [this.#scene, this.#frame];
      if (!scene?.selected || !frame || frame.rows.length === 0) return null;
      const step = (frame.width - LEFT - frame.names) / Math.max(1, frame.rows.length - 1);
      const at = Math.min(frame.rows.length - 1, Math.max(0, Math.round((x - LEFT) / step)));
      return { row: frame.rows[at], column: scene.selected.column };
    };
    listen(
      this.#canvas,
      {
        hover: (x) => actions.point(cellAt(x)),
        leave: () => actions.point(null),
        click: (x) => {
          const cell = cellAt(x);
          if (cell) actions.select(cell);
        },
        drag: () => false,
        zoom: () => {},
        reset: () => {},
      },
      signal,
    );
  }

  update(scene: Scene, width: number, height: number, pointed: number | null): void {
    this.#scene = scene;
    this.element.hidden = scene.selected === null;
    if (!scene.selected) return;
    const { data, kind, measure, palette, selected } = scene;
    this.#frame = frameOf(scene, width, height);
    if (!this.#changed(data, kind, measure, palette, selected.row, selected.column, width, height, pointed)) return;
    this.#heading.textContent = headingOf(scene);
    setAttributes(this.#canvas, { "aria-label": spoken(scene, this.#frame) });
    const context = prepare(this.#canvas, width, height);
    if (context) paintChart(context, scene, this.#frame, { x: 0, y: 0, font: fontOf(this.#canvas) }, pointed);
  }
}

export function headingOf({ spec, measure, selected }: Scene): string {
  return selected ? `${spec.measures[measure].label} by layer, ${placeOf(spec, selected.column)}` : "";
}

/** Draws the chart into a picture. */
export function chartInto(
  context: CanvasRenderingContext2D,
  scene: Scene,
  box: { x: number; y: number; width: number; height: number; font: string },
): void {
  if (scene.selected) paintChart(context, scene, frameOf(scene, box.width, box.height), box, null);
}

function fontOf(element: Element): string {
  return `11px ${getComputedStyle(element).fontFamily || "sans-serif"}`;
}

function frameOf(scene: Scene, width: number, height: number): Frame {
  const { spec, data, selected, kind, measure } = scene;
  const site = selected ? spec.rows[selected.row].site : "";
  const rows = spec.rows.flatMap((row, number) => (row.site === site ? [number] : []));
  const column = selected?.column ?? 0;
  const seen = rows.flatMap((row) => {
    const { value, low, control } = data.figures(measure, kind, { row, column });
    const others = spec.kinds.map((_, other) => data.figures(measure, other, { row, column }).value);
    return [value, low, control, ...others];
  });
  const least = Math.min(spec.chance[measure], ...seen.filter((value) => !Number.isNaN(value)));
  return {
    width,
    height,
    names: NAMES,
    low: Math.max(0, Math.floor(least * 10 - 0.5) / 10),
    rows,
  };
}

/** What the chart shows, in a sentence. */
function spoken(scene: Scene, { rows }: Frame): string {
  const { spec, data, kind, measure, selected } = scene;
  const column = selected?.column ?? 0;
  const said = rows.map((row) => {
    const { value, control } = data.figures(measure, kind, { row, column });
    const beside = spec.control ? `, control ${formatShare(control)}` : "";
    return `layer ${spec.rows[row].layer} ${formatShare(value)}${beside}`;
  });
  return `${headingOf(scene)}: ${said.join("; ")}`;
}

interface Ended {
  text: string;
  y: number;
  color: string;
  bold: boolean;
}

function paintChart(
  context: CanvasRenderingContext2D,
  scene: Scene,
  frame: Frame,
  { x, y, font }: { x: number; y: number; font: string },
  pointed: number | null,
): void {
  const { spec, data, kind, measure, selected, palette } = scene;
  const { width, height, names, low, rows } = frame;
  const column = selected?.column ?? 0;
  const inner = { width: width - LEFT - names, height: height - TOP - BOTTOM };
  const across = (n: number) => x + LEFT + (rows.length > 1 ? (n / (rows.length - 1)) * inner.width : inner.width / 2);
  const down = (value: number) => y + TOP + (1 - (value - low) / (1 - low)) * inner.height;
  context.font = font;
  context.lineJoin = "round";
  paintAxes(context, scene, frame, { x, y, across, down });
  const of = (part: "value" | "low" | "high" | "control", which = kind) =>
    rows.map((row) => data.figures(measure, which, { row, column })[part]);
  paintBand(context, of("low").map(down), of("high").map(down), across, palette.cleanChip);
  const chance = spec.chance[measure];
  const ends: Ended[] = [];
  const stroke = (values: number[], color: string, weight: number, dash: number[], text: string, bold = false) => {
    paintLine(context, values.map(down), across, { color, weight, dash });
    const last = values.reduce((found, value, n) => (Number.isNaN(value) ? found : n), -1);
    if (last >= 0) ends.push({ text, y: down(values[last]), color, bold });
  };
  stroke(
    rows.map(() => chance),
    palette.muted,
    1,
    [1.5, 3],
    `${measure === 0 ? "majority" : "chance"} ${formatShare(chance)}`,
  );
  if (spec.control) stroke(of("control"), palette.corrupt, 1.3, [5, 3], "control task");
  spec.kinds.forEach((term, other) => {
    if (other !== kind) stroke(of("value", other), palette.faint, 1.3, [], term.label);
  });
  const values = of("value");
  stroke(values, palette.clean, 2, [], spec.kinds[kind].label, true);
  values.forEach((value, n) => {
    if (Number.isNaN(value)) return;
    const strong = rows[n] === selected?.row || rows[n] === pointed;
    context.beginPath();
    context.arc(across(n), down(value), strong ? 4.5 : 2.6, 0, 2 * Math.PI);
    context.fillStyle = palette.clean;
    context.fill();
    if (!strong) return;
    context.lineWidth = 1.5;
    context.strokeStyle = rows[n] === selected?.row ? palette.fg : palette.bg;
    context.stroke();
  });
  paintNames(context, ends, x + width - names + 9, y + TOP, inner.height, palette.muted, font);
}

function paintAxes(
  context: CanvasRenderingContext2D,
  { spec, palette }: Scene,
  { low, rows, names, width, height }: Frame,
  { x, y, across, down }: { x: number; y: number; across(n: number): number; down(value: number): number },
): void {
  context.textBaseline = "middle";
  context.textAlign = "right";
  const step = 1 - low > 0.55 ? 0.2 : 0.1;
  for (let value = 1; value >= low - 1e-9; value -= step) {
    const at = Math.round(down(value)) + 0.5;
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x + LEFT - 4, at);
    context.lineTo(x + width - names, at);
    context.stroke();
    context.fillStyle = palette.muted;
    context.fillText(value.toFixed(1), x + LEFT - 9, at);
  }
  context.textAlign = "center";
  context.fillStyle = palette.muted;
  const room = (width - LEFT - names) / Math.max(1, rows.length - 1);
  for (const n of thinLabels(rows.length, Math.max(1, 22 / room), { last: true }))
    context.fillText(String(spec.rows[rows[n]].layer), across(n), y + height - BOTTOM + 12);
  context.fillText("layer", x + LEFT + (width - LEFT - names) / 2, y + height - 6);
}

function paintBand(
  context: CanvasRenderingContext2D,
  low: number[],
  high: number[],
  across: (n: number) => number,
  color: string,
): void {
  context.fillStyle = color;
  for (const [from, to] of stretches(low)) {
    context.beginPath();
    if (to - from === 1) context.rect(across(from) - 4, high[from], 8, low[from] - high[from]);
    for (let n = from; n < to; n++) context.lineTo(across(n), high[n]);
    for (let n = to - 1; n >= from; n--) context.lineTo(across(n), low[n]);
    context.fill();
  }
}

function paintLine(
  context: CanvasRenderingContext2D,
  values: number[],
  across: (n: number) => number,
  { color, weight, dash }: { color: string; weight: number; dash: number[] },
): void {
  context.strokeStyle = color;
  context.lineWidth = weight;
  context.setLineDash(dash);
  for (const [from, to] of stretches(values)) {
    context.beginPath();
    if (values.length === 1) context.moveTo(across(0) - 14, values[0]);
    if (values.length === 1) context.lineTo(across(0) + 14, values[0]);
    for (let n = from; n < to; n++) context.lineTo(across(n), values[n]);
    context.stroke();
  }
  context.setLineDash([]);
}

/** Where numbers follow each other: [from, to) of each stretch. */
function stretches(values: readonly number[]): [number, number][] {
  const found: [number, number][] = [];
  let from = -1;
  for (let n = 0; n <= values.length; n++) {
    const there = n < values.length && !Number.isNaN(values[n]);
    if (there && from < 0) from = n;
    if (!there && from >= 0) {
      found.push([from, n]);
      from = -1;
    }
  }
  return found;
}

/** Writes what lines are at their ends, each as near to its own as the others let it. */
function paintNames(
  context: CanvasRenderingContext2D,
  ends: Ended[],
  x: number,
  top: number,
  height: number,
  muted: string,
  font: string,
): void {
  const sorted = [...ends].sort((a, b) => a.y - b.y);
  let from = top;
  const at = sorted.map(({ y }) => {
    const place = Math.max(y, from);
    from = place + LINE;
    return place;
  });
  let to = top + height;
  for (let n = at.length - 1; n >= 0; n--) {
    at[n] = Math.min(at[n], to);
    to = at[n] - LINE;
  }
  context.textAlign = "left";
  sorted.forEach(({ text, color, bold }, n) => {
    context.font = bold ? `600 ${font}` : font;
    context.fillStyle = bold || text === "control task" ? color : muted;
    context.fillText(text, x, at[n]);
  });
}
