"""Packed ids: nothing is lost, and a list of ids has one form. Sets of ids: members and gaps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.format.id_ranges import IdSet, InvalidPackedIds, pack_ids, unpack_ids

pytestmark = pytest.mark.pure

IDS = st.sets(st.integers(1, 2**62)).map(sorted)
NEAR = st.lists(st.sets(st.integers(1, 60)).map(sorted), max_size=8)


@pytest.mark.submission
@given(IDS)
def test_nothing_is_lost(ids: list[int]) -> None:
    assert unpack_ids(pack_ids(ids)) == ids


@given(st.binary(max_size=12))
def test_one_list_of_ids_has_one_form(packed: bytes) -> None:
    try:
        ids = unpack_ids(packed)
    except InvalidPackedIds:
        return
    assert pack_ids(ids) == packed


@pytest.mark.parametrize("ids", [[0], [-1], [2, 2], [3, 2]])
def test_ids_that_do_not_ascend_are_refused(ids: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        pack_ids(ids)


@pytest.mark.parametrize(
    "packed", [b"\x00", b"\x80", b"\x80\x00", b"\x81\x00", b"\x01\x80", b"\xff" * 10 + b"\x01"]
)
def test_non_canonical_packed_ids_are_refused(packed: bytes) -> None:
    with pytest.raises(InvalidPackedIds):
        unpack_ids(packed)


@pytest.mark.submission
@given(NEAR)
def test_a_set_of_ids_behaves_as_a_set(batches: list[list[int]]) -> None:
    ours, plain = IdSet(), set[int]()
    for batch in batches:
        assert sorted(ours.add_ids(batch)) == sorted(plain & set(batch))
        plain |= set(batch)
    assert {entry_id for entry_id in range(62) if entry_id in ours} == plain
    assert ours.largest_id == max(plain, default=0)
    for above in (0, 7, 59):
        missing = [entry_id for low, high in ours.missing_ranges(above) for entry_id in range(low, high + 1)]
        assert missing == [
            entry_id for entry_id in range(above + 1, ours.largest_id) if entry_id not in plain
        ]


def test_a_set_costs_memory_for_its_gaps_only() -> None:
    ours = IdSet()
    for start in range(1, 1_000_001, 1000):
        ours.add_ids(range(start, start + 1000))
    assert len(ours._starts) == 1
