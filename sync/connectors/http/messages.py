"""What goes over the wire and what comes back, whatever library carries it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from sync.connectors.http.dns import Network


@dataclass(frozen=True, slots=True)
class Wire:
    """How a connection may be used. `seconds` over the whole exchange, `byte_cap` on an answer's body.

    `ca`: certificates in PEM to trust in place of the bundled ones. `networks`: the only addresses allowed.
    """

    origin: str
    seconds: float
    byte_cap: int
    ca: str | None = None
    networks: tuple[Network, ...] = ()


class Request(NamedTuple):
    """What is to be sent. `is_caged` judges the URL as the library is going to send it."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    is_caged: Callable[[str], bool]


class Answer(NamedTuple):
    """What came back, undecoded. Header names are lower-case; `received` counts bytes off the connection."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    received: int


class Failure(Exception):
    """No whole answer. `reached`: the request may have arrived. `stale`: a kept connection was cut."""

    def __init__(self, reason: str, *, reached: bool = False, stale: bool = False, received: int = 0) -> None:
        super().__init__(reason)
        self.reached = reached
        self.stale = stale
        self.received = received


class Late(Failure):
    """The deadline came first."""


class Broken(Failure):
    """No connection, or one that was cut."""


class Unbelievable(Failure):
    """Not HTTP as we asked for it: malformed, encoded, too large."""


class Uncaged(Failure):
    """The finished URL is not the one that was meant. Nothing was sent."""
