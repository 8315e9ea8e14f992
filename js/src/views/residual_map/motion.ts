import { type Frame, framed, frameOf } from "./plane";
import type { Scene } from "./scene";

const MOVE = 420;
/** More points than that are not moved from layer to layer, but set. */
const STILL = 200_000;

/** Where points are in the frame: 0 to 1 from its left, and from its top. */
export interface Spots {
  u: Float32Array;
  v: Float32Array;
}

interface Size {
  width: number;
  height: number;
}

/** The points of the layer that is shown, on their way there from the one before. */
export class Motion {
  frame: Frame = { x: 0, y: 0, halfWidth: 1, halfHeight: 1 };
  #from: Spots = { u: new Float32Array(0), v: new Float32Array(0) };
  #move: (Spots & { since: number }) | null = null;
  #placed: unknown[] = [];

  /** Whether points are still on their way. */
  get moving(): boolean {
    return this.#move !== null;
  }

  /** Where points are, or are on their way to. */
  get target(): Spots {
    return this.#move ?? this.#from;
  }

  /** Takes points to where a scene has them; returns whether that is elsewhere. */
  place(scene: Scene, { width, height }: Size): boolean {
    const { data, row, axes, align, oneScale, spec } = scene;
    const key = [data, row, axes.join(), align, oneScale, width, height, oneScale && scene.version];
    if (row === null || key.every((value, n) => value === this.#placed[n])) return false;
    const first = this.#placed.length === 0;
    const resized = this.#placed[1] === row && (this.#placed[5] !== width || this.#placed[6] !== height);
    this.#placed = key;
    const placed = data.place(row, axes, align);
    if (!placed) return false;
    const aspect = width / height;
    this.frame = frameOf(placed, aspect, spec.n_given === 0, oneScale ? largestHalf(scene, aspect) : null);
    const next = framed(placed, this.frame);
    const still = first || resized || this.#from.u.length !== next.u.length || data.count > STILL || prefersStill();
    if (still) {
      this.#move = null;
      this.#from = next;
    } else {
      // From where points are now, which may be on their way already.
      this.#from = this.now();
      this.#move = { ...next, since: performance.now() };
    }
    return true;
  }

  /** Where points are at this moment. */
  now(): Spots {
    const move = this.#move;
    if (!move) return this.#from;
    const time = Math.min(1, (performance.now() - move.since) / MOVE);
    if (time >= 1) {
      this.#from = { u: move.u, v: move.v };
      this.#move = null;
      return this.#from;
    }
    const share = time * time * (3 - 2 * time);
    const between = (from: Float32Array, to: Float32Array) => to.map((at, n) => from[n] + (at - from[n]) * share);
    return { u: between(this.#from.u, move.u), v: between(this.#from.v, move.v) };
  }
}

function largestHalf({ data, axes, align, spec }: Scene, aspect: number): number {
  const halves = data.rows.map((row) => {
    const placed = data.place(row, axes, align);
    return placed ? frameOf(placed, aspect, spec.n_given === 0).halfHeight : 0;
  });
  return Math.max(1e-9, ...halves);
}

function prefersStill(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
