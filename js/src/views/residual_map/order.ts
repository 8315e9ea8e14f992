import { changeDetector } from "../../core/dom";
import type { Scene } from "./scene";
import { DENSE } from "./splat";

/** In which order points are drawn: no prompt on top of all others, grey ones behind, selected ones in front. */
export class Order {
  /** Points that are not selected, where some are; else all. */
  rest = new Int32Array(0);
  chosen = new Int32Array(0);
  #shuffled = new Int32Array(0);
  #changed = changeDetector();

  update({ data, chosen, coloring }: Pick<Scene, "data" | "chosen" | "coloring">): void {
    if (data.count > DENSE || !this.#changed(data, chosen, coloring)) return;
    if (this.#shuffled.length !== data.count) this.#shuffled = shuffled(data.count);
    const { of, grey } = coloring;
    const behind = this.#shuffled.filter((point) => of[point] === grey);
    const before = this.#shuffled.filter((point) => of[point] !== grey);
    const all = new Int32Array(data.count);
    all.set(behind);
    all.set(before, behind.length);
    this.rest = chosen ? all.filter((point) => !chosen[point]) : all;
    this.chosen = chosen ? all.filter((point) => chosen[point]) : new Int32Array(0);
  }
}

/** The same order every time. */
export function shuffled(count: number): Int32Array<ArrayBuffer> {
  const order = Int32Array.from({ length: count }, (_, n) => n);
  let state = 0x9e3779b9;
  for (let n = count - 1; n > 0; n--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const other = Math.floor((state / 0x100000000) * (n + 1));
    [order[n], order[other]] = [order[other], order[n]];
  }
  return order;
}
