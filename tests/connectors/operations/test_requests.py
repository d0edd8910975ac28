"""Requests that operations make of a change: what each style sends, and what is never sent."""

from typing import Any

import pytest

from connectors.contracts.errors import (
    NotConfigured,
    RecordStale,
    SettingOverBudget,
    UnreadableResponse,
    UnsafeRequest,
)
from connectors.contracts.types import Record, TargetConnector, WriteContext
from tests.support.http.connectors import MemoryRecorder, shop, shop_settings
from tests.support.http.servers import Reply, SeenRequest, Service, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

STORED = {"id": "7", "email": "old", "phone": "1", "tags": ["vip"], "address": {"city": "Oulu", "zip": "9"}}
CONTEXT = WriteContext(
    key="IDNUMBER1234",
    fields={"email": "new", "phone": "1"},
    current={"email": "old", "phone": "1", "address": {"city": "Oulu", "zip": "9"}},
    entity={"id": "IDNUMBER1234", "locale": "fi"},
)


def answer(seen: SeenRequest) -> Reply:
    return Reply(200, STORED) if seen.method == "GET" else Reply(204)


def target(service: Service, notebook: MemoryRecorder | None = None, **operations: Any) -> TargetConnector:
    whole = {name: operations.pop(name) for name in ("answers", "id_characters") if name in operations}
    return shop(service.url, notebook, settings=shop_settings(**operations) | whole)


def last_write(update: Any, fields: dict[str, Any]) -> SeenRequest:
    """Return the write that an update makes."""
    with serving(answer) as service:
        target(service, update=update).update_record("USER", "7", fields, "k1", None, CONTEXT)
        return service.seen[-1]


JSON = "application/json"


@pytest.mark.parametrize(
    ("update", "fields", "content_type", "body"),
    [
        ({"style": "changed"}, {"email": "new"}, JSON, {"email": "new"}),
        (
            {"style": "replace", "omit": ["id", "tags"], "method": "PUT"},
            {"email": "new"},
            JSON,
            {"email": "new", "phone": "1", "address": {"city": "Oulu", "zip": "9"}},
        ),
        (
            {"style": "merge-patch"},
            {"address": {"city": "Turku"}, "phone": None},
            "application/merge-patch+json",
            {"address": {"zip": None, "city": "Turku"}, "phone": None},
        ),
        (
            {"style": "json-patch"},
            {"email": "new", "phone": None},
            "application/json-patch+json",
            [{"op": "add", "path": "/email", "value": "new"}, {"op": "remove", "path": "/phone"}],
        ),
        (
            {"style": "scim-patch", "headers": {"content-type": JSON}},
            {"email": "new"},
            JSON,
            {
                "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
                "Operations": [{"op": "replace", "path": "email", "value": "new"}],
            },
        ),
        (
            {
                "style": "body",
                "body": {
                    "key": {"expression": "key"},
                    "all": {"expression": "fields"},
                    "locale": {"expression": "entity.locale"},
                    "was": {"expression": "current.email"},
                    "tags": {"expression": "raw.tags"},
                    "fixed": ["a", {"b": None}],
                    "phone": {"expression": "changed.phone", "optional": True},
                    "link": {"template": "gid://shop/{id}"},
                },
            },
            {"email": "new"},
            JSON,
            {
                "key": "IDNUMBER1234",
                "all": {"email": "new", "phone": "1"},
                "locale": "fi",
                "was": "old",
                "tags": ["vip"],
                "fixed": ["a", {"b": None}],
                "link": "gid://shop/7",
            },
        ),
    ],
)
def test_each_style_sends_its_own_body(
    update: dict[str, Any], fields: dict[str, Any], content_type: str, body: Any
) -> None:
    write = last_write({"path": "/c/{id}", **update}, fields)
    assert (write.headers["content-type"], write.json()) == (content_type, body)


@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({"email": "new"}, {"email": "new"}),
        ({"phone": None}, {"phone": None, "tags": []}),
        ({"email": "new", "phone": "2"}, {"email": "new", "phone": "2", "tags": ["2"]}),
    ],
)
def test_a_part_with_a_condition_is_sent_if_it_is_true_also_as_null(
    changed: dict[str, Any], body: Any
) -> None:
    phone = "contains(keys(changed), 'phone')"
    update = {
        "style": "body",
        "body": {
            "email": {"expression": "changed.email", "when": "changed.email"},
            "phone": {"expression": "changed.phone", "when": phone},
            "cleared": {"expression": "changed.phone", "optional": True},
            "gone": {"expression": "[changed.phone][0]", "when": phone, "optional": True},
            "tags": {"expression": "[changed.phone][?@]", "when": phone},
        },
    }
    write = last_write({"path": "/c/{id}", **update}, changed)
    expected = body | ({"gone": body["phone"]} if body.get("phone") else {})
    expected |= {"cleared": body["phone"]} if "phone" in body else {}
    assert write.json() == expected


def test_a_creation_sends_the_external_id_and_the_configured_fields() -> None:
    create = {
        "method": "PUT",
        "path": "/c/{key}",
        "headers": {"X-Locale": "{locale}"},
        "values": {"locale": "entity.locale"},
        "body": {"properties": {"expression": "sent"}},
        "result": "record",
    }
    with serving(lambda _: Reply(200, {"record": {"id": 9}})) as service:
        made = target(service, create=create).create_record("USER", {"email": "new"}, "k1", CONTEXT)
        write = service.seen[-1]
    assert made == Record("9", {"id": 9})
    assert (write.method, write.path, write.headers["x-locale"]) == ("PUT", "/c/IDNUMBER1234", "fi")
    assert write.json() == {"properties": {"email": "new"}}


def test_a_search_by_post_and_one_by_path() -> None:
    post = {
        "method": "POST",
        "path": "/c/search",
        "body": {"filters": [{"name": {"expression": "field"}, "value": {"expression": "value"}}]},
        "result": "results",
        "fields": ["email"],
    }
    path = {"path": "/c/mail={value}", "result": "[@]", "fields": ["email"]}
    with serving(
        lambda seen: Reply(200, {"results": [STORED]} if seen.method == "POST" else STORED)
    ) as service:
        hits = target(service, search=post).search_records("USER", "email", "old")
        assert service.seen[-1].json() == {"filters": [{"name": "email", "value": "old"}]}
        assert hits == target(service, search=path).search_records("USER", "email", "old")
        assert len(hits) == 1
        target(service, search=path).search_records("USER", "email", "a b/c'd")
        assert service.seen[-1].target == "/c/mail=a%20b%2Fc%27d"


def test_a_deletion_can_anonymize_and_have_a_query() -> None:
    delete = {"method": "POST", "path": "/c/{id}/anonymize", "query": {"force": "true"}, "encoding": "none"}
    with serving(answer) as service:
        target(service, delete=delete).delete_record("USER", "7", "k1")
        seen = service.seen[-1]
    assert (seen.method, seen.target, seen.body) == ("POST", "/c/7/anonymize?force=true", b"")
    assert seen.headers["idempotency-key"] == "k1"


def test_a_target_without_deletion_says_so_before_any_request() -> None:
    operations = {"get": {"path": "/c/{id}"}, "create": {"path": "/c"}, "update": {"path": "/c/{id}"}}
    with serving(answer) as service:
        connector = shop(service.url, settings={"entities": {"USER": {"operations": operations}}})
        with pytest.raises(NotConfigured) as caught:
            connector.delete_record("USER", "7", "k1")
        assert service.seen == []
    assert caught.value.fields[0].field == "/entities/USER/operations/delete"


@pytest.mark.parametrize(("may_change", "is_accepted"), [(True, True), (False, False)])
def test_only_the_settings_allow_an_update_to_change_the_id(may_change: bool, is_accepted: bool) -> None:
    update = {"method": "PUT", "path": "/c/{id}"}
    with serving(lambda _: Reply(200, {"id": 8, "email": "new"})) as service:
        connector = target(service, update=update, id_may_change=may_change)
        if is_accepted:
            assert connector.update_record("USER", "7", {"email": "new"}, "k1").id == "8"
        else:
            with pytest.raises(UnreadableResponse):
                connector.update_record("USER", "7", {"email": "new"}, "k1")


def test_a_new_id_that_no_path_may_hold_is_refused() -> None:
    cases: list[str] = ["../8", "a/b", "8?x"]
    for new_id in cases:
        with (
            serving(lambda _, new_id=new_id: Reply(200, {"id": new_id})) as service,
            pytest.raises(UnsafeRequest) as caught,
        ):
            target(service, update={"path": "/c/{id}"}, id_may_change=True).update_record(
                "USER", "7", {}, "k1"
            )
        assert caught.value.maybe_applied


def test_no_value_smuggles_a_header() -> None:
    cases: list[Any] = ["a\r\nX-Evil: 1", "a\nb", " a", "ä", "", None]
    for value in cases:
        create = {"path": "/c", "headers": {"X-Ref": "{ref}"}, "values": {"ref": "fields.ref"}}
        with serving(answer) as service:
            with pytest.raises(UnsafeRequest) as caught:
                target(service, create=create).create_record("USER", {"ref": value}, "k1")
            assert service.seen == []
        assert not caught.value.maybe_applied


def test_no_value_leaves_its_segment() -> None:
    cases: list[Any] = ["../../admin", "a/b", "..", "a?b", "", None]
    for value in cases:
        update = {"path": "/c/{id}/a/{ref}", "values": {"ref": "changed.ref"}}
        with serving(answer) as service:
            with pytest.raises(UnsafeRequest):
                target(service, update=update).update_record("USER", "7", {"ref": value}, "k1")
            assert service.seen == []


def test_an_expression_that_does_not_fit_sends_nothing() -> None:
    """What cannot be computed must not be sent as null, which would wipe the field."""
    update = {"path": "/c/{id}", "style": "body", "body": {"tags": {"expression": "join(',', changed.tags)"}}}
    with serving(answer) as service:
        with pytest.raises(UnsafeRequest) as caught:
            target(service, update=update).update_record("USER", "7", {"tags": None}, "k1")
        assert service.seen == []
    assert "/entities/USER/operations/update/body/tags/expression" in str(caught.value)


@pytest.mark.promise("I25")
def test_an_expression_over_its_budget_sends_nothing() -> None:
    doubled = " | ".join(["[@,@]"] * 25)
    update = {"path": "/c/{id}", "style": "body", "body": {"a": {"expression": doubled}}}
    with serving(answer) as service:
        with pytest.raises(SettingOverBudget) as caught:
            target(service, update=update).update_record("USER", "7", {"a": "x"}, "k1")
        assert service.seen == []
    assert not caught.value.maybe_applied


def test_a_body_made_of_the_raw_record_is_not_sent_over_a_newer_one() -> None:
    version = {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}
    update = {"path": "/c/{id}", "style": "body", "body": {"tags": {"expression": "raw.tags"}}}
    with serving(lambda _: Reply(200, STORED, {"ETag": '"4"'})) as service:
        connector = target(service, update=update, version=version)
        with pytest.raises(RecordStale):
            connector.update_record("USER", "7", {"email": "new"}, "k1", '"3"')
        assert {seen.method for seen in service.seen} == {"GET"}
        connector.update_record("USER", "7", {"email": "new"}, "k1", '"4"')
        assert service.seen[-1].headers["if-match"] == '"4"'


def test_a_body_template_can_send_the_version() -> None:
    version = {"read": {"path": "version"}, "send": {"field": "version", "query": "version"}}
    body = {"v": {"expression": "version"}, "set": {"expression": "changed"}}
    update = {"path": "/c/{id}", "style": "body", "body": body}
    with serving(lambda _: Reply(200, {**STORED, "version": 3})) as service:
        target(service, update=update, version=version).update_record("USER", "7", {"email": "new"}, "k1", 3)
        assert service.seen[-1].json() == {"v": 3, "set": {"email": "new"}}


def test_a_change_that_no_request_is_for_is_not_a_success() -> None:
    update = [{"path": "/c/{id}", "when": "changed.email"}, {"path": "/a/{id}", "when": "changed.city"}]
    with serving(answer) as service:
        with pytest.raises(NotConfigured) as caught:
            target(service, update=update).update_record("USER", "7", {"phone": "2"}, "k1")
        assert service.seen == []
    assert caught.value.fields[0].field == "/entities/USER/operations/update"


@pytest.mark.parametrize(
    ("raw", "is_sent"), [("[0]", True), (None, False), ("[9]", False), ("[0].email", False)]
)
def test_a_record_that_cannot_be_read_in_full_is_not_replaced(raw: str | None, is_sent: bool) -> None:
    """Only the changed fields would be left of it."""
    get = {"path": "/c/{id}", "result": "[0].{id: id}", "raw": raw}
    update = {"method": "PUT", "path": "/c/{id}", "style": "replace"}
    with serving(lambda seen: Reply(200, [STORED]) if seen.method == "GET" else Reply(204)) as service:
        connector = target(service, get=get, update=update)
        if is_sent:
            connector.update_record("USER", "7", {"email": "new"}, "k1")
            assert service.seen[-1].json() == {**STORED, "email": "new"}
        else:
            with pytest.raises(UnreadableResponse):
                connector.update_record("USER", "7", {"email": "new"}, "k1")
            assert {seen.method for seen in service.seen} == {"GET"}


def test_an_update_that_is_answered_with_no_record_is_done() -> None:
    cases: list[Any] = [[{"7": True, "message": ""}], True, None, {"warnings": []}]
    for body in cases:
        with serving(lambda seen, body=body: Reply(200, STORED if seen.method == "GET" else body)) as service:
            updated = target(service).update_record("USER", "7", {"email": "new"}, "k1", None, CONTEXT)
        assert updated.id == "7"


def test_an_update_that_is_answered_with_a_page_is_not_known_to_be_done() -> None:
    page = Reply(200, raw=b"<html><form action='/login'></form></html>")
    answering = serving(lambda seen: Reply(200, STORED) if seen.method == "GET" else page)
    with answering as service, pytest.raises(UnreadableResponse) as caught:
        target(service).update_record("USER", "7", {"email": "new"}, "k1", None, CONTEXT)
    assert caught.value.maybe_applied


def test_a_search_and_a_list_without_content_find_nothing() -> None:
    with serving(lambda _: Reply(204)) as service:
        connector = target(service, list={"path": "/c", "result": "items"})
        assert connector.search_records("USER", "email", "a@example.org") == ()
        connector.probe_system()


def test_a_finding_names_the_setting_that_describes_the_search() -> None:
    with serving(lambda _: Reply(403, {})) as service:
        connector = target(service)
        with pytest.raises(NotConfigured) as missing:
            connector.search_records("USER", "nickname", "x")
        place = "/entities/USER/operations/search"
        assert missing.value.fields[0].field == f"{place}/fields"
        assert connector.check_permission("USER", "search").setting == place
        assert connector.check_permission("USER", "read").setting == "/entities/USER/operations/get"
