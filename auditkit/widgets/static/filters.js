// The dialog that asks something of one column: a range, some values, or a text that it has to contain.

import { element, placeBelow } from "./base.js";

/**
 * @param frame what `open` gave
 * @param onClose called with the dialog when it closes, to put the focus back
 */
export function filterDialog(frame, onClose) {
  const form = element("form", { class: "ak-popover ak-filter", role: "dialog", popover: "auto" });
  let read = () => null;
  let shown = null;

  const close = () => form.hidePopover();

  async function send(value) {
    const column = shown.name;
    close();
    await frame.ask({ do: "ask", column, value });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(read());
  });

  form.addEventListener("keydown", (event) => {
    event.stopPropagation();
    if (event.key === "Escape") close();
  });

  form.addEventListener("toggle", (event) => {
    if (event.newState === "closed") onClose(form);
  });

  async function show(column, value, near) {
    shown = column;
    form.setAttribute("aria-label", `Filter ${column.label}`);
    const answer = ["text", "category"].includes(column.kind) ? await frame.ask({ do: "values", column: column.name }) : {};
    const controls = controlsFor(column, value, answer?.values ?? null);
    read = controls.read;
    form.replaceChildren(
      element("strong", {}, column.label),
      ...controls.nodes,
      element(
        "div",
        { class: "ak-bar" },
        element("button", { type: "submit", class: "ak-button ak-button-main" }, "Apply"),
        element("button", { type: "button", class: "ak-button", onclick: () => send(null) }, "Clear"),
        element("button", { type: "button", class: "ak-button", onclick: close }, "Cancel"),
      ),
    );
    form.showPopover();
    placeBelow(form, near);
    form.querySelector("input")?.focus();
  }

  return { element: form, show };
}

function controlsFor(column, value, values) {
  if (column.kind === "number" || column.kind === "count") return range(value, "number", Number);
  if (column.kind === "timestamp") return range(value, "date", (text) => text);
  if (column.kind === "category") return choice(value, values);
  return text(value, values);
}

function range(value, type, parse) {
  const [low, high] = value ?? [null, null];
  const shown = (end) => String((type === "date" ? end?.slice(0, 10) : end) ?? "");
  const from = input({ type, step: "any", value: shown(low) });
  const to = input({ type, step: "any", value: shown(high) });
  // an instant is shown as its day, and stays an instant while that is not changed
  const end = (field, before) => (field.value === shown(before) ? before : field.value === "" ? null : parse(field.value));
  return {
    nodes: [labelled("From", from), labelled("To", to), note(type === "date" ? "Days of UTC, both included." : "Both included.")],
    read: () => (from.value === "" && to.value === "" ? null : [end(from, low), end(to, high)]),
  };
}

function choice(value, values) {
  const chosen = new Set(Array.isArray(value) ? value : []);
  const boxes = [...new Set([...(values ?? []), ...chosen])].map((one) => [one, element("input", { type: "checkbox", checked: chosen.has(one) })]);
  const list = element(
    "div",
    { class: "ak-choices" },
    ...boxes.map(([one, box]) => element("label", { class: "ak-label" }, box, one === null ? "missing" : one || "(empty)")),
  );
  return {
    nodes: [list],
    read: () => {
      const ticked = boxes.filter(([, box]) => box.checked).map(([one]) => one);
      return ticked.length ? ticked : null;
    },
  };
}

function text(value, values) {
  const contains = input({ type: "search", value: typeof value === "string" ? value : "" });
  const listed = values === null && !Array.isArray(value) ? null : choice(value, values);
  return {
    nodes: [labelled("Contains", contains), ...(listed === null ? [] : [note("or is one of"), ...listed.nodes])],
    read: () => contains.value || listed?.read() || null,
  };
}

function input(attributes) {
  return element("input", { class: "ak-input", ...attributes });
}

function labelled(label, control) {
  return element("label", { class: "ak-label ak-filter-row" }, element("span", {}, label), control);
}

function note(words) {
  return element("p", { class: "ak-quiet ak-note" }, words);
}
