/*
 * The page that shows a saved view: no kernel, no network, opened from disk or inside a sandboxed frame.
 *
 * The page holds three elements before this script:
 *
 *   <main id="iw-root"></main>
 *   <script type="application/json" id="iw-state">{"state": {…}, "buffers": ["…", …]}</script>
 *   <script type="text/plain" id="iw-view">the view's bundle, an ES module</script>
 *
 * `state` is the view's state as JSON, in which each binary buffer is `{"$buffer": i}`: the i-th of `buffers`, which
 * are base64 of zlib streams (Python's `zlib.compress`). In the JSON, "<" is written as "\u003c". NaN and infinity,
 * which JSON lacks, are null.
 *
 * What its Content-Security-Policy must allow: this script (by hash or 'unsafe-inline'), `script-src blob: data:` for
 * the view, `style-src 'unsafe-inline'`, `img-src blob: data:`.
 *
 * Inside a frame the page tells the one around it how tall it is: `{type: "iw-height", height}`.
 */
import type { Model, RenderProps } from "../core/model";

type State = Record<string, unknown>;
type Listener = (...args: unknown[]) => void;

/** Stands in for the notebook's model: keeps the state, tells of changes, and has nobody to send anything to. */
function standIn(state: State): Model<State> {
  const listeners = new Map<string, Set<Listener>>();
  return {
    frozen: true,
    get: (name) => state[name],
    set(name, value) {
      state[name] = value;
      for (const listener of [...(listeners.get(`change:${name}`) ?? [])]) listener();
    },
    save_changes() {},
    send() {},
    on(event, listener) {
      listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
    },
    off(event, listener) {
      listeners.get(event)?.delete(listener);
    },
  };
}

async function inflate(base64: string): Promise<DataView> {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new DataView(await new Response(stream).arrayBuffer());
}

function withBuffers(value: unknown, buffers: DataView[]): unknown {
  if (Array.isArray(value)) return value.map((item) => withBuffers(item, buffers));
  if (typeof value !== "object" || value === null) return value;
  if ("$buffer" in value) return buffers[Number(value.$buffer)];
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, withBuffers(item, buffers)]));
}

interface View {
  default: { render(props: RenderProps<State>): unknown };
}

/** Some frames refuse modules from blob URLs; data URLs are slower but work there. */
async function load(source: string): Promise<View> {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return await import(url);
  } catch {
    return await import(`data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`);
  } finally {
    URL.revokeObjectURL(url);
  }
}

function text(id: string): string {
  return document.getElementById(id)?.textContent ?? "";
}

function follow(root: HTMLElement): void {
  const surface = () => {
    const view = root.querySelector(".iw-view");
    if (view) document.body.style.background = getComputedStyle(view).backgroundColor;
  };
  surface();
  new MutationObserver(surface).observe(root, { subtree: true, attributes: true, attributeFilter: ["data-theme"] });
  if (window.parent === window) return;
  const tell = () => {
    const height = Math.ceil(root.getBoundingClientRect().bottom + window.scrollY);
    window.parent.postMessage({ type: "iw-height", height }, "*");
  };
  new ResizeObserver(tell).observe(root);
  tell();
}

async function show(): Promise<void> {
  const root = document.getElementById("iw-root");
  if (!root) return;
  try {
    const { state, buffers } = JSON.parse(text("iw-state")) as { state: State; buffers: string[] };
    const decoded = await Promise.all(buffers.map(inflate));
    const view = await load(text("iw-view"));
    view.default.render({ model: standIn(withBuffers(state, decoded) as State), el: root });
    follow(root);
  } catch (error) {
    root.textContent = `This saved view cannot be shown: ${error instanceof Error ? error.message : error}`;
  }
}

void show();
