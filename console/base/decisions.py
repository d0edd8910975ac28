"""What the pages of requests that await a second person share: the decision, and who is awaited."""

from collections.abc import Sequence

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _

from logins.second_person import Decider


def is_approval(request: HttpRequest, approving: str) -> bool | None:
    """Return True if the button `approving` was pressed, False for `refuse`.

    Returns None for neither or both, with an error on the next page: such a request decides nothing.
    """
    approves, refuses = approving in request.POST, "refuse" in request.POST
    if approves != refuses:
        return approves
    messages.error(request, _("Nothing was decided. Choose one of the two buttons."))
    return None


def deciders_text(deciders: Sequence[Decider]) -> str:
    """Return a sentence that names who can approve a request, and from when."""
    if not deciders:
        return _(
            "No one can approve this yet. It takes another person with this permission, whose login and password the "
            "requester did not set up."
        )
    return _("Can approve: %(people)s.") % {"people": ", ".join(map(_decider_text, deciders))}


def _decider_text(decider: Decider) -> str:
    name = decider.person.get_username()
    if decider.begins is None:
        return name
    return _("%(name)s from %(time)s on") % {"name": name, "time": f"{decider.begins:%Y-%m-%d %H:%M} UTC"}
