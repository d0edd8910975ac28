"""Store the digests of invented people for the entities of a history (`--console`).

Run with the hub's environment: `python -m tests.bench.rows.search_digests`. Of a thousand people two hundred share their
first name, and two their last name: a search for both words has to join many rows.
"""

from itertools import islice
from random import Random

BATCH = 10_000
FIRST_NAMES = [
    "anna",
    *(f"name{'abcdefghij'[number % 10]}{'klmnopqrst'[number // 10]}" for number in range(100)),
]
LAST_NAMES = [
    "aalto",
    *(f"family{number:03d}".translate(str.maketrans("0123456789", "abcdefghij")) for number in range(500)),
]


def fill() -> int:
    """Store a key and five digests for each entity of the type USER. Returns the number of entities."""
    from django.conf import settings
    from django.db import transaction
    from django.utils import timezone

    from devtools.sample_history.bulk_insert import (
        BulkTable,
        disable_disk_sync,
        format_time,
        restore_disk_sync,
    )
    from sync.models import SearchDigest
    from sync.planning.search_values import normalize_value
    from sync.search.search_digests import make_digest
    from webhooks.models import Event, SubjectKey

    chance, now = Random(11), format_time(timezone.now().timestamp())
    keys, digests = BulkTable(SubjectKey), BulkTable(SearchDigest)
    ids = Event.objects.filter(entity_type="USER").order_by().values_list("entity_id", flat=True).distinct()
    people = iter(list(ids))
    count = 0
    disable_disk_sync()
    while some := list(islice(people, BATCH)):
        for entity_id in some:
            count += 1
            # The most frequent first name is that of a fifth of the people.
            first = FIRST_NAMES[0] if chance.random() < 0.2 else chance.choice(FIRST_NAMES)
            last = chance.choice(LAST_NAMES)
            subject = keys.add_row(pseudonym=f"{count:064x}", wrapped=b"-", made_at=now, search_state="bench")
            values = (first, last, f"{first} {last}", f"{first}.{count}@example.com", f"+35840{count:07d}")
            for value in values:
                digests.add_row(
                    digest=make_digest(normalize_value(value), settings.SEARCH_KEYS[0]),
                    subject_id=subject,
                    entity_type="USER",
                    entity_id=entity_id,
                )
        with transaction.atomic():
            keys.write_rows()
            digests.write_rows()
    keys.advance_sequence()
    digests.advance_sequence()
    restore_disk_sync()
    return count


if __name__ == "__main__":
    import django

    django.setup()
    print(fill())
