import { changeDetector, fill, h } from "../../core/dom";
import { formatProbability } from "../../core/format";
import { bare, isolated, runningTokens, tokenElement } from "../../core/labels";
import type { WirePair } from "../../protocol/patching_grid";
import { baselines } from "./data";
import type { Scene } from "./scene";
import { ACCENTS, type Accent, hasTokens, metricValue, sideName, titleOf, whichPairs } from "./words";

// Longer prompts are shown around their differences and at both ends.
const LONG = 160;
const AROUND = 14;

/** The question, what a cell is, both prompts with their differences, and what the model says to each. */
export class Header {
  readonly element = h("div", { class: "iw-header" });
  #changed = changeDetector();
  #unfolded = false;
  #marked: Element[] = [];

  /** In a page of its own the question is the page's heading; in a notebook it is none of its headings. */
  constructor(private readonly heading: Record<string, string>) {}

  update(scene: Scene): void {
    if (!this.#changed(scene.spec, scene.pair, scene.metric)) return;
    this.#draw(scene);
  }

  /** Marks a position in both prompts. */
  point(pos: number | null): void {
    for (const token of this.#marked) token.classList.remove("iw-pointed");
    this.#marked = pos === null ? [] : [...this.element.querySelectorAll(`[data-pos="${pos}"]`)];
    for (const token of this.#marked) token.classList.add("iw-pointed");
  }

  #draw(scene: Scene): void {
    const { spec, pair } = scene;
    const which = whichPairs(spec, pair);
    const shown = spec.pairs[pair ?? 0];
    const title = titleOf(spec, pair).map(({ text, accent }) =>
      h("bdi", { class: accent ? `iw-${accent}` : null }, text),
    );
    fill(
      this.element,
      h(
        "div",
        { class: "iw-title", ...this.heading },
        ...title,
        which ? h("span", { class: "iw-which" }, ` ${which}`) : null,
      ),
      h("div", { class: "iw-subtitle" }, spec.story.cell),
      h("div", { class: "iw-prompts" }, ...ACCENTS.flatMap((side) => this.#prompt(scene, shown, side))),
      ...this.#notes(scene, shown),
    );
  }

  #prompt(scene: Scene, shown: WirePair, side: Accent): Node[] {
    const { spec } = scene;
    const name = promptName(scene, side);
    const value = h("div", { class: "iw-says" }, ...says(scene, shown, side));
    if (!hasTokens(spec, side)) return [h("div", { class: "iw-side iw-alone" }, name), value];
    return [
      h("div", { class: "iw-side" }, name),
      h("div", { class: "iw-text", dir: "auto" }, ...this.#tokens(scene, shown, side)),
      value,
    ];
  }

  #tokens(scene: Scene, shown: WirePair, side: Accent): (Node | string)[] {
    const { labels } = shown[side];
    const differs = new Set(shown.differs);
    const nodes: (Node | string)[] = [];
    const look = (pos: number) => ({ "data-pos": String(pos), class: differs.has(pos) ? `iw-chip iw-${side}` : "" });
    for (const stretch of this.#unfolded ? [[0, labels.length] as const] : seen(labels.length, shown.differs)) {
      if (nodes.length) nodes.push(this.#fold(scene, stretch[0]));
      nodes.push(...runningTokens(labels, look, stretch).flatMap((token) => [token, h("wbr")]));
    }
    return nodes;
  }

  #fold(scene: Scene, from: number): Node {
    const button = h(
      "button",
      { type: "button", class: "iw-link iw-fold", title: "show the whole prompt" },
      `⋯ to ${from}`,
    );
    button.addEventListener("click", () => {
      this.#unfolded = true;
      this.#draw(scene);
    });
    return button;
  }

  #notes({ spec, pair }: Scene, shown: WirePair): Node[] {
    const note = (...text: (string | Node)[]) => h("div", { class: "iw-note" }, ...text);
    if (pair === null && spec.pairs.some(({ answer_source }) => answer_source === "model")) {
      return [note("Where no answers were given, the model’s own top predictions stand in for them.")];
    }
    if (shown.answer_source !== "model") return [];
    return [
      note(
        "No answers were given: ",
        tokenElement(shown.answer),
        " and ",
        tokenElement(shown.wrong_answer),
        " are the model’s own top predictions.",
      ),
    ];
  }
}

/** What a side is called; where pairs have different prompts, the one that is shown is only an example. */
export function promptName({ spec, pair }: Scene, side: Accent): string {
  const several = pair === null && new Set(spec.pairs.map((one) => one[side].labels.join("\n"))).size > 1;
  return several ? `${sideName(spec, side)}, e.g.` : sideName(spec, side);
}

interface Said {
  text: string;
  strong: boolean;
}

/** What the model says to a prompt, and the metric's baseline. */
export function saysRuns(scene: Scene, shown: WirePair, side: Accent): Said[] {
  const { term } = scene.spec.metrics[scene.metric];
  const { pairs } = scene.grid;
  const of = ACCENTS.indexOf(side);
  const mean = pairs.reduce((sum, pair) => sum + baselines(scene.spec, scene.metric, pair)[of], 0) / pairs.length;
  const quiet = (text: string): Said => ({ text, strong: false });
  const strong = (text: string): Said => ({ text, strong: true });
  if (pairs.length > 1) return [quiet(`mean ${term.label} `), strong(metricValue(scene, mean))];
  const said: Said[] = [];
  const [first, ...others] = shown[side].top;
  if (first) {
    const other = side === "clean" ? shown.wrong_answer : shown.answer;
    const second = others.find(({ label }) => label === other) ?? others[0];
    said.push(quiet("says "), strong(`${isolated(bare(first.label))} ${formatProbability(first.prob)}`));
    if (second) said.push(quiet(` · ${isolated(bare(second.label))} ${formatProbability(second.prob)}`));
    said.push(quiet(" · "));
  }
  return [...said, quiet(`${term.label} `), strong(metricValue(scene, mean))];
}

function says(scene: Scene, shown: WirePair, side: Accent): Node[] {
  return saysRuns(scene, shown, side).map(({ text, strong }) => h(strong ? "strong" : "span", {}, text));
}

/** The stretches of a prompt that are shown: all of it, or both ends and what is around each difference. */
export function seen(length: number, differs: readonly number[]): [from: number, to: number][] {
  if (length <= LONG) return [[0, length]];
  const centres = [0, ...differs.slice(0, 6), length - 1];
  const stretches: [number, number][] = [];
  for (const centre of centres) {
    const [from, to] = [Math.max(0, centre - AROUND), Math.min(length, centre + AROUND + 1)];
    const last = stretches.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else stretches.push([from, to]);
  }
  return stretches;
}
