// DeviationTable: the grid of the results, and beside it every field of one of them.

import { codeButton, element, open } from "./base.js";
import { grid } from "./grid.js";

const SEVERITIES = { error: "✖ error", warning: "▲ warning", info: "● note" };

function detailPane(frame, onClose) {
  const list = element("dl");
  const findings = element("div", { role: "status" });
  const pane = element(
    "aside",
    { class: "ak-detail", role: "region", "aria-label": "One result", tabindex: "-1", hidden: true },
    element(
      "div",
      { class: "ak-bar" },
      element("h4", { class: "ak-title" }, "One result"),
      element("span", { class: "ak-spring" }),
      element("button", { type: "button", class: "ak-button", onclick: onClose }, "Close"),
    ),
    list,
    findings,
  );
  let asked = 0;

  pane.addEventListener("keydown", (event) => {
    if (event.key === "Escape") onClose();
  });

  async function show(row) {
    const turn = (asked += 1);
    const answer = await frame.ask({ do: "detail", row });
    if (answer === null || turn !== asked) return;
    list.replaceChildren(
      ...answer.fields.flatMap(([label, value]) => [
        element("dt", {}, label),
        element("dd", { class: value ? null : "ak-missing", dir: "auto" }, value === null ? "–" : value || "(empty)"),
      ]),
    );
    findings.replaceChildren("Looking for findings …");
    const found = await frame.ask({ do: "findings", row });
    if (turn !== asked) return;
    findings.replaceChildren(...(found === null ? ["The findings could not be read."] : findingLines(found.findings)));
  }

  return { pane, show };
}

function findingLines(findings) {
  if (findings.length === 0) return ["No findings about it."];
  const line = ([rule, severity, recorded, recomputed]) => {
    const facts = [recorded && `recorded ${recorded}`, recomputed && `by the run ${recomputed}`].filter(Boolean);
    return element("li", {}, `${SEVERITIES[severity]}: ${rule}${facts.length ? ` (${facts.join(", ")})` : ""}`);
  };
  return [element("strong", {}, "Findings"), element("ul", {}, ...findings.map(line))];
}

function render({ model, el }) {
  const frame = open(model, el, "table");
  const code = codeButton(frame);
  const detail = detailPane(frame, () => toggle(false));
  const detailButton = element(
    "button",
    { type: "button", class: "ak-button", "aria-expanded": "false", onclick: () => toggle(detail.pane.hidden) },
    "Details",
  );
  const rows = grid(frame, model, {
    onOpen: () => toggle(true),
    onMove: (row) => detail.pane.hidden || detail.show(row),
  });
  const holder = element(
    "div",
    { class: "ak-with-detail" },
    element("div", { class: "ak-holder" }, rows.table, ...rows.popovers),
    detail.pane,
  );

  function toggle(shown) {
    const row = rows.activeRow();
    detail.pane.hidden = !shown || rows.state().shown === 0;
    holder.toggleAttribute("data-detail", !detail.pane.hidden);
    detailButton.setAttribute("aria-expanded", String(!detail.pane.hidden));
    if (!detail.pane.hidden) detail.show(row);
    else rows.table.focus();
  }

  let layout = rows.state().layout;
  frame.on("change:_state", () => {
    if (rows.state().layout !== layout && !detail.pane.hidden) toggle(true);
    layout = rows.state().layout;
  });

  frame.fill(
    element(
      "div",
      { class: "ak-bar" },
      element("h3", { class: "ak-title" }, "Results"),
      rows.status,
      element("span", { class: "ak-spring" }),
      rows.said,
      detailButton,
      rows.columnButton,
      rows.copyButton,
      code.button,
    ),
    code.dialog,
    rows.chips,
    holder,
    rows.keys,
  );
  return () => {
    rows.close();
    frame.close();
  };
}

export default { render };
