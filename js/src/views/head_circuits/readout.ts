import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { JobStrip } from "../../core/job_strip";
import { tokenElement } from "../../core/labels";
import type { CircuitName, WireTokenPair } from "../../protocol/head_circuits";
import { type Actions, attended, limitOf, type Scene, same } from "./scene";
import { nameOf, UNITS } from "./words";

const MOST = 7;
const PAIRS = 10;

interface Line {
  names: Node[];
  value: number;
  /** The token that a click holds. */
  token?: number;
}

/** Who attends to a token most and what that promotes, of the tokens here; and the strongest pairs of the vocabulary. */
export class Readout {
  readonly element: HTMLElement;
  readonly #lists = h("div", { class: "iw-lists" });
  readonly #whole = h("div", { class: "iw-whole" });
  readonly #look = h("button", { type: "button", "data-action": "look" }, "Look through the whole vocabulary");
  readonly #progress: JobStrip;
  readonly #going: HTMLElement;
  readonly #changed = changeDetector();

  constructor(actions: Actions, live: boolean) {
    const { announce } = actions;
    this.#progress = new JobStrip({ noun: "step", done: "done" }, { cancel: () => actions.stopLook(), announce }, live);
    this.#going = h("div", { class: "iw-looking", hidden: true }, this.#progress.element);
    this.element = h("div", { class: "iw-findings" }, this.#lists, this.#going, this.#whole);
    this.#look.addEventListener("click", () => actions.look());
    this.#lists.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-token]");
      if (button) actions.hold(Number(button.dataset.token));
    });
  }

  update(scene: Scene): void {
    const { spec, data, shown, scale, extremes, looking, refused, live, job, held } = scene;
    const token = attended(scene);
    this.#going.hidden = !same(looking, shown);
    if (looking) this.#progress.update(looking.job);
    const going = looking?.job.state;
    if (
      !this.#changed(spec, data, shown.layer, shown.head, scale, extremes, going, refused, live, job.state, token, held)
    )
      return;
    fill(this.#lists, this.#list(scene, "qk", token), this.#list(scene, "ov", token));
    fill(this.#whole, ...this.#vocabulary(scene));
  }

  #list(scene: Scene, circuit: CircuitName, token: number | null): HTMLElement {
    const { data, spec, shown } = scene;
    const label = (at: number) => tokenElement(spec.labels[at]);
    const entries = data.top(circuit, shown, MOST, token);
    const lines = entries.map(({ row, column, value }): Line => {
      if (token !== null) return { names: [label(column)], value, token: row };
      const names =
        circuit === "qk"
          ? [label(column), arrow("attends to"), label(row)]
          : [label(row), arrow("promotes"), label(column)];
      return { names, value, token: row };
    });
    const name: (Node | string)[] =
      token === null
        ? [circuit === "qk" ? "Who attends to whom" : "What is promoted"]
        : circuit === "qk"
          ? [label(token), " is attended to by"]
          : ["attending to ", label(token), " promotes"];
    return section(name, UNITS[circuit], lines, limitOf(scene, circuit, shown), data.arrays.missing[circuit]);
  }

  #vocabulary({ spec, shown, extremes, looking, refused, live, job }: Scene): (HTMLElement | null)[] {
    const found = extremes.filter((one) => same(one, shown));
    const sections = found.map(({ circuit, highest }) => {
      const lines = highest.slice(0, PAIRS).map(({ first, second, value }: WireTokenPair): Line => {
        const between = circuit === "qk" ? "attends to" : "promotes";
        return { names: [tokenElement(first), arrow(between), tokenElement(second)], value };
      });
      const limit = Math.max(1e-12, ...lines.map(({ value }) => Math.abs(value)));
      const name = circuit === "qk" ? "Whole vocabulary: who attends to whom" : "Whole vocabulary: what is promoted";
      return section([name], UNITS[circuit], lines, limit);
    });
    const why = same(refused?.head ?? null, shown) ? refused?.why : null;
    const failed = why ? h("p", { class: "iw-note", role: "alert" }, `Not looked through: ${why}`) : null;
    const going = looking?.job.state === "running" ? looking : null;
    this.#look.disabled = going !== null;
    fill(
      this.#look,
      going ? `Looking through the whole vocabulary for ${nameOf(going)}…` : "Look through the whole vocabulary",
    );
    const asks = found.length === 0 && spec.answers && live && job.state !== "running" && !same(going, shown);
    return [...sections, failed, asks ? this.#look : null];
  }
}

function arrow(words: string): HTMLElement {
  return h(
    "span",
    { class: "iw-arrow" },
    h("span", { "aria-hidden": "true" }, "→"),
    h("span", { class: "iw-hidden" }, ` ${words} `),
  );
}

function section(name: (Node | string)[], unit: string, lines: Line[], limit: number, missing?: string): HTMLElement {
  const rows = lines.map(({ names, value, token }) => {
    const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
    bar.style.setProperty("--_share", String(Math.min(1, Math.abs(value) / limit) || 0));
    bar.style.setProperty("--_color", `var(--_${value < 0 ? "corrupt" : "clean"})`);
    const parts = [
      h("span", { class: "iw-name" }, ...names),
      bar,
      h("span", { class: "iw-value" }, formatNumber(value, { plus: true })),
    ];
    if (token === undefined) return h("li", {}, h("span", { class: "iw-line" }, ...parts));
    return h(
      "li",
      {},
      h("button", { type: "button", "data-token": token, title: "hold the token that is attended to" }, ...parts),
    );
  });
  return h(
    "div",
    {},
    h("div", { class: "iw-panel-name" }, ...name, h("span", { class: "iw-quiet" }, unit)),
    rows.length ? h("ul", {}, ...rows) : h("p", { class: "iw-quiet" }, missing ? `Not known: ${missing}` : "Not read."),
  );
}
