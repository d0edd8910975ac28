// Improves pages that work without it: copying, menus, pages that refresh themselves, keys.
"use strict";
(() => {
  const $ = (css, from = document) => from.querySelector(css);
  const $$ = (css, from = document) => [...from.querySelectorAll(css)];
  const ended = document.currentScript?.dataset.ended;

  // A polite voice for screen readers, at most once in ten seconds.
  const voice = document.createElement("p");
  voice.className = "visually-hidden";
  voice.setAttribute("role", "status");
  let spoken = 0;
  function say(text, atOnce) {
    if (!text || (!atOnce && Date.now() - spoken < 10000)) return;
    spoken = Date.now();
    voice.textContent = text;
  }

  async function copy(button) {
    const from = button.dataset.copyFrom && $(button.dataset.copyFrom);
    const text = button.dataset.copy ?? (from ? from.value ?? from.textContent : location.href);
    try {
      await navigator.clipboard.writeText(text || location.href);
    } catch {
      const field = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
    button.dataset.label ??= button.textContent;
    button.textContent = button.dataset.copied || "Copied";
    say(button.textContent, true);
    setTimeout(() => { button.textContent = button.dataset.label; }, 1500);
  }

  // An element with data-poll="seconds" is replaced by its newer self until that has no data-poll any more, and with it
  // those elsewhere whose ids data-poll-also names.
  function poll(element, failures = 0) {
    const seconds = Number(element.dataset.poll) * Math.min(2 ** failures, 16);
    setTimeout(async () => {
      const now = document.getElementById(element.id);
      if (now !== element) return;
      if (document.hidden || element.contains(document.activeElement) && element.dataset.pollFocus !== "keep" && document.activeElement.matches("input, textarea, select")) return poll(element, failures);
      try {
        const answer = await fetch(element.dataset.pollUrl || location.href, { headers: { "X-Poll": "1" }, redirect: "manual" });
        if (answer.type === "opaqueredirect") {  // mostly to the login page: asking again would not help
          const note = $("[data-poll-note]", element);
          if (note) note.textContent = ended;
          return say(ended, true);
        }
        if (!answer.ok) throw new Error(String(answer.status));
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const next = page.getElementById(element.id);
        if (!next) throw new Error("gone");
        for (const id of element.dataset.pollAlso?.split(" ") ?? []) replace(document.getElementById(id), page.getElementById(id));
        replace(element, next);
      } catch {
        const note = $("[data-poll-note]", element);
        if (note) note.textContent = note.dataset.pollNote || "Connection lost, retrying";
        poll(element, failures + 1);
      }
    }, seconds * 1000);
  }

  function show(root) {
    for (const part of $$("[data-needs-script]", root)) part.hidden = false;
  }

  function replace(element, next) {
    const open = $$("details[open][id]", element).map((each) => each.id);
    const focus = element.contains(document.activeElement) ? document.activeElement.id : "";
    const before = $("[data-live]", element)?.textContent.trim();
    document.adoptNode(next);
    for (const id of open) { const part = next.querySelector("#" + CSS.escape(id)); if (part) part.open = true; }
    show(next);
    element.replaceWith(next);
    if (focus) document.getElementById(focus)?.focus();
    const after = $("[data-live]", next)?.textContent.trim();
    if (after && after !== before) say(after);
    if (next.dataset.poll) poll(next);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (button) { event.preventDefault(); copy(button); }
    for (const menu of $$("details.menu[open], details.chip[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // Check boxes of a list: one ticks all, and the buttons that need a choice wait for one.
  function count() {
    for (const form of $$("form[data-choices]")) {
      const boxes = $$("tbody input[type=checkbox], li input[type=checkbox]", form);
      const ticked = boxes.filter((each) => each.checked).length;
      for (const button of $$("button[data-needs-choice]", form)) button.disabled = !ticked;
      for (const text of $$("[data-chosen]", form)) text.textContent = text.dataset.chosen.replace("%", ticked);
      for (const all of $$("[data-all]", form)) { all.checked = ticked > 0 && ticked === boxes.length; all.indeterminate = ticked > 0 && ticked < boxes.length; }
    }
  }
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-all]")) for (const each of $$("tbody input[type=checkbox]", event.target.form)) each.checked = event.target.checked;
    count();
  });

  // Keys. Off inside fields, and for people who switched them off.
  let begun = "", before = null;
  const rows = () => $$("[data-row]");
  function step(by) {
    const all = rows();
    if (!all.length) return;
    const at = all.findIndex((row) => row.contains(document.activeElement));
    const row = all[Math.max(0, Math.min(all.length - 1, at < 0 ? 0 : at + by))];
    $("a[data-open]", row)?.focus();
  }
  const KEYS = {
    "/": () => { const box = $("[data-search]"); if (box && box !== document.activeElement) { before = document.activeElement; box.focus(); box.select(); } },
    j: () => step(1),
    k: () => step(-1),
    x: () => { const box = $("input[type=checkbox]", document.activeElement.closest("[data-row]") || document.createElement("i")); if (box) { box.checked = !box.checked; count(); } },
    r: () => $("[data-key=r]")?.click(),
    c: () => $("[data-key=c]")?.click(),
    "g e": () => $("[data-go=e], #console-nav a[href$='/webhooks/event/']")?.click(),
    "g o": () => $("#header .brand")?.click(),
    "?": () => { const help = $("#keys"); if (help) help.showModal(); else location.href = "/admin/preferences/#keys-help"; },
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const open = $("details.menu[open], details.chip[open]");
      if (open) { open.open = false; $("summary", open).focus(); }
      if (location.hash === "#console-nav") location.hash = "#content-start";
      const search = event.target.closest("[data-search]");
      // Without this, the browser would empty the field.
      if (search) { event.preventDefault(); search.blur(); before?.focus(); before = null; }
      return;
    }
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "k") {
      event.preventDefault();
      KEYS["/"]();
      return;
    }
    if (document.body.classList.contains("no-keys") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog, [contenteditable]")) return;
    const pressed = begun ? `${begun} ${event.key}` : event.key;
    begun = event.key === "g" && !begun ? "g" : "";
    const act = KEYS[pressed];
    if (act) { event.preventDefault(); act(); }
  });

  document.body.append(voice);
  for (const element of $$("[data-poll][id]")) poll(element);
  show(document);
  count();
})();
