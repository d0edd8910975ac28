"""Why the entity of a past event is not known."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from sync.mappings.past_entities import UntestableReason

UNTESTABLE: Mapping[str, Promise] = {
    UntestableReason.ERASED: gettext_lazy("The person's data was erased."),
    UntestableReason.DELETED: gettext_lazy(
        "The entity was already deleted when it was fetched, so there was nothing to map."
    ),
    UntestableReason.COVERED: gettext_lazy("It was delivered together with another event."),
    UntestableReason.NOT_FETCHED: gettext_lazy("No attempt was able to fetch the entity."),
    UntestableReason.NOT_STORED: gettext_lazy(
        "The entity is no longer stored, or was too large to be stored completely."
    ),
}


def untestable_text(reason: str) -> str:
    """Return the text of a reason; an unknown reason is returned as it is."""
    return str(UNTESTABLE.get(reason, reason))
