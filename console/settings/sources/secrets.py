"""Pages that rotate and end the secrets of a source, for people who may change it and add secrets. A secret that the
hub generated is shown once.
"""

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.admin_pages import admin_page
from console.base.audit_trail import client_address, request_actor
from console.base.audited_admin import AuditedAdmin
from console.base.forms import ReasonForm
from console.settings.sources.page import load_secret_rows
from logins.fresh_login import require_fresh_login
from webhooks.models import Source, SourceSecret
from webhooks.secret_rotation import (
    RotationRefused,
    end_secret,
    newest_secret_id,
    rotate_secret,
)

_EXPIRY_CHOICES = [
    (24, gettext_lazy("in 24 hours")),
    (72, gettext_lazy("in 72 hours")),
    (0, gettext_lazy("immediately (requests signed with them are refused)")),
]


class RotationForm(ReasonForm):
    typed = forms.CharField(
        label=gettext_lazy("New secret"),
        required=False,
        strip=False,
        max_length=512,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "size": 60}),
        help_text=gettext_lazy("Leave empty to generate a secret of 32 random bytes."),
    )
    hours = forms.TypedChoiceField(
        label=gettext_lazy("Old secrets expire"), choices=_EXPIRY_CHOICES, coerce=int, initial=24
    )
    newest = forms.IntegerField(widget=forms.HiddenInput)


@admin_page("<int:pk>/rotate/", "rotate")
def rotate_view(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form; on POST, rotate the secret and show the generated value once."""
    source = get_changeable_source(source_admin, request, pk)
    # `newest` is posted back, so that two people cannot rotate at the same time without noticing.
    form = RotationForm(request.POST or None, initial={"newest": newest_secret_id(source)})
    others = source.live_secrets(timezone.now())
    title = _("Rotate the secret of %(source)s") if others else _("Add a secret to %(source)s")
    context = {"source": source, "form": form, "others": others, "title": title % {"source": source}}
    if request.method == "POST" and form.is_valid():
        require_fresh_login(request)
        try:
            value = rotate_secret(
                source, **form.cleaned_data, actor=request_actor(request), address=client_address(request)
            )
        except RotationRefused as refusal:
            form.add_error(None, str(refusal))
        else:
            answer = form.cleaned_data
            context |= {
                "made": "" if answer["typed"] else value,
                "title": _("The new secret of %(source)s") % {"source": source},
                "ends": dict(_EXPIRY_CHOICES)[answer["hours"]] if answer["hours"] else "",
                "is_done": True,
            }
    response = source_admin.render_page(request, "console/settings/sources/rotate_secret.html", context)
    # The page may show a secret: neither proxies nor the back button may keep it.
    add_never_cache_headers(response)
    return response


@admin_page("<int:pk>/secrets/<int:secret>/end/", "end_secret")
def end_view(source_admin: AuditedAdmin, request: HttpRequest, pk: int, secret: int) -> HttpResponse:
    """Ask for a reason; on POST, end a secret immediately."""
    source = get_changeable_source(source_admin, request, pk)
    secret_to_end = get_object_or_404(SourceSecret, pk=secret, source=source)
    if not secret_to_end.is_live(timezone.now()):
        messages.info(request, _("The secret %(secret)s has already expired.") % {"secret": secret_to_end})
        return redirect("admin:webhooks_source_change", pk)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        require_fresh_login(request)
        reason = form.cleaned_data["reason"]
        end_secret(
            secret_to_end, reason=reason, actor=request_actor(request), address=client_address(request)
        )
        messages.success(request, _("The secret %(secret)s has expired.") % {"secret": secret_to_end})
        return redirect("admin:webhooks_source_change", pk)
    title = _("Expire the secret %(secret)s now?") % {"secret": secret_to_end}
    # The page warns with the use of the secret: its end refuses whoever still signs with it.
    line = next(
        secret_row for secret_row in load_secret_rows(source) if secret_row.secret.pk == secret_to_end.pk
    )
    context = {"source": source, "line": line, "title": title, "reason_form": form}
    return source_admin.render_page(request, "console/settings/sources/end_secret.html", context)


def may_rotate(source_admin: AuditedAdmin, request: HttpRequest, source: Source) -> bool:
    """Return True if the person may change the source and add secrets."""
    may_add = request.user.has_perm("webhooks.add_sourcesecret")
    return may_add and source_admin.has_change_permission(request, source)


def get_changeable_source(source_admin: AuditedAdmin, request: HttpRequest, pk: int) -> Source:
    """Return the source. Raises Http404 if there is none, PermissionDenied if the person may not change its
    secrets.
    """
    source = get_object_or_404(Source, pk=pk)
    if not may_rotate(source_admin, request, source):
        raise PermissionDenied
    return source
