// RunPicker: the grid of the runs, a search over what describes them, and one for a submission or a user.

import { codeButton, element, open } from "./base.js";
import { grid } from "./grid.js";

const TYPING_MS = 200;

function render({ model, el }) {
  const frame = open(model, el, "picker");
  const code = codeButton(frame);
  const rows = grid(frame, model);

  const search = element("input", {
    type: "search",
    class: "ak-input",
    placeholder: "id, title, skill area, reviewer",
    oninput: () => {
      clearTimeout(search.timer);
      search.timer = setTimeout(() => {
        model.set("search", search.value);
        model.save_changes();
      }, TYPING_MS);
    },
  });
  const wanted = element("input", { type: "search", class: "ak-input", placeholder: "submission or user id" });
  const find = element(
    "form",
    { class: "ak-label", role: "search", "aria-label": "Find a submission or user" },
    element("label", { class: "ak-label" }, "Find", wanted),
    element("button", { type: "submit", class: "ak-button" }, "Find"),
  );
  find.addEventListener("submit", (event) => {
    event.preventDefault();
    if (wanted.value.trim()) frame.ask({ do: "find", text: wanted.value });
  });

  const button = (label, question) =>
    element("button", { type: "button", class: "ak-button", onclick: () => frame.ask(question()) }, label);

  frame.watch(["search"], () => {
    if (search.value !== model.get("search")) search.value = model.get("search");
  });
  frame.fill(
    element(
      "div",
      { class: "ak-bar" },
      element("h3", { class: "ak-title" }, "Runs"),
      rows.status,
      element("span", { class: "ak-spring" }),
      rows.said,
      rows.columnButton,
      button("Read again", () => ({ do: "reload" })),
      code.button,
    ),
    element(
      "div",
      { class: "ak-bar" },
      element("label", { class: "ak-label" }, "Search", search),
      button("Pick all shown", () => ({
        do: "mark",
        first: 0,
        last: rows.state().shown - 1,
        how: "add",
        layout: rows.state().layout,
      })),
      button("Pick none", () => ({ do: "unmark" })),
      element("span", { class: "ak-spring" }),
      find,
    ),
    code.dialog,
    rows.chips,
    element("div", { class: "ak-holder" }, rows.table, ...rows.popovers),
    rows.keys,
  );
  return () => {
    rows.close();
    frame.close();
  };
}

export default { render };
