// Buttons and choices of a document are sent as they are without scripts; only the part of the page that changes is
// replaced, so that what was typed elsewhere stays.
"use strict";
(() => {
  const asks = (form, button) => {
    const data = new FormData(form);
    data.append(button.name, button.value);
    return fetch(form.action || location.href, { method: "POST", body: data, redirect: "error" });
  };

  // Rows of credentials that stay keep what was typed in them.
  function replaceCredentials(page) {
    const anchor = document.querySelector(".form-row.field-clear_credentials");
    if (!anchor) return;
    const rowOf = (input) => input.closest(".form-row");
    const before = new Map([...document.querySelectorAll("[data-credential]")].map((input) => [input.name, rowOf(input)]));
    for (const row of before.values()) row.remove();
    for (const input of page.querySelectorAll("[data-credential]")) {
      anchor.before(before.get(input.name) ?? document.adoptNode(rowOf(input)));
    }
  }

  async function press(holder, button) {
    const form = holder.closest("form"), focus = document.activeElement?.id;
    holder.setAttribute("aria-busy", "true");
    try {
      const answer = await asks(form, button);
      if (!answer.ok) throw new Error(String(answer.status));
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.getElementById(holder.id);
      if (!next) throw new Error("no document");
      holder.replaceWith(document.adoptNode(next));
      replaceCredentials(page);
      const [verb, pointer] = button.value.split(" ");
      const at = pointer === undefined ? focus : `at-${next.dataset.document}${encodeURI(pointer)}`;
      const target = (at && document.getElementById(at)) || next.querySelector(`button[value="${CSS.escape(verb === "open" ? "close" : "open")} ${CSS.escape(pointer ?? "")}"]`);
      const field = target?.matches("fieldset") ? [...target.querySelectorAll("button, input:not([type=hidden])")].pop() : target;
      (field ?? next.querySelector("button:not([hidden]), input:not([type=hidden])"))?.focus();
    } catch {
      // The page without scripts does the same.
      const hidden = Object.assign(document.createElement("input"), { type: "hidden", name: button.name, value: button.value });
      form.append(hidden);
      form.submit();
    }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-document] button[name]");
    if (!button) return;
    event.preventDefault();
    press(button.closest("[data-document]"), button);
  });

  document.addEventListener("change", (event) => {
    if (!event.target.matches("select, input[type=radio], input[type=checkbox]")) return;
    const holder = event.target.closest("[data-document][data-again]")
      ?? document.getElementById(event.target.dataset.documentOfChoice ?? "");
    if (holder) press(holder, { name: `${holder.dataset.document}:do`, value: "again" });
  });
})();
