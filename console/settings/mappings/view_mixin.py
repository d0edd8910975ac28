"""What every page about one mapping starts from."""

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse

from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import parse_pk
from console.base.read_only_admin import DetailPageMixin
from console.base.two_step_change import ReasonRequiredAdmin
from console.permissions import CONTENTS, MAY_ACTIVATE, MAY_EDIT
from sync.mappings.backtests import AT_ONCE
from sync.mappings.drafts import Author, Seen
from sync.models import Mapping

BACKTEST_SIZES = (50, AT_ONCE, 500, 1_000)


class MappingViewMixin(DetailPageMixin, ReasonRequiredAdmin):
    """The mapping of an address, who may what with it, and the frame of its pages."""

    def get_mapping(self, request: HttpRequest, pk: int, *permissions: str) -> Mapping:
        """The mapping, for somebody who may look at it and holds these permissions."""
        self.require_permissions(request, *permissions)
        return get_object_or_404(Mapping, pk=pk)

    def render_mapping_page(
        self, request: HttpRequest, template: str, mapping: Mapping, **context: Any
    ) -> TemplateResponse:
        """A page about a mapping, with what all of them need."""
        shared = {
            "mapping": mapping,
            "may_edit": request.user.has_perm(MAY_EDIT),
            "may_activate": request.user.has_perm(MAY_ACTIVATE),
            "sizes": BACKTEST_SIZES,
            "at_once": AT_ONCE,
            "may_see": request.user.has_perm(CONTENTS),
            "may_read_audit": request.user.has_perm("audit.view_entry"),
        }
        return self.render_page(request, template, {**shared, **context})


def request_author(request: HttpRequest) -> Author:
    """The person at the browser."""
    return Author(require_staff_user(request), client_address(request))


def posted_text(request: HttpRequest, name: str) -> str:
    """A line of the form, without what no database takes."""
    return str(request.POST.get(name, "")).replace("\0", "")


def posted_base_version(request: HttpRequest) -> Seen:
    """What the form says that its page showed; what is no number was not shown by any page."""
    version, draft = (parse_pk(request.POST.get(name, "")) for name in ("seen_version", "seen_draft"))
    return Seen(-1 if version is None else version, -1 if draft is None else draft)
