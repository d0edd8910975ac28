"""Comparisons on the stage: a finished one with differences of several kinds, an earlier one, and one that runs."""

from datetime import timedelta

from sync.models import Comparison, Difference, MatchLinking, Route
from tests.browser.stage.busy_hub import Stage
from tests.support import compared_people
from tests.support.builders.compared_pairs import a_comparison, an_open_comparison
from tests.support.hub import ANNA

MATCHED = "MEMBER2399"
_MATCHES = (
    ("verified-unique", ("Aino", "Korhonen")),
    ("verified-unique", ("Eero", "Niemi")),
    ("unverified", ("Helmi", "Laine")),
)
_COUNTS = {
    "in-step": 9_786,
    "differs": 1_214,
    "missing-record": 9,
    "found-by-value": 2,
    "entity-gone": 12,
    "unknown-record": 40,
    "unmappable": 1,
    "in-step-removed": 3,
    "in-delivery": 2,
}
_ROWS = (
    ("differs", ANNA, "4711", ["email", "first_name"], "", ""),
    ("missing-record", "MEMBER2201", "", [], "", ""),
    ("found-by-value", "MEMBER2202", "4790", [], "unmatched", "held"),
    ("entity-gone", "MEMBER2203", "4712", ["active"], "", ""),
    ("unknown-record", "", "4801", [], "", ""),
    ("unmappable", "MEMBER2204", "", [], "unmappable", "dead"),
)


def compared(stage: Stage) -> Comparison:
    """Return the newest result of the first route. Made once."""
    route = Route.objects.select_related("identity", "target", "mapping").earliest("id")
    found = Comparison.objects.filter(route=route, state="done").order_by("-pk").first()
    if found is not None:
        return found
    day = timedelta(days=1)
    times = {"requested_at": stage.now - day, "started_at": stage.now - day, "ended_at": stage.now - day}
    a_comparison(route, **times)
    a_comparison(route, state="failed", failure="identity-unavailable", **times)
    ended = stage.now - timedelta(hours=2)
    comparison = a_comparison(
        route,
        requested_by=stage.people["support"],
        cause="person",
        requested_at=ended,
        started_at=ended,
        ended_at=ended,
        counts=_COUNTS,
        unconfirmed={"differs": 214},
        field_counts={"email": 880, "first_name": 120, "last_name": 40},
        target_gap="target-unavailable",
    )
    for kind, entity_id, record_id, fields, code, delivery_state in _ROWS:
        Difference.objects.create(
            comparison=comparison,
            kind=kind,
            status="confirmed",
            entity_id=entity_id,
            record_id=record_id,
            fields=fields,
            code=code,
            delivery_state=delivery_state,
            since=ended - day,
        )
    for number in range(50):
        values = {"kind": "differs", "status": "not-confirmed" if number % 5 == 0 else "confirmed"}
        Difference.objects.create(
            comparison=comparison,
            entity_id=f"MEMBER{2300 + number}",
            record_id=str(5_000 + number),
            fields=[] if number % 5 == 0 else ["email"],
            since=ended,
            **values,
        )
    return comparison


def found_by_value(stage: Stage) -> Difference:
    """Return a record that was found by the address of a person, in the newest result. Made once.

    The shop has a second one with the address, so that a person has to choose.
    """
    comparison = compared(stage)
    found = comparison.differences.filter(entity_id=MATCHED).first()
    if found is not None:
        return found
    _add_match(stage, MATCHED, ("Selma", "Virtanen"), ("Virtanen", "Virtanen-Holm"))
    for number, (code, name) in enumerate(_MATCHES):
        _add_match(stage, f"MEMBER{2400 + number}", name, name[1:])
        Difference.objects.create(
            comparison=comparison,
            kind="found-by-value",
            status="confirmed",
            entity_id=f"MEMBER{2400 + number}",
            record_id=compared_people.record_id(2_400 + 10 * number),
            code=code,
            since=comparison.requested_at,
        )
    return Difference.objects.create(
        comparison=comparison,
        kind="found-by-value",
        status="confirmed",
        entity_id=MATCHED,
        code="ambiguous",
        since=comparison.requested_at,
    )


def _add_match(stage: Stage, key: str, name: tuple[str, str], last_names: tuple[str, ...]) -> None:
    """Add a person, and unlinked records with the same address and these last names."""
    email = f"{name[0]}.{name[1]}@example.com".lower()
    person = {
        "id": key,
        "username": key.lower(),
        "emails": [{"address": email, "verified": True}],
        "name": {"givenName": name[0], "familyName": name[1]},
    }
    stage.hub.identity.directory.create_record("users", person)
    first = 10 * int(key.removeprefix("MEMBER")) - 21_600
    for number, last_name in enumerate(last_names, first):
        changed = {"email": email, "external_id": None, "first_name": name[0], "last_name": last_name}
        # Past the shop's check of addresses, which refuses a second one.
        record = compared_people.record_of(number) | changed
        stage.hub.shop.store.put_record("customers", compared_people.record_id(number), record)


def linking(stage: Stage) -> MatchLinking:
    """Return a preview of linking all unique matches that is ready. Made once."""
    comparison = found_by_value(stage).comparison
    found = MatchLinking.objects.filter(comparison=comparison).first()
    return found or MatchLinking.objects.create(
        comparison=comparison,
        state="ready",
        reason="First load",
        requested_by=stage.people["support"],
        requested_at=stage.now,
        total=1_604,
        previewed={
            "verified-unique": 1_400,
            "ambiguous": 98,
            "shared-value": 2,
            "unverified": 100,
            "in-delivery": 4,
        },
    )


def running(stage: Stage) -> Comparison:
    """Return a comparison that reads the records. Made once."""
    route = compared(stage).route
    started = {"started_at": stage.now - timedelta(seconds=40), "requested_at": stage.now}
    found = Comparison.objects.filter(route=route, state="running").first()
    return found or an_open_comparison(route, requested_by=stage.people["support"], cause="person", **started)
