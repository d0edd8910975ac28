"""Write batches: rows that refer to each other's keys, guards, and all or nothing."""

import uuid
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from database.model_rows import new_row
from database.statement import BoundStatement, Statement
from database.values import NOW
from database.write_batch import GuardFailed, WriteBatch
from webhooks.models import Payload, Receipt, Source

pytestmark = pytest.mark.usefixtures("database")
_CODE = Statement("UPDATE webhooks_receipt SET code = %s, answer_id = %s WHERE uuid = %s")
_SOURCE = Statement("SELECT slug FROM webhooks_source WHERE slug = %s")
_KIND = Statement("UPDATE webhooks_payload SET kind = %s WHERE id = %s RETURNING kind")
_SIZE = Statement("UPDATE webhooks_payload SET size = %s WHERE id = %s")


@pytest.fixture
def source() -> Source:
    return Source.objects.create(slug="directory", name="Directory")


def receipt(source: Source, payload: Payload) -> Receipt:
    return new_row(
        Receipt,
        source=source,
        payload=payload,
        verified_by="nothing",
        address="127.0.0.1",
        size=1,
        received_at=NOW,
    )


def payload(kind: str = Payload.Kind.WEBHOOK) -> Payload:
    return Payload.new(kind, b"{}", None)


def code_of(one: Receipt, code: str, answer: Payload) -> BoundStatement:
    return _CODE.bind(code, answer, one.uuid)


def write(
    *rows: Any, writes: tuple[BoundStatement, ...] = (), guards: tuple[tuple[Any, ...], ...] = ()
) -> None:
    batch = WriteBatch()
    batch.insert(*rows)
    batch.execute(*writes)
    for guard in guards:
        batch.require(*guard)
    batch.run()


def test_rows_and_their_references_are_stored_with_matching_keys(source: Source) -> None:
    bodies = [payload() for _ in range(3)]
    receipts = [receipt(source, body) for body in bodies]
    write(*(row for pair in zip(bodies, receipts, strict=True) for row in pair))
    assert len({body.pk for body in bodies}) == 3
    for body, one in zip(bodies, receipts, strict=True):
        assert one.payload_id == body.pk
        assert Receipt.objects.get(uuid=one.uuid) == one
        assert Receipt.objects.get(pk=one.pk).payload == body
    assert not any(row._state.adding for row in [*bodies, *receipts])


def test_rows_of_one_model_get_growing_keys_in_their_order(source: Source) -> None:
    bodies = [payload() for _ in range(20)]
    write(*bodies, *(receipt(source, body) for body in bodies))
    assert [body.pk for body in bodies] == sorted(body.pk for body in bodies)
    assert list(Receipt.objects.order_by("pk").values_list("payload", flat=True)) == [
        body.pk for body in bodies
    ]


def test_a_statement_names_a_row_of_its_batch(source: Source) -> None:
    body, answer = payload(), payload()
    known = receipt(source, body)
    write(body, known)
    write(answer, writes=(code_of(known, "told", answer), _CODE.bind("nobody", answer, uuid.uuid4())))
    known.refresh_from_db()
    assert (known.code, known.answer) == ("told", answer)


def test_a_batch_is_stored_completely_or_not_at_all(source: Source) -> None:
    body = payload()
    known = receipt(source, body)
    write(body, known)
    other, again = payload(), receipt(source, body)
    again.uuid = known.uuid
    with pytest.raises(DatabaseError):
        write(other, again, writes=(code_of(known, "told", other),))
    known.refresh_from_db()
    assert known.code == ""
    assert Payload.objects.count() == 1
    assert (other.pk, other._state.adding) == (None, True), "it counts as new again"


def test_a_batch_is_stored_with_new_keys_after_a_rollback(source: Source) -> None:
    body = payload()
    first = receipt(source, body)
    with transaction.atomic():
        write(body, first)
        transaction.set_rollback(True)
    write(payload(), body, first)
    assert Receipt.objects.get().payload == body


@pytest.mark.parametrize("slug", ["directory", "elsewhere"])
def test_nothing_is_stored_without_the_required_row(source: Source, slug: str) -> None:
    body = payload()
    first = receipt(source, body)
    if slug == "directory":
        write(body, first, guards=((_SOURCE.bind(slug),),))
        assert Receipt.objects.get().payload == body
        return
    with pytest.raises(GuardFailed):
        write(body, first, guards=((_SOURCE.bind(slug),),))
    assert Payload.objects.count() == Receipt.objects.count() == 0


def test_every_guard_must_hold() -> None:
    first, other = payload(), payload(Payload.Kind.ANSWER)
    write(first, other)
    asked = _KIND.bind("request", first.pk)
    added = payload(Payload.Kind.FINDINGS)
    write(added, guards=((asked, "request"), (_SIZE.bind(7, other.pk),)))
    assert Payload.objects.get(pk=added.pk).kind == "findings"
    assert Payload.objects.get(pk=other.pk).size == 7
    before = list(Payload.objects.order_by("pk").values())
    failing: list[tuple[tuple[Any, ...], ...]] = [
        ((asked, "response"),),
        ((asked, "request"), (_SIZE.bind(8, 0),)),
        ((_SIZE.bind(8, other.pk),), (_KIND.bind("request", 0), "request")),
        ((_SIZE.bind(8, other.pk),), (_KIND.bind("request", 0),)),
    ]
    for guards in failing:
        with pytest.raises(GuardFailed):
            write(payload(), writes=(_SIZE.bind(9, first.pk),), guards=guards)
    assert list(Payload.objects.order_by("pk").values()) == before
    assert connection.get_autocommit()


def test_a_guard_that_fails_leaves_the_callers_transaction_usable() -> None:
    first = payload()
    with transaction.atomic():
        write(first)
        with pytest.raises(GuardFailed):
            write(payload(), guards=((_SIZE.bind(8, 0),),))
        assert _SIZE.execute(5, first.pk) == 1
    assert Payload.objects.get().size == 5


@pytest.mark.writers_at_once  # SQLite compares a number with any text
def test_an_invalid_number_is_not_a_failed_guard(source: Source) -> None:
    with pytest.raises(DatabaseError):
        write(payload(), guards=((_SIZE.bind("many", 1),),))


def test_an_empty_batch_writes_nothing() -> None:
    WriteBatch().run()
    assert connection.get_autocommit()


def test_a_batch_on_postgresql_is_one_statement_and_one_commit(source: Source) -> None:
    seen: list[str] = []
    body = payload()
    with connection.execute_wrapper(lambda run, sql, *rest: (seen.append(sql), run(sql, *rest))[1]):
        write(body, receipt(source, body), writes=(_CODE.bind("nobody", None, uuid.uuid4()),))
    writes = [statement for statement in seen if not statement.startswith("BEGIN")]
    assert len(writes) == (1 if connection.vendor == "postgresql" else 3)
    assert connection.get_autocommit()
