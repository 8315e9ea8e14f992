/*
 * The page that shows a saved view: no kernel, no network, opened from disk or inside a sandboxed frame.
 *
 * The page holds three elements before this script:
 *
 *   <main id="iw-root"></main>
 *   <script type="application/json" id="iw-state">{"state": {…}, "others": {…}, "buffers": ["…", …]}</script>
 *   <script type="text/plain" class="iw-bundle">the view's bundle, an ES module</script>, and others after it
 *
 * `state` is the view's state as JSON, in which each binary buffer is `{"$buffer": i}`: the i-th of `buffers`, which
 * are base64 of zlib streams (Python's `zlib.compress`). `others` are views that were opened from it, by their models'
 * ids: {"state": {…}, "bundle": which of the bundles draws it}. In the JSON, "<" is written as "\u003c". NaN and infinity,
 * which JSON lacks, are null.
 *
 * What its Content-Security-Policy must allow: this script (by hash or 'unsafe-inline'), `script-src blob: data:` for
 * the view, `style-src 'unsafe-inline'`, `img-src blob: data:`.
 *
 * Inside a frame the page tells the one around it how tall it is: `{type: "iw-height", height}`, and what linked views
 * say: `{type: "iw-link", word}`, which the one around it passes on to its other frames.
 */
import { LINK_EVENT } from "../core/links";
import type { Manager, Model, RenderProps } from "../core/model";
import { loadModule } from "../core/module";

type State = Record<string, unknown>;
type Listener = (...args: unknown[]) => void;

/** Stands in for the notebook's model: keeps the state, tells of changes, and has nobody to send anything to. */
function standIn(state: State, others: Manager): Model<State> {
  const listeners = new Map<string, Set<Listener>>();
  return {
    frozen: true,
    widget_manager: others,
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

/** Finds the models of the page's other views, each one stand-in for all who ask. */
function managerOf(others: Page["others"], bundles: readonly string[], buffers: DataView[]): Manager {
  const models = new Map<string, Model<State>>();
  const manager: Manager = {
    async get_model(id) {
      const saved = others[id];
      if (!saved) throw new Error("this page does not have it");
      const state = { ...(withBuffers(saved.state, buffers) as State), _esm: bundles[saved.bundle] };
      const model = models.get(id) ?? standIn(state, manager);
      models.set(id, model);
      return model;
    },
  };
  return manager;
}

interface View {
  default: { render(props: RenderProps<State>): unknown };
}

interface Page {
  state: State;
  others: Record<string, { state: State; bundle: number }>;
  buffers: string[];
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

/** Linked views are each in a frame of their own: what one says goes through the page around them to the others. */
function joinLinks(): void {
  const around = window.parent;
  if (around === window) return;
  let heard: unknown = null;
  addEventListener("message", ({ source, data }) => {
    if (source !== around || data?.type !== LINK_EVENT) return;
    heard = data.word;
    dispatchEvent(new CustomEvent(LINK_EVENT, { detail: heard }));
  });
  addEventListener(LINK_EVENT, (event) => {
    const { detail } = event as CustomEvent<unknown>;
    // What came from there need not go back.
    if (detail !== heard) around.postMessage({ type: LINK_EVENT, word: detail }, "*");
  });
}

async function show(): Promise<void> {
  const root = document.getElementById("iw-root");
  if (!root) return;
  try {
    const { state, others, buffers } = JSON.parse(text("iw-state")) as Page;
    const decoded = await Promise.all(buffers.map(inflate));
    const bundles = [...document.querySelectorAll(".iw-bundle")].map((script) => script.textContent ?? "");
    const manager = managerOf(others, bundles, decoded);
    const view = (await loadModule(bundles[0])) as View;
    view.default.render({ model: standIn(withBuffers(state, decoded) as State, manager), el: root });
    follow(root);
    joinLinks();
  } catch (error) {
    root.textContent = `This saved view cannot be shown: ${error instanceof Error ? error.message : error}`;
  }
}

void show();
