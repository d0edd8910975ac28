"""People of the identity service whose unlinked record has the same address, and runs that link them."""

from django.contrib.auth.models import User

from audit.entries.acting_person import ActingPerson
from sync.comparisons.match_linking.requests import apply_linking, request_preview
from sync.models import Comparison, Link, MatchLinking, Route
from tests.support.builders.bulk_replays import staff_user
from tests.support.builders.compared_systems import ComparedSystems
from tests.support.jobs import run_jobs

KIND = "match-linking"


def add_found(systems: ComparedSystems, key: str, *records: str, is_verified: bool = True) -> str:
    """Add a user, and unlinked records with the same address. Returns the address."""
    address = f"{key.lower()}@example.com"
    systems.add_user(key, emails=[{"address": address, "verified": is_verified}])
    for record in records:
        systems.add_customer(record, None, email=address)
    return address


def hold_all() -> None:
    """Let a person decide about each record that is found by a value."""
    Route.objects.update(matching="hold")


def decider(name: str = "decider") -> ActingPerson:
    return ActingPerson(User.objects.filter(username=name).first() or staff_user(name))


def preview(comparison: Comparison) -> MatchLinking:
    """Request a preview and run it to its end."""
    return work(request_preview(comparison, decider(), "first load"))


def apply(linking: MatchLinking, limit: int = 500) -> MatchLinking:
    """Apply a preview and run it to its end."""
    apply_linking(linking, decider(), limit)
    return work(linking)


def work(linking: MatchLinking) -> MatchLinking:
    """Run the job until it is done, or waits for a person."""
    for _ in range(5):
        run_jobs(KIND)
        linking.refresh_from_db()
        if not linking.is_running:
            break
    return linking


def links() -> dict[str, str]:
    """Return the linked record of each entity."""
    return dict(Link.objects.exclude(record_id="").values_list("entity_id", "record_id"))
