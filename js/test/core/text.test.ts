import { expect, test } from "vitest";
import { bare, isolated, labelParts, tokenElement } from "../../src/core/labels";
import { substitute } from "../../src/core/template";

test.each(["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "&amp;", "שלום", "⟨E2 80⟩", "␣␣", ""])(
  "the token %s is text and nothing else",
  (label) => {
    const element = tokenElement(label);
    expect(element.textContent).toBe(label);
    expect(element.querySelector(":not(span.iw-mark)")).toBeNull();
    expect(element.tagName).toBe("BDI");
  },
);

test("marks are told from text", () => {
  expect(labelParts("␣a↵⟨E2 80⟩b")).toEqual([
    { text: "␣", mark: true },
    { text: "a", mark: false },
    { text: "↵", mark: true },
    { text: "⟨E2 80⟩", mark: true },
    { text: "b", mark: false },
  ]);
});

test("a token in a sentence loses its space, unless it is one", () => {
  expect(["␣Mary", "Mary", "␣", "␣␣"].map(bare)).toEqual(["Mary", "Mary", "␣", "␣␣"]);
});

test("only what could reorder its neighbours is isolated", () => {
  expect(isolated("␣Mary")).toBe("␣Mary");
  expect(isolated("␣שלום")).toBe("\u2068␣שלום\u2069");
});

test("templates fill in as Python's string.Template does", () => {
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is a template of Python, not of JavaScript
  expect(substitute("h[$layer] ${layer}th $$5 $unknown $", { layer: "3" })).toBe("h[3] 3th $5 $unknown $");
  expect(substitute("$a", { a: "$b", b: "no" })).toBe("$b");
});
