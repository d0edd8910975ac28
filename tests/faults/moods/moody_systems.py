"""The two systems with seventeen kinds of answers (moods), chosen by the id of the person.

`C.503.7` is the seventh person whose creation the shop always answers with 503; F is the fetch from the identity
service, U an update in the shop.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.http.messages import HTML, Request, Response
from sandbox.identity import IdentityService
from sandbox.shop import ShopService

FETCH, CREATE, UPDATE = "F", "C", "U"
STEPS = (FETCH, CREATE, UPDATE)
RETRY_AFTER = 3
LATE_SECONDS = 3.0  # more than any deadline of these tests

_PAGE = Response(200, b"<!doctype html><title>Maintenance</title>", HTML)
_ANSWERS: Mapping[str, Response] = {
    **{
        str(status): Response.from_json(status, {})
        for status in (400, 401, 404, 409, 410, 500, 502, 503, 504)
    },
    "429": Response.from_json(429, {}, {"Retry-After": str(RETRY_AFTER)}),
    "HTML": _PAGE,
    "empty": Response(200, b""),
    "204": Response(204),
    "wrong-JSON": Response(200, b'{"id": "4711", "email": '),
}
MOODS = ("2xx", *_ANSWERS, "reset", "timeout")


def person(step: str, mood: str, number: int = 0) -> str:
    """Return the id of a person for whom a system answers in this mood at this step."""
    return f"{step}.{mood}.{number}"


@dataclass(slots=True)
class SystemMoods:
    """The moods of one system. `steps`: HTTP method → step. Setting `released` ends all requests that hang."""

    steps: Mapping[str, str]
    released: threading.Event = field(default_factory=threading.Event)

    def mood_for(self, method: str, subject: object) -> str:
        """Return the mood for this request; an empty string for a normal answer."""
        step, _, rest = str(subject).partition(".")
        mood = rest.partition(".")[0]
        return mood if self.steps.get(method) == step and mood != "2xx" else ""

    def answer(self, mood: str) -> Response | None:
        """Return the answer of a mood; None cuts the connection."""
        if mood == "timeout":
            self.released.wait(LATE_SECONDS)
        return _ANSWERS.get(mood)


class MoodyIdentity(IdentityService):
    """An identity service that answers fetches of certain people in a mood."""

    def __init__(self, secret: str) -> None:
        self.temper = SystemMoods({"GET": FETCH})
        super().__init__(secret=secret)

    def respond(self, request: Request) -> Response | None:
        entity = self.find_entity(request) or {}
        mood = self.temper.mood_for(request.method, entity.get("id"))
        return self.temper.answer(mood) if mood else super().respond(request)


class MoodyShop(ShopService):
    """A shop that answers writes for certain people in a mood."""

    def __init__(self) -> None:
        self.temper = SystemMoods({"POST": CREATE, "PATCH": UPDATE})
        super().__init__()

    def respond(self, request: Request) -> Response | None:
        entity = self.find_entity(request) or {}
        mood = self.temper.mood_for(request.method, entity.get("external_id"))
        return self.temper.answer(mood) if mood else super().respond(request)
