"""The state and code of an event follow from its deliveries. Pure."""

from sync.deliveries.event_state import decide_event
from sync.models import Delivery, Route
from tests.support.rows import each_row

OBSERVED, OBSERVED_FAILED = ("ignored", "observed"), ("ignored", "observed-failed")
SUPERSEDED, OUT_OF_SCOPE = ("superseded", "superseded"), ("ignored", "out-of-scope")
SUCCEEDED, RETRYING = ("succeeded", "succeeded"), ("retrying", "target-unavailable")
LIVE, OBSERVING = Route(mode="live"), Route(mode="observe")


@each_row(
    [
        ([OBSERVED], [SUPERSEDED], SUPERSEDED),
        ([OBSERVED_FAILED], [OUT_OF_SCOPE], OUT_OF_SCOPE),
        ([OBSERVED], [RETRYING], RETRYING),
        ([OBSERVED_FAILED, OBSERVED], [], OBSERVED_FAILED),
        ([OBSERVED], [], OBSERVED),
        ([RETRYING], [SUCCEEDED], SUCCEEDED),
        ([("pending", "")], [SUPERSEDED], SUPERSEDED),
        ([RETRYING, OBSERVED], [], RETRYING),
        # A person decides about it, whatever the mode is now.
        ([("held", "held")], [SUCCEEDED], ("held", "held")),
    ]
)
def test_what_a_route_observes_decides_nothing_beside_another_route(
    observing: list[tuple[str, str]], live: list[tuple[str, str]], expected: tuple[str, str]
) -> None:
    deliveries = [
        Delivery(route=route, state=state, code=code)
        for route, rows in ((OBSERVING, observing), (LIVE, live))
        for state, code in rows
    ]
    assert decide_event(deliveries) == expected


def test_a_recheck_of_a_write_counts_although_its_route_observes_now() -> None:
    recheck = Delivery(route=OBSERVING, state="pending", code="succeeded", state_before_recheck="succeeded")
    assert decide_event([recheck, Delivery(route=LIVE, state="unchanged", code="unchanged")]) == SUCCEEDED
