"""The journal and the fault switches as pages, the same for both services."""

from sandbox.base.page_renderer import Pages
from sandbox.base.request_log import Entry, Journal
from sandbox.faults.rules import KINDS, Faults
from sandbox.http.messages import Answer, Problem, Request, see_other
from sandbox.http.router import Router

SHOWN = 200
"""Journal entries on the page."""

_NUMBERS = {"seconds": float, "status": int, "retry_after": int, "times": int}
_TEXTS = ("kind", "sentence", "field", "path")


def control_pages(pages: Pages, faults: Faults, journal: Journal) -> Router:
    def journal_page(request: Request) -> Answer:
        writes = request.query.get("writes") == "1"
        entries = journal.entries(writes=writes)[-SHOWN:]
        rows = [journal_row(entry) for entry in reversed(entries)]
        return pages.render(request, "request_log.html", "Journal", rows=rows, writes=writes)

    def clear_journal(request: Request) -> Answer:
        journal.clear()
        return see_other("/journal")

    def faults_page(request: Request) -> Answer:
        return pages.render(request, "faults.html", "Faults", kinds=KINDS.items())

    def switch_on(request: Request) -> Answer:
        faults.add_json(_settings(request.form()))
        return see_other("/faults")

    def switch_off(request: Request) -> Answer:
        number = request.form().get("id", "")
        faults.clear(int(number) if number.isascii() and number.isdigit() else None)
        return see_other("/faults")

    return Router(
        ("GET", "/journal", journal_page),
        ("POST", "/journal/clear", clear_journal),
        ("GET", "/faults", faults_page),
        ("POST", "/faults", switch_on),
        ("POST", "/faults/clear", switch_off),
    )


def journal_row(entry: Entry) -> dict[str, object]:
    """A journal entry in words for a table."""
    ended = entry["ended"]
    status = entry["status"] or ("closed" if ended else "under way")
    return {
        "n": entry["n"],
        "time": entry["at"][11:23],
        "method": entry["method"],
        "write": entry["write"],
        "address": entry["path"]
        + ("?" + "&".join(f"{k}={v}" for k, v in entry["query"].items()) if entry["query"] else ""),
        "status": status,
        "good": isinstance(status, int) and status < 400,
        "duration": f"{(ended - entry['started']) * 1000:.0f} ms" if ended else "…",
        "key": entry["key"] or "–",
        "fault": entry["fault"],
        "body": entry["body"],
    }


def _settings(form: dict[str, str]) -> dict[str, object]:
    settings: dict[str, object] = {name: form[name] for name in _TEXTS if form.get(name)}
    for name, kind in _NUMBERS.items():
        if form.get(name):
            try:
                settings[name] = kind(form[name])
            except ValueError:
                raise Problem(400, f"{name} must be a number.") from None
    if form.get("applied"):
        settings["applied"] = True
    return settings
