"""Who gets a place in a full capture window, and that a flood ends: decided without a database."""

from collections import Counter
from collections.abc import Iterable

from tests.support.rows import each_row
from webhooks.captures.places import KeptRequest, choose_replaced, has_place, sender_of


def offer(requests: Iterable[tuple[bool, str | None]]) -> tuple[list[KeptRequest], int]:
    """Offer requests to an empty window. Returns what it keeps, and how many it stored in all."""
    kept: list[KeptRequest] = []
    stored = 0
    for pk, (is_verified, address) in enumerate(requests, 1):
        new = KeptRequest(pk, is_verified, sender_of(address))
        if not has_place(kept, new):
            continue
        replaced = choose_replaced(kept, new) if len(kept) >= 50 else None
        kept = [request for request in kept if request.pk != replaced] + [new]
        stored += 1
    return kept, stored


RUBBISH = (False, "198.51.100.1")
REAL = (True, "192.0.2.7")


@each_row(
    [
        ([RUBBISH] * 99, 0, 50),
        ([REAL] * 99, 50, 0),
        ([RUBBISH] * 99 + [REAL] * 9, 9, 41),
        ([RUBBISH] * 99 + [REAL] * 99, 25, 25),
        ([REAL] * 99 + [RUBBISH] * 99, 25, 25),
        ([RUBBISH, REAL] * 99, 25, 25),
        # Addresses that nobody knows share what one address gets.
        ([(False, None)] * 99 + [REAL] * 99, 25, 25),
    ]
)
def test_each_kind_has_half_of_the_places_and_what_the_other_does_not_need(
    requests: list[tuple[bool, str | None]], verified: int, others: int
) -> None:
    kept, _ = offer(requests)
    assert Counter(request.is_verified for request in kept) == Counter({True: verified, False: others})
    # The oldest stay.
    assert min(request.pk for request in kept) == 1


@each_row(
    [
        ([RUBBISH] * 99 + [(False, "192.0.2.7")] * 9, 9),
        ([RUBBISH] * 99 + [(False, "192.0.2.7")] * 99, 25),
        ([(False, f"2001:db8::{number:x}") for number in range(1, 99)] + [(False, "192.0.2.7")] * 99, 25),
        ([(False, f"198.51.100.{number}") for number in range(1, 100)] + [(False, "192.0.2.7")] * 9, 0),
    ]
)
def test_a_sender_that_is_not_verified_yet_gets_its_share_beside_a_flood(
    requests: list[tuple[bool, str | None]], places: int
) -> None:
    kept, _ = offer(requests)
    assert sum(request.sender == "192.0.2.7" for request in kept) == places


def test_a_flood_from_many_addresses_replaces_a_bounded_number_of_requests() -> None:
    flood = [(False, f"10.0.{number % 7}.{number % 250}") for number in range(1_000)]
    kept, stored = offer([RUBBISH] * 50 + flood + [REAL] * 100 + flood)
    assert len(kept) == 50
    assert stored <= 50 + 49 + 25
