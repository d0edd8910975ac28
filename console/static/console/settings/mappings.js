// The editor of a mapping: its buttons replace the editor instead of the page, and results follow what one types. The
// server decides everything; without this script the same buttons load the page again.
"use strict";
(() => {
  const form = document.getElementById("mapping-form");
  const lost = document.getElementById("trial-lost");
  if (!form || !lost) return;
  const editor = () => document.getElementById("mapping-editor");
  let waiting = 0, running = null, changed = false, leaves = false;

  async function ask(button) {
    clearTimeout(waiting);
    running?.abort();
    const own = (running = new AbortController());
    const stop = setTimeout(() => own.abort("late"), 10000);
    const given = new URLSearchParams(new FormData(form));
    if (button) given.append(button.name, button.value);
    editor().setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.try, { method: "POST", body: given, signal: own.signal, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("mapping-editor");
      if (!next) throw new Error("no editor");
      lost.textContent = "";
      return document.adoptNode(next);
    } catch {
      if (own === running) lost.textContent = form.dataset.lost;
      return null;
    } finally {
      clearTimeout(stop);
      if (own === running) editor().removeAttribute("aria-busy");
    }
  }

  async function showResults() {
    const next = await ask(null);
    for (const part of next?.querySelectorAll("[data-result]") ?? []) {
      const old = document.getElementById(part.id);
      if (old && !old.contains(document.activeElement)) old.replaceWith(part);
    }
  }

  async function press(button) {
    const { name, value } = button, scrolled = document.getElementById("sample-tree")?.scrollTop ?? 0;
    const next = await ask(button);
    if (!next) return;
    changed = true;
    for (const part of editor().querySelectorAll("details[open][id]")) next.querySelector("#" + CSS.escape(part.id))?.setAttribute("open", "");
    editor().replaceWith(next);
    const tree = document.getElementById("sample-tree");
    if (tree) tree.scrollTop = scrolled;
    const same = next.querySelector(`button[name="${name}"][value="${CSS.escape(value)}"]`);
    (same ?? next.querySelector("tr.open input:not([type=hidden])") ?? next.querySelector("button, input"))?.focus();
  }

  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (!button?.closest("[data-part]")) { leaves = true; return; }
    event.preventDefault();
    press(button);
  });

  form.addEventListener("input", (event) => {
    const name = event.target.name;
    if (!editor().contains(event.target) || /^(reason|add_|fetch_)/.test(name)) return;
    if (name === "entity" || name === "webhook") form.elements.event.value = "";
    if (name !== "event") changed = true;
    clearTimeout(waiting);
    waiting = setTimeout(showResults, 500);
  });

  // The tree fills the row whose value has the focus.
  form.addEventListener("focusin", (event) => {
    const number = /^value-(\d+)$/.exec(event.target.name ?? "");
    if (number) form.elements.fill_row.value = form.elements[`row-${number[1]}`].value;
  });

  // Enter presses the button beside a field, not the first one of the form.
  form.addEventListener("keydown", (event) => {
    const button = event.target.closest("[data-enter]")?.querySelector("button");
    if (event.key !== "Enter" || event.target.tagName !== "INPUT" || !button) return;
    event.preventDefault();
    form.requestSubmit(button);
  });

  addEventListener("beforeunload", (event) => { if (!leaves && changed) event.preventDefault(); });
})();
