import type { GridCell } from "../../core/layer_grid";
import type { Spot } from "../../protocol/common";
import type { LensCell, LensSpec } from "../../protocol/lens_table";
import type { Cell } from "./scene";

const AFTER_ATTENTION = new Set(["attn_out", "z", "q", "k", "v", "pattern"]);

/** The row of a place; what enters a layer is what leaves the one before. Null where there is none. */
function rowAt({ rows }: LensSpec, site: string, layer: number): number | null {
  const [wanted, depth] = site === "resid_post" ? ["resid_pre", layer + 1] : [site, layer];
  const found = rows.findIndex((row) =>
    row.site === "resid_post"
      ? wanted === "resid_pre" && row.layer + 1 === depth
      : row.site === wanted && row.layer === depth,
  );
  return found < 0 ? null : found;
}

/** A cell of the state by its numbers; null if there is no such cell. */
export function cellOf(spec: LensSpec, named: LensCell | null): Cell | null {
  if (!named) return null;
  const row = rowAt(spec, named.site, named.layer);
  const { pos, prompt } = named;
  const length = spec.ids[0].length;
  if (row === null || !(pos >= 0 && pos < length) || !(prompt >= 0 && prompt < spec.prompts.length)) return null;
  return { row, pos, prompt };
}

export function nameCell(spec: LensSpec, { row, pos, prompt }: Cell): LensCell {
  return { ...spec.rows[row], pos, prompt };
}

/** The row that a place of any view means: that of a head or of attention is the stream after attention. */
function meantRow(spec: LensSpec, { site, layer }: Spot): number | null {
  if (layer === undefined) return null;
  if (site?.startsWith("resid_")) return rowAt(spec, site, layer);
  const middle = site !== undefined && AFTER_ATTENTION.has(site) ? rowAt(spec, "resid_mid", layer) : null;
  return middle ?? rowAt(spec, "resid_post", layer);
}

/** The cell that a place of another view means, with what it does not say as it is here; null where there is none. */
export function cellAt(spec: LensSpec, spot: Spot, here: Cell): Cell | null {
  const row = spot.layer === undefined ? here.row : meantRow(spec, spot);
  const pos = spot.pos ?? here.pos;
  if (spot.layer === undefined && spot.pos === undefined) return null;
  return row === null || pos >= spec.ids[0].length ? null : { ...here, row, pos };
}

/** Where a place of another view is among the rows that are shown; −1 for what it does not say. */
export function ghostAt(spec: LensSpec, rows: readonly number[], spot: Spot | null): GridCell | null {
  if (!spot) return null;
  const row = meantRow(spec, spot);
  const place = { row: row === null ? -1 : rows.indexOf(row), column: spot.pos ?? -1 };
  const inside = place.column < spec.ids[0].length && (place.row >= 0 || place.column >= 0);
  return inside ? place : null;
}
