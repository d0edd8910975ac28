"""What the page of a source tells: how it does, where what it sends goes, and who signs with which secret."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import IntegerField, OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import ngettext

from sync.models import RefusalCount, Route
from sync.watching import newest_of_source
from webhooks.models import Receipt, Source, SourceSecret

MOST_READ = 2_000


def observed(sources: QuerySet[Source]) -> QuerySet[Any]:
    """Each with when its last event came and how many bad signatures today brought: one statement for all."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    bad = RefusalCount.objects.filter(source=OuterRef("pk"), code="bad-signature", hour__gte=midnight)
    total = bad.order_by().values("source").annotate(total=Sum("number")).values("total")
    rows: QuerySet[Any] = sources.annotate(
        last_event_at=Subquery(newest_of_source().values("received_at")[:1]),
        bad_signatures=Coalesce(Subquery(total, output_field=IntegerField()), 0),
    )
    return rows


@dataclass(frozen=True, slots=True)
class SecretLine:
    """One secret, without its value. `signed`: of the newest receipts, how many since the newest secret was added."""

    secret: SourceSecret
    is_live: bool
    is_old: bool
    age: str
    left: str
    signed: int
    last_at: datetime | None


def secret_lines(source: Source) -> list[SecretLine]:
    """Newest first; two statements."""
    now = timezone.now()
    secrets = list(source.secrets.order_by("-pk"))
    used = _signers(source, secrets[0].created_at) if secrets else {}
    return [_line(each, now, used, is_old=each.pk != secrets[0].pk) for each in secrets]


def _line(
    secret: SourceSecret, now: datetime, used: Mapping[str, tuple[int, datetime]], *, is_old: bool
) -> SecretLine:
    signed, last_at = used.get(str(secret.pk), (0, None))
    left = span_words(secret.ends_at - now) if secret.ends_at and secret.ends_at > now else ""
    age = span_words(now - secret.created_at)
    return SecretLine(secret, secret.is_live(now), is_old, age, left, signed, last_at)


def _signers(source: Source, since: datetime) -> dict[str, tuple[int, datetime]]:
    """By the secret's number: how many webhooks it signed since then, and when the last one; of the newest receipts."""
    newest = Receipt.objects.filter(received_at__gte=since).order_by("-received_at", "-id")
    found: dict[str, tuple[int, datetime]] = {}
    for key, verified_by, at in newest.values_list("source_id", "verified_by", "received_at")[:MOST_READ]:
        if key == source.pk:
            secret = verified_by.rpartition(":")[2]
            number, last_at = found.get(secret, (0, at))
            found[secret] = (number + 1, last_at)
    return found


def span_words(span: timedelta) -> str:
    """Two units at most: `2 days 3 h`, `23 h 12 min`, `12 min`, `40 s`."""
    seconds = max(0, int(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if hours < 1:
        return f"{minutes} min"
    if days < 1:
        return f"{hours} h {minutes % 60} min"
    told = ngettext("%d day", "%d days", days) % days
    return f"{told} {hours % 24} h" if days < 3 else told


def routes_of(source: Source) -> list[Route]:
    """Where what it sends goes."""
    return list(
        source.routes.select_related("identity", "commercial", "mapping", "source").order_by("entity_type")
    )
