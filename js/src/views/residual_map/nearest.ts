/** Finds points by where they are: a grid of buckets over the frame, filled by counting. */
export class Buckets {
  readonly #side: number;
  readonly #begin: Int32Array;
  readonly #points: Int32Array;

  constructor(
    private readonly u: Float32Array,
    private readonly v: Float32Array,
  ) {
    const side = Math.max(1, Math.min(512, Math.ceil(Math.sqrt(u.length / 4))));
    this.#side = side;
    const cell = (point: number) => this.#cell(v[point]) * side + this.#cell(u[point]);
    const begin = new Int32Array(side * side + 1);
    for (let point = 0; point < u.length; point++) begin[cell(point) + 1]++;
    for (let n = 0; n < side * side; n++) begin[n + 1] += begin[n];
    const next = begin.slice();
    this.#points = new Int32Array(u.length);
    for (let point = 0; point < u.length; point++) this.#points[next[cell(point)]++] = point;
    this.#begin = begin;
  }

  /** The nearest point to a place in the frame within a distance that may differ across and up; null if there is none. */
  nearest(u: number, v: number, across: number, up: number, drawn: (point: number) => boolean): number | null {
    let [best, found] = [1, -1];
    for (let row = this.#cell(v - up); row <= this.#cell(v + up); row++) {
      for (let column = this.#cell(u - across); column <= this.#cell(u + across); column++) {
        const cell = row * this.#side + column;
        for (let n = this.#begin[cell]; n < this.#begin[cell + 1]; n++) {
          const point = this.#points[n];
          const distance = ((this.u[point] - u) / across) ** 2 + ((this.v[point] - v) / up) ** 2;
          if (distance <= best && drawn(point)) [best, found] = [distance, point];
        }
      }
    }
    return found < 0 ? null : found;
  }

  #cell(share: number): number {
    return Math.min(this.#side - 1, Math.max(0, Math.floor(share * this.#side)));
  }
}

/** The next point in a direction: near, and not far off to the sides. */
export function towards(
  u: Float32Array,
  v: Float32Array,
  from: number,
  [right, down]: readonly [number, number],
  aspect: number,
  drawn: (point: number) => boolean,
): number | null {
  let [best, found] = [Number.POSITIVE_INFINITY, -1];
  for (let point = 0; point < u.length; point++) {
    if (point === from) continue;
    const [x, y] = [(u[point] - u[from]) * aspect, v[point] - v[from]];
    const ahead = x * right + y * down;
    if (ahead <= 1e-9) continue;
    const aside = Math.abs(x * down) + Math.abs(y * right);
    const far = ahead + 2.5 * aside;
    if (far < best && drawn(point)) [best, found] = [far, point];
  }
  return found < 0 ? null : found;
}

/** Whether a place is inside a line that is closed from its end to its start. */
export function encloses(line: readonly (readonly [number, number])[], x: number, y: number): boolean {
  let inside = false;
  for (let n = 0, before = line.length - 1; n < line.length; before = n++) {
    const [ax, ay] = line[n];
    const [bx, by] = line[before];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}

/** Numbers of the points inside a line that is given in the frame. */
export function lassoed(
  u: Float32Array,
  v: Float32Array,
  line: readonly (readonly [number, number])[],
  drawn: (point: number) => boolean,
): number[] {
  const [left, right] = [Math.min(...line.map(([x]) => x)), Math.max(...line.map(([x]) => x))];
  const [top, bottom] = [Math.min(...line.map(([, y]) => y)), Math.max(...line.map(([, y]) => y))];
  const found: number[] = [];
  for (let point = 0; point < u.length; point++) {
    const [x, y] = [u[point], v[point]];
    if (x < left || x > right || y < top || y > bottom || !drawn(point)) continue;
    if (encloses(line, x, y)) found.push(point);
  }
  return found;
}
