"""The table of promise I10: the outcome of a webhook for each of seventeen answers at each of three steps."""

from dataclasses import dataclass

from tests.faults.moods.moody_systems import FETCH, STEPS
from webhooks.models import State

# Mood → outcome of a fetch, a creation and an update: a state, or the last part of the code of a failure.
TABLE = {
    "2xx": ("succeeded", "succeeded", "succeeded"),
    "400": ("rejected", "rejected", "rejected"),
    "401": ("credentials", "credentials", "credentials"),
    # Absent once, a person may exist; absent twice, a person without a record needs no change.
    "404": ("missing-unproven", "rejected", "rejected"),
    "409": ("rejected", "rejected", "rejected"),
    "410": ("missing-unproven", "rejected", "rejected"),
    "429": ("throttled", "throttled", "throttled"),
    "500": ("unavailable", "unavailable", "unavailable"),
    "502": ("unavailable", "unavailable", "unavailable"),
    "503": ("unavailable", "unavailable", "unavailable"),
    "504": ("unavailable", "unavailable", "unavailable"),
    "reset": ("unavailable", "unavailable", "unavailable"),
    "timeout": ("timeout", "timeout", "timeout"),
    "HTML": ("garbled", "garbled", "garbled"),
    "empty": ("garbled", "garbled", "succeeded"),  # the answer to a creation must contain the record's id
    "204": ("garbled", "garbled", "succeeded"),
    "wrong-JSON": ("garbled", "garbled", "garbled"),
}
# Failure → owner if it is the identity service's, owner if it is the shop's, and True if it is retried.
FAILURES = {
    "rejected": ("identity", "identity", False),
    "credentials": ("hub", "hub", True),
    "throttled": ("identity", "target", True),
    "unavailable": ("identity", "target", True),
    "timeout": ("identity", "target", True),
    "garbled": ("identity", "target", True),
    "missing-unproven": ("hub", "hub", True),
}


@dataclass(frozen=True, slots=True)
class ExpectedResult:
    """The expected outcome of one mood at one step."""

    code: str
    owner: str
    is_retried: bool

    @property
    def first_state(self) -> str:
        """Return the state after the first attempt."""
        if self.owner == "nobody":
            return self.code
        return State.RETRYING if self.is_retried else State.DEAD

    def last_result(self, max_attempts: int) -> tuple[str, str, int]:
        """Return state, code and number of attempts after the last attempt, if the mood does not change."""
        if self.code == "identity-missing-unproven":
            return State.UNCHANGED, State.UNCHANGED, 2
        state = self.code if self.owner == "nobody" else State.DEAD
        return state, self.code, max_attempts if self.is_retried else 1


def expected_result(step: str, mood: str) -> ExpectedResult:
    word = TABLE[mood][STEPS.index(step)]
    if word not in FAILURES:
        return ExpectedResult(word, "nobody", is_retried=False)
    at_identity, at_shop, goes_on = FAILURES[word]
    is_fetch = step == FETCH
    return ExpectedResult(
        f"{'identity' if is_fetch else 'target'}-{word}", at_identity if is_fetch else at_shop, goes_on
    )
