"""Lists of events that somebody filtered and kept under a name: a tab of one's own, or of everybody."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from console.base.audit_trail import require_staff_user
from console.base.post_only import post_only
from console.models import SavedView
from console.permissions import MAY_SHARE
from sync.erasure.redaction import without_entity, without_id
from sync.search.event_filter import WORDS

MAX_VIEWS = 20


def saved_views(user: Any) -> list[tuple[int, str, str]]:
    """Key, name and query of what this person sees: own views and shared ones, by name."""
    rows = SavedView.objects.filter(Q(person=user.pk) | Q(is_shared=True)).order_by("name", "pk")
    return list(rows.values_list("pk", "name", "query")[:MAX_VIEWS])


@post_only(back_to="admin:webhooks_event_changelist")
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep the filters of the form's address under a name; the same name again replaces what it meant."""
    name, query = request.POST.get("name", "").strip()[:40], _normalize_query(request.POST.get("query", ""))
    is_shared = bool(request.POST.get("is_shared"))
    if is_shared and not request.user.has_perm(MAY_SHARE):
        raise PermissionDenied
    own = SavedView.objects.filter(person=request.user.pk)
    if not name or not query:
        messages.error(request, _("A view needs a name and at least one filter. Nothing was saved."))
    elif own.exclude(name=name).count() >= MAX_VIEWS:
        messages.error(
            request, _("You have %(count)d views already. Remove one first.") % {"count": MAX_VIEWS}
        )
    else:
        own.update_or_create(
            name=name,
            defaults={"query": query, "is_shared": is_shared, "person": require_staff_user(request)},
        )
        messages.success(request, _("Saved as “%(name)s”.") % {"name": name})
    return redirect(f"{reverse('admin:webhooks_event_changelist')}?{query}")


@post_only(back_to="admin:webhooks_event_changelist")
def remove_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Only one's own; one that somebody else shared is theirs."""
    view = get_object_or_404(SavedView, pk=pk, person=request.user.pk)
    view.delete()
    messages.success(request, _("The view “%(name)s” is gone; its events are not.") % {"name": view.name})
    return redirect("admin:webhooks_event_changelist")


def erase_from_saved_views(entity_id: str, name: str) -> int:
    """Erase an entity from the names and the filters of views; how many named it. `name` stands for it from now on."""
    concerned = 0
    for view in SavedView.objects.all():
        given = dict(parse_qsl(view.query))
        fresh = without_entity(given, entity_id, name)
        is_named = without_id(view.name, entity_id, name) != view.name
        if fresh == given and not is_named:
            continue
        query = urlencode(fresh) if fresh != given else view.query
        called = f"erased {view.pk}" if is_named else view.name  # a pseudonym is longer than a name may be
        concerned += SavedView.objects.filter(pk=view.pk).update(name=called, query=query[:1000])
    return concerned


def _normalize_query(query: str) -> str:
    """Only what is a filter, in one order: the same filters are the same view."""
    given = dict(parse_qsl(query.lstrip("?")))
    kept = urlencode({name: given[name] for name in WORDS if given.get(name)})
    return kept if len(kept) <= 1000 else ""
