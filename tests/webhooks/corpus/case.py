"""One document of the corpus and what the parser must say of it."""

from collections.abc import Iterable
from dataclasses import dataclass

ACCEPTED = "accepted"


@dataclass(frozen=True, slots=True)
class Case:
    """`whole` is the code for the document as a body of its own, `inside` for it as the value of a member."""

    kind: str
    body: bytes
    whole: str
    inside: str

    def __str__(self) -> str:
        shown = repr(self.body[:28])[1:]
        return f"{self.kind} {shown}" + (f" of {len(self.body)} bytes" if len(self.body) > 28 else "")


def cases(kind: str, whole: str, bodies: Iterable[bytes], *, inside: str = "") -> tuple[Case, ...]:
    return tuple(Case(kind, body, whole, inside or whole) for body in bodies)
