"""The state and code of an event follow from its deliveries. Pure."""

from sync.deliveries.event_state import decide_event
from tests.support.rows import each_row

OBSERVED, OBSERVED_FAILED = ("ignored", "observed"), ("ignored", "observed-failed")
SUPERSEDED, OUT_OF_SCOPE = ("superseded", "superseded"), ("ignored", "out-of-scope")


@each_row(
    [
        ([OBSERVED, SUPERSEDED], SUPERSEDED),
        ([OBSERVED_FAILED, OUT_OF_SCOPE], OUT_OF_SCOPE),
        ([OBSERVED, ("retrying", "target-unavailable")], ("retrying", "target-unavailable")),
        ([OBSERVED_FAILED, OBSERVED], OBSERVED_FAILED),
        ([OBSERVED], OBSERVED),
    ]
)
def test_what_a_route_observed_decides_nothing_beside_another_route(
    deliveries: list[tuple[str, str]], expected: tuple[str, str]
) -> None:
    assert decide_event(deliveries) == expected
