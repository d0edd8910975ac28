"""Delete payloads that were stored under a key after it was destroyed, and which cannot be decrypted any more."""

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from sync.erasure.requests import subject_of
from sync.housekeeping.batch_deletion import delete_payloads
from sync.models import Erasure, ErasureState
from webhooks.models import Payload, SubjectKey

_LOOK_BACK = timedelta(days=2)
_BATCH_SIZE = 500


def delete_late_payloads() -> None:
    """Delete late payloads of the last two days: a process was about to answer when the key was destroyed.

    Payloads of an erasure in progress are left to it, so that it counts them.
    """
    counted = [
        name
        for erasure in Erasure.objects.filter(state=ErasureState.CONFIRMED)
        for name in subject_of(erasure).pseudonyms.values()
    ]
    destroyed = SubjectKey.objects.filter(destroyed_at__gt=timezone.now() - _LOOK_BACK)
    recent = destroyed.exclude(pseudonym__in=counted)
    # Read first: as one query it would read all payloads.
    subjects = list(recent.values_list("pk", flat=True))
    for start in range(0, len(subjects), _BATCH_SIZE):
        late_payloads = Payload.objects.filter(subject__in=subjects[start : start + _BATCH_SIZE])
        while keys := list(late_payloads.values_list("pk", flat=True)[:_BATCH_SIZE]):
            with transaction.atomic():
                delete_payloads(keys)
