"""What is asked each second and each minute does not grow with the log: an index bounds it, or ends it at once."""

from random import Random

from django.db import connection, transaction

from audit.anchoring import Way, anchor
from audit.models import Entry
from audit.sealing import seal
from audit.standing import standing
from tests.audit.history import BOX, after, write, write_history
from tests.bench.plans import Seen, scans, seeing

FEW = ("audit_outlet", "audit_signingkey")  # a handful of rows, whatever is stored


def unserved(seen: list[Seen]) -> list[str]:
    """Statements that read more than an index leads them to: neither bounded by it, nor ended by a LIMIT that takes
    rows in its order."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            connection.cursor().execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off")
        whole = scans(connection, seen)
    return [
        sql
        for sql, plan in whole.items()
        if not any(table in sql for table in FEW)
        and not ("LIMIT" in sql and "ORDER BY" in sql and is_in_order(plan))
    ]


def is_in_order(plan: list[str]) -> bool:
    text = "\n".join(plan)
    return not any(word in text for word in ("Seq Scan", "TEMP B-TREE", "Sort"))


def test_the_sealer_and_the_checkpoints_find_their_rows_by_an_index(database: None) -> None:
    end = write_history(Random(1), segments=9, most=4)
    write("event:a", "event:new", at=end)
    with seeing() as seen:
        seal(BOX, end)
        seal(BOX, after(9_000))
        anchor(BOX, end, {"nowhere": Way(lambda *_: None, after(1) - after(0))})
        standing()
    asked = {each.sql.split(" FROM ")[-1].split()[0].strip('"') for each in seen}
    assert {"audit_entry", "audit_segment", "audit_checkpoint", "audit_signingkey"} <= asked
    assert unserved(seen) == []


def test_a_statement_that_no_index_serves_is_found(database: None) -> None:
    write("event:a")
    with seeing() as seen:
        list(Entry.objects.filter(body="x")[:1])
        list(Entry.objects.order_by("body")[:1])
    assert len(unserved(seen)) == 2
