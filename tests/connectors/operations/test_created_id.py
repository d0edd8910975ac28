"""A system may answer a creation without the record: its id is in the address that a header names."""

from typing import Any

import pytest

from connectors.contracts.errors import UnreadableResponse, UnsafeRequest
from tests.support.http.connectors import shop
from tests.support.http.servers import Reply, SeenRequest, serving

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

LAST_SEGMENT = "split(headers.location, '/')[-1]"
IN_BRACKETS = "split(split(headers.\"odata-entityid\", '(')[-1], ')')[0]"
ID = "0ba3e1c4-73d2-4f25-8c86-2b1f6c3d9a10"


def settings(created_id: str | None, **user: Any) -> dict[str, Any]:
    create = {"path": "/users"} | ({"created_id": created_id} if created_id else {})
    operations = {"get": {"path": "/users/{id}"}, "create": create, "update": {"path": "/users/{id}"}}
    return {"entities": {"USER": {"operations": operations, **user}}}


def create(reply: Reply, created_id: str | None = LAST_SEGMENT, **user: Any) -> Any:
    with serving(lambda _: reply) as service:
        target = shop(service.url, settings=settings(created_id, **user))
        return target.create_record("USER", {"email": "a@b.test"}, "k1")


def test_the_id_of_a_new_record_is_read_from_the_whole_response() -> None:
    cases: list[tuple[str, Reply]] = [
        (LAST_SEGMENT, Reply(201, None, {"Location": f"https://id.example.com/admin/realms/a/users/{ID}"})),
        (LAST_SEGMENT, Reply(204, None, {"location": f"/users/{ID}"})),
        (LAST_SEGMENT, Reply(201, {"message": "created"}, {"Location": f"/users/{ID}"})),
        (LAST_SEGMENT, Reply(201, raw=b"<html>", headers={"Location": f"/users/{ID}"})),
        (IN_BRACKETS, Reply(204, None, {"OData-EntityId": f"https://o.example.com/api/contacts({ID})"})),
        ("body", Reply(201, raw=ID.encode())),
        ("body.ids[0]", Reply(201, {"ids": [ID]})),
    ]
    for created_id, reply in cases:
        made = create(reply, created_id)
        assert (made.id, made.fields) == (ID, {"email": "a@b.test"})


def test_a_response_without_the_id_is_unreadable_and_the_record_may_exist() -> None:
    cases: list[Reply] = [
        Reply(201),
        Reply(201, {"id": ID}),
        Reply(201, None, {"Location": "/users/"}),
        Reply(201, None, {"Location": "/users/" + "9" * 300}),
    ]
    for reply in cases:
        with pytest.raises(UnreadableResponse) as caught:
            create(reply)
        assert caught.value.maybe_applied


def test_an_id_that_no_path_may_hold_is_refused() -> None:
    cases: list[str] = ["..", "a%2Fb", "a?b"]
    for own in cases:
        with pytest.raises(UnsafeRequest) as caught:
            create(Reply(201, None, {"Location": f"/users/{own}"}))
        assert caught.value.maybe_applied


def test_a_version_is_read_before_the_next_write() -> None:
    def answer(seen: SeenRequest) -> Reply:
        if seen.method == "POST":
            return Reply(201, None, {"Location": f"/users/{ID}"})
        if seen.method == "PATCH":
            assert seen.headers["if-match"] == '"1"'
        return Reply(200, {"id": ID}, {"ETag": '"1"'})

    version = {"read": {"header": "ETag"}, "send": {"header": "If-Match"}}
    with serving(answer) as service:
        target = shop(service.url, settings=settings(LAST_SEGMENT, version=version))
        made = target.create_record("USER", {"email": "a@b.test"}, "k1")
        current = target.load_version("USER", made)
        target.update_record("USER", made.id, {"email": "b@b.test"}, "k2", current.version)
