// A range or a box that is dragged over a drawing.

import { shape } from "./base.js";

const SHORTEST = 4; // pixels: less is a click

/** What was dragged, as points with one decimal; open at the border, beyond which nothing lies. */
function ends(scale, from, to) {
  if (Math.abs(to - from) < SHORTEST) return null;
  const [low, high] = [scale.back(from), scale.back(to)].sort((a, b) => a - b).map((value) => Math.round(value * 10) / 10);
  const range = [low <= scale.low ? null : low, high >= scale.high ? null : high];
  return range.some((end) => end !== null) ? range : null;
}

/**
 * Let the pointer drag over `svg`.
 *
 * @param columns the names of the columns on the x axis and, for a box, on the y axis
 * @param plot gives the scales `x` and `y` of what is drawn
 * @param asked gives what is asked of the columns now
 * @param onDrag called with the conditions, and whether the pointer is still down
 * @param onHover called with the place under the pointer, in points on both axes, or null
 */
export function brush(svg, { columns, plot, asked, onDrag, onClear, onHover }) {
  const overlay = shape("rect", { class: "ak-brush" });
  let start = null;
  let dragged = null;
  let before = {};
  svg.append(overlay);

  function place(event) {
    const { x, y } = plot();
    const corner = svg.getBoundingClientRect();
    return [within(x, event.clientX - corner.left), within(y, event.clientY - corner.top)];
  }

  function conditions([fromX, fromY], [toX, toY]) {
    const { x, y } = plot();
    const both = [ends(x, fromX, toX), ends(y, fromY, toY)];
    return Object.fromEntries(columns.map((name, at) => [name, both[at]]));
  }

  function draw() {
    const { x, y } = plot();
    const now = dragged ?? asked();
    const [across, up] = [now[columns[0]], columns[1] && now[columns[1]]];
    overlay.toggleAttribute("hidden", !across && !up);
    const [left, right] = span(x, across);
    const [top, bottom] = span(y, up);
    const box = { x: left, y: top, width: Math.max(1, right - left), height: Math.max(1, bottom - top) };
    for (const [name, value] of Object.entries(box)) overlay.setAttribute(name, value);
  }

  function stop() {
    start = null;
    dragged = null;
    draw();
  }

  /** Give up what is being dragged, and what was asked on the way; false if nothing is. */
  function cancel() {
    if (start === null) return false;
    const dragging = dragged !== null;
    stop();
    if (dragging) onDrag(before, false);
    return dragging;
  }

  svg.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    start = place(event);
    dragged = null;
    before = Object.fromEntries(columns.map((name) => [name, asked()[name] ?? null]));
    svg.setPointerCapture(event.pointerId);
  });
  svg.addEventListener("pointermove", (event) => {
    const now = place(event);
    if (start === null) {
      onHover(plot().x.back(now[0]), plot().y.back(now[1]));
    } else if (dragged !== null || columns.some((name, at) => Math.abs(now[at] - start[at]) >= SHORTEST)) {
      dragged = conditions(start, now);
      draw();
      onDrag(dragged, true);
    }
  });
  svg.addEventListener("pointerup", () => {
    if (start !== null && dragged !== null) onDrag(dragged, false);
    else draw();
    start = null;
  });
  svg.addEventListener("pointercancel", cancel);
  svg.addEventListener("pointerleave", () => {
    if (start === null) onHover(null);
  });
  svg.addEventListener("dblclick", onClear);

  return {
    draw,
    /** Python has answered: what is asked now is what holds, unless the pointer is still down. */
    settle() {
      if (start === null) stop();
    },
    cancel,
  };
}

function within(scale, pixel) {
  const [a, b] = [scale.at(scale.low), scale.at(scale.high)];
  return Math.min(Math.max(pixel, Math.min(a, b)), Math.max(a, b));
}

/** The pixels between two values, those of the whole axis where an end is open. */
function span(scale, range) {
  const [low, high] = range ?? [null, null];
  return [within(scale, scale.at(low ?? scale.low)), within(scale, scale.at(high ?? scale.high))].sort((a, b) => a - b);
}
