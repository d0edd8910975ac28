"""Findings on what the credentials of a connection may do."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

# In the order in which they are checked. `scope` belongs to an OAuth token, the others to an entity type. `absence` is
# to prove that an item does not exist.
Permission = Literal["scope", "list", "read", "search", "write", "absence"]


class PermissionAnswer(StrEnum):
    """The result of probing one permission with requests that change nothing."""

    GRANTED = "granted"
    # Some of the listed items are refused, another one is not.
    PARTLY = "partly"
    # 401 or 403, or a scope that was requested and not granted.
    REFUSED = "refused"
    # Another answer than expected: the path may be wrong, or the system hides what it refuses.
    FAILED = "failed"
    # The system itself says that it does not accept the method, whatever the credentials.
    NOT_ACCEPTED = "not-accepted"
    # The settings do not say how.
    NOT_CONFIGURED = "not-configured"
    # There is nothing to read, or only a write would show it.
    UNKNOWN = "unknown"


class PermissionToCheck(NamedTuple):
    """A permission that the settings of a connection use."""

    entity_type: str
    permission: Permission


@dataclass(frozen=True, slots=True)
class PermissionFinding:
    """The result for one permission. It contains no part of a response.

    `call` is the method and path template of the request that decided, and `status` the status of its response, None
    without one. `setting` is the path of the setting to check. `missing` has the methods with their paths, or the
    scopes, that the settings name and the system does not grant. If `is_declared`, the system names all methods of a
    write as accepted, for all credentials.
    """

    entity_type: str
    permission: Permission
    answer: PermissionAnswer
    call: str = ""
    status: int | None = None
    setting: str = ""
    missing: tuple[str, ...] = ()
    is_declared: bool = False


@dataclass(frozen=True, slots=True)
class RenewedCredentials:
    """New credentials: seconds until they expire, and the scopes that were requested and not granted."""

    lifetime_seconds: float
    missing_scopes: tuple[str, ...] = ()
