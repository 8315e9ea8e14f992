import type { Spot, ViewState, WireLink } from "../protocol/common";
import { uuid } from "./messages";
import type { Model } from "./model";

/** What a view can do about a place that the reader is at in another view. Spots may name what it does not have. */
export interface Linked {
  /** Marks a place with a quiet outline and no tooltip; null marks none. */
  point(spot: Spot | null): void;
  /** Selects a place as far as the view has it, and what the spot does not say as it was; null selects nothing. */
  go(spot: Spot | null): void;
  /** The tokens at a position as people read them, that of each prompt; none where the view has no such position. */
  words(pos: number): readonly string[];
}

/** What goes through the page from one view to another. */
interface Word {
  from: string;
  group: string;
  kind: "point" | "go";
  spot: Spot | null;
}

/** The page's own event: each bundle has its own copy of this module, so they meet at the window. */
/** What linked views tell each other, on the window. */
export const LINK_EVENT = "iw-link";

/** A view's part in what linked views share. It works without a kernel; with one, selections also come from there. */
export class Links {
  readonly #id = uuid();
  #pointed = "null";

  constructor(
    private readonly model: Model<ViewState>,
    private readonly view: Linked,
    signal: AbortSignal,
  ) {
    globalThis.addEventListener(LINK_EVENT, this.#hear);
    signal.addEventListener("abort", () => {
      this.point(null);
      globalThis.removeEventListener(LINK_EVENT, this.#hear);
    });
  }

  /** Tells the other views where the pointer or the keyboard is. */
  point(spot: Spot | null): void {
    const pointed = JSON.stringify(spot);
    if (pointed === this.#pointed) return;
    this.#pointed = pointed;
    this.#tell("point", spot);
  }

  /** Tells the other views what the reader has selected here. */
  select(spot: Spot | null): void {
    this.#tell("go", spot);
  }

  #tell(kind: Word["kind"], spot: Spot | null): void {
    const words = spot?.pos === undefined ? [] : [...this.view.words(spot.pos)];
    for (const { group } of this.#links) {
      const detail: Word = { from: this.#id, group, kind, spot: spot && { ...spot, words } };
      globalThis.dispatchEvent(new CustomEvent(LINK_EVENT, { detail }));
    }
  }

  get #links(): readonly WireLink[] {
    return this.model.get("links") ?? [];
  }

  #hear = (event: Event): void => {
    const { from, group, kind, spot } = (event as CustomEvent<Word>).detail;
    const link = from !== this.#id && this.#links.find((one) => one.group === group);
    if (!link) return;
    const known = spot && shared(spot, link, this.view);
    // Of what this view cannot know, it selects nothing new.
    if (kind === "point") this.view.point(known);
    else if (known || (!spot && link.empties)) this.view.go(known);
  };
}

/** What of a place a link shares with a view; null where that is nothing. */
function shared({ words = [], ...spot }: Spot, { by, same_tokens }: WireLink, view: Linked): Spot | null {
  const known: Spot = Object.fromEntries(Object.entries(spot).filter(([key]) => by.includes(key)));
  if (same_tokens && known.pos !== undefined) {
    const own = view.words(known.pos);
    if (own.length > 0 && words.length > 0 && !own.some((word) => words.includes(word))) delete known.pos;
  }
  return Object.keys(known).length > 0 ? known : null;
}
