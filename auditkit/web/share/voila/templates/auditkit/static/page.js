// What the page says while it waits, and when its Python process or its server is gone.
"use strict";

window.auditkitPage = (() => {
  const CHECK_EVERY_MS = 5000;
  const SERVER_GONE =
    "The server does not answer. Start “auditkit web” again, and open the address that it prints.";
  const SIGNED_OUT = "This page is not signed in any more. Open the address that “auditkit web” printed last.";
  const KERNEL_GONE =
    "The Python process of this page has ended. Load the page again to go on. Saved exports are still there.";

  const element = (id) => document.getElementById(id);

  function waitFor(what) {
    element("auditkit-waiting").textContent = what;
  }

  function show() {
    element("auditkit-waiting").hidden = true;
    element("rendered_cells").hidden = false;
    setInterval(checkKernel, CHECK_EVERY_MS);
    document.addEventListener("visibilitychange", checkKernel);
  }

  async function checkKernel() {
    if (document.visibilityState !== "hidden") {
      const lost = element("auditkit-lost");
      lost.textContent = await whatIsLost();
      lost.hidden = lost.textContent === "";
    }
  }

  async function whatIsLost() {
    const { baseUrl, kernelId } = JSON.parse(element("jupyter-config-data").textContent);
    try {
      const answer = await fetch(`${baseUrl}api/kernels/${kernelId}`, { cache: "no-store" });
      return answer.ok ? "" : answer.status === 404 ? KERNEL_GONE : SIGNED_OUT;
    } catch {
      return SERVER_GONE;
    }
  }

  function followColourScheme() {
    const dark = matchMedia("(prefers-color-scheme: dark)");
    const tell = () => {
      document.body.dataset.jpThemeLight = String(!dark.matches);
      document.body.dataset.jpThemeName = dark.matches ? "JupyterLab Dark" : "JupyterLab Light";
    };
    dark.addEventListener("change", tell);
    tell();
  }

  document.addEventListener("DOMContentLoaded", followColourScheme);
  // The session cookie is set by now: the token need not stay in the address bar and the history.
  history.replaceState(null, "", location.pathname);
  return { waitFor, show };
})();

// Voilà calls these three: now and then while a cell runs, for each cell, and when theme and cells are there.
window.voila_heartbeat = () => auditkitPage.waitFor("Still opening the audit runs. Many or large ones take a while.");
window.voila_process = () => {};
window.voila_finish = () => {
  if (window.themeLoaded) {
    auditkitPage.show();
  } else {
    window.cellLoaded = true;
  }
};
