"""Rules that hold for every answer of the hub's API."""

import json
from typing import Any

from django.http import HttpResponse

from config_schema.codes.codes import CATALOGUE

MAX_ANSWER_BYTES = 8_192
CANARY = "Canary1234"


def assert_sound_answer(answer: HttpResponse) -> dict[str, Any]:
    """Assert that an answer follows the rules of the contract. Returns its JSON document."""
    document: dict[str, Any] = json.loads(answer.content)
    is_problem = answer.status_code >= 400
    assert answer["Content-Type"] == f"application/{'problem+json' if is_problem else 'json'}"
    assert (answer["Cache-Control"], answer["X-Content-Type-Options"]) == ("no-store", "nosniff")
    assert not answer.cookies
    assert "Set-Cookie" not in answer.headers
    assert len(answer.content) <= MAX_ANSWER_BYTES
    assert CANARY.encode() not in answer.content + str(answer.headers).encode(), (
        "the answer repeats the request"
    )
    if is_problem:
        code = document["code"]
        assert (document["type"], document["status"]) == (f"/problems/{code}", answer.status_code)
        assert document["title"]
        assert document["detail"]
        assert code in CATALOGUE
    return document
