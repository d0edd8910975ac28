"""Read which of two buttons decides a request that awaits a second person."""

from django.contrib import messages
from django.http import HttpRequest
from django.utils.translation import gettext as _


def is_approval(request: HttpRequest, approving: str) -> bool | None:
    """Return True if the button `approving` was pressed, False for `refuse`.

    Returns None for neither or both, with an error on the next page: such a request decides nothing.
    """
    approves, refuses = approving in request.POST, "refuse" in request.POST
    if approves != refuses:
        return approves
    messages.error(request, _("Nothing was decided. Choose one of the two buttons."))
    return None
