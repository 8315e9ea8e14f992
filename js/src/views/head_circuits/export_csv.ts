import { csvLine, shortestFloat32 } from "../../core/csv";
import type { CircuitName } from "../../protocol/head_circuits";
import type { CircuitData } from "./data";

/** Every entry of every head, with the columns and the order of Python's `result.to_frame()`. */
export function circuitsToCsv({ spec, data }: { spec: CircuitData["spec"]; data: CircuitData }): string[] {
  const parts = [csvLine(["circuit", "layer", "head", "first", "second", "value"])];
  const circuits: CircuitName[] = ["qk", "ov"];
  for (const circuit of circuits) {
    for (const layer of spec.layers) {
      for (const head of spec.heads) {
        let lines = "";
        spec.labels.forEach((first, one) => {
          spec.labels.forEach((second, other) => {
            const [row, column] = circuit === "qk" ? [other, one] : [one, other];
            const value = data.value(circuit, { layer, head }, row, column);
            lines += csvLine([circuit, layer, head, first, second, shortestFloat32(value)]);
          });
        });
        parts.push(lines);
      }
    }
  }
  return parts;
}
