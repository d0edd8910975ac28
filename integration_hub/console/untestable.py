"""Why a past event cannot be tried again, in words."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from sync.kept_entities import Untestable

UNTESTABLE: Mapping[str, Promise] = {
    Untestable.ERASED: _("The person was erased, with everything that was kept of them."),
    Untestable.GONE: _("The entity was gone when it was fetched: the mapping had nothing to do."),
    Untestable.COVERED: _("Another event's attempt spoke for it."),
    Untestable.NOT_FETCHED: _("No attempt got as far as reading the entity."),
    Untestable.NOT_KEPT: _("The entity is not kept any more, or was too large to be kept whole."),
}


def untestable(reason: str) -> str:
    """The sentence of a reason; one that there is not any more in its own word."""
    return str(UNTESTABLE.get(reason, reason))
