"""Shared parts of all pages about one mapping: lookup, permissions, template context, posted fields."""

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from console.base.admin_pages import AdminWithPages
from console.base.forms import parse_pk
from console.permissions import CONTENTS, MAY_ACTIVATE, MAY_EDIT
from sync.mappings.backtests import MAX_IN_REQUEST
from sync.mappings.drafts import SeenVersions
from sync.models import Mapping

BACKTEST_SIZES = (50, MAX_IN_REQUEST, 500, 1_000)


def get_mapping(mapping_admin: AdminWithPages, request: HttpRequest, pk: int, *permissions: str) -> Mapping:
    """Return the mapping. Raises PermissionDenied without these permissions, Http404 if there is none."""
    mapping_admin.require_permissions(request, *permissions)
    return get_object_or_404(Mapping, pk=pk)


def render_mapping_page(
    mapping_admin: AdminWithPages, request: HttpRequest, template: str, mapping: Mapping, **context: Any
) -> TemplateResponse:
    """Render a page about a mapping with the context that all of them share."""
    shared = {
        "mapping": mapping,
        "may_edit": request.user.has_perm(MAY_EDIT),
        "may_activate": request.user.has_perm(MAY_ACTIVATE),
        "sizes": BACKTEST_SIZES,
        "at_once": MAX_IN_REQUEST,
        "may_see": request.user.has_perm(CONTENTS),
        "may_read_audit": request.user.has_perm("audit.view_entry"),
    }
    return mapping_admin.render_page(request, template, {**shared, **context})


def posted_text(request: HttpRequest, name: str) -> str:
    """Return a posted field without NUL characters, which PostgreSQL refuses."""
    return str(request.POST.get(name, "")).replace("\0", "")


def posted_base_version(request: HttpRequest) -> SeenVersions:
    """Return the version and draft that the posted form was based on; -1 for a value that no page sent."""
    # No version and no draft has the key -1, so such a form counts as out of date.
    version, draft = (parse_pk(request.POST.get(name, "")) for name in ("seen_version", "seen_draft"))
    return SeenVersions(-1 if version is None else version, -1 if draft is None else draft)
