"""Who may connect systems: whoever may add each of the parts. Others are told what they lack."""

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.contrib.auth.models import Permission
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from console.base.audit_trail import require_staff_user
from console.permissions import PAIR_PERMISSIONS
from sync.models import PairDraft
from sync.pairs.drafts import find_draft

View = Callable[..., HttpResponse]


def may_connect(user: Any) -> bool:
    """Return True if the person may do all parts of connecting two systems."""
    return bool(user.has_perms(PAIR_PERMISSIONS))


def for_connecting(view: View) -> View:
    """Return a view for those who may connect systems. Others get a page (403) that names what they lack."""

    @wraps(view)
    def page(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if may_connect(request.user):
            return view(request, *args, **kwargs)
        return render(
            request, "refused", _("Connect systems"), status=403, lacking=_list_lacking(request.user)
        )

    return page


def for_own_draft(view: View) -> View:
    """Return a view that gets the person's draft in place of its UUID. Raises Http404 for any other draft."""

    def page(request: HttpRequest, pair: UUID, **kwargs: Any) -> HttpResponse:
        draft = find_draft(pair, require_staff_user(request))
        if draft is None:
            raise Http404("No such pair draft")
        return view(request, draft, **kwargs)

    return for_connecting(wraps(view)(page))


def render(
    request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any
) -> TemplateResponse:
    """Render a page of a pair draft."""
    shown = {**admin.site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"console/pairs/{template}.html", shown, status=status)


def redirect_name(draft: PairDraft) -> str:
    """Return the name of the page on which the draft of a pair continues."""
    return "admin:pair_created" if draft.route_id else "admin:pair"


def _list_lacking(user: Any) -> list[str]:
    """Return the names of the permissions that the person lacks, as the pages of roles show them."""
    lacking = [name.split(".") for name in PAIR_PERMISSIONS if not user.has_perm(name)]
    names = {
        (app, codename): name
        for app, codename, name in Permission.objects.filter(
            codename__in=[codename for _app, codename in lacking]
        ).values_list("content_type__app_label", "codename", "name")
    }
    return [names.get((app, codename), f"{app}.{codename}") for app, codename in lacking]
