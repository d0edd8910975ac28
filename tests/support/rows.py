"""Tables of cheap rows that run as one test."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

import pytest

from tests.support.database.template_database import is_postgresql

# Of what takes minutes, and shows on SQLite what it holds: on PostgreSQL it runs in `make nightly` only.
in_submission_on_sqlite = pytest.mark.nightly if is_postgresql() else pytest.mark.submission


def each_row(rows: Iterable[Any]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Run a pure test once with each row, in one case, and name every row that fails.

    A row is a tuple of arguments or a single one. For rows that cost too little to be cases of their own; the test takes no
    fixture.
    """

    def decorate(test: Callable[..., None]) -> Callable[[], None]:
        def run_all() -> None:
            failed = []
            for row in rows:
                try:
                    test(*row) if isinstance(row, tuple) else test(row)
                except (Exception, pytest.fail.Exception) as error:
                    failed.append(f"{row!r:.300}\n    {type(error).__name__}: {error}")
            assert not failed, f"{len(failed)} rows fail:\n" + "\n".join(failed)

        run_all.__name__, run_all.__doc__, run_all.__module__ = test.__name__, test.__doc__, test.__module__
        return run_all

    return decorate


def in_submission(rows: Iterable[Any], but: Collection[Any] = ()) -> list[Any]:
    """Return the rows of a table for `parametrize`: those that are not in `but` run in `make submission` only."""
    return [row if row in but else pytest.param(row, marks=pytest.mark.submission) for row in rows]
