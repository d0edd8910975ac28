"""One document of the corpus and what the parser must say of it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

ACCEPTED = "accepted"
REQUIRED = ("id", "entityType", "eventType")


@dataclass(frozen=True, slots=True)
class Case:
    """`whole` is the code for the document as a body of its own, `inside` for it as the value of a member."""

    kind: str
    body: bytes
    whole: str
    inside: str

    def as_a_webhook(self) -> tuple[str, str]:
        """Code and pointer of the refusal as a whole webhook. None is one: what JSON allows lacks its members."""
        if self.whole != ACCEPTED:
            return self.whole, ""
        document = json.loads(self.body)
        if not isinstance(document, dict):
            return "not-an-object", ""
        return "missing-member", "/" + next(name for name in REQUIRED if name not in document)

    def __str__(self) -> str:
        shown = repr(self.body[:28])[1:]
        return f"{self.kind} {shown}" + (f" of {len(self.body)} bytes" if len(self.body) > 28 else "")


def cases(kind: str, whole: str, bodies: Iterable[bytes], *, inside: str = "") -> tuple[Case, ...]:
    return tuple(Case(kind, body, whole, inside or whole) for body in bodies)
