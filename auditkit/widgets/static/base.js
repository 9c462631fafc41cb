// What every widget shares: elements made of text, questions to Python, the line that speaks, the code dialog.

const PATIENCE_MS = 10_000;
const BUSY =
  "The kernel has not answered for 10 seconds. It may be busy; if it was restarted, run this cell again.";
const GONE = "The kernel was restarted or has gone. Run this cell again to go on.";
const DELIVERED_MS = 4_000;

/** An element; `on…` attributes are listeners, children are elements or text, never markup. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  setAttributes(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** The same for a shape of a drawing. */
export function shape(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  setAttributes(node, attributes);
  node.append(...children);
  return node;
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
}

export function count(number) {
  return number.toLocaleString("en");
}

export function plural(number, noun) {
  return `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
}

/**
 * The widget's frame: a root element, `ask` for questions to Python, `watch` for traits.
 * Everything is undone by `close`.
 */
export function open(model, el, name) {
  const view = `${Date.now().toString(36)}${Math.random().toString(36).slice(2)}`;
  const waiting = new Map();
  const listeners = [];
  const silence = element("p", { class: "ak-silence", role: "alert", hidden: true });
  const speech = element("p", { class: "ak-message", role: "status", "aria-live": "polite" });
  const root = element("section", { class: `ak ak-${name}`, "data-lm-suppress-shortcuts": "true" });
  let asked = 0;
  let gone = false;

  function on(event, listener) {
    model.on(event, listener);
    listeners.push([event, listener]);
  }

  function watch(traits, listener) {
    for (const trait of traits) on(`change:${trait}`, listener);
    listener();
  }

  /** Python's answer to a question, or null if it could not answer: it then says why in `message`. */
  function ask(question) {
    if (gone) return Promise.resolve(null);
    const id = `${view}:${(asked += 1)}`;
    return new Promise((resolve) => {
      const timer = setTimeout(() => fallSilent(BUSY), PATIENCE_MS);
      waiting.set(id, { resolve, timer });
      model.send({ ...question, id });
    });
  }

  /** A sign of life of a kernel that takes its time: wait for its answers anew. */
  function stillThere() {
    silence.hidden = true;
    for (const asker of waiting.values()) {
      clearTimeout(asker.timer);
      asker.timer = setTimeout(() => fallSilent(BUSY), PATIENCE_MS);
    }
  }

  function fallSilent(words) {
    for (const { timer } of waiting.values()) clearTimeout(timer);
    silence.textContent = words;
    silence.hidden = false;
  }

  on("comm_live_update", () => {
    gone = true;
    fallSilent(GONE);
  });

  on("msg:custom", (content, buffers) => {
    const asker = waiting.get(content.answers);
    if (asker === undefined) return;
    waiting.delete(content.answers);
    clearTimeout(asker.timer);
    silence.hidden = true;
    asker.resolve(content.failed ? null : { ...content, buffers });
  });

  root.addEventListener("keydown", (event) => event.stopPropagation()); // the notebook has uses for keys, too
  root.append(silence, speech);
  el.append(root);
  watch(["message"], () => {
    const { kind, text } = model.get("message");
    speech.textContent = text ?? "";
    speech.dataset.kind = kind ?? "";
    speech.hidden = !text;
  });

  return {
    root,
    ask,
    stillThere,
    watch,
    on,
    /** Put the content above the lines that speak. */
    fill: (...children) => root.prepend(...children),
    close() {
      for (const [event, listener] of listeners) model.off(event, listener);
      for (const { timer } of waiting.values()) clearTimeout(timer);
      root.remove();
    },
  };
}

/** A button that shows what the widget does as code, and copies it. */
export function codeButton(frame) {
  const said = element("span", { role: "status" });
  const text = element("pre", { class: "ak-code-text", tabindex: "0", "aria-label": "Code" });
  const dialog = element(
    "div",
    { class: "ak-code", role: "group", "aria-label": "This view as code", hidden: true },
    text,
    element(
      "div",
      { class: "ak-bar" },
      element("button", { type: "button", class: "ak-button", onclick: () => show(false) }, "Close"),
      said,
    ),
  );
  const button = element(
    "button",
    {
      type: "button",
      class: "ak-button",
      "aria-expanded": "false",
      onclick: async () => {
        const answer = await frame.ask({ do: "code" });
        if (answer === null) return;
        text.textContent = answer.code;
        show(true);
        announce(said, (await copied(answer.code)) ? "Copied to the clipboard." : "Select the text and copy it.");
      },
    },
    "Copy as code",
  );

  function show(open) {
    dialog.hidden = !open;
    button.setAttribute("aria-expanded", String(open));
    if (!open) button.focus();
  }

  dialog.addEventListener("keydown", (event) => {
    if (event.key === "Escape") show(false);
  });
  return { button, dialog };
}

/** Put an open popover below an element, inside the window. */
export function placeBelow(popover, near) {
  const box = near.getBoundingClientRect();
  const left = Math.min(box.left, window.innerWidth - popover.offsetWidth - 8);
  const top = Math.min(box.bottom + 2, window.innerHeight - popover.offsetHeight - 8);
  popover.style.left = `${Math.max(8, left)}px`;
  popover.style.top = `${Math.max(8, top)}px`;
}

/** Say something for a few seconds. */
export function announce(node, text) {
  node.textContent = text;
  clearTimeout(node.timer);
  node.timer = setTimeout(() => (node.textContent = ""), DELIVERED_MS);
}

/** Whether the text now stands in the clipboard; a page without permission answers no. */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
