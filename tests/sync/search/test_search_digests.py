"""The digests by which people are found: written when the values of an entity change, and gone with the entity."""

from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from sync.erasure.erase import run_erasure
from sync.housekeeping.batch_deletion import delete_events
from sync.housekeeping.retention_rules import prune_expired
from sync.models import Attempt, Connection, Mapping, Route, SearchDigest
from sync.planning.search_values import MAX_VALUES, normalize_value
from sync.search import search_digests
from sync.search.person_search import Hits, find_by_value
from sync.search.search_digests import DigestSet, store_digests
from tests.support.builders.erasure import InventedPerson, confirmed_erasure
from tests.support.database.query_plans import recorded_statements
from tests.support.hub import ANNA, EXAMPLE, Hub, new_sealing_key
from webhooks.models import Event, SubjectKey


@pytest.fixture(autouse=True)
def _search_key(settings: Any) -> None:
    settings.SEARCH_KEYS = [new_sealing_key()]


def deliver(hub: Hub) -> None:
    hub.post_signed(EXAMPLE)
    hub.wait_until_quiet()


def rename(hub: Hub, family_name: str) -> None:
    name = {"givenName": "Anna", "familyName": family_name}
    hub.identity.directory.update_record("users", ANNA, {"name": name}, replaces=False)
    deliver(hub)


def ids(hits: Hits) -> list[str]:
    return [hit.entity_id for hit in hits.hits]


@pytest.mark.pure
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna  AALTO", "aalto, anna"),
        ("ＡＮＮＡ＠example.com", "anna@Example.com"),
        ("+358 (0)40 123 4567", "040-1234567"),
        ("Straße", "STRASSE"),
        ("e\u0301lise", "\u00c9lise"),
    ],
)
def test_spellings_of_one_value_are_equal(one: str, other: str) -> None:
    assert normalize_value(one) == normalize_value(other) != ""


@pytest.mark.parametrize(
    "said",
    [
        "anna.aalto@EXAMPLE.com",
        "Aalto",
        "anna",
        "aalto anna",
        "Anna Aalto",
        "040 123 4567",
        "+358 40 1234567",
    ],
)
def test_a_person_is_found_by_what_a_caller_says(hub: Hub, said: str) -> None:
    deliver(hub)
    assert ids(find_by_value(said)) == [ANNA]
    assert ids(find_by_value(f"{said}x")) == []


def test_an_event_that_changes_no_value_costs_no_statement(hub: Hub, settings: Any) -> None:
    """Holds the cost of search: none for an event of an entity whose values are stored already."""
    counts = []
    for key in (settings.SEARCH_KEYS, settings.SEARCH_KEYS, []):
        settings.SEARCH_KEYS = key
        with recorded_statements() as statements:
            deliver(hub)
        counts.append(
            sum(
                "searchdigest" in one.sql or "search_state" in one.sql.partition("FROM")[2]
                for one in statements
            )
        )
        counts.append(len(statements))
    first, _all_first, second, all_second, off, all_off = counts
    assert first > 0
    assert (second, all_second) == (off, all_off) == (0, all_off)


def test_a_person_whose_record_cannot_be_made_is_found(hub: Hub) -> None:
    hub.identity.directory.update_record("users", ANNA, {"emails": []}, replaces=False)
    deliver(hub)
    assert Event.objects.get().code == "unmappable"
    assert ids(find_by_value("anna aalto")) == [ANNA]


def test_a_lost_value_finds_the_person_as_a_former_one_for_180_days(hub: Hub) -> None:
    deliver(hub)
    rename(hub, "Koski")
    [former], [current] = find_by_value("Aalto").hits, find_by_value("Koski").hits
    assert (former.is_former, current.is_former) == (True, False)
    rename(hub, "Aalto")
    assert not find_by_value("Aalto").hits[0].is_former
    SearchDigest.objects.exclude(superseded_at=None).update(
        superseded_at=timezone.now() - timedelta(days=181)
    )
    prune_expired()
    assert ids(find_by_value("Koski")) == []


def test_an_entity_has_twelve_digests_at_most(hub: Hub) -> None:
    for number in range(8):
        rename(hub, f"Name{'abcdefgh'[number]}")
    assert SearchDigest.objects.count() == MAX_VALUES
    assert ids(find_by_value("Namea")) == []
    assert ids(find_by_value("Nameg")) == ids(find_by_value("Nameh")) == [ANNA]


@pytest.mark.promise("I19")
def test_an_erasure_between_reading_and_storing_leaves_no_digest(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that the key of the subject is looked at again by the statement that stores."""
    deliver(hub)
    key, compare = SubjectKey.objects.get(), search_digests._add_changes

    def erase_first(*arguments: Any) -> None:
        compare(*arguments)
        run_erasure(confirmed_erasure(InventedPerson(ANNA, "Anna", "anna.aalto@example.com")))

    monkeypatch.setattr(search_digests, "_add_changes", erase_first)
    assert not store_digests(key, "USER", ANNA, DigestSet.of_values(["koski"]))
    assert not SearchDigest.objects.exists()


def test_what_another_process_stored_meanwhile_is_read_again(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds that two processes never store digests of one entity that fit neither set."""
    deliver(hub)
    key, compare, others = SubjectKey.objects.get(), search_digests._add_changes, [["koski"], ["virtanen"]]

    def store_another_first(*arguments: Any) -> None:
        compare(*arguments)
        if others:
            assert store_digests(key, "USER", ANNA, DigestSet.of_values(others.pop()))

    monkeypatch.setattr(search_digests, "_add_changes", store_another_first)
    assert store_digests(key, "USER", ANNA, DigestSet.of_values(["salo"]))
    hits = {name: find_by_value(name).hits for name in ("salo", "koski", "virtanen", "aalto")}
    assert {name: [hit.is_former for hit in found] for name, found in hits.items()} == {
        "salo": [False],
        "koski": [True],
        "virtanen": [True],
        "aalto": [True],
    }


@pytest.mark.parametrize(
    "others", [["koski"], ["salo", "anna", "salo anna"]], ids=["other values", "the same"]
)
def test_an_attempt_is_settled_although_another_process_stores_digests(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, others: list[str]
) -> None:
    """Holds that the settling commit, whose batch fails then, is made again with the digests of the entity."""
    deliver(hub)
    key, compare, left = SubjectKey.objects.get(), search_digests._add_changes, [others]

    def store_another_first(*arguments: Any) -> None:
        compare(*arguments)
        if left:
            assert store_digests(key, "USER", ANNA, DigestSet.of_values(left.pop()))

    monkeypatch.setattr(search_digests, "_add_changes", store_another_first)
    rename(hub, "Salo")
    assert not left
    assert [str(attempt.outcome) for attempt in Attempt.objects.order_by("pk")] == ["unchanged", "succeeded"]
    assert [hit.is_former for hit in find_by_value("salo").hits] == [False]
    if others == ["koski"]:
        assert [hit.is_former for hit in find_by_value("koski").hits] == [True]
    assert [hit.is_former for hit in find_by_value("aalto").hits] == [True]


@pytest.mark.promise("I19")
def test_an_erasure_leaves_no_digest(hub: Hub) -> None:
    deliver(hub)
    run_erasure(confirmed_erasure(InventedPerson(ANNA, "Anna", "anna.aalto@example.com")))
    assert not SearchDigest.objects.exists()
    assert not SubjectKey.objects.exclude(search_state=None).exists()
    assert ids(find_by_value("Aalto")) == []


def test_the_last_event_of_an_entity_takes_its_digests_along(hub: Hub) -> None:
    deliver(hub)
    deliver(hub)
    first, last = Event.objects.order_by("pk").values_list("pk", flat=True)
    with transaction.atomic():
        delete_events([first])
    assert ids(find_by_value("Aalto")) == [ANNA]
    with transaction.atomic():
        delete_events([last])
    assert not SearchDigest.objects.exists()
    deliver(hub)
    assert ids(find_by_value("Aalto")) == [ANNA]


def test_a_new_key_finds_the_old_digests_and_replaces_them(hub: Hub, settings: Any) -> None:
    deliver(hub)
    old, new = settings.SEARCH_KEYS[0], new_sealing_key()
    settings.SEARCH_KEYS = [new, old]
    assert ids(find_by_value("Aalto")) == [ANNA]
    rename(hub, "Koski")
    settings.SEARCH_KEYS = [new]
    assert [hit.is_former for hit in find_by_value("Koski").hits] == [False]
    # The former value has a digest of the old key alone.
    assert ids(find_by_value("Aalto")) == []
    settings.SEARCH_KEYS = [new, old]
    assert [hit.is_former for hit in find_by_value("Aalto").hits] == [True]
    assert find_by_value("Anna").hits[0].is_former is False
    settings.SEARCH_KEYS = [old]
    assert ids(find_by_value("Anna")) == []


def test_the_command_makes_digests_of_what_is_stored(hub: Hub, settings: Any) -> None:
    """Holds that a first key, a new key and a new searchable field reach people who send no event."""
    key = settings.SEARCH_KEYS
    settings.SEARCH_KEYS = []
    deliver(hub)
    deliver(hub)
    with pytest.raises(CommandError, match="SEARCH_KEYS"):
        call_command("update_search_digests")
    for keys in (key, [new_sealing_key(), *key]):
        settings.SEARCH_KEYS = keys
        output = StringIO()
        call_command("update_search_digests", stdout=output)
        assert "Done: 1 entities read, 1 changed." in output.getvalue()
        settings.SEARCH_KEYS = keys[:1]
        assert [hit.is_former for hit in find_by_value("Anna Aalto").hits] == [False]
    output = StringIO()
    call_command("update_search_digests", stdout=output)
    assert "1 entities read, 0 changed" in output.getvalue()
    run_erasure(confirmed_erasure(InventedPerson(ANNA, "Anna", "anna.aalto@example.com")))
    call_command("update_search_digests", stdout=output)
    assert not SearchDigest.objects.exists()


def test_two_routes_of_an_entity_store_one_set(hub: Hub) -> None:
    """Holds that mappings with other searchable fields do not replace each other's digests at every event."""
    route = Route.objects.select_related("target", "mapping").get(source__slug="aurora", entity_type="USER")
    fields = route.mapping.versions.get().declaration["fields"]
    second = Mapping.objects.create(name="second")
    # Without a match: the second route never writes, and still says what is searchable.
    rules = {"active": {"constant": True}, "language": {**fields["language"], "searchable": True}}
    second.versions.create(number=1, declaration={"fields": rules})
    target = Connection.objects.get(pk=route.target_id)
    credentials = target.credentials
    target.pk, target.uuid, target.slug, target.name = None, uuid4(), "second", "Second"
    target._state.adding = True
    target.credentials = credentials
    target.save()
    Route.objects.create(
        source=route.source,
        entity_type="USER",
        identity=route.identity,
        target=target,
        mapping=second,
        mode="observe",
    )
    deliver(hub)
    assert ids(find_by_value("anna.aalto@example.com")) == ids(find_by_value("fi")) == [ANNA]
    with recorded_statements() as statements:
        deliver(hub)
    assert not [one.sql for one in statements if "searchdigest" in one.sql]
    assert not SearchDigest.objects.exclude(superseded_at=None).exists()
