// One self-contained file a view: a chunk shared between views could not be loaded from anywidget's blob URL.
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { deflateSync, inflateSync } from "node:zlib";
import * as esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "interp_widgets", "static");

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
  logLevel: "warning",
};

const views = {
  ...shared,
  entryPoints: ["src/views/*.ts"],
  format: "esm",
  plugins: [cssAsText, safeInsideScript],
};
const host = { ...shared, entryPoints: ["src/host/host.ts"], format: "iife", plugins: [safeInsideScript] };

/** A notebook keeps a copy of the bundle with every view, so it is kept small: a module that unpacks the real one. */
function pack(source) {
  return `// Built by js/build.mjs from js/src: the view's module, deflated.
const packed = "${deflateSync(source, { level: 9 }).toString("base64")}";
const bytes = Uint8Array.from(atob(packed), (character) => character.charCodeAt(0));
const source = await new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
// Some frames refuse modules from blob URLs; data URLs are slower but work there.
const view = await import(url).catch(() => import(\`data:text/javascript;charset=utf-8,\${encodeURIComponent(source)}\`));
URL.revokeObjectURL(url);
export default view.default;
`;
}

/** What a bundle holds once unpacked: how tightly zlib packs differs between versions of Node, the source does not. */
function unpack(bundle) {
  const packed = /^const packed = "(.*)";$/m.exec(bundle);
  if (!packed) return bundle;
  return bundle.replace(packed[1], "") + inflateSync(Buffer.from(packed[1], "base64")).toString();
}

if (process.argv.includes("--watch")) {
  for (const options of [views, host]) await (await esbuild.context(options)).watch();
} else {
  const check = process.argv.includes("--check");
  for (const options of [views, host]) {
    const { outputFiles } = await esbuild.build({ ...options, write: false });
    for (const { path, text } of outputFiles) {
      const bundle = options === views ? pack(text) : text;
      if (!check) await writeFile(path, bundle);
      else if (unpack(await readFile(path, "utf8").catch(() => "")) !== unpack(bundle)) {
        throw new Error(`${path} is not current: run \`make build\` and commit it`);
      }
    }
  }
}
