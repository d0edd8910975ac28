"""Which statements of one webhook, one worker and one sweep read a whole table.

Run by `growth` with the hub's environment: `python -m tests.bench.account.statement_plans` prints one JSON document.
"""

import json
from typing import Any


def look() -> dict[str, Any]:
    """What one webhook, one worker and one sweep ask, and which of it reads a whole table."""
    from django.db import connection

    from sync.deliveries.due_deliveries import find_due_ids, find_suspects
    from tests.bench.account.process_account import Work
    from tests.support.database.query_plans import scans, seeing

    works = []
    for mode in ("result", "worker"):
        works.append(Work(mode, 2))  # its events are named by this moment
        works[-1].run(1)  # what is read once a second is read now
    with seeing() as seen:
        for work in works:
            work.run(1)
        find_due_ids()
        find_suspects(10)
    return {"statements": len({each.sql for each in seen}), "scans": scans(connection, seen)}


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(look()))
