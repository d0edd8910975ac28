"""The table of promise I10: what becomes of a webhook for each of seventeen answers at each of three steps."""

from dataclasses import dataclass

from tests.faults.moods.moody_systems import FETCH, STEPS
from webhooks.models import State

# Mood → what becomes of a fetch, a creation and an update. A word that is no state is the code of a failure.
TABLE = {
    "2xx": ("succeeded", "succeeded", "succeeded"),
    "400": ("rejected", "rejected", "rejected"),
    "401": ("credentials", "credentials", "credentials"),
    "404": ("unchanged", "rejected", "rejected"),  # who is gone has no record to deactivate
    "409": ("rejected", "rejected", "rejected"),
    "410": ("unchanged", "rejected", "rejected"),
    "429": ("throttled", "throttled", "throttled"),
    "500": ("unavailable", "unavailable", "unavailable"),
    "502": ("unavailable", "unavailable", "unavailable"),
    "503": ("unavailable", "unavailable", "unavailable"),
    "504": ("unavailable", "unavailable", "unavailable"),
    "reset": ("unavailable", "unavailable", "unavailable"),
    "timeout": ("timeout", "timeout", "timeout"),
    "HTML": ("garbled", "garbled", "garbled"),
    "empty": ("garbled", "garbled", "succeeded"),  # a creation must tell the record's id, an update need not
    "204": ("garbled", "garbled", "succeeded"),
    "wrong-JSON": ("garbled", "garbled", "garbled"),
}
# Word → whose it is at the identity service and at the shop, and whether there is a next try.
FAILURES = {
    "rejected": ("identity", "identity", False),
    "credentials": ("hub", "hub", True),
    "throttled": ("identity", "target", True),
    "unavailable": ("identity", "target", True),
    "timeout": ("identity", "target", True),
    "garbled": ("identity", "target", True),
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What the table says of one mood at one step."""

    code: str
    owner: str
    goes_on: bool

    @property
    def first_state(self) -> str:
        """After the first try."""
        if self.owner == "nobody":
            return self.code
        return State.RETRYING if self.goes_on else State.DEAD

    @property
    def last_state(self) -> str:
        """After the last one, where nothing gets better."""
        return self.code if self.owner == "nobody" else State.DEAD


def expected(step: str, mood: str) -> Expected:
    word = TABLE[mood][STEPS.index(step)]
    if word not in FAILURES:
        return Expected(word, "nobody", goes_on=False)
    at_identity, at_shop, goes_on = FAILURES[word]
    is_fetch = step == FETCH
    return Expected(
        f"{'identity' if is_fetch else 'target'}-{word}", at_identity if is_fetch else at_shop, goes_on
    )
