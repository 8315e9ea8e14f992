/** What a view uses of anywidget's model; the saved page brings a stand-in of the same shape. */
export interface Model<State extends object> {
  get<Name extends keyof State & string>(name: Name): State[Name];
  set<Name extends keyof State & string>(name: Name, value: State[Name]): void;
  save_changes(): void;
  // biome-ignore lint/suspicious/noExplicitAny: the arguments depend on the event, and hosts differ in how they type it
  on(event: string, callback: (...args: any[]) => void): void;
  // biome-ignore lint/suspicious/noExplicitAny: as above
  off(event: string, callback: (...args: any[]) => void): void;
  send(content: unknown): void;
  /** True in a saved page: nobody answers. */
  frozen?: boolean;
  /** Finds the models of other widgets. Not every host has one. */
  widget_manager?: Manager;
}

export interface Manager {
  // biome-ignore lint/suspicious/noExplicitAny: a widget of any kind
  get_model(id: string): Promise<Model<any>>;
}

/** What anywidget hands to `render`; `signal` came with version 0.11. */
export interface RenderProps<State extends object> {
  model: Model<State>;
  el: HTMLElement;
  signal?: AbortSignal;
}

/** Calls `changed` whenever one of the named traits changes, from whichever side. Returns how to stop. */
export function observe<State extends object>(
  model: Model<State>,
  names: readonly (keyof State & string)[],
  changed: (name: keyof State & string) => void,
): () => void {
  const callbacks = names.map((name) => [`change:${name}`, () => changed(name)] as const);
  for (const [event, callback] of callbacks) model.on(event, callback);
  return () => {
    for (const [event, callback] of callbacks) model.off(event, callback);
  };
}
