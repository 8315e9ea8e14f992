import { drawRuns, type Run } from "../../core/flow";
import { type Fonts, MARGIN, takePicture } from "../../core/picture";
import type { Plot } from "./plot";
import type { Scene } from "./scene";
import { explainedIn, layerName } from "./words";

/** The plot as it is on screen, with its question and its legend, as a picture. */
export function mapToPng(scene: Scene, plot: Plot, fonts: Fonts): Promise<Blob | null> {
  return takePicture(scene, 480, (context, full) => {
    const { spec, palette, coloring, selected } = scene;
    const width = full - 2 * MARGIN;
    const run = (text: string, size: number, color: string, weight = "normal"): Run => ({
      text,
      color,
      font: `${weight} ${size}px ${fonts.sans}`,
    });
    const write = (runs: Run[], y: number, line = 18) => drawRuns(context, runs, { x: MARGIN, y, width, line });
    let y = write([run(spec.title, 17, palette.fg, "bold")], MARGIN + 12, 24);
    const where = scene.row === null ? "" : `${layerName(scene, scene.row)}. `.replace(/^l/, "L");
    y = write(
      [run(where, 12.5, palette.fg, "bold"), run([spec.meaning, ...spec.notes].join(" "), 12.5, palette.muted)],
      y + 24,
    );
    y += 22;
    y += plot.drawOn(context, MARGIN, y) + 16;
    const legend = coloring.ramp
      ? [run(`Colour: ${coloring.ramp.name} ${coloring.ramp.low} to ${coloring.ramp.high}`, 12, palette.muted)]
      : coloring.kinds.flatMap(({ name, color, count }) => [
          { ...run("● ", 13, color), whole: true },
          { ...run(`${name} `, 12, palette.fg), whole: true },
          { ...run(`${count.toLocaleString("en-US")}    `, 12, palette.muted), whole: true },
        ]);
    y = write(legend, y);
    const said = [
      explainedIn(scene),
      selected.length ? `${selected.length.toLocaleString("en-US")} points selected` : null,
    ];
    const facts = said.filter((text) => text !== null).join(" · ");
    if (facts) y = write([run(facts, 12, palette.muted)], y + 22);
    return write([run(spec.provenance.join(" · "), 11, palette.muted)], y + 28, 16) + MARGIN;
  });
}
