"""A list of the statements of a webhook, a worker and a sweep that read a whole table.

Run by `growth` with the hub's environment: `python -m tests.bench.account.statement_plans` prints one JSON document.
"""

import json
from typing import Any


def examine_statements() -> dict[str, Any]:
    """Run a webhook, a worker and a sweep. Returns the number of statements, and those that read a whole table."""
    from django.db import connection

    from sync.deliveries.due_deliveries import find_due_ids, find_isolated_ids
    from tests.bench.account.process_account import Work
    from tests.support.database.query_plans import find_full_scans, recorded_statements

    works = []
    for mode in ("result", "worker"):
        works.append(Work(mode, 2))  # its events are named by this moment
        works[-1].run(1)  # what is read once a second is read now
    with recorded_statements() as seen:
        for work in works:
            work.run(1)
        find_due_ids()
        find_isolated_ids(10)
    return {
        "statements": len({statement.sql for statement in seen}),
        "scans": find_full_scans(connection, seen),
    }


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(examine_statements()))
