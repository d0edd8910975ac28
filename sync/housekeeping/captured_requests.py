"""Delete the captured requests that name a person, for an erasure. All others are deleted after 24 hours anyway."""

from collections.abc import Iterator, Sequence

from database.encryption.at_rest import CannotDecrypt
from sync.housekeeping.body_search import contains_id, encode_id_variants, is_text
from webhooks.captures.capture_windows import decrypt_captured_request
from webhooks.models import CapturedRequest

# Each can have 1 MiB.
_BATCH_SIZE = 20


def erase_captured_requests(entity_id: str, _name: str) -> int:
    """Delete the captured requests, of all sources, that contain this id. Returns their number.

    Those in which a search proves nothing are deleted too: bodies that are no text, and what cannot be decrypted.
    """
    id_variants = encode_id_variants(entity_id)
    deleted_count = 0
    for rows in _read_batches():
        keys = [row.pk for row in rows if _may_name(row, id_variants)]
        deleted_count += CapturedRequest.objects.filter(pk__in=keys).delete()[0] if keys else 0
    return deleted_count


def _read_batches() -> Iterator[list[CapturedRequest]]:
    after = 0
    while rows := list(
        CapturedRequest.objects.filter(pk__gt=after).select_related("key").order_by("pk")[:_BATCH_SIZE]
    ):
        yield rows
        after = rows[-1].pk


def _may_name(row: CapturedRequest, id_variants: Sequence[bytes]) -> bool:
    try:
        headers, body = decrypt_captured_request(row)
    except CannotDecrypt:
        return True
    shown = "\n".join(headers.values()).encode("utf-8", "replace")
    return not is_text(body) or contains_id(shown + b"\n" + body, id_variants)
