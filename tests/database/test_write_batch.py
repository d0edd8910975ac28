"""Writes that travel together: with the keys of each other, and all of them or none."""

import uuid

import pytest
from django.db import DatabaseError, connection, transaction

from database.bulk_insert import insertion, number, store, store_given
from database.model_rows import fresh
from database.statement import Bound, Statement
from database.values import NOW
from database.write_batch import one_commit, together
from webhooks.models import Payload, Receipt, Source

pytestmark = pytest.mark.usefixtures("database")
_CODE = Statement("UPDATE webhooks_receipt SET code = %s, answer_id = %s WHERE uuid = %s")
_SOURCE = Statement("SELECT id FROM webhooks_source WHERE slug = %s")


@pytest.fixture
def source() -> Source:
    return Source.objects.create(slug="directory", name="Directory")


def receipt(source: Source, payload: Payload) -> Receipt:
    return fresh(
        Receipt,
        source=source,
        payload=payload,
        verified_by="nothing",
        address="127.0.0.1",
        size=1,
        received_at=NOW,
    )


def payload() -> Payload:
    return Payload.of(Payload.Kind.WEBHOOK, b"{}", None)


def code_of(one: Receipt, code: str, answer: Payload) -> Bound:
    return _CODE.bound(code, answer, one.uuid)


def test_rows_and_what_refers_to_them_are_stored_with_each_others_keys(source: Source) -> None:
    body, other = payload(), payload()
    first, second = receipt(source, body), receipt(source, other)
    with one_commit():
        store(body, other, first, second)
    assert Receipt.objects.get(pk=first.pk).payload == body
    assert Receipt.objects.get(pk=second.pk).payload == other
    assert (first.payload_id, second.payload_id) == (body.pk, other.pk)
    assert body.pk != other.pk


def test_a_write_names_a_row_that_is_stored_with_it_and_tells_how_many_rows_it_changed(
    source: Source,
) -> None:
    body, answer = payload(), payload()
    known = receipt(source, body)
    with one_commit():
        store(body, known)
    with one_commit():
        changed = store(
            answer, also=[code_of(known, "told", answer), _CODE.bound("nobody", answer, uuid.uuid4())]
        )
    known.refresh_from_db()
    assert changed == [1, 0]
    assert (known.code, known.answer) == ("told", answer)


def test_all_of_them_or_none(source: Source) -> None:
    body = payload()
    again = receipt(source, body)
    with one_commit():
        store(body, again)
    other = payload()
    with pytest.raises(DatabaseError), one_commit():
        store(other, also=[code_of(again, "told", other), insertion(again)])  # its uuid is there already
    again.refresh_from_db()
    assert again.code == ""
    assert Payload.objects.count() == 1


def test_rows_keep_the_keys_that_they_were_given_beforehand(source: Source) -> None:
    bodies = [payload() for _ in range(3)]
    first, second, third = (receipt(source, each) for each in bodies)
    give_keys(second, third)
    given = [second.pk, third.pk]
    assert given[0] < given[1]
    with one_commit():
        store(*bodies, first, second, third)
    kept = dict(Receipt.objects.values_list("uuid", "pk"))
    assert kept == {each.uuid: each.pk for each in (first, second, third)}
    assert [second.pk, third.pk] == given
    assert Receipt.objects.get(pk=second.pk).payload == bodies[1]
    assert not any(each._state.adding for each in (first, second, third))


def give_keys(*rows: Receipt) -> None:
    if connection.vendor == "postgresql":
        number(rows)
    else:
        for key, row in enumerate(rows, 4711):
            row.pk = key


def test_what_was_rolled_back_is_stored_under_its_new_keys(source: Source) -> None:
    body = payload()
    first = receipt(source, body)
    with transaction.atomic():
        store(body, first)
        transaction.set_rollback(True)
    with one_commit():
        store(payload(), body, first)
    assert Receipt.objects.get().payload == body


@pytest.mark.parametrize(("slug", "is_stored"), [("directory", True), ("elsewhere", False)])
def test_nothing_is_stored_without_what_it_was_made_to_depend_on(
    source: Source, slug: str, is_stored: bool
) -> None:
    body = payload()
    first = receipt(source, body)
    with one_commit():
        assert store_given(_SOURCE.bound(slug), body, first) is is_stored
    assert Payload.objects.count() == Receipt.objects.count() == int(is_stored)
    if is_stored:
        assert Receipt.objects.get().payload == body


def test_on_postgresql_they_are_one_statement_and_one_commit(source: Source) -> None:
    seen: list[str] = []
    body = payload()
    with connection.execute_wrapper(lambda run, sql, *rest: (seen.append(sql), run(sql, *rest))[1]):
        with one_commit():
            store(body, receipt(source, body))
        assert together(_CODE.bound("nobody", None, uuid.uuid4())) == [0]
    writes = [each for each in seen if not each.startswith("BEGIN")]
    assert len(writes) == (2 if connection.vendor == "postgresql" else 3)
    assert connection.get_autocommit()
