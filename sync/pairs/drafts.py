"""Begin, change and end pair drafts. Each act is one commit; its ends are on the audit log.

A draft ends when its owner discards it, when its time is over, when its route goes live, and with its route.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from audit.entries.acting_person import ActingPerson
from audit.entries.append import NewEntry, append_entries
from database.clock import read_clock
from sync.models import PairDraft, Route

MAX_OPEN_DRAFTS = 10
LIFETIME = timedelta(days=7)
_MAX_EXPIRED = 1_000


class DraftRefused(ValueError):
    """Nothing was changed; the message is for the person who asked."""


def open_drafts() -> QuerySet[PairDraft]:
    """Return the pair drafts that were not created yet and whose time is not over."""
    return PairDraft.objects.filter(route=None, ends_at__gt=read_clock())


def find_draft(draft_uuid: Any, owner: Any) -> PairDraft | None:
    """Return the draft of a person, created or not; None if there is none, or its time is over."""
    draft = (
        PairDraft.objects.select_related("route__source", "route__identity", "route__target")
        .filter(uuid=draft_uuid, owner=owner.pk)
        .first()
    )
    if draft is None or (draft.route_id is None and draft.ends_at <= read_clock()):
        return None
    return draft


@transaction.atomic
def begin_draft(parts: Mapping[str, Any], by: ActingPerson) -> PairDraft:
    """Begin a pair with its first part. Raises DraftRefused if the person has MAX_OPEN_DRAFTS open ones."""
    # Locked, because two requests at the same moment would both count the same drafts.
    User.objects.select_for_update().filter(pk=by.user.pk).values_list("pk").first()
    if open_drafts().filter(owner=by.user.pk).count() >= MAX_OPEN_DRAFTS:
        raise DraftRefused(
            _("You have %(limit)d pair drafts. Create or discard one first.") % {"limit": MAX_OPEN_DRAFTS}
        )
    now = read_clock()
    draft = PairDraft(owner_id=by.user.pk, parts=dict(parts), created_at=now, ends_at=now + LIFETIME)
    draft.save(force_insert=True)
    _append_entry(draft, "pair.begun", by.actor, {"address": by.address})
    return draft


def save_parts(
    draft: PairDraft, parts: Mapping[str, Any], credentials: Mapping[str, Mapping[str, Any]]
) -> None:
    """Store new parts, and the credentials of those that do not exist yet. Tests of what differs are forgotten.

    1. Lock the row. Raises DraftRefused if it has ended or was created meanwhile.
    2. Encrypt the credentials for the origins of the new parts.
    """
    with transaction.atomic():
        stored = PairDraft.objects.select_for_update().filter(pk=draft.pk, route=None).first()
        if stored is None:
            raise DraftRefused(_("This pair was created or discarded in the meantime. Nothing was changed."))
        changed = {
            name
            for name in {*parts, *stored.parts}
            if parts.get(name) != stored.parts.get(name)
            or credentials.get(name) != stored.read_credentials().get(name)
        }
        draft.tests = {name: test for name, test in stored.tests.items() if name not in changed}
        draft.parts = dict(parts)
        draft.credentials = {name: dict(values) for name, values in credentials.items() if values} or None
        draft.ends_at = read_clock() + LIFETIME
        draft.save(update_fields=["parts", "credentials", "tests", "ends_at"])


@transaction.atomic
def discard_draft(draft: PairDraft, by: ActingPerson) -> bool:
    """Delete a draft with its credentials. Returns False if it has ended or was created."""
    if not PairDraft.objects.select_for_update().filter(pk=draft.pk, route=None).exists():
        return False
    _append_entry(draft, "pair.discarded", by.actor, {"address": by.address})
    PairDraft.objects.filter(pk=draft.pk).delete()
    return True


def begin_test(draft: PairDraft, seconds: float) -> bool:
    """Reserve the draft for a test that takes so many seconds at most. Returns False if another one may still run."""
    now = read_clock()
    is_free = Q(testing_until=None) | Q(testing_until__lt=now)
    free = PairDraft.objects.filter(is_free, pk=draft.pk, route=None)
    return bool(free.update(testing_until=now + timedelta(seconds=seconds)))


@transaction.atomic
def store_tests(
    draft: PairDraft, tested: Mapping[str, Any], parts: Mapping[str, Any], by: ActingPerson
) -> None:
    """Store the steps of a test by part, unless the part was changed meanwhile, and release the draft. `parts`: those
    that were tested.
    """
    stored = PairDraft.objects.select_for_update().filter(pk=draft.pk).first()
    if stored is None:
        return
    current = {name: test for name, test in tested.items() if stored.parts.get(name) == parts.get(name)}
    stored.tests, stored.testing_until = {**stored.tests, **current}, None
    stored.save(update_fields=["tests", "testing_until"])
    draft.tests = stored.tests
    codes = {name: {step["name"]: step["code"] for step in test["steps"]} for name, test in tested.items()}
    _append_entry(draft, "pair.tested", by.actor, {"steps": codes, "address": by.address})


def end_created_draft(route: Route) -> None:
    """Delete the draft of a route that went live. Call it in the transaction that changes the mode."""
    PairDraft.objects.filter(route=route).delete()


def delete_expired_drafts() -> None:
    """Delete at most _MAX_EXPIRED drafts whose time is over, with their credentials. Those of created pairs stay."""
    expired = PairDraft.objects.filter(route=None, ends_at__lte=read_clock())
    for draft in expired.order_by("pk")[:_MAX_EXPIRED]:
        with transaction.atomic():
            # Conditional: its owner may have changed or created it since.
            if expired.select_for_update().filter(pk=draft.pk).exists():
                _append_entry(draft, "pair.expired", "system", {"owner": draft.owner_id})
                PairDraft.objects.filter(pk=draft.pk).delete()


def _append_entry(draft: PairDraft, action: str, actor: str, details: Mapping[str, Any]) -> None:
    append_entries(NewEntry(draft.stream, action, actor, details))
