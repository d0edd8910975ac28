"""References: UUIDv7 and the 26 characters that people quote."""

import threading
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config_schema.codes.reference import from_reference, new_uuid, to_reference
from tests.support.rows import each_row

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

NOW = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)


def test_the_time_version_and_variant_follow_rfc_9562():
    made = new_uuid(NOW)
    assert made.int >> 80 == 0x017F22E279B0
    assert (made.version, made.variant) == (7, uuid.RFC_4122)


def test_values_of_one_millisecond_grow_from_any_thread():
    made = [[] for _ in range(8)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(new_uuid(NOW) for _ in range(500)))
        for mine in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({value for mine in made for value in mine}) == 4000
    assert {value.int >> 80 for mine in made for value in mine} == {0x017F22E279B0}


@given(st.uuids())
def test_a_reference_is_read_in_any_case_and_with_the_usual_misreadings(value):
    reference = to_reference(value)
    misread = reference.lower().replace("1", "l").replace("0", "o")
    assert len(reference) == 26
    assert from_reference(reference) == from_reference(misread) == value
    assert from_reference(reference.replace("1", "I").replace("0", "O")) == value


@given(st.uuids(), st.uuids())
def test_references_sort_as_their_uuids(one, other):
    assert (to_reference(one) < to_reference(other)) == (one < other)


def test_references_of_known_uuids():
    assert to_reference(uuid.UUID(int=0)) == "0" * 26
    assert to_reference(uuid.UUID(int=2**128 - 1)) == "7" + "Z" * 25
    assert to_reference(uuid.UUID("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")) == "01FWHE4YDGFK1SHH6W1G60EECF"


@each_row(["", "0" * 25, "0" * 27, "8" + "0" * 25, "U" + "0" * 25, "0" * 25 + "\n", "ı" + "0" * 25, "٠" * 26])
def test_an_invalid_reference_is_refused_and_not_repeated(text):
    with pytest.raises(ValueError, match="a reference") as caught:
        from_reference(text)
    assert not text or text not in str(caught.value)
