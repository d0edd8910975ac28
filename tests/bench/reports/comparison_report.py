"""The report of what comparisons cost, and their limits."""

from collections.abc import Iterator

from tests.bench.reports.table import table
from tests.bench.subjects.comparison_costs import (
    COUNTED,
    COUNTED_PEOPLE,
    PAGE,
    ComparisonFigures,
    ComparisonRun,
)

MAX_SECONDS, MAX_OVER_IDLE, MAX_MORE, MAX_SLOWER = 60.0, 60 * 2**20, 16 * 2**20, 2.0
# Requests for one difference of each kind, beside the pages: a missing record is searched by its external id and by one
# match field.
PER_DIFFERENCE = {"differs": 2, "missing": 4, "gone": 4}
# Requests that all absences share: a probe of each side.
SHARED = 2
KINDS = {"differs": "differs", "missing": "missing-record", "gone": "entity-gone"}


def show_comparisons(figures: ComparisonFigures) -> str:
    """Format the requests, the figures and the result of each limit."""
    rows = [_request_row(name, run) for name, run in figures.by_kind.items()]
    heads = ["compared", "people", "not in step", "pages", "requests", "allowed", "per difference"]
    lines = [f"{'kept' if is_kept else 'MISSED':8}{words}" for words, is_kept in limits(figures)]
    return f"## {figures.kind}: comparisons\n\n{table(heads, rows)}\n\n" + "\n".join(lines)


def limits(figures: ComparisonFigures) -> Iterator[tuple[str, bool]]:
    """Yield each limit as text with its figure, and True if it is kept."""
    for name, run in figures.by_kind.items():
        sent, allowed = sum(run.requests.values()), _allowed(name, run)
        yield f"requests, {name}: {sent} (at most {allowed})", sent <= allowed
        if name in KINDS:
            found = run.counts.get(KINDS[name], 0)
            yield f"found, {name}: {found} ({COUNTED})", found == COUNTED
        writes = run.requests.get("writes", 0)
        yield f"writes, {name}: {writes} (0)", writes == 0
    if (run := figures.timed) is not None:
        words = f"{run.people:,} people with systems that answer at once: {run.seconds:.1f} s"
        yield f"{words} (at most {MAX_SECONDS:g})", run.seconds <= MAX_SECONDS
        yield f"in step: {run.counts.get('in-step', 0):,} ({run.people:,})", _is_in_step(run)
    if (run := figures.large) is not None:
        over = run.over_idle
        words = f"memory of the worker above idle during {run.people:,}: {over / 2**20:.1f} MB"
        yield f"{words} (at most {MAX_OVER_IDLE // 2**20})", over <= MAX_OVER_IDLE
        # A comparison runs in a process of its own, which begins with what Python and the hub's modules need.
        more = max(0, over - figures.by_kind["alike"].over_idle)
        words = f"{more / 2**20:.1f} MB more than with {COUNTED_PEOPLE:,} people"
        yield f"{words} (at most {MAX_MORE // 2**20})", more <= MAX_MORE
        yield (
            f"{run.people:,} people took {run.seconds:.1f} s, in step {run.counts.get('in-step', 0):,}",
            _is_in_step(run),
        )
    if p95 := figures.p95:
        ratio = p95["meanwhile"] / p95["quiet"]
        words = f"95 % of webhooks answered in {p95['meanwhile'] * 1000:.1f} ms meanwhile, {p95['quiet'] * 1000:.1f} ms before"
        yield f"{words}: × {ratio:.2f} (below {MAX_SLOWER:g})", ratio < MAX_SLOWER


def _is_in_step(run: ComparisonRun) -> bool:
    return run.counts.get("in-step", 0) == run.people and not run.gaps


def _request_row(name: str, run: ComparisonRun) -> list[str]:
    pages = run.requests.get("entity pages", 0) + run.requests.get("record pages", 0)
    sent = sum(run.requests.values())
    number = 0 if name == "alike" else COUNTED
    each = f"{(sent - pages) / number:.2f}" if number else ""
    return [name, f"{run.people:,}", str(number), str(pages), str(sent), str(_allowed(name, run)), each]


def _allowed(name: str, run: ComparisonRun) -> int:
    """Return how many requests a comparison may send: one a page of each side, and those of its differences."""
    pages = 2 * -(-run.people // PAGE)
    return pages + COUNTED * PER_DIFFERENCE.get(name, 0) + (SHARED if name in ("missing", "gone") else 0)
