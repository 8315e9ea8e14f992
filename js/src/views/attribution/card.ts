import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { isolated, tokenElement } from "../../core/labels";
import { neuronsOf, Sources } from "./data";
import type { Actions, Scene } from "./scene";
import { sourcesKey } from "./text_strip";
import { intervalOf, nameOf, shareOf, signed } from "./words";

const MOST = 12;
/** Prompts that are listed with what a component adds in each. */
const PROMPTS = 40;

/** What is known of the chosen component: its number, its neurons or sources, and its number in each prompt. */
export class Card {
  readonly element = h("div", { class: "iw-card", role: "region", "aria-label": "the chosen component" });
  readonly #changed = changeDetector();

  constructor(private readonly actions: Actions) {
    this.element.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-prompt]");
      if (button) this.actions.setPrompt(Number(button.dataset.prompt));
    });
  }

  update(scene: Scene): void {
    const { spec, data, prompt, target, selected, sources, neurons, asked, live } = scene;
    this.element.hidden = selected === null;
    const key = partKey(scene, selected);
    const state = key === null ? undefined : asked.get(key);
    if (!this.#changed(spec, data, prompt, target, selected, sources, neurons, state, live) || selected === null)
      return;
    const close = h(
      "button",
      { type: "button", class: "iw-clear", title: "let go (Escape)", "aria-label": "let go" },
      "×",
    );
    close.addEventListener("click", () => this.actions.choose(null));
    const value = scene.values[selected];
    const facts = [shareOf(scene, selected), intervalOf(scene, selected)].filter(Boolean).join(" · ");
    const head = h(
      "div",
      { class: "iw-card-head" },
      h("strong", { class: "iw-card-number" }, capital(nameOf(scene, selected))),
      h("span", { class: "iw-card-value" }, Number.isNaN(value) ? "not computed" : `${signed(value)} logits`),
      h("span", { class: "iw-quiet" }, facts),
      close,
    );
    const sections = [this.#sources(scene, selected), this.#neurons(scene, selected), this.#prompts(scene, selected)];
    fill(this.element, head, h("div", { class: "iw-card-sections" }, ...sections));
  }

  /** The tokens from which the chosen head brings most. */
  #sources(scene: Scene, component: number): HTMLElement | null {
    const key = sourcesKey(scene, component);
    const wire = key === null ? undefined : scene.sources[key];
    if (!wire) return null;
    const { spec, data, prompt, target } = scene;
    const sources = new Sources(wire);
    const prompts = prompt === null ? data.done : [prompt];
    const found = prompts.flatMap((p) =>
      Array.from({ length: data.offsets[p + 1] - data.offsets[p] }, (_, at) => ({
        p,
        at,
        value: sources.contribution(p, target, at),
        weight: sources.weight(p, target, at),
      })),
    );
    const order = found
      .filter(({ value }) => Math.abs(value) > 0)
      .sort((a, b) => Math.abs(b.value) - Math.abs(a.value))
      .slice(0, MOST);
    const most = Math.abs(order[0]?.value ?? 1);
    const rows = order.map(({ p, at, value, weight }) =>
      h(
        "li",
        {},
        h(
          "span",
          { class: "iw-line-name" },
          tokenElement(spec.text.labels[data.offsets[p] + at]),
          h("span", { class: "iw-quiet" }, ` ${at}${prompts.length > 1 ? ` of prompt ${p}` : ""}`),
        ),
        h("span", { class: "iw-quiet iw-weight", title: "its attention there" }, formatNumber(weight)),
        level(value, most),
        h("span", { class: "iw-value" }, signed(value)),
      ),
    );
    return section(
      "Strongest sources",
      "token, attention weight, contribution",
      h("ul", { class: "iw-lines" }, ...rows),
    );
  }

  /** The neurons of the chosen MLP that count most. */
  #neurons(scene: Scene, component: number): HTMLElement | null {
    const { spec, data, prompt, target, neurons, asked, live } = scene;
    const { kind, layer } = spec.components[component];
    if (kind !== "mlp") return null;
    const wire = neurons[String(layer)];
    const title = `Neurons of MLP ${layer}`;
    if (!wire) {
      const state = asked.get(`neurons ${layer}`);
      if (state === "waiting") return section(title, "being found out…");
      if (state) {
        const again = h("button", { type: "button" }, "try again");
        again.addEventListener("click", () => this.actions.retry(component));
        return section(title, "", h("p", { role: "alert" }, `could not be found out: ${state.error}`), again);
      }
      if (live && spec.opens) return section(title, "");
      return section(
        title,
        live ? `Ask for them with neurons=${layer}.` : "were not opened before this page was saved.",
      );
    }
    const shown = neuronsOf(wire, data, prompt, target, MOST);
    const most = Math.abs(shown[0]?.contribution ?? 1) || 1;
    const rest = scene.values[component] - shown.reduce((sum, { contribution }) => sum + contribution, 0);
    const rows = shown.map(({ neuron, contribution, activation }) =>
      h(
        "li",
        {},
        h("span", { class: "iw-line-name" }, `${layer}.${neuron}`),
        h("span", { class: "iw-quiet iw-weight", title: "its activation" }, formatNumber(activation)),
        level(contribution, most),
        h("span", { class: "iw-value" }, signed(contribution)),
      ),
    );
    const others = `${(wire.count - shown.length).toLocaleString("en-US")} others together ${signed(rest)}`;
    return section(
      title,
      "neuron, activation, contribution",
      h("ul", { class: "iw-lines" }, ...rows),
      h("p", { class: "iw-quiet" }, others),
    );
  }

  /** What it adds in each prompt, where there are several. */
  #prompts(scene: Scene, component: number): HTMLElement | null {
    const { data, target, spec, prompt } = scene;
    if (data.done.length < 2) return null;
    const { each } = data.spread(target, component);
    const most = Math.max(...each.map(Math.abs)) || 1;
    const rows = data.done.slice(0, PROMPTS).map((at, n) => {
      const text = spec.text.labels
        .slice(data.offsets[at], data.offsets[at + 1])
        .join("")
        .replaceAll("␣", " ")
        .trim();
      const name = `${at} · ${isolated(text)}`;
      return h(
        "li",
        {},
        h(
          "button",
          {
            type: "button",
            class: "iw-link iw-line-name",
            "data-prompt": at,
            "aria-current": at === prompt && "true",
            title: text,
          },
          name,
        ),
        h("span"),
        level(each[n], most),
        h("span", { class: "iw-value" }, signed(each[n])),
      );
    });
    const cut =
      data.done.length > PROMPTS ? `the first ${PROMPTS} of ${data.done.length}` : "choose one to see it alone";
    return section(
      "In each prompt",
      cut,
      h(
        "ul",
        { class: "iw-lines iw-scrolled", tabindex: 0, role: "list", "aria-label": "contribution in each prompt" },
        ...rows,
      ),
    );
  }
}

/** Under which name a request for what a component is made of is kept; null where there is nothing to ask. */
export function partKey(scene: Pick<Scene, "spec">, component: number | null): string | null {
  if (component === null) return null;
  const { kind, layer } = scene.spec.components[component];
  return kind === "mlp" ? `neurons ${layer}` : sourcesKey(scene, component);
}

function section(name: string, about: string, ...content: (HTMLElement | null)[]): HTMLElement {
  return h(
    "div",
    { class: "iw-section" },
    h("div", { class: "iw-panel-name" }, name),
    about ? h("p", { class: "iw-quiet" }, about) : null,
    ...content,
  );
}

/** A bar from the middle: to the right for what is above 0. */
function level(value: number, most: number): HTMLElement {
  const bar = h("span", { class: `iw-signed ${value < 0 ? "iw-below" : "iw-above"}`, "aria-hidden": "true" });
  bar.style.setProperty("--_share", String(Math.min(1, Math.abs(value) / most) || 0));
  return bar;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
