/** Loads an ES module from its source. Some frames refuse those from blob URLs; data URLs are slower but work there. */
export async function loadModule(source: string): Promise<unknown> {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  try {
    return await import(url);
  } catch {
    return await import(`data:text/javascript;charset=utf-8,${encodeURIComponent(source)}`);
  } finally {
    URL.revokeObjectURL(url);
  }
}
