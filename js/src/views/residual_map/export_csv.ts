import { csvLine, shortestFloat32 } from "../../core/csv";
import type { Scene } from "./scene";

/** Where points are in the layers that are here, a line each, with the columns of Python's `result.to_frame()`. */
export function mapToCsv({ data, spec, align, selected }: Scene): string[] {
  const grouped = spec.labels.length > 0;
  const heads = ["layer", "point", "prompt", "position", "token", ...(grouped ? ["label"] : []), ...spec.axes];
  const parts = [csvLine(heads)];
  const points = selected.length ? selected : null;
  const size = points?.length ?? data.count;
  for (const row of data.rows) {
    const along = spec.axes.map((_, axis) => data.place(row, [axis, axis], align)?.x);
    let lines = "";
    for (let n = 0; n < size; n++) {
      const point = points ? points[n] : n;
      const about = [spec.layers[row], point, data.prompt[point], data.position(point), data.label(point)];
      const label = grouped ? [data.groupName(point) ?? ""] : [];
      lines += csvLine([...about, ...label, ...along.map((values) => (values ? shortestFloat32(values[point]) : ""))]);
    }
    parts.push(lines);
  }
  return parts;
}
