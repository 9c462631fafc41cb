// The tiles over the drawings: how many results, their means, a ring and a legend of types and of actions.

import { count, element } from "./base.js";
import { ring, swatch } from "./drawing.js";

function decimal(value, digits = 2) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** A mean in points, with its sign if it has one. */
export function mean(value, signed = false) {
  if (value === null) return "–";
  const rounded = Math.round(value * 100) / 100 || 0;
  return `${signed && rounded > 0 ? "+" : ""}${decimal(rounded)} points`;
}

function share(number, total) {
  if (total === 0) return "–";
  const percent = (100 * number) / total;
  if (number > 0 && percent < 0.05) return "< 0.1 %";
  return number < total && percent >= 99.95 ? "> 99.9 %" : `${decimal(percent, 1)} %`;
}

function tile(label, note) {
  const value = element("span", { class: "ak-figure" });
  const node = element("div", { class: "ak-tile" }, element("span", {}, label), value, element("span", { class: "ak-quiet" }, note));
  return { node, show: (words) => (value.textContent = words) };
}

function ringTile(id, label) {
  const drawing = element("div", {});
  const legend = element("table", { class: "ak-legend" });
  const node = element("div", { class: "ak-tile ak-ring" }, element("span", {}, label), drawing, legend);

  function show(numbers, total) {
    drawing.replaceChildren(ring(id, numbers));
    legend.replaceChildren(
      element("caption", { class: "ak-unseen" }, `${label}: results and their share`),
      ...Object.entries(numbers).map(([name, number]) =>
        element(
          "tr",
          { "data-apart": name === "undecided" },
          element("th", { scope: "row" }, swatch(id, name), name),
          element("td", {}, count(number)),
          element("td", {}, share(number, total)),
        ),
      ),
    );
  }
  return { node, show };
}

/** @param id what the ids of the hatches begin with */
export function tiles(id) {
  const results = tile("Results", "pass the filter");
  const bias = tile("Mean difference (bias)", "user − AI");
  const deviation = tile("Mean absolute deviation", "|user − AI|, as recorded");
  const types = ringTile(id, "Deviation types");
  const actions = ringTile(id, "Actions taken");
  const node = element(
    "div",
    { class: "ak-tiles" },
    element("div", { class: "ak-numbers" }, results.node, bias.node, deviation.node),
    types.node,
    actions.node,
  );

  function show(counts) {
    results.show(`${count(counts.shown)} of ${count(counts.total)}`);
    bias.show(mean(counts.bias, true));
    deviation.show(mean(counts.mean_absolute_deviation));
    types.show(counts.types, counts.shown);
    actions.show({ ...counts.actions, undecided: counts.undecided }, counts.shown);
  }
  return { node, show };
}
