import { changeDetector, fill, h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { tokenElement } from "../../core/labels";
import type { Actions, Scene } from "./scene";
import { hintOf, nameOf, noun, placeOf } from "./words";

const MOST = 7;

/** The strongest latents of the token that is pointed at, or held. */
export class TokenPanel {
  readonly element = h("div", { class: "iw-token-panel" });
  readonly #changed = changeDetector();

  constructor(private readonly actions: Actions) {
    this.element.addEventListener("click", (event) => {
      const button = (event.target as Element).closest<HTMLElement>("[data-latent]");
      if (button) this.actions.choose(Number(button.dataset.latent));
    });
  }

  show(scene: Scene, token: number | null): void {
    const { data, spec, job, shown, held, names, cards } = scene;
    const what = token === null ? null : data.identity(token);
    if (!this.#changed(spec, data.most, token, what, shown, held === token, names, cards, job.state)) return;
    this.element.style.setProperty("--_rows", String(Math.min(MOST, data.most) + (data.most > MOST ? 1 : 0)));
    if (token === null) {
      const how = `Point at a token for the ${noun(spec)}s that fire on it; click to hold it.`;
      fill(this.element, h("div", { class: "iw-panel-name" }, "At a token"), h("p", { class: "iw-quiet" }, how));
      return;
    }
    const { label } = data.place(token);
    const release = h(
      "button",
      { type: "button", class: "iw-clear", title: "let go (Escape)", "aria-label": "let go" },
      "×",
    );
    release.addEventListener("click", () => this.actions.hold(null));
    const head = h(
      "div",
      { class: "iw-panel-name" },
      "At ",
      tokenElement(label),
      h("span", { class: "iw-quiet" }, ` ${placeOf(scene, token)}`),
      scene.held === token ? release : null,
    );
    if (!data.computed[token]) {
      fill(this.element, head, h("p", { class: "iw-quiet" }, job.state === "running" ? "Not read yet." : "Not read."));
      return;
    }
    const firing = data.at(token);
    const rows = firing.slice(0, MOST).map(({ latent, value }) => fireRow(scene, latent, value, firing[0].value));
    const more = firing.length - rows.length;
    const rest = [
      more > 0
        ? `${more.toLocaleString("en-US")} more${data.hasAll(token) ? "" : " are here, and weaker ones are not"}`
        : "",
    ].filter(Boolean);
    fill(
      this.element,
      head,
      rows.length
        ? h("ul", { class: "iw-fires" }, ...rows)
        : h("p", { class: "iw-quiet" }, `No ${noun(spec)} fires here.`),
      rest.length ? h("p", { class: "iw-quiet iw-more" }, rest.join(" ")) : null,
    );
  }
}

function fireRow(scene: Scene, latent: number, value: number, strongest: number): HTMLElement {
  const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
  bar.style.setProperty("--_share", String(Math.abs(value / strongest)));
  if (value < 0) bar.style.setProperty("--_color", "var(--_corrupt)");
  const button = h(
    "button",
    {
      type: "button",
      "data-latent": latent,
      "aria-current": latent === scene.shown && "true",
      title: nameOf(scene, latent),
    },
    h("span", { class: "iw-number" }, String(latent)),
    nameCell(scene, latent),
    bar,
    h("span", { class: "iw-value" }, formatNumber(value)),
  );
  return h("li", {}, button);
}

/** What a latent is called; without a name, what it promotes. */
export function nameCell(scene: Scene, latent: number): HTMLElement {
  const name = scene.names[latent];
  if (name) return h("bdi", { class: "iw-name" }, name);
  const hint = hintOf(scene, latent);
  if (hint.length === 0) return h("span", { class: "iw-name" });
  return h(
    "span",
    { class: "iw-name iw-hint", title: "tokens that it promotes" },
    "→ ",
    ...hint.flatMap((label) => [tokenElement(label), " "]),
  );
}
