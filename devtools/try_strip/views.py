"""The steps of the strip *Try* that change something, or need what the two systems have now. Each is a POST."""

from collections.abc import Callable, Mapping

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from console.entities.find import find_view
from devtools.try_strip import stand_ins
from sandbox.demo.client import DemoError
from sandbox.demo.walkthrough import PERSON_ID
from webhooks.models import Event, State


def try_view(request: HttpRequest, step: str) -> HttpResponse:
    """Do a step, and lead on to the page of the console that shows its result."""
    do_step = _STEPS.get(step)
    if do_step is None:
        raise Http404
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        return do_step(request)
    except DemoError as error:
        messages.error(request, str(error))
        return redirect("admin:index")


def _change(_request: HttpRequest) -> HttpResponse:
    stand_ins.change_person()
    return _open_newest_event()


def _break(request: HttpRequest) -> HttpResponse:
    stand_ins.break_shop()
    stand_ins.change_person()
    messages.info(
        request, _("The shop refuses every change until you choose “Replay”, which repairs it first.")
    )
    return _open_newest_event()


def _find(request: HttpRequest) -> HttpResponse:
    """Search for the address that she has now, as the box of the header does."""
    term = request.POST.copy()
    term["term"] = stand_ins.fetch_address()
    request.POST = term  # type: ignore[assignment]
    return find_view(request)


def _replay(request: HttpRequest) -> HttpResponse:
    stand_ins.repair_shop()
    failed = (
        Event.objects.filter(entity_type="USER", entity_id=PERSON_ID, state=State.DEAD)
        .order_by("-pk")
        .first()
    )
    if failed is None:
        messages.warning(request, _("No change of Anna has failed. Choose “Break the shop” first."))
        return redirect("admin:index")
    messages.info(request, _("The shop is repaired: it accepts changes again."))
    return redirect("admin:webhooks_event_replay", failed.pk)


def _open_newest_event() -> HttpResponse:
    newest = Event.objects.filter(entity_type="USER", entity_id=PERSON_ID).latest("pk")
    return redirect("admin:webhooks_event_change", newest.pk)


_STEPS: Mapping[str, Callable[[HttpRequest], HttpResponse]] = {
    "change": _change,
    "break": _break,
    "find": _find,
    "replay": _replay,
}
