// DeviationExplorer: two drawings under tiles, in which a dragged range or box filters.

import { codeButton, count, element, open, plural, shape } from "./base.js";
import { density, hatches, histogram, squareKey, swatch } from "./drawing.js";
import { brush } from "./brush.js";
import { mean, tiles } from "./tiles.js";

const HISTOGRAM_HEIGHT = 330;
const DENSITY_HEIGHT = 350;
const FIELDS = { difference: "Difference", user_score: "User score", ai_score: "AI score" };

function rangeWords([low, high]) {
  return low === null ? `up to ${high}` : high === null ? `${low} or more` : `${low} to ${high}`;
}

function binWords({ first, step }, bin) {
  return `${first + bin * step} to ${first + (bin + 1) * step}`;
}

/** Fields from and to for one column; a range is sent as soon as it makes sense. */
function rangeFields(column, send) {
  const hint = element("span", { class: "ak-hint", role: "alert" });
  const [from, to] = ["from", "to"].map((end) =>
    element("input", { class: "ak-input ak-number", type: "number", step: "any", "aria-label": `${FIELDS[column]} ${end}` }),
  );
  const node = element("div", { class: "ak-label ak-range" }, element("span", {}, FIELDS[column]), from, "to", to, hint);
  let edited = false;

  function read() {
    const [low, high] = [from, to].map((field) => (field.value === "" ? null : Number(field.value)));
    if (from.validity.badInput || to.validity.badInput) hint.textContent = "Give a number.";
    else if (low !== null && high !== null && low > high) hint.textContent = `${low} is above ${high}.`;
    else return { range: low === null && high === null ? null : [low, high] };
    return null;
  }

  function commit() {
    if (!edited) return;
    hint.textContent = "";
    const value = read();
    if (value === null) return;
    edited = false;
    send({ [column]: value.range });
  }

  node.addEventListener("input", () => (edited = true));
  node.addEventListener("change", commit);
  node.addEventListener("keydown", (event) => {
    if (event.key === "Enter") commit(); // a notebook may keep Enter from making it a change
  });

  function show(range) {
    if (edited && node.contains(document.activeElement)) return;
    edited = false;
    hint.textContent = "";
    from.value = range?.[0] ?? "";
    to.value = range?.[1] ?? "";
  }

  function empty() {
    edited = false;
    show(null);
  }
  return { node, show, empty };
}

/** Ask for conditions one message at a time; of those that come meanwhile the last of each column is asked. */
function oneAtATime(frame, onIdle) {
  let next = null;
  let busy = false;
  return async (conditions, passing = false) => {
    next = { do: "brush", conditions: { ...next?.conditions, ...conditions }, passing: passing && (next?.passing ?? true) };
    if (busy) return;
    busy = true;
    while (next !== null) {
      const question = next;
      next = null;
      await frame.ask(question);
    }
    busy = false;
    onIdle();
  };
}

/**
 * @param columns what a drag asks for
 * @param draw gives scales and nodes for a width
 * @param describe gives a sentence about what is drawn
 * @param hover gives words about a place in the drawing
 */
function view(frame, { title, columns, what, height, draw, describe, hover }) {
  const drawing = shape("g", {});
  const svg = shape("svg", { class: "ak-plot", height, role: "img" }, drawing);
  const advice = `Drag a ${what} to filter, double-click to clear.`;
  const readout = element("p", { class: "ak-quiet ak-readout" }, advice);
  const holder = element("div", {}, svg);
  const ask = oneAtATime(frame, () => tool.settle());
  const fields = columns.map((name) => rangeFields(name, ask));
  const clearButton = element("button", { type: "button", class: "ak-button", onclick: clear }, `Clear ${what}`);
  const key = element("div", { class: "ak-bar ak-key" });
  const node = element(
    "section",
    { class: "ak-view", "aria-label": title, tabindex: "-1" },
    element("h4", { class: "ak-title" }, title),
    holder,
    readout,
    element("div", { class: "ak-bar" }, ...fields.map((one) => one.node), clearButton),
    key,
  );
  let counts = null;
  let plot = null;

  function clear() {
    fields.forEach((one) => one.empty());
    ask(Object.fromEntries(columns.map((name) => [name, null])));
  }

  const tool = brush(svg, {
    columns,
    plot: () => plot,
    asked: () => counts.asked,
    onDrag(conditions, passing) {
      const said = columns.filter((name) => conditions[name]).map((name) => `${FIELDS[name]} ${rangeWords(conditions[name])}`);
      readout.textContent = said.join(", ") || advice;
      ask(conditions, passing);
    },
    onClear: clear,
    onHover: (...place) => (readout.textContent = place[0] === null || counts.total === 0 ? advice : hover(counts, ...place)),
  });

  svg.addEventListener("pointerdown", () => node.focus({ preventScroll: true })); // so that Escape comes here
  node.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    if (!tool.cancel()) clear();
  });

  function redraw() {
    const width = holder.clientWidth;
    if (counts === null || width < 100) return;
    plot = draw(width, counts);
    svg.setAttribute("width", width);
    svg.setAttribute("aria-label", describe(counts));
    drawing.replaceChildren(...plot.nodes);
    tool.draw();
  }

  function show(now) {
    counts = now;
    columns.forEach((name, at) => fields[at].show(counts.asked[name]));
    clearButton.disabled = !columns.some((name) => counts.asked[name]);
    redraw();
  }

  const sizes = new ResizeObserver(redraw);
  sizes.observe(holder);
  return { node, key, show, close: () => sizes.disconnect() };
}

function differenceView(frame, id, tolerance) {
  return view(frame, {
    title: "Difference of the scores",
    columns: ["difference"],
    what: "range",
    height: HISTOGRAM_HEIGHT,
    draw: (width, counts) => histogram(id, width, HISTOGRAM_HEIGHT, counts.histogram, tolerance()),
    describe(counts) {
      const sums = counts.histogram.context.map((_, bin) => sumAt(counts.histogram, bin));
      const most = Math.max(...sums);
      const fullest = most ? `; most between ${binWords(counts.histogram, sums.indexOf(most))} points (${count(most)})` : "";
      const types = Object.entries(counts.types).map(([name, number]) => `${name} ${count(number)}`);
      return `Histogram of user score minus AI score: ${plural(counts.shown, "result")}, ${types.join(", ")}${fullest}.`;
    },
    hover({ histogram: data }, points) {
      const bin = binAt(data, data.context.length, points);
      const types = Object.entries(data.types).filter(([, numbers]) => numbers[bin]);
      const parts = types.map(([name, numbers]) => `${name} ${count(numbers[bin])}`);
      return `${binWords(data, bin)} points: ${plural(sumAt(data, bin), "result")}${parts.length ? ` (${parts.join(", ")})` : ""}`;
    },
  });
}

function scoreView(frame, tolerance) {
  return view(frame, {
    title: "User score over AI score",
    columns: ["ai_score", "user_score"],
    what: "box",
    height: DENSITY_HEIGHT,
    draw: (width, counts) => density(width, DENSITY_HEIGHT, counts.density, tolerance()),
    describe({ density: data, shown }) {
      const cells = data.shown.flat();
      const most = Math.max(...cells);
      const [user, ai] = [Math.floor(cells.indexOf(most) / data.shown.length), cells.indexOf(most) % data.shown.length];
      const fullest = most ? `; most at user score ${binWords(data, user)}, AI score ${binWords(data, ai)} (${count(most)})` : "";
      return `Density of user score over AI score: ${plural(shown, "result")}${fullest}.`;
    },
    hover({ density: data }, ai, user) {
      const [row, column] = [user, ai].map((points) => binAt(data, data.shown.length, points));
      return `User ${binWords(data, row)}, AI ${binWords(data, column)} points: ${plural(data.shown[row][column], "result")}`;
    },
  });
}

function binAt({ first, step }, bins, points) {
  return Math.min(bins - 1, Math.max(0, Math.floor((points - first) / step)));
}

function sumAt(data, bin) {
  return Object.values(data.types).reduce((sum, numbers) => sum + numbers[bin], 0);
}

function render({ model, el }) {
  const frame = open(model, el, "explorer");
  const id = `ak${Math.random().toString(36).slice(2)}`;
  const tolerance = () => model.get("tolerance");
  const code = codeButton(frame);
  const clearAll = element(
    "button",
    { type: "button", class: "ak-button", onclick: () => frame.ask({ do: "clear" }) },
    "Clear filter",
  );
  const asked = element("span", { class: "ak-quiet ak-asked" });
  const spoken = element("p", { class: "ak-unseen", role: "status" });
  const note = element("p", { class: "ak-sentence", hidden: true });
  const numbers = tiles(id);
  const views = [differenceView(frame, id, tolerance), scoreView(frame, tolerance)];

  function key(counts) {
    const bands = tolerance().map((points) => `±${points}`).join(", ");
    const lines = bands ? `dashed lines: ${bands} points; ` : "";
    const [range, box] = views;
    range.key.replaceChildren(
      ...Object.keys(counts.histogram.types).map((name) => element("span", { class: "ak-label" }, swatch(id, name), name)),
      element("span", { class: "ak-quiet" }, `${lines}outline: also outside the range`),
    );
    box.key.replaceChildren(
      ...squareKey(counts.density.levels),
      element("span", { class: "ak-quiet" }, `results a square; solid line: equal scores; ${lines}outline: also outside the box`),
    );
  }

  function show() {
    const counts = model.get("counts");
    const { shown, total, undrawn } = counts;
    numbers.show(counts);
    views.forEach((one) => one.show(counts));
    key(counts);
    clearAll.disabled = !counts.filter;
    asked.textContent = counts.filter ? `Filter: ${counts.filter}` : "";
    spoken.textContent = `${count(shown)} of ${plural(total, "result")}, mean difference ${mean(counts.bias, true)}`;
    note.textContent =
      total === 0
        ? "There are no results here."
        : shown === 0
          ? `No result passes the filter. Clear the filter to see all ${count(total)}.`
          : `${plural(undrawn, "result")} without a score: counted, not drawn.`;
    note.hidden = shown > 0 && undrawn === 0;
  }

  frame.fill(
    hatches(id),
    element(
      "div",
      { class: "ak-bar" },
      element("h3", { class: "ak-title" }, "Deviations"),
      asked,
      element("span", { class: "ak-spring" }),
      clearAll,
      code.button,
    ),
    code.dialog,
    numbers.node,
    note,
    element("div", { class: "ak-views" }, ...views.map((one) => one.node)),
    spoken,
  );
  frame.watch(["counts", "tolerance"], show);
  return () => {
    views.forEach((one) => one.close());
    frame.close();
  };
}

export default { render };
