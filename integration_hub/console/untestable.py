"""Why a past event cannot be tried again, in words."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from sync.mappings.past_entities import Untestable

UNTESTABLE: Mapping[str, Promise] = {
    Untestable.ERASED: gettext_lazy("The person was erased, with everything that was kept of them."),
    Untestable.GONE: gettext_lazy("The entity was gone when it was fetched: the mapping had nothing to do."),
    Untestable.COVERED: gettext_lazy("Another event's attempt spoke for it."),
    Untestable.NOT_FETCHED: gettext_lazy("No attempt got as far as reading the entity."),
    Untestable.NOT_KEPT: gettext_lazy("The entity is not kept any more, or was too large to be kept whole."),
}


def untestable(reason: str) -> str:
    """The sentence of a reason; one that there is not any more in its own word."""
    return str(UNTESTABLE.get(reason, reason))
