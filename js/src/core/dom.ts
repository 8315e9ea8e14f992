type Attribute = string | number | boolean | null | undefined;
type Child = Node | string | null | false;

/** Makes an element. Strings become text nodes and nothing else: token text is data, never markup. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  attributes: Record<string, Attribute> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  setAttributes(element, attributes);
  fill(element, ...children);
  return element;
}

export function setAttributes(element: Element, attributes: Record<string, Attribute>): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
}

export function fill(element: Element, ...children: Child[]): void {
  element.replaceChildren(...children.filter((child) => child !== null && child !== false));
}

/** Tells whether any of `next` differs from the last call, so that a part redraws only for what it shows. */
export function changeDetector(): (...next: unknown[]) => boolean {
  let last: unknown[] | null = null;
  return (...next) => {
    const before = last;
    last = next;
    return before === null || before.length !== next.length || next.some((value, i) => !Object.is(value, before[i]));
  };
}
