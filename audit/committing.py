"""One commit for what several threads of this process do at the same moment, where that is cheaper: on SQLite.

There writers stand in line anyway, and each commit writes the pages that the one before it wrote: the ends of tables
and indexes. On PostgreSQL transactions run side by side, and the server joins what they wait for; one that holds rows
of several would only wait for more of others'.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from django.db import transaction

from audit.gathering import Gathering, Scattered
from audit.joining import one_commit
from audit.statements import current

T = TypeVar("T")

MOST = 8  # in one commit


class _Work:
    """What one thread wants done, and what came of it."""

    __slots__ = ("result", "run")

    def __init__(self, run: Callable[[], Any]) -> None:
        self.run = run
        self.result: Any = None


def commit(work: Callable[[], T], *, is_one_statement: bool = False) -> T:
    """Run this in a transaction; when that is committed, return what it returned.

    It may run in another thread, and again where it, or what shared a transaction with it, raised something. So it
    reads and writes rows, waits for nobody, and asks nothing of the thread that it comes from.
    `is_one_statement`: it writes by `audit.joining.together`, once.
    """
    link = current()
    if link.vendor != "sqlite" or link.in_atomic_block:
        return _alone(work, is_one_statement)
    mine = _Work(work)
    try:
        _gathering.do(mine)
    except Scattered:
        return _alone(work, is_one_statement)
    result: T = mine.result
    return result


def _alone(work: Callable[[], T], is_one_statement: bool) -> T:
    with one_commit() if is_one_statement else transaction.atomic():
        return work()


def _together(works: Sequence[_Work]) -> None:
    with transaction.atomic():
        for each in works:
            each.result = each.run()


_gathering = Gathering(_together, MOST)
