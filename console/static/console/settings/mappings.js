// Shows at once what comes of a mapping while one types; without it a button does.
"use strict";
(() => {
  const form = document.getElementById("mapping-form");
  const trial = document.getElementById("trial");
  const lost = document.getElementById("trial-lost");
  if (!form || !trial) return;
  const names = ["declaration", "event", "entity", "webhook"];
  let waiting = 0, in_progress = null;

  async function tryOut() {
    const has = form.elements.event.value || form.elements.entity.value.trim();
    if (!has) return;
    in_progress?.abort();
    const own = (in_progress = new AbortController());
    const stop = setTimeout(() => own.abort("late"), 10000);
    const given = new URLSearchParams();
    for (const name of [...names, "csrfmiddlewaretoken"]) given.set(name, form.elements[name].value);
    trial.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(form.dataset.try, { method: "POST", body: given, signal: own.signal, redirect: "error" });
      if (!answer.ok) throw new Error(String(answer.status));
      const part = new DOMParser().parseFromString(await answer.text(), "text/html");
      trial.replaceChildren(...document.adoptNode(part.body).childNodes);
      lost.textContent = "";
    } catch {
      if (own !== in_progress) return;
      lost.textContent = form.dataset.lost;
    } finally {
      clearTimeout(stop);
      if (own === in_progress) trial.removeAttribute("aria-busy");
    }
  }

  form.addEventListener("input", (event) => {
    if (!names.includes(event.target.name)) return;
    if (event.target.name === "entity" || event.target.name === "webhook") form.elements.event.value = "";
    clearTimeout(waiting);
    waiting = setTimeout(tryOut, 500);
  });

  // Enter in the reason of a reveal would press the first button of the form, which saves.
  form.addEventListener("keydown", (event) => {
    const reveal = form.querySelector("button[name=reveal]");
    if (event.key !== "Enter" || event.target.name !== "reason" || !reveal) return;
    event.preventDefault();
    form.requestSubmit(reveal);
  });

  // A browser that goes back fills in what was typed; what comes of that is not on the page yet.
  if (form.elements.declaration.value !== form.elements.declaration.defaultValue) tryOut();

  // A typed change is not lost by a click on a link.
  const typed = form.elements.declaration, before = typed.value;
  let leaves = false;
  form.addEventListener("submit", () => { leaves = true; });
  addEventListener("beforeunload", (event) => { if (!leaves && typed.value !== before) event.preventDefault(); });
})();
