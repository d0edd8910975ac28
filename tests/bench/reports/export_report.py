"""The report of exports and their targets."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from tests.bench.reports.table import table
from tests.bench.subjects.exports import A_SECOND

MAX_OVER_IDLE = 16 * 2**20
MAX_COPIED, MAX_READ = 2.5, 10.0  # times what psql takes
MAX_SLOWER = 1.2  # times what an answer takes without an export
HEADS = (
    "events",
    "CSV s",
    "× psql",
    "ORM s",
    "× psql",
    "export s",
    "archive MB",
    "idle MB",
    "peak MB",
    "over idle MB",
)


def show_export(figures: dict[str, Any]) -> str:
    """Format one row, a line about events during the export, and the result of each target."""
    psql = figures["psql"]
    ratios = [f"{ratio:.2f}" if (ratio := _ratio(figures[way], psql)) else "" for way in ("csv", "orm")]
    csv, orm = (f"{median(figures[way]):.2f}" for way in ("csv", "orm"))
    size = [f"{figures[name] / 2**20:.1f}" for name in ("size", "idle", "peak")]
    over = f"{_over(figures) / 2**20:.1f}"
    row = [f"{figures['events']:,}", csv, ratios[0], orm, ratios[1], f"{figures['seconds']:.1f}", *size, over]
    parts = (
        f"## {figures['database']}: an export of everything",
        table(HEADS, [row]),
        _show(figures["meanwhile"]),
        "\n".join(f"{'kept' if is_kept else 'MISSED':8}{words}" for words, is_kept in _targets(figures)),
    )
    return "\n\n".join(parts)


def _targets(figures: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Return each target as text with its figure, and True if it is met."""
    concurrent = figures["meanwhile"]
    for way, most, words in (("csv", MAX_COPIED, "CSV by COPY"), ("orm", MAX_READ, "CSV by the ORM")):
        if found := _ratio(figures[way], figures["psql"]):
            yield f"{words} ÷ psql's COPY: {found:.2f} (at most {most:g})", found <= most
    for words, taken in (("at rest", figures), ("while events come in", concurrent)):
        over = _over(taken) / 2**20
        yield f"memory over idle {words}: {over:.1f} MiB (at most 16)", _over(taken) <= MAX_OVER_IDLE
    yield (
        f"events that came in: {concurrent['a_second']:.1f} a second ({A_SECOND})",
        concurrent["a_second"] >= A_SECOND - 1,
    )
    for other, words in (("at rest", "without one"), ("computing", "beside a process that only computes")):
        before, meanwhile = concurrent["p95"][other], concurrent["p95"]["meanwhile"]
        yield (
            f"95 % of them were taken in {meanwhile * 1000:.1f} ms during an export, {words} in {before * 1000:.1f} ms:"
            f" {meanwhile / before:.2f} times (at most {MAX_SLOWER:g})",
            meanwhile <= MAX_SLOWER * before,
        )
    wrong = concurrent["missing"] + concurrent["doubled"]
    yield f"rows missing or doubled: {wrong} (none)", not wrong
    yield "the event that was deleted beforehand is found, and nothing else", concurrent["checked"]["found"]
    yield "the entries are verified", concurrent["checked"]["entries"][0] == 0


def _over(taken: dict[str, Any]) -> int:
    """Return the peak bytes above those at rest."""
    return int(taken["peak"] - taken["idle"])


def _show(meanwhile: dict[str, Any]) -> str:
    checked = meanwhile["checked"]
    code, verified = checked["entries"]
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in checked["seconds"].items())
    return (
        f"While {meanwhile['came']} events came in ({meanwhile['a_second']:.0f} a second): {meanwhile['rows']:,} rows in "
        f"{meanwhile['seconds']:.1f} s, {meanwhile['missing']} missing, {meanwhile['doubled']} doubled.\n"
        f"The event that was deleted beforehand: {'found' if checked['found'] else 'NOT FOUND'}"
        f"{'' if checked['found'] else f' {checked}'}.\n"
        f"verify.py ended with {code}: {verified.strip().splitlines()[-1]} ({took})"
    )


def _ratio(way: list[float], psql: list[float]) -> float:
    """Return the median of the ratios within each repeat; 0 without psql."""
    return median(seconds / one for seconds, one in zip(way, psql, strict=True)) if psql else 0.0
