"""A secret in the body: it must stand wherever the path says, and nothing of it is left to store."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.rows import each_row
from webhooks.protocol.schemes import check_settings
from webhooks.protocol.signatures import BadSignature, LiveSecret, VerifiedSignature, verify_signature

pytestmark = pytest.mark.pure

SECRET, OTHER = "the-client-state-of-the-hub", "the-older-client-state"
GRAPH = "value[].clientState"


def verify(body: Any, field: str = GRAPH, secrets: tuple[str, ...] = (OTHER, SECRET)) -> VerifiedSignature:
    return verify_signature(
        "body-secret",
        settings={"field": field},
        secrets=[LiveSecret(number, value) for number, value in enumerate(secrets, 1)],
        headers={},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
        now=datetime(2026, 3, 4, tzinfo=UTC),
    )


def notification(state: Any = SECRET, **fields: Any) -> dict[str, Any]:
    return {"subscriptionId": "s1", "clientState": state, "changeType": "updated", **fields}


def test_a_graph_notification_is_verified_and_returned_without_the_secret() -> None:
    found = verify({"value": [notification(), notification(resource="Users/1")]})
    assert found.secret_id == 2
    assert json.loads(found.body or b"") == {
        "value": [
            {"subscriptionId": "s1", "changeType": "updated"},
            {"subscriptionId": "s1", "changeType": "updated", "resource": "Users/1"},
        ]
    }


@each_row(
    [
        {},
        [],
        b"",
        b"{",
        b"\xff",
        b'{"value":' + b"[" * 40 + b"]" * 40 + b"}",
        {"value": []},
        {"value": {}},
        {"value": [None]},
        {"value": [{}]},
        {"value": [notification(), {}]},
        {"value": [notification(), notification("wrong")]},
        {"value": [notification("")]},
        {"value": [notification(True)]},
        {"value": [notification([SECRET])]},
        {"value": [notification(SECRET + " ")]},
        {"value": [notification(SECRET[:-1])]},
        {"value": [notification(SECRET.upper())]},
        {"value": [notification(f"wrong-{number}") for number in range(100)] + [notification()]},
        {"clientState": SECRET},
        f'{{"value":[{{"clientState":"wrong"}}],"value":[{{"clientState":"{SECRET}"}}]}}'.encode(),
        f'{{"value":[{{"clientState":"wrong","clientState":"{SECRET}"}}]}}'.encode(),
        *({"value": [notification(f"{SECRET[:at]}\x7f{SECRET[at + 1 :]}")]} for at in range(len(SECRET))),
    ]
)
def test_a_body_without_the_secret_everywhere_is_refused(body: Any) -> None:
    with pytest.raises(BadSignature) as raised:
        verify(body)
    assert SECRET not in f"{raised.value.reason} {raised.value.__cause__}"


@each_row(
    [
        (secret, escape)
        for secret in (SECRET, 'quoted-"secret"-\\-of-the-hub', "geheimnis-für-den-hub-☃")
        for escape in (False, True)
    ]
)
def test_nothing_of_the_secret_is_left_in_the_body(secret: str, escape: bool) -> None:
    document = {
        "value": [notification(secret, again=f"state={secret};", nested={secret: [secret]})],
        "total": 1.5,
        "number": 12345678901234567890,
    }
    text = json.dumps(document, ensure_ascii=escape)
    if escape:
        text = text.replace("-", "\\u002d")
    found = verify(text.encode(), secrets=(secret,))
    kept = (found.body or b"").decode()
    assert secret not in kept
    assert json.dumps(secret)[1:-1] not in kept
    read = json.loads(kept)
    assert (read["total"], read["number"]) == (1.5, 12345678901234567890)
    assert read["value"][0]["again"] == "state=***;"


@each_row(["clientState", "a.b.c", "a[].b[].c", "a.@type"])
def test_the_path_is_a_setting(field: str) -> None:
    check_settings("body-secret", {"field": field})
    document: Any = SECRET
    for step in reversed(field.split(".")):
        document = {step.removesuffix("[]"): [document] if step.endswith("[]") else document}
    assert verify(document, field).secret_id == 2


@each_row(["", "a.", ".a", "a[]", "a[0]", "a b", "a" * 65, ".".join("abcdefghi"), 1, None])
def test_an_invalid_path_is_refused_when_saved_and_verifies_nothing(field: Any) -> None:
    with pytest.raises(ValueError, match="field"):
        check_settings("body-secret", {"field": field})
    with pytest.raises(BadSignature):
        verify({"": SECRET, "a": SECRET}, field)
