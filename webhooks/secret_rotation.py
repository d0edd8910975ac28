"""Rotate the secrets of a source: add a new one, end the others. At most three are live at a time."""

from contextlib import suppress
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.entries.append import NewEntry, append_entries
from database.encryption.at_rest import CannotDecrypt
from webhooks.models import Source, SourceSecret
from webhooks.protocol.schemes import require_strong_secret
from webhooks.protocol.signatures import check_secret, new_secret

MAX_LIVE_SECRETS = 3
HINT_LENGTH = 4


class RotationRefused(ValueError):
    """A rotation that changed nothing. Its text is a sentence for the person, which never repeats a secret."""


def rotate_secret(
    source: Source, *, typed: str, hours: int, newest: int, reason: str, actor: str, address: str
) -> str:
    """Add the typed secret, or a generated one if nothing was typed, and end the others in `hours`. Appends an audit
    entry.

    `newest` is the id of the newest secret that the person saw, 0 for none, so that a form sent twice changes nothing
    the second time. `actor` is the person (`person:<id>`), `address` the client's IP address or "". Returns the new
    secret. Raises RotationRefused.
    """
    with transaction.atomic():
        # Locked, because two rotations at the same moment would both find the same newest secret; and read again,
        # because the secret is encrypted for the scheme.
        source = Source.objects.select_for_update().get(pk=source.pk)
        value = typed or _generate_secret(source)
        try:
            check_secret(source.scheme, value, source.scheme_settings)
            require_strong_secret(source.scheme, value, source.scheme_settings)
        except ValueError as error:
            raise RotationRefused(str(error)) from error
        if newest_secret_id(source) != newest:
            raise RotationRefused(_("Nothing was changed: a secret was added after you opened this page."))
        ended = _end_other_secrets(source, hours)
        added = SourceSecret.objects.create(source=source, value=value, hint=value[-HINT_LENGTH:])
        # Counted after the others have got their end. Raising rolls the new secret back.
        if len(source.live_secrets(timezone.now())) > MAX_LIVE_SECRETS:
            raise RotationRefused(
                _("A source can have at most %(limit)s active secrets. Expire one first.")
                % {"limit": MAX_LIVE_SECRETS}
            )
        details = {"secret": added.pk, "made": not typed, "others": ended, "end_in_hours": hours}
        details |= {"reason": reason, "address": address}
        append_entries(NewEntry(f"setting:source:{source.pk}", "secret.added", actor, details))
    return value


def newest_secret_id(source: Source) -> int:
    """Return the id of the source's newest secret, live or not, or 0 if it never had one."""
    return int(source.secrets.order_by("-pk").values_list("pk", flat=True).first() or 0)


def end_secret(secret: SourceSecret, *, reason: str, actor: str, address: str) -> None:
    """End a secret now and append an audit entry. Does nothing if it has ended already."""
    now = timezone.now()
    with transaction.atomic():
        ended = _live_after(SourceSecret.objects.filter(pk=secret.pk), now).update(ends_at=now)
        if ended:
            details = {"secret": secret.pk, "reason": reason, "address": address}
            append_entries(NewEntry(f"setting:source:{secret.source_id}", "secret.ended", actor, details))


def rebind_secrets(former: Source, source: Source) -> None:
    """Encrypt the secrets of a source for its scheme, after a person changed it. `former`: the source before.

    A secret that cannot be decrypted stays as it is. Call it in the transaction of the change.
    """
    for secret in former.secrets.all():
        with suppress(CannotDecrypt):
            rebound = SourceSecret(pk=secret.pk, uuid=secret.uuid, source=source, value=secret.value)
            rebound.save(update_fields=["value"])


def _generate_secret(source: Source) -> str:
    try:
        return new_secret(source.scheme, source.scheme_settings)
    except ValueError as error:
        raise RotationRefused(str(error)) from error


def _end_other_secrets(source: Source, hours: int) -> list[int]:
    """End the secrets that would be live longer than `hours`. Returns their ids."""
    end = timezone.now() + timedelta(hours=hours)
    others = _live_after(source.secrets.all(), end)
    keys = list(others.values_list("pk", flat=True))
    SourceSecret.objects.filter(pk__in=keys).update(ends_at=end)
    return keys


def _live_after(secrets: QuerySet[SourceSecret], at: datetime) -> QuerySet[SourceSecret]:
    return secrets.filter(Q(ends_at=None) | Q(ends_at__gt=at))
