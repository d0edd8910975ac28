"""A system may answer a creation without the record: its id is in the address that a header names."""

from typing import Any

import pytest

from config_schema.errors import SettingsInvalid
from connectors.contracts.errors import UnreadableResponse, UnsafeRequest
from connectors.contracts.types import WriteContext
from connectors.presets import PRESETS, load_preset
from connectors.settings.target import TARGET_SETTINGS
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


def put(reply: Reply, path: str = "/users/{key}", key: str = ID, **create: Any) -> Any:
    """Create a record by PUT. Returns it."""
    operations = {
        "get": {"path": "/users/{id}"},
        "create": {"method": "PUT", "path": path, **create},
        "update": {"path": "/users/{id}"},
    }
    with serving(lambda _: reply) as service:
        target = shop(service.url, settings={"entities": {"USER": {"operations": operations}}})
        return target.create_record("USER", {"email": "a@b.test"}, "k1", WriteContext(key=key))


@pytest.mark.parametrize(
    ("reply", "path", "create", "own"),
    [
        (Reply(204), "/users/{key}", {}, ID),
        (Reply(201), "/users/{key}", {}, ID),
        (Reply(200, {"id": "7"}), "/users/{key}", {}, "7"),
        (Reply(204), "/by-key/{key}", {"created_id": "key"}, ID),
        (Reply(201, {"number": 7}), "/users/{key}", {"created_id": "body.number || key"}, "7"),
    ],
)
def test_a_record_that_is_created_at_the_key_of_the_hub_has_that_id(
    reply: Reply, path: str, create: dict[str, Any], own: str
) -> None:
    made = put(reply, path, **create)
    assert (made.id, made.fields if own == ID else None) == (
        own,
        {"email": "a@b.test"} if own == ID else None,
    )


@pytest.mark.parametrize(
    ("reply", "path", "key"),
    [
        # The key is not the id where the record has another path.
        (Reply(204), "/by-external-id/{key}", ID),
        (Reply(204), "/users", ID),
        (Reply(204), "/users/{key}", ""),
        (Reply(200, raw=b"<html>log in"), "/users/{key}", ID),
    ],
)
def test_an_empty_response_says_nothing_of_a_record_at_another_path(
    reply: Reply, path: str, key: str
) -> None:
    with pytest.raises((UnreadableResponse, UnsafeRequest)):
        put(reply, path, key)


@pytest.mark.parametrize(
    "expression",
    [
        *(
            "headers.Location",
            "split(headers.Location, '/')[-1]",
            "heders.location",
            "id",
            "entity.id",
            "fields.id",
        ),
        *(
            "location",
            "status.id",
            "headers.location || `null`",
            "body.id == `7`",
            "split(headers.location, '/')",
        ),
        *(
            "body.items[].id",
            "{id: body.id}",
            "contains(headers.location, '/users/')",
            'headers."OData-EntityId"',
        ),
        *("@.header.location", "key.id", "`null`", "body.items[?id]", "'7'", "@"),
    ],
)
def test_an_expression_that_finds_no_id_in_any_response_is_refused(expression: str) -> None:
    """Each creation would make a record and fail."""
    with pytest.raises(SettingsInvalid) as caught:
        TARGET_SETTINGS.read(settings(expression), ())
    assert caught.value.pointer == "/entities/USER/operations/create/created_id"


@pytest.mark.parametrize(
    "expression",
    [
        *(
            LAST_SEGMENT,
            IN_BRACKETS,
            "body",
            "body.ids[0]",
            "key",
            "status == `201` && body.id",
            "body.Id || key",
        ),
        "contains(headers.location, '/users/') && split(headers.location, '/')[-1]",
        "body.links[?rel == 'self'].href | [0]",
    ],
)
def test_an_expression_that_may_find_the_id_is_accepted(expression: str) -> None:
    TARGET_SETTINGS.read(settings(expression), ())


def test_every_preset_of_a_target_is_accepted() -> None:
    for name in PRESETS:
        preset = load_preset(name)
        if preset["connector"] == "rest-target":
            TARGET_SETTINGS.read(preset["settings"], ())
