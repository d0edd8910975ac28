"""Link a record of a target to an entity, or unlink it, with a reason."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.audit_trail import client_address, require_staff_user
from console.base.forms import ReasonField, parse_pk
from console.permissions import MAY_APPROVE
from console.ui.links import entity_url
from sync.models import Connection, Link, Route
from sync.operations.manual_links import LinkRefused, LinkRequest, link_record, unlink_record
from webhooks.models import is_erased

_PERMISSIONS = ("webhooks.view_event", "sync.view_link", MAY_APPROVE)


class LinkForm(forms.Form):
    record_id = forms.CharField(
        label=gettext_lazy("Record id"),
        max_length=128,
        help_text=gettext_lazy("As the target system shows it, for example 4711."),
    )
    reason = ReasonField(help_text=gettext_lazy("Don't include personal data."))


def record_link_view(request: HttpRequest) -> HttpResponse:
    """Show the link for `?type=USER&id=…&identity=…&target=…`. A POST with a reason links or unlinks the record."""
    if not request.user.has_perms(_PERMISSIONS):
        raise PermissionDenied
    entity_type, entity_id = request.GET.get("type", ""), request.GET.get("id", "")
    identity, target = _read_connections(request, entity_type, entity_id)
    link_request = LinkRequest(
        identity, target, entity_type, entity_id, by=require_staff_user(request), reason="", address=""
    )
    link = link_request.find_link()
    linked_id = link.record_id if link is not None else ""
    form = LinkForm(request.POST or None, initial={"record_id": linked_id})
    if linked_id:
        form.fields["record_id"].widget = forms.HiddenInput()
    if request.method == "POST" and form.is_valid():
        is_changed = _change_link(request, link_request, form, is_unlinking="unlink" in request.POST)
        if is_changed:
            return redirect(entity_url(entity_type, entity_id))
        return HttpResponseRedirect(request.get_full_path())
    names = {"type": entity_type, "id": entity_id}
    context = {
        **admin.site.each_context(request),
        "title": _("Record of %(type)s %(id)s") % names,
        "target": target,
        "linked_id": linked_id,
        "link_form": form,
        "back_url": entity_url(entity_type, entity_id),
    }
    return TemplateResponse(request, "console/entities/record_link.html", context)


def _read_connections(
    request: HttpRequest, entity_type: str, entity_id: str
) -> tuple[Connection, Connection]:
    """Return the two connections of the address. Raises Http404 unless a route or a link of the entity joins them."""
    keys = [parse_pk(request.GET.get(name, "")) for name in ("identity", "target")]
    is_valid = (
        entity_type and entity_id and "\x00" not in entity_type + entity_id and not is_erased(entity_id)
    )
    if not is_valid or None in keys:
        raise Http404("No such entity")
    joined = Q(identity=keys[0], target=keys[1], entity_type=entity_type)
    if not (
        Route.objects.filter(joined).exists() or Link.objects.filter(joined, entity_id=entity_id).exists()
    ):
        raise Http404("No route joins these connections")
    found = Connection.objects.in_bulk(keys)
    return found[keys[0]], found[keys[1]]


def _change_link(request: HttpRequest, link_request: LinkRequest, form: Any, *, is_unlinking: bool) -> bool:
    """Link or unlink the record of the form. Returns False, with a message, if that was refused."""
    answer = form.cleaned_data
    reasoned = LinkRequest(
        link_request.identity,
        link_request.target,
        link_request.entity_type,
        link_request.entity_id,
        by=link_request.by,
        reason=answer["reason"],
        address=client_address(request),
    )
    try:
        (unlink_record if is_unlinking else link_record)(reasoned, answer["record_id"])
    except LinkRefused as error:
        messages.error(request, str(error))
        return False
    done = _("The record was unlinked.") if is_unlinking else _("The record was linked.")
    messages.success(request, done)
    return True
