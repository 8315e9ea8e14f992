import type { Placed } from "./data";

/** The part of a layer that fills the plot when nothing is zoomed: its middle, and half its height and width. */
export interface Frame {
  x: number;
  y: number;
  halfWidth: number;
  halfHeight: number;
}

const ROOM = 1.08;
const MOST_ZOOM = 400;

/**
 * The frame around points. One unit is as long across as up where both axes are of one kind; `half` fixes the height.
 */
export function frameOf(placed: Placed, aspect: number, square: boolean, half: number | null = null): Frame {
  const [x, y] = [(placed.left + placed.right) / 2, (placed.low + placed.high) / 2];
  const halfWidth = half === null ? ((placed.right - placed.left) / 2) * ROOM || 1 : half * aspect;
  const halfHeight = half ?? (((placed.high - placed.low) / 2) * ROOM || 1);
  if (!square) return { x, y, halfWidth, halfHeight };
  const needed = Math.max(halfHeight, halfWidth / aspect);
  return { x, y, halfWidth: needed * aspect, halfHeight: needed };
}

/** Where points lie in a frame: 0 to 1 from its left, and from its top. */
export function framed({ x, y }: Placed, frame: Frame): { u: Float32Array; v: Float32Array } {
  const n = x.length;
  const [u, v] = [new Float32Array(n), new Float32Array(n)];
  const [across, up] = [0.5 / frame.halfWidth, 0.5 / frame.halfHeight];
  for (let point = 0; point < n; point++) {
    u[point] = 0.5 + (x[point] - frame.x) * across;
    v[point] = 0.5 - (y[point] - frame.y) * up;
  }
  return { u, v };
}

/** Which part of the frame is seen: it is `zoom` times enlarged, and `left`, `top` of it are at the plot's corner. */
export class Plane {
  zoom = 1;
  left = 0;
  top = 0;

  get whole(): boolean {
    return this.zoom === 1 && this.left === 0 && this.top === 0;
  }

  reset(): void {
    this.zoom = 1;
    this.left = 0;
    this.top = 0;
  }

  /** Zooms about a place given as shares of the plot. */
  zoomBy(factor: number, x = 0.5, y = 0.5): void {
    const zoom = Math.min(MOST_ZOOM, Math.max(0.5, this.zoom * factor));
    this.left += x / this.zoom - x / zoom;
    this.top += y / this.zoom - y / zoom;
    this.zoom = zoom;
    this.#clamp();
  }

  /** Moves the content by shares of the plot. */
  panBy(x: number, y: number): void {
    this.left -= x / this.zoom;
    this.top -= y / this.zoom;
    this.#clamp();
  }

  /** Moves as little as needed for a place of the frame to be seen. */
  reveal(u: number, v: number): void {
    const room = 0.04 / this.zoom;
    const seen = 1 / this.zoom;
    this.left = Math.min(u - room, Math.max(u + room - seen, this.left));
    this.top = Math.min(v - room, Math.max(v + room - seen, this.top));
  }

  /** Some of the frame stays in sight. */
  #clamp(): void {
    const seen = 1 / this.zoom;
    const edge = 0.1;
    this.left = Math.min(1 - edge * seen, Math.max(edge * seen - seen, this.left));
    this.top = Math.min(1 - edge * seen, Math.max(edge * seen - seen, this.top));
  }
}
