// The drawings of the explorer: scales, hatches, a histogram, a density, a ring.

import { count, element, plural, shape } from "./base.js";

const HATCHES = { none: "dots", minor: "slant", major: "lines", allow: "dots", flag_for_review: "slant", escalate: "lines" };
const STROKES = { dots: "M1 1h1.5v1.5h-1.5z", slant: "M-1 1L1 -1M0 4L4 0M3 5L5 3", lines: "M0 1.5h4" };
const RING = { size: 92, outer: 44, inner: 27 };
const SMALLEST = 0.35;

/** The hatches, one for each name; solid and hollow ones need none. Ids are unique in the page. */
export function hatches(id) {
  const patterns = Object.entries(HATCHES).map(([name, kind]) =>
    shape(
      "pattern",
      { id: `${id}-${name}`, ...ink(name), width: 4, height: 4, patternUnits: "userSpaceOnUse" },
      shape("path", { d: STROKES[kind], class: `ak-hatch-${kind}` }),
    ),
  );
  return shape("svg", { class: "ak-hatches", width: 0, height: 0, "aria-hidden": "true" }, shape("defs", {}, ...patterns));
}

function ink(name) {
  return { class: "ak-ink", style: `--ak-ink:var(--ak-${name},var(--ak-undecided))` };
}

function inked(id, name, d) {
  const hollow = name === "undecided" || name === "missing";
  const fill = HATCHES[name] ? `url(#${id}-${name})` : hollow ? "none" : "currentColor";
  return shape("path", { d, fill, ...ink(name), "data-hollow": hollow });
}

export function swatch(id, name) {
  return shape("svg", { width: 16, height: 12, "aria-hidden": "true" }, inked(id, name, box(0.5, 0.5, 15, 11)));
}

/** Points to pixels and back. */
function scale(low, high, from, to) {
  const slope = (to - from) / (high - low);
  return { low, high, at: (value) => from + (value - low) * slope, back: (pixel) => low + (pixel - from) / slope };
}

function ticks(low, high, about) {
  const rough = Math.max(1, (high - low) / Math.max(2, about));
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough && Number.isInteger(size));
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.floor(high / step) - first + 1 }, (_, at) => (first + at) * step);
}

function box(x, y, width, height) {
  return `M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}z`;
}

function round(pixels) {
  return Math.round(pixels * 100) / 100;
}

function line(x1, y1, x2, y2, name) {
  return shape("line", { x1: round(x1), y1: round(y1), x2: round(x2), y2: round(y2), class: name });
}

function text(x, y, words, anchor = "middle") {
  return shape("text", { x: round(x), y: round(y), "text-anchor": anchor }, words);
}

/** Both axes of a plot: lines, numbers, names. */
function axes(plot, xName, yName, left, right) {
  const { x, y } = plot;
  const [x0, x1, y0, y1] = [x.at(x.low), x.at(x.high), y.at(y.low), y.at(y.high)];
  return [
    ...ticks(y.low, y.high, (y0 - y1) / 40).flatMap((value) => [
      line(x0, y.at(value), x1, y.at(value), "ak-gridline"),
      text(x0 - 5, y.at(value) + 4, count(value), "end"),
    ]),
    ...ticks(x.low, x.high, (x1 - x0) / 48).flatMap((value) => [
      line(x.at(value), y0, x.at(value), y0 + 4, "ak-axis"),
      text(x.at(value), y0 + 16, count(value)),
    ]),
    line(x0, y0, x1, y0, "ak-axis"),
    text((x0 + x1) / 2, y0 + 33, xName),
    text(0, 11, yName, "start"),
    text(x0, y0 + 33, left, "start"),
    text(x1, y0 + 33, right, "end"),
  ];
}

/** Differences: an outline of all results without the range, and those that pass, hatched by type. */
export function histogram(id, width, height, data, tolerance) {
  const bins = data.context.length;
  const high = data.first + bins * data.step;
  const most = Math.max(1, ...data.context);
  const x = scale(data.first, high, 10 + 8 * count(most).length, width - 12);
  const y = scale(0, most, height - 40, 20);
  const plot = { x, y };
  const wide = x.at(data.step) - x.at(0);
  const names = Object.keys(data.types);
  const paths = new Map(names.map((name) => [name, ""]));
  let outline = "";
  for (let bin = 0; bin < bins; bin += 1) {
    const left = x.at(data.first + bin * data.step);
    if (data.context[bin]) outline += bar(left, 0, data.context[bin], 0);
    let below = 0;
    for (const name of names) {
      const number = data.types[name][bin];
      if (number) paths.set(name, paths.get(name) + bar(left, below, below + number, 0.5));
      below += number;
    }
  }

  function bar(left, from, to, inset) {
    const top = Math.min(y.at(to), y.at(from) - 2); // a single result among very many is still there
    return box(left + inset + 0.5, top, wide - 1 - 2 * inset, y.at(from) - top);
  }

  const marks = tolerance.flatMap((points) => [-points, points]).filter((points) => points > x.low && points < x.high);
  const nodes = [
    ...axes(plot, "user − AI, points", "results", "← AI higher", "user higher →"),
    shape("path", { d: outline, class: "ak-context" }),
    ...names.map((name) => inked(id, name, paths.get(name))),
    line(x.at(0), y.at(0), x.at(0), 16, "ak-equal"),
    ...marks.map((points) => line(x.at(points), y.at(0), x.at(points), 16, "ak-tolerance")),
  ];
  return { ...plot, nodes };
}

/** User over AI scores: squares that grow with the count, the line of equal scores, lines beside it. */
export function density(width, height, data, tolerance) {
  const side = data.shown.length;
  const high = data.first + side * data.step;
  const room = Math.min(width - 50, height - 60);
  const x = scale(data.first, high, 42, 42 + room);
  const y = scale(data.first, high, 20 + room, 20);
  const wide = room / side;
  const sizes = squareSizes(data.levels.length, wide);
  const context = sizes.map(() => "");
  const shown = sizes.map(() => "");
  data.shown.forEach((row, user) =>
    row.forEach((number, ai) => {
      const around = Number(data.context[user][ai]);
      if (around) context[around - 1] += square(user, ai, sizes[around - 1] - 1);
      const level = data.levels.filter((least) => least <= number).length;
      if (level) shown[level - 1] += square(user, ai, sizes[level - 1]);
    }),
  );

  function square(user, ai, size) {
    const centre = (at) => data.first + (at + 0.5) * data.step;
    return box(x.at(centre(ai)) - size / 2, y.at(centre(user)) - size / 2, size, size);
  }

  const beside = (points) => {
    const [from, to] = [Math.max(x.low, x.low - points), Math.min(x.high, x.high - points)];
    return line(x.at(from), y.at(from + points), x.at(to), y.at(to + points), points ? "ak-tolerance" : "ak-equal");
  };
  const drawn = tolerance.filter((points) => points < x.high - x.low);
  const nodes = [
    ...axes({ x, y }, "AI score, points", "user score, points", "", ""),
    ...context.filter(Boolean).map((d) => shape("path", { d, class: "ak-context" })),
    ...shown.filter(Boolean).map((d) => shape("path", { d, class: "ak-density" })),
    ...[0, ...drawn, ...drawn.map((points) => -points)].map(beside),
  ];
  return { x, y, nodes };
}

function squareSizes(levels, wide) {
  return Array.from({ length: levels }, (_, at) =>
    round(wide * (levels === 1 ? 0.7 : SMALLEST + ((0.95 - SMALLEST) * at) / (levels - 1))),
  );
}

/** What the squares of each size stand for. */
export function squareKey(levels) {
  const sizes = squareSizes(levels.length, 10);
  return levels.map((least, at) => {
    const d = box(5 - sizes[at] / 2, 5 - sizes[at] / 2, sizes[at], sizes[at]);
    const square = shape("path", { d, class: "ak-density" });
    const drawn = shape("svg", { width: 10, height: 10, "aria-hidden": "true" }, square);
    return element("span", { class: "ak-label" }, drawn, levelWords(least, levels[at + 1]));
  });
}

function levelWords(least, next) {
  if (next === undefined) return least === 1 ? "1" : `${count(least)} or more`;
  return next - 1 > least ? `${count(least)}–${count(next - 1)}` : count(least);
}

/** A ring of counts; the legend beside it has the numbers. */
export function ring(id, numbers) {
  const { size, outer, inner } = RING;
  const total = Object.values(numbers).reduce((sum, number) => sum + number, 0);
  const middle = size / 2;
  let turned = 0;
  const pieces = Object.entries(numbers)
    .filter(([, number]) => number > 0)
    .map(([name, number]) => {
      const [from, to] = [turned / total, (turned += number) / total];
      return inked(id, name, slice(from, Math.max(to, from + 0.003)));
    });
  if (total === 0) pieces.push(shape("circle", { cx: middle, cy: middle, r: inner, class: "ak-context" }));
  return shape(
    "svg",
    { width: size, height: size, role: "img", "aria-label": `Ring of ${plural(total, "result")}` },
    ...pieces,
  );

  function slice(from, to) {
    const end = Math.min(to, from + 0.9999); // an arc from a point to itself is none
    const at = (turn, radius) => {
      const angle = 2 * Math.PI * (turn - 0.25);
      return `${round(middle + radius * Math.cos(angle))} ${round(middle + radius * Math.sin(angle))}`;
    };
    const large = end - from > 0.5 ? 1 : 0;
    return (
      `M${at(from, outer)}A${outer} ${outer} 0 ${large} 1 ${at(end, outer)}` +
      `L${at(end, inner)}A${inner} ${inner} 0 ${large} 0 ${at(from, inner)}z`
    );
  }
}
