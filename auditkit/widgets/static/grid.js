// A grid of which only the rows in sight are in the page: Python sorts, filters and marks, and gives rows by number.

import { announce, copied, count, element, placeBelow, plural } from "./base.js";
import { filterDialog } from "./filters.js";

const ROW = 28;
const MARK_WIDTH = 34;
const NARROWEST = 48;
const HEAD = 40;
const BAR = 18; // room for a horizontal scroll bar
const FEW = 11; // with fewer rows the grid is only as tall as they are
const FEWEST = 3;
const PAGE = 100;
const KEPT_PAGES = 20;
const TALLEST = 8_000_000; // browsers cut an element off at some 16 million pixels
const HEADER = -1;
const KEYS = [
  ["Arrows, Page Up, Page Down, Home, End", "move; with Ctrl to the first or last row"],
  ["Space", "select the row or take it back"],
  ["Shift with Up, Down, Page Up, Page Down", "select rows on the way"],
  ["Ctrl+A, Escape", "select all rows shown, or none"],
  ["Ctrl+C", "copy the selected rows as tab-separated text"],
  ["Enter", "on a row its details; on a column header, sort by it"],
  ["Alt+Down", "on a column header, filter it"],
  ["Alt+Left, Alt+Right, Delete", "on a column header, make it narrower, wider, or hide it"],
];
const SYMBOLS = { none: "○", minor: "◔", major: "◑", critical: "●" };

/**
 * @param frame what `open` gave
 * @param model the widget's model
 * @param onOpen called with the number of a row that is to be shown in detail
 * @param onMove called with the number of the row that became active
 */
export function grid(frame, model, { onOpen = () => {}, onMove = () => {} } = {}) {
  const id = `ak${Math.random().toString(36).slice(2)}`;
  const pages = new Map();
  const active = { row: 0, column: 0 };
  let anchor = 0;
  let state = model.get("_state");
  let columns = [];
  let offset = 0; // pixels above the first row in sight, as if the page could be as tall as all rows
  let asking = false;
  let drawnChips = "";

  const head = element("div", { class: "ak-head", role: "row", "aria-rowindex": "1" });
  const body = element("div", { class: "ak-body", role: "rowgroup" });
  const scroller = element("div", { class: "ak-scroll", role: "presentation", tabindex: "-1" }, head, body);
  const empty = element("p", { class: "ak-empty", hidden: true });
  const table = element(
    "div",
    { class: "ak-grid", role: "grid", tabindex: "0", "aria-multiselectable": "true", "aria-describedby": `${id}-keys` },
    scroller,
    empty,
  );
  const chips = element("div", { class: "ak-bar ak-chips", role: "group", "aria-label": "Filters in force" });
  const status = element("span", { class: "ak-status", role: "status" });
  const said = element("span", { class: "ak-quiet", role: "status" });
  const columnList = element("div", { class: "ak-popover", role: "group", "aria-label": "Columns", popover: "auto" });
  const columnButton = element(
    "button",
    { type: "button", class: "ak-button", "aria-expanded": "false", onclick: showColumns },
    "Columns",
  );
  const keys = element(
    "details",
    { class: "ak-keys" },
    element("summary", {}, "Keyboard"),
    element(
      "dl",
      { id: `${id}-keys` },
      ...KEYS.flatMap(([key, use]) => [element("dt", {}, key), element("dd", {}, use)]),
    ),
  );
  const dialog = filterDialog(frame, (form) => focusAgain(table, form));


  function visibleColumns() {
    const hidden = new Set(model.get("hidden"));
    return model.get("_columns").filter((column) => !hidden.has(column.name));
  }

  function widthOf(column) {
    return model.get("_widths")[column.name] ?? column.width;
  }

  function tallness() {
    return state.shown * ROW;
  }

  function inSight() {
    return Math.max(ROW, scroller.clientHeight - head.offsetHeight);
  }

  function longestOffset() {
    return Math.max(0, tallness() - inSight());
  }

  /** Pixels that the scroll bar moves for all rows: fewer than they are tall once they are very many. */
  function barLength() {
    return Math.min(tallness(), TALLEST) - inSight();
  }

  function drawHead() {
    columns = visibleColumns();
    const total = columns.reduce((sum, column) => sum + widthOf(column), MARK_WIDTH);
    scroller.style.setProperty("--ak-width", `${total}px`);
    head.replaceChildren(element("div", { class: "ak-cell ak-mark", role: "columnheader", "aria-label": "Selected" }));
    columns.forEach((column, at) => head.append(headCell(column, at)));
    table.setAttribute("aria-colcount", String(columns.length + 1));
    drawActive();
  }

  function headCell(column, at) {
    const [name, direction] = state.sort ?? [];
    const sorted = name === column.name ? direction : "none";
    const arrow = { ascending: "↑", descending: "↓", none: "" }[sorted];
    const asked = state.asked[column.name];
    const cell = element(
      "div",
      {
        class: "ak-cell ak-headcell",
        role: "columnheader",
        id: `${id}-h${at}`,
        "aria-sort": sorted,
        "aria-colindex": String(at + 2),
        "aria-label": column.label + (asked ? `, filtered: ${asked.words}` : ""),
        style: `width:${widthOf(column)}px`,
        "data-numeric": column.numeric,
        title: `${column.label}: sort`,
        onclick: () => sortBy(column, at),
      },
      element("span", { class: "ak-headtext" }, column.label),
      element("span", { class: "ak-arrow", "aria-hidden": "true" }, arrow),
      element(
        "button",
        {
          type: "button",
          tabindex: "-1",
          class: "ak-funnel",
          "aria-label": `Filter ${column.label}`,
          "data-on": asked !== undefined,
          title: asked ? `${column.label}: ${asked.words}` : `Filter ${column.label}`,
          onclick: (event) => {
            event.stopPropagation();
            openFilter(column, at);
          },
        },
        asked ? "▼" : "▽",
      ),
      element("span", { class: "ak-grip", onpointerdown: (event) => dragWidth(event, column), onclick: stop }),
    );
    return cell;
  }

  function draw() {
    const first = Math.max(0, Math.floor(offset / ROW));
    const last = Math.min(state.shown, Math.ceil((offset + inSight()) / ROW) + 1);
    const above = scroller.scrollTop - offset;
    const rows = [];
    for (let row = first; row < last; row += 1) rows.push(rowElement(row, above + row * ROW));
    body.replaceChildren(...rows);
    drawActive();
    fetchRows(first, last);
  }

  function rowElement(row, top) {
    const page = pages.get(Math.floor(row / PAGE));
    const values = page?.cells[row % PAGE];
    const marked = page?.marked[row % PAGE] ?? false;
    const line = element("div", {
      class: "ak-row",
      role: "row",
      "aria-rowindex": String(row + 2),
      "aria-selected": String(marked),
      "aria-busy": values === undefined ? "true" : null,
      "data-row": String(row),
      style: `transform:translateY(${top}px)`,
    });
    line.append(element("div", { class: "ak-cell ak-mark", role: "gridcell" }, marked ? "☑" : "☐"));
    columns.forEach((column, at) => {
      const cell = element("div", {
        class: "ak-cell",
        role: "gridcell",
        id: `${id}-r${row}-c${at}`,
        "aria-colindex": String(at + 2),
        style: `width:${widthOf(column)}px`,
        "data-numeric": column.numeric,
        "data-column": String(at),
        dir: column.kind === "text" ? "auto" : null,
      });
      if (values !== undefined) fillCell(cell, column, values[page.names.indexOf(column.name)]);
      line.append(cell);
    });
    return line;
  }

  function fillCell(cell, column, value) {
    if (value === undefined) return;
    if (value === null || value === "") {
      cell.append(element("span", { class: "ak-missing" }, value === null ? "–" : "(empty)"));
      if (value === null) cell.setAttribute("aria-label", "missing");
    } else if (column.name === "deviation_type") {
      const symbol = element("span", { class: `ak-symbol ak-symbol-${value}`, "aria-hidden": "true" }, SYMBOLS[value] ?? "");
      cell.append(symbol, value);
    } else {
      cell.textContent = value;
    }
  }

  function drawActive() {
    for (const node of table.querySelectorAll(".ak-active")) node.classList.remove("ak-active");
    const cell =
      active.row === HEADER
        ? table.querySelector(`#${id}-h${active.column}`)
        : table.querySelector(`#${id}-r${active.row}-c${active.column}`);
    cell?.classList.add("ak-active");
    cell?.parentElement?.classList.add("ak-active");
    if (cell) table.setAttribute("aria-activedescendant", cell.id);
    else table.removeAttribute("aria-activedescendant");
  }

  function drawStatus() {
    const { shown, total, marked, hiddenMarks, noun, chosen, nothing } = state;
    const of = shown === total ? plural(total, noun) : `${count(shown)} of ${plural(total, noun)}`;
    const hidden = hiddenMarks ? ` (${count(hiddenMarks)} not shown)` : "";
    status.textContent = marked ? `${of}, ${count(marked)} ${chosen}${hidden}` : of;
    table.setAttribute("aria-label", state.label);
    table.setAttribute("aria-rowcount", String(shown + 1));
    empty.hidden = shown > 0;
    empty.textContent = total > 0 ? `No ${noun} passes the filters. Take one away to see more.` : nothing;
    const asked = Object.entries(state.asked).map(([name, { words }]) => chip(name, words));
    if (JSON.stringify(state.asked) !== drawnChips) {
      const focused = chips.contains(document.activeElement);
      chips.replaceChildren(...asked, ...(asked.length > 1 ? [clearButton()] : []));
      if (focused) (chips.querySelector("button") ?? table).focus();
      drawnChips = JSON.stringify(state.asked);
    }
    chips.hidden = asked.length === 0;
  }

  function chip(name, words) {
    const label = model.get("_columns").find((column) => column.name === name)?.label ?? name;
    return element(
      "button",
      {
        type: "button",
        class: "ak-chip",
        "aria-label": `Take away the filter ${label}: ${words}`,
        onclick: () => frame.ask({ do: "ask", column: name, value: null }),
      },
      `${label}: ${words}`,
      element("span", { "aria-hidden": "true" }, " ✕"),
    );
  }

  function clearButton() {
    const button = { type: "button", class: "ak-button", onclick: () => frame.ask({ do: "clear" }) };
    return element("button", button, "Clear all filters");
  }


  /** Ask for the pages in sight that are not here; what came into sight meanwhile is asked for afterwards. */
  async function fetchRows(first, last) {
    if (asking) return;
    const missing = [];
    for (let page = Math.floor(first / PAGE); page * PAGE < last; page += 1) {
      if (pages.get(page)?.version !== state.version) missing.push(page);
    }
    if (missing.length === 0) return;
    asking = true;
    const answer = await frame.ask({ do: "rows", first: missing[0] * PAGE, count: PAGE });
    asking = false;
    if (answer === null) return;
    if (columns.every((column) => answer.names.includes(column.name))) keepPage(missing[0], answer);
    draw();
  }

  function keepPage(page, answer) {
    pages.delete(page);
    pages.set(page, answer);
    if (pages.size > KEPT_PAGES) pages.delete(pages.keys().next().value);
  }

  function update() {
    const before = state;
    state = model.get("_state");
    const moved = before.layout !== state.layout;
    if (moved) {
      anchor = 0;
      active.row = Math.min(active.row, Math.max(0, state.shown - 1));
    }
    body.style.height = `${Math.min(tallness(), TALLEST)}px`;
    if (state.total < FEW) scroller.style.height = `${HEAD + Math.max(FEWEST, state.total) * ROW + BAR}px`;
    else if (before.total < FEW) scroller.style.height = "";
    drawHead();
    drawStatus();
    scrollTo(moved ? 0 : offset);
  }


  function scrollTo(pixels) {
    offset = Math.min(Math.max(0, pixels), longestOffset());
    const bar = longestOffset() > 0 ? (offset / longestOffset()) * barLength() : 0;
    scroller.scrollTop = bar;
    draw();
  }

  scroller.addEventListener("scroll", () => {
    const bar = longestOffset() > 0 ? (offset / longestOffset()) * barLength() : 0;
    if (Math.abs(bar - scroller.scrollTop) < 1) return;
    offset = barLength() > 0 ? (scroller.scrollTop / barLength()) * longestOffset() : 0;
    offset = Math.min(offset, longestOffset());
    requestAnimationFrame(draw);
  });

  scroller.addEventListener(
    "wheel",
    (event) => {
      if (tallness() <= TALLEST || event.ctrlKey || event.deltaY === 0) return;
      event.preventDefault(); // the bar's own step would jump over rows
      scrollTo(offset + (event.deltaMode === 0 ? event.deltaY : event.deltaY * ROW));
    },
    { passive: false },
  );

  function reveal() {
    if (active.row === HEADER) return;
    const top = active.row * ROW;
    if (top < offset) scrollTo(top);
    else if (top + ROW > offset + inSight()) scrollTo(top + ROW - inSight());
    const left = columns.slice(0, active.column).reduce((sum, column) => sum + widthOf(column), MARK_WIDTH);
    const right = left + (columns[active.column] ? widthOf(columns[active.column]) : 0);
    if (left - MARK_WIDTH < scroller.scrollLeft) scroller.scrollLeft = left - MARK_WIDTH;
    else if (right > scroller.scrollLeft + scroller.clientWidth) scroller.scrollLeft = right - scroller.clientWidth;
  }

  function moveTo(row, column = active.column) {
    active.row = Math.min(Math.max(HEADER, row), state.shown - 1);
    active.column = Math.min(Math.max(0, column), columns.length - 1);
    reveal();
    drawActive();
    if (active.row !== HEADER) onMove(active.row);
  }


  /** Mark rows by the layout in which they were drawn: they may be elsewhere by now. */
  function mark(first, last, how) {
    const { layout } = pages.get(Math.floor(last / PAGE)) ?? state;
    frame.ask({ do: "mark", first, last, how, layout });
  }

  function sortBy(column, at) {
    active.row = HEADER;
    active.column = at;
    const [name, direction] = state.sort ?? [];
    const first = column.numeric ? "descending" : "ascending";
    const second = column.numeric ? "ascending" : "descending";
    const next = name !== column.name ? first : direction === first ? second : null;
    frame.ask({ do: "sort", column: column.name, direction: next });
  }

  async function openFilter(column, at) {
    const cell = table.querySelector(`#${id}-h${at}`);
    await dialog.show(column, state.asked[column.name]?.value ?? null, cell);
  }

  function setWidth(column, width) {
    model.set("_widths", { ...model.get("_widths"), [column.name]: Math.max(NARROWEST, Math.round(width)) });
    model.save_changes();
  }

  function dragWidth(event, column) {
    const start = event.clientX - widthOf(column);
    const grip = event.currentTarget;
    const cell = grip.parentElement;
    event.preventDefault();
    grip.setPointerCapture(event.pointerId);
    grip.onpointermove = (move) => (cell.style.width = `${Math.max(NARROWEST, move.clientX - start)}px`);
    grip.onpointerup = (up) => setWidth(column, up.clientX - start);
  }

  function hide(column, hidden = true) {
    const names = model.get("hidden").filter((name) => name !== column.name);
    if (hidden && columns.length === 1) return;
    model.set("hidden", hidden ? [...names, column.name] : names);
    model.save_changes();
  }

  function showColumns() {
    const hidden = new Set(model.get("hidden"));
    const boxes = model.get("_columns").map((column) =>
      element(
        "label",
        { class: "ak-label" },
        element("input", {
          type: "checkbox",
          checked: !hidden.has(column.name),
          onchange: (event) => hide(column, !event.target.checked),
        }),
        column.label,
      ),
    );
    columnList.replaceChildren(...boxes);
    columnList.showPopover();
    placeBelow(columnList, columnButton);
    columnList.querySelector("input")?.focus();
  }

  async function copy() {
    const answer = await frame.ask({ do: "copy" });
    if (answer === null) return;
    if (answer.rows === 0) announce(said, "Nothing was copied. Select some rows first.");
    else if (await copied(answer.text)) announce(said, `Copied ${plural(answer.rows, state.noun)}.`);
    else announce(said, "Nothing was copied: this page may not use the clipboard.");
  }


  function stop(event) {
    event.stopPropagation();
  }

  body.addEventListener("click", (event) => {
    const line = event.target.closest(".ak-row");
    if (line === null) return;
    const row = Number(line.dataset.row);
    const box = event.target.closest(".ak-mark") !== null;
    if (event.shiftKey) mark(anchor, row, event.ctrlKey || event.metaKey ? "add" : "only");
    else mark(row, row, box || event.ctrlKey || event.metaKey ? "toggle" : "only");
    if (!event.shiftKey) anchor = row;
    moveTo(row, Number(event.target.closest("[data-column]")?.dataset.column ?? active.column));
  });

  body.addEventListener("dblclick", (event) => {
    const line = event.target.closest(".ak-row");
    if (line !== null) onOpen(Number(line.dataset.row));
  });

  table.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey ? withControl(event) : active.row === HEADER ? onHeader(event) : onRow(event);
    if (act === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  });

  function withControl(event) {
    return {
      a: () => frame.ask({ do: "mark", first: 0, last: state.shown - 1, how: "only", layout: state.layout }),
      c: copy,
      Home: () => moveTo(0, 0),
      End: () => moveTo(state.shown - 1, columns.length - 1),
      " ": () => toggleActive(),
    }[event.key];
  }

  function onHeader(event) {
    const column = columns[active.column];
    if (column === undefined) return undefined;
    if (event.altKey) {
      return {
        ArrowDown: () => openFilter(column, active.column),
        ArrowLeft: () => setWidth(column, widthOf(column) - 16),
        ArrowRight: () => setWidth(column, widthOf(column) + 16),
      }[event.key];
    }
    return { Enter: () => sortBy(column, active.column), Delete: () => hide(column), ...moves(event) }[event.key];
  }

  function onRow(event) {
    return { Enter: () => onOpen(active.row), " ": toggleActive, Escape: () => frame.ask({ do: "unmark" }), ...moves(event) }[
      event.key
    ];
  }

  function moves(event) {
    const page = Math.max(1, Math.floor(inSight() / ROW) - 1);
    const to = (row) => () => {
      if (active.row === HEADER || !event.shiftKey) anchor = Math.max(0, row);
      moveTo(row);
      if (event.shiftKey && active.row !== HEADER) mark(anchor, active.row, "only");
    };
    return {
      ArrowDown: to(active.row + 1),
      ArrowUp: to(active.row - 1),
      PageDown: to(active.row + page),
      PageUp: to(Math.max(0, active.row - page)),
      ArrowRight: () => moveTo(active.row, active.column + 1),
      ArrowLeft: () => moveTo(active.row, active.column - 1),
      Home: () => moveTo(active.row, 0),
      End: () => moveTo(active.row, columns.length - 1),
    };
  }

  /** Put the focus back when a popover has closed, unless a click has taken it elsewhere. */
  function focusAgain(node, popover) {
    const now = document.activeElement;
    if (now === null || now === document.body || table.contains(now) || popover.contains(now)) node.focus();
  }

  function toggleActive() {
    anchor = active.row;
    mark(active.row, active.row, "toggle");
  }

  columnList.addEventListener("toggle", (event) => {
    columnButton.setAttribute("aria-expanded", String(event.newState === "open"));
    if (event.newState === "closed") focusAgain(columnButton, columnList);
  });

  const sizes = new ResizeObserver(() => draw());
  sizes.observe(scroller);
  frame.watch(["_columns", "hidden"], () => {
    pages.clear();
    drawHead();
    draw();
  });
  frame.watch(["_widths"], () => {
    drawHead();
    draw();
  });
  frame.watch(["_state"], update);

  return {
    status,
    said,
    chips,
    columnButton,
    copyButton: element("button", { type: "button", class: "ak-button", onclick: copy }, "Copy rows"),
    popovers: [columnList, dialog.element],
    table,
    keys,
    activeRow: () => (active.row === HEADER ? 0 : active.row),
    state: () => state,
    close: () => sizes.disconnect(),
  };
}
