"""What nobody was told of: due retries, deliveries whose wake-up was lost, and claims of processes that are gone."""

from sync.expiring import due, expire_all


def find_due(limit: int = 1000) -> list[int]:
    """Free what processes that are gone still hold; then the deliveries that are due, oldest first, one a subject.

    One a subject is enough, since whoever runs it goes on with the next; and a busy subject does not crowd out others.
    """
    expire_all(limit)
    first_of_subject: dict[object, int] = {}
    for each in due(limit):
        first_of_subject.setdefault(each.subject, each.pk)
    return list(first_of_subject.values())
