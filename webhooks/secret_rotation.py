"""The life of a source's secrets: a new one comes, the old ones end, at most three are live."""

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit.entries.append import NewEntry, append_entries
from webhooks.models import Source, SourceSecret
from webhooks.protocol.signatures import check_secret, new_secret

MOST_LIVE = 3
HINT = 4


class NotRotated(ValueError):
    """Why nothing was changed, in a sentence; it never repeats a secret."""


def live_secrets(source: Source) -> list[SourceSecret]:
    """The secrets that are good now for how the source is verified, oldest first."""
    now = timezone.now()
    return [secret for secret in source.secrets.all() if secret.is_live(now) and secret.fits]


def rotate(
    source: Source, *, typed: str, hours: int, newest: int, reason: str, actor: str, address: str
) -> str:
    """Add the typed secret, or a fresh one, and let the others end in `hours`, on the audit log.

    `newest` is the key of the newest secret that the person saw (0: none): a page that was sent twice changes
    nothing the second time. `actor` is the person (`person:<id>`), `address` where the request came from, or "".
    Returns the new secret. Raises `NotRotated`.
    """
    value = typed or _fresh(source)
    try:
        check_secret(source.scheme, value)
    except ValueError as error:
        raise NotRotated(str(error)) from error
    with transaction.atomic():
        Source.objects.select_for_update().get(pk=source.pk)
        if newest_key(source) != newest:
            raise NotRotated("Nothing was changed: a secret was added after you opened this page.")
        ended = _end_others(source, hours)
        added = SourceSecret.objects.create(source=source, value=value, hint=value[-HINT:])
        if len(live_secrets(source)) > MOST_LIVE:
            raise NotRotated(f"A source can have at most {MOST_LIVE} active secrets. Expire one first.")
        details = {"secret": added.pk, "made": not typed, "others": ended, "end_in_hours": hours}
        details |= {"reason": reason, "address": address}
        append_entries(NewEntry(f"setting:source:{source.pk}", "secret.added", actor, details))
    return value


def newest_key(source: Source) -> int:
    """The key of its newest secret, live or not; 0 where it never had one."""
    return int(source.secrets.order_by("-pk").values_list("pk", flat=True).first() or 0)


def end_now(secret: SourceSecret, *, reason: str, actor: str, address: str) -> None:
    """End a secret at this moment, on the audit log. One that has ended already stays as it is."""
    now = timezone.now()
    with transaction.atomic():
        ended = _still_live(SourceSecret.objects.filter(pk=secret.pk), now).update(ends_at=now)
        if ended:
            details = {"secret": secret.pk, "reason": reason, "address": address}
            append_entries(NewEntry(f"setting:source:{secret.source_id}", "secret.ended", actor, details))


def _fresh(source: Source) -> str:
    try:
        return new_secret(source.scheme)
    except ValueError as error:
        raise NotRotated(str(error)) from error


def _end_others(source: Source, hours: int) -> list[int]:
    """Those that would be good for longer end then; their keys."""
    end = timezone.now() + timedelta(hours=hours)
    others = _still_live(source.secrets.all(), end)
    keys = list(others.values_list("pk", flat=True))
    SourceSecret.objects.filter(pk__in=keys).update(ends_at=end)
    return keys


def _still_live(secrets: QuerySet[SourceSecret], at: datetime) -> QuerySet[SourceSecret]:
    return secrets.filter(Q(ends_at=None) | Q(ends_at__gt=at))
