import { h } from "../../core/dom";
import { formatNumber } from "../../core/format";
import { isolated, tokenElement } from "../../core/labels";
import type { WireCard, WireLink, WireWeighted } from "../../protocol/features";
import { section } from "./card_section";
import type { Scene } from "./scene";
import { noun } from "./words";

const MOST = 8;

interface Line {
  name: Node;
  value: number;
}

/** Names with numbers and bars, warm above 0 and cool below. */
function lines(
  items: readonly Line[],
  most = Math.max(...items.map(({ value }) => Math.abs(value)), 1e-12),
): HTMLElement {
  const rows = items.map(({ name, value }) => {
    const bar = h("span", { class: "iw-level", "aria-hidden": "true" });
    bar.style.setProperty("--_share", String(Math.abs(value) / most));
    bar.style.setProperty("--_color", `var(--_${value < 0 ? "corrupt" : "clean"})`);
    return h(
      "li",
      {},
      h("span", { class: "iw-line-name" }, name),
      bar,
      h("span", { class: "iw-value" }, formatNumber(value, { plus: true })),
    );
  });
  return h("ul", { class: "iw-lines" }, ...rows);
}

/** Tokens that a latent promotes or suppresses. */
export function weightSection(name: string, meaning: string, items: WireWeighted[] | null): HTMLElement | null {
  if (items === null) return null;
  const rows = items.slice(0, MOST).map(({ label, logit }) => ({ name: tokenElement(label), value: logit }));
  return section("weights", name, meaning, lines(rows));
}

/** The latents that write in the most similar direction. */
export function neighbourSection(scene: Scene, { nearest }: WireCard): HTMLElement | null {
  if (nearest === null) return null;
  const rows = nearest.slice(0, MOST).map(({ latent, cosine }) => ({ name: latentLink(scene, latent), value: cosine }));
  return section("nearest", `Nearest ${noun(scene.spec)}s`, "cosine", lines(rows, 1));
}

/** Components that write to a latent or read it. */
export function linkSection(scene: Scene, name: string, meaning: string, links: WireLink[] | null): HTMLElement | null {
  if (links === null) return null;
  const rows = links.slice(0, MOST).map(({ component, weight, latent }) => ({
    name: latent === null ? h("span", {}, isolated(component)) : latentLink(scene, latent),
    value: weight,
  }));
  return section("links", name, meaning, lines(rows));
}

/** A latent that a click goes to. */
function latentLink({ spec, names }: Scene, latent: number): HTMLElement {
  const name = names[latent];
  return h(
    "button",
    { type: "button", class: "iw-link", "data-latent": latent },
    name ? h("bdi", {}, name) : `${noun(spec)} ${latent}`,
  );
}
