"""The body of an audit entry: the canonical JSON that is hashed, assembled from the columns that store it. Pure."""

from datetime import datetime
from json.encoder import encode_basestring_ascii as quoted

from audit.format.signed_records import format_time

# Bodies of another version would have other fields. The table would then have a column for the version, and
# `entry_body` a template for each.
VERSION = 1
# The columns in the order in which `entry_body` takes them.
BODY_COLUMNS = ("stream", "at", "action", "actor", "details", "stream_seq", "prev_leaf")


def entry_body(
    stream: str,
    at: datetime,
    action: str,
    actor: str,
    details: str,
    stream_seq: int,
    prev_leaf: bytes | memoryview,
) -> str:
    """Return the canonical body. `details` is the canonical text of an object, and is copied as it is.

    No two sets of values have the same body, so a hash of the body covers each of them. Raises TypeError or ValueError
    for a value of another type.
    """
    # The names are in canonical order. SQLite can store text in a column of numbers or bytes: `d` and `memoryview`
    # refuse it.
    return (
        f'{{"action":{quoted(action)},"actor":{quoted(actor)},"at":"{format_time(at)}","details":{details},'
        f'"prev_leaf":"{memoryview(prev_leaf).hex()}","stream":{quoted(stream)},"stream_seq":{stream_seq:d},"v":{VERSION}}}'
    )
