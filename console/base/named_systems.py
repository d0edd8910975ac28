"""Names of the systems that the codes of events are about."""

from collections.abc import Iterable

from console.base.damaged_rows import load_rows
from sync.models import Delivery


def systems_of_codes(events: Iterable[int]) -> dict[tuple[int, str], str]:
    """Return the name of the system that each code of a delivery is about, by event and code. One statement, none
    without events.
    """
    deliveries = Delivery.objects.filter(event__in=list(events)).select_related("identity", "target")
    rows = load_rows(deliveries.only("event", "code", "identity__name", "target__name"))
    return {(row.event_id, row.code): row.connection_of_code(row.code).name for row in rows}
