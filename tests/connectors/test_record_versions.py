"""Conditional requests of the target connector, and what it makes of the answers."""

from typing import Any

import pytest

from connectors.contracts.errors import (
    NotConfigured,
    RecordStale,
    RequestRejected,
    UnreadableResponse,
)
from connectors.contracts.types import Record
from tests.support.http.connectors import PUT_CUSTOMER, MemoryRecorder, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

ETAG: dict[str, Any] = {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}
FIELD: dict[str, Any] = {"read": {"path": "version"}, "send": {"field": "version", "query": "rev"}}
STORED = {"id": 1, "email": "old", "phone": "1", "version": 3, "meta": {"version": "m3", "by": "x"}}


WRAPPED = {"path": "/api/customers/{id}", "body": {"data": {"expression": "sent"}}}


def stored(seen: SeenRequest) -> Reply:
    """Answer as a target with one record."""
    if seen.method != "GET":
        return Reply(204)
    if seen.query:
        return Reply(200, {"items": [STORED]}, {"ETag": '"of the search"'})
    return Reply(200, STORED, {"ETag": 'W/"3"'})


def settings(version: Any, **user: Any) -> dict[str, Any]:
    return shop_settings(version=version, **user)


@pytest.mark.parametrize(
    ("version", "read", "found"),
    [(ETAG, 'W/"3"', None), (FIELD, 3, 3), ({**ETAG, "read": {"path": "meta.version"}}, "m3", "m3")],
)
def test_a_version_is_read_with_the_record(version: Any, read: Any, found: Any) -> None:
    """A header of a search is about the list, so only a field gives a version there."""
    with serving(stored) as service:
        connector = shop(service.url, settings=settings(version))
        record = connector.get_record("USER", "1")
        (hit,) = connector.search_records("USER", "email", "old")
        assert (record, hit) == (Record("1", STORED, read), Record("1", STORED, found))
        assert connector.load_version("USER", hit) == record
        assert len(service.seen) == (3 if found is None else 2), "read again only where it lacks"


def test_without_the_setting_nothing_is_read_again() -> None:
    with serving(stored) as service:
        connector = shop(service.url)
        (hit,) = connector.search_records("USER", "email", "old")
        assert connector.load_version("USER", hit) is hit
        connector.update_record("USER", "1", {"email": "new"}, "k")
        assert len(service.seen) == 2
        assert "if-match" not in service.seen[-1].headers


@pytest.mark.parametrize(
    ("version", "user", "sent_version", "header", "body"),
    [
        (ETAG, {}, 'W/"3"', 'W/"3"', {"email": "new"}),
        (FIELD, {}, 3, None, {"email": "new", "version": 3}),
        (FIELD, {"update": WRAPPED}, 3, None, {"data": {"email": "new", "version": 3}}),
        ({**FIELD, "send": {"field": "meta.version"}}, {}, 3, None, {"email": "new", "meta": {"version": 3}}),
    ],
)
def test_an_update_names_the_version_that_it_changes(
    version: Any, user: Any, sent_version: Any, header: str | None, body: dict[str, Any]
) -> None:
    with serving(stored) as service:
        connector = shop(service.url, settings=settings(version, **user))
        connector.update_record("USER", "1", {"email": "new"}, "k", sent_version)
        write = service.seen[-1]
    assert (write.method, write.headers.get("if-match"), write.json()) == ("PATCH", header, body)


@pytest.mark.parametrize(
    ("version", "body"),
    [
        ({**ETAG, "read": {"path": "meta.version"}}, {"version": 3, "meta": {"by": "x"}}),
        ({**FIELD, "send": {"header": "If-Match"}}, {"meta": {"version": "m3", "by": "x"}}),
        (FIELD, {"version": 3, "meta": {"version": "m3", "by": "x"}}),
    ],
)
def test_put_sends_the_version_as_data_only_where_the_settings_say_so(version: Any, body: Any) -> None:
    with serving(stored) as service:
        connector = shop(service.url, settings=settings(version, update=PUT_CUSTOMER | {"omit": ["id"]}))
        record = connector.get_record("USER", "1")
        assert record is not None
        connector.update_record("USER", "1", {"email": "new"}, "k", record.version)
        assert service.seen[-1].json() == {"email": "new", "phone": "1", **body}


@pytest.mark.promise("T14")
@pytest.mark.parametrize("is_deleted", [False, True])
def test_put_sends_nothing_over_a_record_that_was_changed_meanwhile(is_deleted: bool) -> None:
    with serving(lambda seen: Reply(404) if is_deleted else stored(seen)) as service:
        connector = shop(service.url, settings=settings(ETAG, update=PUT_CUSTOMER))
        with pytest.raises(RecordStale) as caught:
            connector.update_record("USER", "1", {"email": "new"}, "k", '"2"')
        assert [seen.method for seen in service.seen] == ["GET"]
    assert (caught.value.code, caught.value.retryable, caught.value.maybe_applied) == (
        "target-stale",
        True,
        False,
    )


DELETE = {"path": "/api/customers/{id}"}


@pytest.mark.parametrize(
    ("version", "delete", "sent_version", "request_parts"),
    [
        (ETAG, {}, '"3"', ("DELETE", '"3"', {}, b"")),
        (FIELD, {}, 3, ("DELETE", None, {"rev": "3"}, b"")),
        (
            {**FIELD, "send": {"field": "version"}},
            {"method": "POST"},
            3,
            ("POST", None, {}, b'{"version":3}'),
        ),
    ],
)
def test_a_deletion_names_the_version_that_it_deletes(
    version: Any, delete: Any, sent_version: Any, request_parts: tuple[Any, ...]
) -> None:
    with serving(stored) as service:
        connector = shop(service.url, settings=settings(version, delete=DELETE | delete))
        connector.delete_record("USER", "1", "k", sent_version)
        seen = service.seen[-1]
    assert (seen.method, seen.headers.get("if-match"), seen.query, seen.body) == request_parts


def test_a_deletion_that_cannot_name_its_version_is_not_sent() -> None:
    version = {**FIELD, "send": {"field": "version"}}
    with serving(stored) as service:
        with pytest.raises(NotConfigured) as caught:
            shop(service.url, settings=settings(version)).delete_record("USER", "1", "k", 3)
        assert service.seen == []
    assert caught.value.fields[0].field == "/entities/USER/version/send/query"


def test_no_write_is_unconditional_because_a_record_lacks_its_version() -> None:
    cases: list[tuple[Any, str]] = [
        *[
            (value, "update")
            for value in (None, "", True, 1.5, [3], "x" * 1001, 10**1000, "a\nb", "käyttäjä")
        ],
        (None, "delete"),
    ]
    for value, write in cases:
        version = {**ETAG, "read": {"path": "version"}}
        with serving(
            lambda _, value=value: Reply(200, {"id": 1, "email": "old", "version": value})
        ) as service:
            connector = shop(service.url, settings=settings(version))
            record = connector.get_record("USER", "1")
            assert record is not None
            assert record.version is None
            values = ({"email": "new"}, "k") if write == "update" else ("k",)
            with pytest.raises(UnreadableResponse) as caught:
                getattr(connector, f"{write}_record")(
                    "USER", "1", *values, connector.load_version("USER", record).version
                )
            assert {seen.method for seen in service.seen} == {"GET"}
        assert (caught.value.code, caught.value.maybe_applied) == ("target-garbled", False)
        assert (
            str(caught.value) == "GET /api/customers/{id}: the record has no version at the configured place"
        )


def test_a_record_that_only_a_search_returns_is_not_written() -> None:
    with serving(lambda seen: stored(seen) if seen.query else Reply(404)) as service:
        connector = shop(service.url, settings=settings(ETAG))
        (hit,) = connector.search_records("USER", "email", "old")
        with pytest.raises(UnreadableResponse):
            connector.load_version("USER", hit)


RULES = {"stale": [{"status": 412}, {"status": 409, "when": "body.errors[0].code == 'outdated'"}]}


@pytest.mark.parametrize(
    ("status", "answer", "kind", "write"),
    [
        (412, {}, RecordStale, "delete"),
        (409, {"errors": [{"code": "outdated"}]}, RecordStale, "update"),
        (409, {"errors": [{"code": "duplicate"}]}, RequestRejected, "update"),
        (422, {"errors": [{"code": "outdated"}]}, RequestRejected, "delete"),
    ],
)
def test_a_refused_version_is_distinguished_from_other_refusals_and_recorded(
    status: int, answer: Any, kind: type[Exception], write: str
) -> None:
    notebook = MemoryRecorder()
    with serving(lambda _: Reply(status, answer)) as service:
        connector = shop(service.url, notebook, settings=settings({**ETAG, **RULES}))
        values = ({"email": "new"}, "k") if write == "update" else ("k",)
        with pytest.raises(kind) as caught:
            getattr(connector, f"{write}_record")("USER", "1", *values, '"2"')
    assert type(caught.value) is kind
    assert [exchange.error_code for exchange in notebook.exchanges] == [getattr(caught.value, "code", None)]
    assert not getattr(caught.value, "maybe_applied", True)


def test_a_412_of_an_unconditional_write_is_a_rejection() -> None:
    with serving(lambda _: Reply(412, {})) as service, pytest.raises(RequestRejected):
        shop(service.url).update_record("USER", "1", {"email": "new"}, "k")
