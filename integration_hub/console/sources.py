"""Sources and their secrets. A secret is shown once, when the hub has made it, and never again."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from integration_hub.console.confirming import ConfirmedAdmin
from integration_hub.console.json_fields import JSON_AS_TEXT
from integration_hub.console.rotating import NotRotated, end_now, live_secrets, newest_key, rotate
from webhooks.models import Source, SourceSecret

_HOURS = [(0, "now"), (24, "in 24 hours"), (72, "in 72 hours")]
_UNREADY = "It has no live secret yet: every webhook is refused until one is added with “Rotate secret…”."


class RotationForm(forms.Form):
    """How a secret is replaced."""

    typed = forms.CharField(
        label="Secret",
        required=False,
        strip=False,
        max_length=512,
        widget=forms.PasswordInput(attrs={"autocomplete": "off", "size": 60}),
        help_text="Leave empty to let the hub make one of 32 random bytes.",
    )
    hours = forms.TypedChoiceField(label="The other secrets end", choices=_HOURS, coerce=int, initial=24)
    newest = forms.IntegerField(widget=forms.HiddenInput)


@admin.register(Source)
class SourceAdmin(ConfirmedAdmin):
    """Who may send webhooks."""

    kind = "source"
    formfield_overrides = JSON_AS_TEXT
    change_form_template = "console/source_form.html"
    list_display = ("name", "slug", "verification", "is_enabled", "default_mode")
    search_fields = ("=slug",)
    fields = (
        "name",
        "slug",
        "endpoint",
        "is_enabled",
        "scheme",
        "scheme_settings",
        "extra_id_characters",
        "event_words",
        "default_mode",
        "mode_is_fixed",
        "wait_seconds",
        "entity_fields",
        "requests_per_minute",
        "silence_minutes",
    )
    readonly_fields = ("endpoint",)

    def get_urls(self) -> list[URLPattern]:
        rotation = self.admin_site.admin_view(self.rotate_view)
        ending = self.admin_site.admin_view(self.end_view)
        return [
            path("<int:pk>/rotate/", rotation, name="webhooks_source_rotate"),
            path("<int:pk>/secrets/<int:secret>/end/", ending, name="webhooks_source_end_secret"),
            *super().get_urls(),
        ]

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The address of the endpoint needs the host by which this person reached the hub."""
        if obj is not None:
            obj.endpoint_url = request.build_absolute_uri(reverse("inbox", args=[obj.slug]))
        return super().get_form(request, obj, change, **kwargs)

    @admin.display(description="endpoint")
    def endpoint(self, source: Any) -> str:
        return getattr(source, "endpoint_url", "known once it is saved")

    @admin.display(description="verification", ordering="scheme")
    def verification(self, source: Source) -> str:
        return source.get_scheme_display() if source.is_signed else "⚠ unverified: only a hint"

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        source: Source | None = kwargs.get("obj")
        if source is not None and source.pk:
            context["source_secrets"] = _lines(source)
            context["lacks_secret"] = source.is_signed and not live_secrets(source)
            context["may_rotate"] = self._may_rotate(request, source)
        return super().render_change_form(request, context, *args, **kwargs)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if form.instance.is_signed and not live_secrets(form.instance):
            messages.warning(request, _UNREADY)

    def rotate_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The form; after it, the page that shows a secret that the hub made, once."""
        source = self._source(request, pk)
        form = RotationForm(request.POST or None, initial={"newest": newest_key(source)})
        context = self._context(request, source, form=form, title=f"Rotate the secret of {source}")
        if request.method == "POST" and form.is_valid():
            try:
                value = rotate(request, source, **form.cleaned_data)
            except NotRotated as refusal:
                form.add_error(None, str(refusal))
            else:
                context["made"] = "" if form.cleaned_data["typed"] else value
                context["is_done"] = True
        response = TemplateResponse(request, "console/rotate_secret.html", context)
        add_never_cache_headers(response)
        return response

    def end_view(self, request: HttpRequest, pk: int, secret: int) -> HttpResponse:
        """Asks once, then ends a secret at once."""
        source = self._source(request, pk)
        found = get_object_or_404(SourceSecret, pk=secret, source=source)
        if request.method == "POST":
            end_now(request, found)
            messages.success(request, f"The secret {found} has ended.")
            return HttpResponseRedirect(reverse("admin:webhooks_source_change", args=[pk]))
        context = self._context(request, source, secret=found, title=f"End the secret {found} now?")
        return TemplateResponse(request, "console/end_secret.html", context)

    def _source(self, request: HttpRequest, pk: int) -> Source:
        source = get_object_or_404(Source, pk=pk)
        if not self._may_rotate(request, source):
            raise PermissionDenied
        return source

    def _may_rotate(self, request: HttpRequest, source: Source) -> bool:
        may_add = request.user.has_perm("webhooks.add_sourcesecret")
        return may_add and self.has_change_permission(request, source)

    def _context(self, request: HttpRequest, source: Source, **more: Any) -> dict[str, Any]:
        return {**self.admin_site.each_context(request), "opts": self.opts, "source": source, **more}


def _lines(source: Source) -> list[dict[str, Any]]:
    """What the page says of each secret."""
    now = timezone.now()
    return [
        {"secret": secret, "is_live": secret.is_live(now), "age": (now - secret.created_at).days}
        for secret in source.secrets.order_by("-pk")
    ]
