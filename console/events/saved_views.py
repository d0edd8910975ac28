"""Save filtered event lists under a name: a tab for one person, or shared with everybody."""

from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from console.base.admin_pages import AdminWithPages, admin_page
from console.base.audit_trail import require_staff_user
from console.models import SavedView
from console.permissions import MAY_SHARE
from console.ui.event_filters import EVENT_FILTERS
from sync.erasure.redaction import replace_id_in_filter, replace_id_in_text

MAX_VIEWS = 20


def saved_views(user: Any) -> list[tuple[int, str, str]]:
    """Return key, name and query of the person's own views and the shared ones, by name."""
    rows = SavedView.objects.filter(Q(person=user.pk) | Q(is_shared=True)).order_by("name", "pk")
    return list(rows.values_list("pk", "name", "query")[:MAX_VIEWS])


@admin_page("views/save/", "view_save", button_on="changelist")
def save_view(event_admin: AdminWithPages, request: HttpRequest) -> HttpResponse:
    """Save the filters of the form's address under a name; an existing view of that name is replaced."""
    name, query = request.POST.get("name", "").strip()[:40], _normalize_query(request.POST.get("query", ""))
    is_shared = bool(request.POST.get("is_shared"))
    if is_shared and not request.user.has_perm(MAY_SHARE):
        raise PermissionDenied
    own = SavedView.objects.filter(person=request.user.pk)
    if not name or not query:
        messages.error(request, _("Nothing was saved: a view needs a name and at least one filter."))
    # A view of the same name is replaced, so it does not count.
    elif own.exclude(name=name).count() >= MAX_VIEWS:
        messages.error(
            request, _("You already have %(count)d views. Remove one first.") % {"count": MAX_VIEWS}
        )
    else:
        own.update_or_create(
            name=name,
            defaults={"query": query, "is_shared": is_shared, "person": require_staff_user(request)},
        )
        messages.success(request, _("Saved as “%(name)s”.") % {"name": name})
    return redirect(f"{reverse('admin:webhooks_event_changelist')}?{query}")


@admin_page("views/<int:pk>/remove/", "view_remove", button_on="changelist")
def remove_view(event_admin: AdminWithPages, request: HttpRequest, pk: int) -> HttpResponse:
    """Remove one of the person's own views. A view that another person shared is not theirs to remove."""
    view = get_object_or_404(SavedView, pk=pk, person=request.user.pk)
    view.delete()
    messages.success(
        request, _("The view “%(name)s” was removed. No events were deleted.") % {"name": view.name}
    )
    return redirect("admin:webhooks_event_changelist")


def erase_from_saved_views(entity_id: str, name: str) -> int:
    """Erase an entity from names and filters of saved views. Returns the number of views that named it.

    `name` replaces the entity's id from now on.
    """
    changed = 0
    for view in SavedView.objects.all():
        params = dict(parse_qsl(view.query))
        fresh = replace_id_in_filter(params, entity_id, name)
        is_named = replace_id_in_text(view.name, entity_id, name) != view.name
        if fresh == params and not is_named:
            continue
        query = urlencode(fresh) if fresh != params else view.query
        # The pseudonym itself is longer than a name may be.
        called = f"erased {view.pk}" if is_named else view.name
        changed += SavedView.objects.filter(pk=view.pk).update(name=called, query=query[:1000])
    return changed


def _normalize_query(query: str) -> str:
    """Return only the filters of a query, in one order, so that the same filters are the same view."""
    normalized = EVENT_FILTERS.build_query(dict(parse_qsl(query.lstrip("?"))))[1:]
    return normalized if len(normalized) <= 1000 else ""
