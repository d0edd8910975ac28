"""What a worker does for bulk replays, once a second: note what ended, send what is next, clear up once an hour."""

from sync.bulk_replay.choosing import discard_old
from sync.bulk_replay.ending import note_ends
from sync.bulk_replay.sending import send_due
from sync.periodic import Every, Work, run_periodic


def look() -> None:
    """First the ends: they may pause what would be sent."""
    note_ends()
    send_due()
    run_periodic((Work("replay-choices", Every(3600.0), discard_old),))
