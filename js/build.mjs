// One self-contained file a view: a chunk shared between views could not be loaded from anywidget's blob URL.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "interp_widgets", "static");
const watch = process.argv.includes("--watch");

/** `import css from "./x.css"` gives the minified text, which a view puts inside its own root. */
const cssAsText = {
  name: "css-as-text",
  setup(build) {
    build.onLoad({ filter: /\.css$/ }, async ({ path }) => {
      const { code } = await esbuild.transform(await readFile(path, "utf8"), { loader: "css", minify: true });
      return { contents: code.trim(), loader: "text" };
    });
  },
};

/** The saved page holds these files inside a script element, which either of these would end or corrupt. */
const safeInsideScript = {
  name: "safe-inside-script",
  setup(build) {
    build.onEnd(({ outputFiles = [] }) => {
      for (const file of outputFiles) {
        if (/<\/script|<!--/i.test(file.text)) throw new Error(`${file.path} cannot be put inside a script element`);
      }
    });
  },
};

const shared = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  charset: "utf8",
  target: "es2022",
  legalComments: "none",
  outdir: out,
  logLevel: "info",
};

const builds = [
  { ...shared, entryPoints: ["src/views/patching_grid.ts"], format: "esm", plugins: [cssAsText] },
  { ...shared, entryPoints: ["src/host/host.ts"], format: "iife" },
];

if (watch) {
  for (const options of builds) await (await esbuild.context(options)).watch();
} else {
  for (const options of builds) {
    const check = {
      ...options,
      write: false,
      logLevel: "silent",
      plugins: [...(options.plugins ?? []), safeInsideScript],
    };
    await esbuild.build(check);
    await esbuild.build(options);
  }
}
