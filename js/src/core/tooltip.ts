import { fill, h } from "./dom";

// In a narrower frame a note beside a cell would lie on most of its row.
const NARROW = 560;

/** A note beside what the pointer is on. Screen readers get the same words from the cell itself. */
export class Tooltip {
  readonly element = h("div", { class: "iw-tooltip", "aria-hidden": "true", hidden: true });

  /**
   * Shows content beside a box, inside the frame that the tooltip is placed in. Where there is no room at its sides the
   * content goes above or below all that the box is a part of, so that the neighbours stay in sight.
   */
  show(content: Node[], beside: DOMRect, all: DOMRect, frame: HTMLElement): void {
    fill(this.element, ...content);
    this.element.hidden = false;
    const outer = frame.getBoundingClientRect();
    const own = this.element.getBoundingClientRect();
    const gap = 10;
    const right = beside.right + gap;
    const wide = outer.width >= NARROW;
    const fitsRight = wide && right + own.width <= outer.right;
    const fitsLeft = wide && beside.left - gap - own.width >= outer.left;
    let left = fitsRight || !fitsLeft ? right : beside.left - gap - own.width;
    // Not far from the edge of all, beyond it no neighbour is covered.
    const beyond = all.right + gap;
    if (fitsRight && all.right - beside.right < own.width && beyond + own.width <= outer.right) left = beyond;
    let top = beside.top + beside.height / 2 - own.height / 3;
    if (!fitsRight && !fitsLeft) {
      left = beside.left + beside.width / 2 - own.width / 2;
      const above = Math.max(outer.top, 0);
      const near = 2 * Math.max(beside.height, gap);
      if (all.top - gap - own.height >= above) top = all.top - gap - own.height;
      else if (all.bottom + gap + own.height <= Math.min(outer.bottom, innerHeight)) top = all.bottom + gap;
      else top = beside.top - near - own.height < above ? beside.bottom + near : beside.top - near - own.height;
    }
    left = Math.max(outer.left + 4, Math.min(left, outer.right - own.width - 4));
    top = Math.max(outer.top + 4, Math.min(top, outer.bottom - own.height - 4));
    this.element.style.left = `${Math.round(left - outer.left - frame.clientLeft)}px`;
    this.element.style.top = `${Math.round(top - outer.top - frame.clientTop)}px`;
  }

  hide(): void {
    this.element.hidden = true;
  }
}
