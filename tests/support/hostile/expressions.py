"""Expressions that cost a plain JMESPath interpreter seconds, gigabytes or its stack, and a check of what they cost."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PAIR, _FLAT, _NAMED = "[@,@]", "[@,@][]", "{a:@,b:@}"


def piped(part: str, times: int) -> str:
    """Return an expression that gives its result to itself so many times."""
    return "|".join([part] * times)


# They multiply without reading the document, so they go over the budget of any document.
MULTIPLYING: tuple[str, ...] = (
    piped(_PAIR, 22),
    piped(_FLAT, 18),
    piped(_NAMED, 24),
    piped("values({a:@,b:@})", 24),
    piped("[@,@,@,@][]", 30),
    piped("[[@,@][],[@,@][]][]", 20),
    piped("map(&@,[@,@][])", 22),
    piped("merge({a:@},{b:@})", 24),
    piped("[@,@][?@==@][]", 22),
    piped("not_null([@,@])", 24),
    piped("to_array([@,@])", 24),
    piped("(@ && [@,@])", 24),
    piped("(`false` || [@,@])", 20),
    piped("[@,@][:]", 24),
    piped(_PAIR, 22) + "|to_string(@)",
    piped(_PAIR, 22) + "|[@]==[@]",
    f"[{piped(_PAIR, 22)},{piped(_PAIR, 22)}]|[0]==[1]",
    f"contains([{piped(_PAIR, 22)}],{piped(_PAIR, 22)})",
    piped(_FLAT, 14) + "|map(&[@,@,@,@],@)",
    piped(_FLAT, 14) + "|[*].[@,@,@]|[]|[::-1]|[::-1]",
    piped(_FLAT, 14) + "|[?@==@]|[?!@]|[?@]",
    piped(_FLAT, 16) + "|length(@)",
    piped(_FLAT, 14) + "|[*].to_string(@)|join(',',@)",
    piped(_FLAT, 14) + "|sort_by(@,&to_string(@))",
    "'" + "x" * 200 + "'|" + piped("join(@,[@,@,@])", 6),
    "'" + "x" * 200 + "'|" + piped("join('',[@,@,@,@])", 12),
    "'" + "x" * 200 + "'|" + piped("to_string([@,@,@,@])", 12),
    piped("zip([@,@],[@,@])", 20),
    piped("items({a:@,b:@})", 22),
    piped("[@,@][]", 14) + "|zip(@,@,@,@,@,@,@,@)|zip(@,@,@,@,@,@,@,@)",
    "'" + "x" * 200 + "'|" + piped("upper(join('',[@,@,@,@]))", 12),
    "'" + "x" * 200 + "'|" + piped("md5(join('',[@,@,@,@])) && join('',[@,@,@,@])", 9),
)
# Each of them reads a part of the document again and again. Some end within their budget, some do not fit it.
READING: tuple[str, ...] = tuple(
    expression.format(part)
    for part in ("entity", "entity.texts", "entity.objects", "entity.numbers", "entity.long")
    for expression in (
        "{0}|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|map(&to_string(@),@)|length(@)",
        "{0}|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|sort(@)|[0]",
        "{0}|[@,@,@,@,@,@,@,@][]|[@,@,@,@,@,@,@,@][]|[?contains(to_string(@),'zz')]",
        "map(&map(&@, {0}[]), {0}[])",
        "sort_by({0}, &to_string(@))|[0]",
        "{0}[*].[{0}|length(@)]",
        "{0}|[contains(@,@),@==@,reverse(@)]",
        "{0}.*.*.*[]|[]|[]",
        "sum({0})",
        "to_number(to_string({0}))",
        "[items({0}),zip({0},{0}),items({0}),zip({0},{0})]",
        "[difference({0},{0}),difference({0},[{0},{0}]),difference([{0},{0}],{0})]",
        "map(&difference({0}, [@]), {0})",
        "{0}|[md5(@),sha256(@),upper(@),lower(@),trim(@),date(@),first_email(@)]",
        "map(&[md5(@),sha256(@)], {0})",
    )
)
# Refused when they are entered, for their length or depth or since no system can store them.
REFUSED: tuple[str, ...] = (
    "[" * 240 + "@" + "]" * 240,
    "!" * 480 + "a",
    "a" + "||a" * 160,
    "[]" * 240,
    "`" + "[" * 200 + "]" * 200 + "`",
    "not_null(" * 50 + "a" + ")" * 50,
    '`"\\ud800"`',
    '{"\\udfff": a}',
)
HOSTILE = (*MULTIPLYING, *READING)
# Those do not fit any document, or not this one: the library raises errors that are not its own.
MISFITS: tuple[str, ...] = (
    "entity.numbers[::0]",
    "entity.long < `1`",
    "ceil(`1e999`)",
    "abs(&a)",
    "items(entity.numbers)",
    "zip(entity, entity.numbers)",
    "date(entity)",
    "date('2026-02-03', 'week')",
    "contains('a', `1`)",
    "entity.numbers[99999999999999999999]",
)
ENTITY = {
    "texts": [f"{'p' * 300}{number}" for number in range(2_000)],
    "objects": [{"id": number, "names": [{"value": f"n{number}"}] * 2} for number in range(2_000)],
    "numbers": list(range(5_000)),
    "long": "x" * 500_000,
}

MAX_CPU_SECONDS = 1.0
MAX_BYTES = 64 * 1024 * 1024


@contextmanager
def bounded_cost() -> Iterator[None]:
    """Fail if the block takes more than a second of CPU time or 64 MiB of memory."""
    began, peak = time.process_time(), _peak_bytes()
    yield
    assert time.process_time() - began <= MAX_CPU_SECONDS
    assert _peak_bytes() - peak <= MAX_BYTES


def _peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
