// ExportPanel: what to export and how, the button that does it, its progress, the receipts and their downloads.

import { codeButton, copied, element, open } from "./base.js";

const SAVED_MS = 60_000;
const SAID_MS = 4_000;
const FLAGS = { include_metadata: "Run metadata", formula_guard: "Formula guard", excel: "For Excel" };
const HINTS = {
  include_metadata: "What the run says of itself, besides its id",
  formula_guard: "Puts ' in front of text that a spreadsheet would take for a formula",
  excel: "With a byte order mark and CRLF line ends",
};

/** The bytes of an exported file as one Blob; null when it was stopped, or could not be had. */
async function fetched(frame, number, download, onChunk) {
  const parts = [];
  for (let offset = 0, last = false; !last; ) {
    const answer = await frame.ask({ do: "chunk", receipt: number, offset, download });
    if (answer === null || !onChunk(offset + answer.size)) return null;
    parts.push(new Blob(answer.buffers)); // out of the memory of the page
    offset += answer.size;
    last = answer.last;
  }
  return new Blob(parts, { type: "application/octet-stream" });
}

function save(root, blob, name) {
  const address = URL.createObjectURL(blob);
  const link = element("a", { href: address, download: name, hidden: true });
  root.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), SAVED_MS);
}

/** A button that says for whom it is to those who cannot see where it stands, and for a while what it did. */
function rowButton(text, of, onclick) {
  const said = element("span", {}, text);
  const node = element("button", { type: "button", class: "ak-button", onclick }, said, element("span", { class: "ak-unseen" }, ` ${of}`));
  const say = (words) => {
    clearTimeout(said.timer);
    said.textContent = words;
  };
  const did = (words) => {
    say(words);
    said.timer = setTimeout(() => say(text), SAID_MS);
  };
  return { node, say, did };
}

function downloadButton(frame, receipt, number) {
  const control = rowButton("Download", receipt.name, () => (running ? stop() : start()));
  let running = null;

  function stop() {
    running = null;
    control.say("Download");
  }

  async function start() {
    const mine = (running = `${Date.now()}${Math.random()}`);
    control.say("Stop");
    const blob = await fetched(frame, number, mine, (bytes) => {
      if (running !== mine || !frame.root.isConnected) return false;
      control.say(`Stop (${Math.floor((100 * bytes) / (receipt.bytes || 1))} %)`);
      return true;
    });
    if (running !== mine) return;
    stop();
    if (blob === null) return;
    save(frame.root, blob, receipt.name);
    control.did("Downloaded");
  }

  return control.node;
}

function receiptRow(frame, receipt, number) {
  const copy = rowButton("Copy", "SHA-256", async () => copy.did((await copied(receipt.sha256)) ? "Copied" : "Not copied"));
  const note = (text) => (text ? element("div", { class: "ak-quiet" }, text) : null);
  return element(
    "tr",
    {},
    element(
      "th",
      { scope: "row" },
      receipt.path,
      note(`As ${[receipt.format, receipt.options].filter(Boolean).join(", ")}`),
      note(receipt.filter && `Filter: ${receipt.filter}`),
      note(receipt.reused && "Kept: the same bytes were there before."),
    ),
    element("td", {}, receipt.rows, element("div", {}, receipt.size)),
    element(
      "td",
      {},
      element("code", { class: "ak-hash", title: receipt.sha256 }, receipt.sha256),
      copy.node,
    ),
    element("td", {}, downloadButton(frame, receipt, number)),
  );
}

function receiptTable(frame, model) {
  const body = element("tbody");
  const heads = ["File", "Rows and size", "SHA-256", "Download"];
  const holder = element(
    "div",
    { class: "ak-receipts", role: "region", "aria-label": "Receipts", tabindex: "0", hidden: true },
    element(
      "table",
      {},
      element("caption", { class: "ak-unseen" }, "Exported files, the last one first"),
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
      body,
    ),
  );
  let shown = [];

  frame.watch(["receipts"], () => {
    const receipts = model.get("receipts");
    const added = shown.every((receipt, at) => receipt.sha256 === receipts[at]?.sha256 && receipt.path === receipts[at].path);
    if (!added) body.replaceChildren();
    for (let at = added ? shown.length : 0; at < receipts.length; at += 1) {
      body.prepend(receiptRow(frame, receipts[at], at));
    }
    shown = receipts;
    holder.hidden = receipts.length === 0;
    holder.scrollTop = 0;
  });
  return holder;
}

/** The choices of what to export, each with how much that is, or why there is nothing. */
function scopes(frame, model, set) {
  const group = `ak-scope-${Math.random().toString(36).slice(2)}`;
  const rows = Object.entries(model.get("_choices")).map(([scope, { label }]) => {
    const id = `${group}-${scope}`;
    const amount = element("span", { class: "ak-amount", id });
    const radio = element("input", { type: "radio", name: group, value: scope, onchange: () => set("scope", scope) });
    radio.setAttribute("aria-label", label);
    radio.setAttribute("aria-describedby", id);
    return { scope, radio, amount, row: element("label", { class: "ak-scope" }, radio, element("span", {}, label), amount) };
  });

  function show() {
    for (const { scope, radio, amount, row } of rows) {
      const choice = model.get("_choices")[scope];
      radio.checked = scope === model.get("scope");
      radio.disabled = Boolean(choice.reason) && !radio.checked;
      row.classList.toggle("ak-quiet", Boolean(choice.reason));
      amount.textContent = choice.reason || choice.amount;
    }
  }

  frame.watch(["_choices", "scope"], show);
  const box = element("fieldset", { class: "ak-scopes", role: "radiogroup" }, element("legend", {}, "What to export"));
  box.append(...rows.map(({ row }) => row));
  return { box, show };
}

/** The options of the format: those that it does not heed are hidden. */
function options(frame, model, set) {
  const puts = {};

  function field(name, label, control, put, wanted) {
    const row = element("label", { class: "ak-label", title: HINTS[name] }, label, control);
    if (control.type === "checkbox") row.prepend(control);
    puts[name] = () => put(model.get(name));
    frame.watch([name], puts[name]);
    frame.watch(["_heeded", "scope"], () => (row.hidden = !wanted()));
    return row;
  }

  function select(name, label, values, read, wanted) {
    const control = element("select", { class: "ak-select", onchange: () => set(name, read(control.value)) });
    control.append(...values.map(([value, text]) => element("option", { value }, text)));
    return field(name, label, control, (value) => (control.value = String(value ?? "")), wanted);
  }

  /** A text as it was put or sent; what is being typed stays. */
  function entry(name, label, wanted) {
    let settled = "";
    const send = () => control.value !== settled && set(name, (settled = control.value));
    const control = element("input", {
      type: "text",
      class: "ak-input",
      spellcheck: "false",
      onchange: send,
      onkeydown: (event) => event.key === "Enter" && send(),
    });
    const put = (value) => {
      if (control.value === settled) control.value = settled = value;
    };
    return field(name, label, control, put, wanted);
  }

  function flag(name) {
    const control = element("input", { type: "checkbox", onchange: () => set(name, control.checked) });
    return field(name, FLAGS[name], control, (value) => (control.checked = value), heeds(name));
  }

  const heeds = (name) => () => model.get("_heeded").includes(name);
  const always = () => true;
  const known = model.get("_known");
  const nested = [
    ["false", "nested, a run with its results"],
    ["true", "flat, a record for each result"],
  ];
  const packed = [["", "none"], ...known.compressions.map((name) => [name, name])];
  const name = entry("name", "Name in the file", () => ["view", "selected"].includes(model.get("scope")));
  frame.watch(["scope"], () => (name.querySelector("input").placeholder = model.get("scope")));
  const bar = element("div", { class: "ak-bar" });
  bar.append(
    select("format", "Format", known.formats.map((name) => [name, name]), (value) => value, always),
    select("flatten_results", "Layout", nested, (value) => value === "true", heeds("flatten_results")),
    select("compression", "Compression", packed, (value) => value || null, heeds("compression")),
    ...Object.keys(FLAGS).map(flag),
    entry("output_dir", "Folder", always),
    name,
  );
  return { bar, show: (name) => puts[name]?.() };
}

function render({ model, el }) {
  const frame = open(model, el, "panel");
  const code = codeButton(frame);
  const bar = element("progress", { max: "1", "aria-label": "Export" });
  const share = element("span");
  const working = element("span", { class: "ak-label", hidden: true }, bar, share);
  const button = element("button", { type: "button", class: "ak-button ak-button-main", onclick: run });
  const what = scopes(frame, model, set);
  const how = options(frame, model, set);
  let asked = false;

  async function set(name, value) {
    await frame.ask({ do: "set", name, value });
    what.show();
    how.show(name);
  }

  async function run() {
    if (button.getAttribute("aria-disabled") === "true") return;
    asked = true;
    show();
    await frame.ask({ do: "export" });
    asked = false;
    show();
  }

  function show() {
    const progress = model.get("progress");
    const choice = model.get("_choices")[model.get("scope")];
    const busy = asked || progress !== null;
    button.textContent = choice.button;
    button.setAttribute("aria-disabled", String(busy || Boolean(choice.reason)));
    working.hidden = !busy;
    bar.value = progress ?? (asked ? bar.value : 0);
    share.textContent = `Exporting, ${Math.floor(bar.value * 100)} %`;
    if (progress !== null) frame.stillThere();
  }

  frame.watch(["progress", "_choices", "scope"], show);
  frame.fill(
    element(
      "div",
      { class: "ak-bar" },
      element("h3", { class: "ak-title" }, "Export"),
      element("span", { class: "ak-spring" }),
      code.button,
    ),
    code.dialog,
    what.box,
    how.bar,
    element("div", { class: "ak-bar" }, button, working),
  );
  frame.root.append(receiptTable(frame, model));
  return () => frame.close();
}

export default { render };
