"""What a change says of the scope of its route: whether the entity left it, or came back."""

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from sync.planning.change import Change, ChangeAction, ScopeMove

_NOTES: Mapping[str, Promise] = {
    ScopeMove.LEFT: gettext_lazy("The entity is outside the scope of the route."),
    ScopeMove.RETURNED: gettext_lazy("The entity is in the scope of the route again."),
    ScopeMove.UNKNOWN: gettext_lazy(
        "The data of the entity is older than the event, so it does not decide whether the entity is in the scope of "
        "the route. The hub checks it again."
    ),
}


def scope_note(move: str, *, ends_link: bool) -> str:
    """Return the sentences on the scope; empty for an entity that stayed in it. `move`: a ScopeMove."""
    note = str(_NOTES.get(move, ""))
    return f"{note} {_('Its link ends, and the record is not changed.')}" if ends_link else note


def describe_change(change: Change, sentences: Mapping[ChangeAction, str | Promise]) -> str:
    """Return what a planned change does, with the sentence of a page for its action, and what it says of the scope."""
    note = scope_note(change.scope, ends_link=change.ends_link)
    says_all = change.ends_link or change.scope is ScopeMove.UNKNOWN
    return note if says_all else f"{note} {sentences[change.action]}".strip()
