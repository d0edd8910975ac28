"""The pages that both services have: the journal and the fault switches."""

from typing import Any

from sandbox.base.page_renderer import PageRenderer
from sandbox.base.request_journal import JournalEntry, RequestJournal
from sandbox.faults.alterations import STORED_FORMS
from sandbox.faults.echoes import ENCODINGS
from sandbox.faults.rules import FAULT_KINDS, FaultSwitches
from sandbox.http.messages import HttpError, Request, Response, redirect_after_post
from sandbox.http.router import Router

MAX_SHOWN = 200
"""The newest journal entries, on their page."""

_NUMBER_FIELDS = {"seconds": float, "status": int, "retry_after": int, "times": int}
_TEXT_FIELDS = ("kind", "sentence", "field", "stores", "encoding", "path")
# Their forms have fields of their own, since they need more than a path.
_KINDS_TO_CHOOSE = [(kind, words) for kind, words in FAULT_KINDS.items() if kind not in ("alter", "echo")]


def build_page_router(pages: PageRenderer, faults: FaultSwitches, journal: RequestJournal) -> Router:
    """Return the routes of the journal page and of the faults page."""

    def show_journal(request: Request) -> Response:
        writes = request.query.get("writes") == "1"
        entries = journal.list_entries(only_writes=writes)[-MAX_SHOWN:]
        rows = [build_journal_row(entry) for entry in reversed(entries)]
        return pages.render_page(request, "request_journal.html", "Journal", rows=rows, writes=writes)

    def clear_journal(request: Request) -> Response:
        journal.clear()
        return redirect_after_post("/journal")

    def show_faults(request: Request) -> Response:
        choices: dict[str, Any] = {
            "kinds": _KINDS_TO_CHOOSE,
            "stored_forms": STORED_FORMS.items(),
            "encodings": list(ENCODINGS),
        }
        return pages.render_page(request, "faults.html", "Faults", **choices)

    def enable_fault(request: Request) -> Response:
        faults.add_from_json(_parse_fault_form(request.parse_form()))
        return redirect_after_post("/faults")

    def disable_faults(request: Request) -> Response:
        number = request.parse_form().get("id", "")
        faults.clear(int(number) if number.isascii() and number.isdigit() else None)
        return redirect_after_post("/faults")

    return Router(
        ("GET", "/journal", show_journal),
        ("POST", "/journal/clear", clear_journal),
        ("GET", "/faults", show_faults),
        ("POST", "/faults", enable_fault),
        ("POST", "/faults/clear", disable_faults),
    )


def build_journal_row(entry: JournalEntry) -> dict[str, object]:
    """Return a journal entry as texts for a row of the journal's table."""
    ended = entry["ended"]
    status = entry["status"] or ("closed" if ended else "in progress")
    return {
        "n": entry["n"],
        "time": entry["at"][11:23],
        "method": entry["method"],
        "write": entry["write"],
        "address": entry["path"]
        + (
            "?" + "&".join(f"{name}={value}" for name, value in entry["query"].items())
            if entry["query"]
            else ""
        ),
        "status": status,
        "good": isinstance(status, int) and status < 400,
        "duration": f"{(ended - entry['started']) * 1000:.0f} ms" if ended else "…",
        "key": entry["key"] or "–",
        "fault": entry["fault"],
        "body": entry["body"],
    }


def _parse_fault_form(form: dict[str, str]) -> dict[str, object]:
    """Return the settings of a fault from its form. Raises HttpError (400) if a number cannot be parsed."""
    settings: dict[str, object] = {name: form[name] for name in _TEXT_FIELDS if form.get(name)}
    for name, number_type in _NUMBER_FIELDS.items():
        if form.get(name):
            try:
                settings[name] = number_type(form[name])
            except ValueError:
                raise HttpError(400, f"{name} must be a number.") from None
    if form.get("applied"):
        settings["applied"] = True
    return settings
