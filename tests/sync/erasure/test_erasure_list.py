"""Each erasure is on a list outside the database before its keys are destroyed, and the list names no person."""

import stat
from pathlib import Path
from typing import Any

import pytest

from sync.erasure import erase
from sync.erasure.erasure_list import read_erasure_list
from sync.models import Erasure
from tests.support.builders.erasure import confirmed_erasure, erase_confirmed, invented_person, store_people
from tests.support.hub import Hub
from webhooks.models import SubjectKey

PERSON = invented_person(1)


@pytest.fixture
def file(settings: Any, tmp_path: Path) -> Path:
    settings.ERASURE_LIST = str(tmp_path / "lists" / "erasures.jsonl")
    return Path(settings.ERASURE_LIST)


def test_an_erasure_is_listed_by_pseudonyms_only(hub: Hub, file: Path) -> None:
    store_people([PERSON])
    erasure = confirmed_erasure(PERSON)
    Erasure.objects.update(case_number="GDPR-2026-7")
    assert erase_confirmed() == 1
    [listed] = read_erasure_list(file)
    assert (listed.erasure, listed.ground) == (str(erasure.uuid), "consent-withdrawn")
    assert listed.case_number == "GDPR-2026-7"
    destroyed = SubjectKey.objects.exclude(destroyed_at=None).values_list("pseudonym", flat=True)
    assert set(destroyed) <= set(listed.pseudonyms)
    assert not [word for word in PERSON.words if word in file.read_bytes()]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.submission
def test_nothing_is_erased_that_cannot_be_listed(hub: Hub, file: Path) -> None:
    store_people([PERSON])
    erasure = confirmed_erasure(PERSON)
    file.parent.write_text("a file where the folder should be")
    with pytest.raises(OSError, match="erasures|lists"):
        erase.run_erasure(erasure)
    assert not SubjectKey.objects.exclude(destroyed_at=None).exists()
    file.parent.unlink()
    assert erase_confirmed() == 1
    assert len(list(read_erasure_list(file))) == 1
    assert Erasure.objects.get(pk=erasure.pk).state == "done"


@pytest.mark.pure
def test_a_cut_line_is_named_and_does_not_spoil_the_next_one(file: Path) -> None:
    erasure = Erasure(entity_type="USER", ground="child", requested_by_id=1, decided_by_id=2)
    erase.list_erasure(erasure, ["aa"])
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:20])
    erase.list_erasure(erasure, ["bb"])
    with pytest.raises(ValueError, match="line 2 is damaged"):
        list(read_erasure_list(file))
    file.write_bytes(b"".join(line for line in file.read_bytes().splitlines(keepends=True) if b"}" in line))
    assert [listed.pseudonyms for listed in read_erasure_list(file)] == [["aa"], ["bb"]]
