"""ModelAdmin of settings: a confirmation page with the differences and a reason for each change."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from console.base.admin_pages import admin_page
from console.base.audited_admin import field_values
from console.base.forms import ReasonForm
from console.base.origin_page import keep_origin, return_to_origin
from console.base.pending_store import PendingChangeStore
from console.base.reason_required import ReasonRequiredAdmin, attach_reason
from console.ui.field_diff import FieldChange, diff_fields
from logins.fresh_login import require_fresh_login


def with_readable_json(model: type[models.Model], fieldsets: Sequence[Any]) -> list[Any]:
    """Return the fieldsets with each JSON field shown as an indented document. Django shows it on one line."""
    return [
        (title, {**options, "fields": tuple(_readable_field(model, name) for name in options["fields"])})
        for title, options in fieldsets
    ]


def _readable_field(model: type[models.Model], name: Any) -> Any:
    field = next((field for field in model._meta.concrete_fields if field.name == name), None)
    return _document_of(field) if isinstance(field, models.JSONField) else name


def _document_of(field: models.JSONField) -> Callable[[models.Model], SafeString | str]:
    def document(row: models.Model) -> SafeString | str:
        value = field.value_from_object(row)
        if value in (None, {}, ""):
            return "-"
        return format_html('<pre class="code">{}</pre>', json.dumps(value, indent=2, ensure_ascii=False))

    # Django finds the label and the help text of the form by this name.
    document.__name__ = field.name
    document.short_description = field.verbose_name  # type: ignore[attr-defined]
    return document


# The name of the button that checks what was typed.
_CHECK = "_check"
_PENDING_CHANGES = PendingChangeStore("held_changes", max_values=3)


class CheckedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form that validates what was typed and is never valid, so that Django shows it again and saves nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The reason belongs to the saving.
        if "reason" in self.fields:
            self.fields["reason"].required = False

    def is_valid(self) -> bool:
        super().is_valid()
        return False


def _is_check(request: HttpRequest) -> bool:
    """True if the button "Check" was pressed."""
    return request.method == "POST" and _CHECK in request.POST


class TwoStepChangeAdmin(ReasonRequiredAdmin):
    """Base admin that shows a change and asks for a reason before it saves it.

    The button "Check" of its forms validates what was typed and saves nothing.
    """

    @property
    def media(self) -> forms.Media:
        """Return the style sheets of settings: the pages use none of Django's own scripts."""
        return forms.Media(css={"all": ["console/lists.css", "console/settings.css"]})

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        is_read_only = obj is not None and not self.has_change_permission(request, obj)
        return self.read_only_fieldsets(fieldsets) if is_read_only else fieldsets

    def read_only_fieldsets(self, fieldsets: Any) -> Any:
        """Return the fieldsets for people who cannot change the row."""
        return with_readable_json(self.model, fieldsets)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:  # type: ignore[type-arg]
        form_class = super().get_form(request, obj, change, **kwargs)
        if not _is_check(request):
            return form_class
        return type(f"Checked{form_class.__name__}", (CheckedForm, form_class), {})

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        context["may_check"] = True
        if _is_check(request):
            form = context["adminform"].form
            self.show_check_result(request, form, is_new=bool(kwargs.get("add")))
        return super().render_change_form(request, context, *args, **kwargs)

    def show_check_result(self, request: HttpRequest, form: Any, *, is_new: bool) -> None:
        """Say what the check of a form found. Its errors are already at their fields."""
        if form.errors:
            return
        remarks = {} if is_new else self.field_remarks(form)
        for name, sentences in remarks.items():
            form.fields[name].widget.remarks = sentences
        if any(remarks.values()):
            messages.warning(
                request, _("A setting is missing: see the message next to its field. Nothing was saved.")
            )
        else:
            messages.success(request, _("No errors found. Nothing was saved."))
        at_fields = {sentence for sentences in remarks.values() for sentence in sentences}
        for warning in [] if is_new else self.change_warnings(form):
            if warning not in at_fields:
                messages.warning(request, warning)

    def secret_changes(self, form: Any) -> list[str]:
        """Return sentences on changed secrets, whose values are not shown."""
        return []

    def field_remarks(self, form: Any) -> dict[str, list[str]]:
        """Return those warnings that are about a JSON field, by its name."""
        return {}

    def change_warnings(self, form: Any) -> list[str]:
        """Return sentences on the consequences of the change."""
        return []

    def confirmation_form(self, request: HttpRequest, form: Any) -> ReasonForm:
        """Return the form of the page that confirms the change: its reason, and what else has to be entered."""
        return ReasonForm(request.POST or None)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        self._require_fresh_login(request, form)
        super().save_model(request, obj, form, change)

    def _require_fresh_login(self, request: HttpRequest, form: Any) -> None:
        """Raise FreshLoginNeeded if the form changes a secret and the log-in is not fresh."""
        if self.secret_changes(form):
            require_fresh_login(request)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        is_change = request.method == "POST" and object_id is not None and not _is_check(request)
        confirmation = self._redirect_to_confirmation(request, str(object_id)) if is_change else None
        return confirmation or super().changeform_view(request, object_id, form_url, extra_context)

    def _redirect_to_confirmation(self, request: HttpRequest, object_id: str) -> HttpResponse | None:
        """Store the typed change and redirect to its confirmation. Returns None if Django's form must show errors."""
        row = self.get_object(request, unquote(object_id))
        if row is None or not self.has_change_permission(request, row):
            return None
        form = self._bind_form(request, row, request.POST)
        if not form.is_valid():
            return None
        if not self._has_changes(form):
            messages.info(request, _("Nothing was changed."))
            return redirect(self._change_url(row.pk))
        key = _PENDING_CHANGES.put_change(request, self._row_label(row.pk), request.POST)
        confirm = reverse(f"admin:{self.url_name('confirm')}", args=[row.pk, key])
        return redirect(keep_origin(request, confirm))

    @admin_page("<int:pk>/confirm/<uuid:key>/", "confirm")
    def confirm_view(self, request: HttpRequest, pk: int, key: UUID) -> HttpResponse:
        """Show the change; on POST with a reason, save it."""
        # A POST locks the row, so that the differences that it compares are those that it saves.
        with transaction.atomic():
            row = self.get_object(request, str(pk))
            if row is None:
                raise Http404(f"There is no {self.opts.verbose_name} {pk}")
            if not self.has_change_permission(request, row):
                raise PermissionDenied
            # Taken before the form changes the instance.
            name = str(row)
            typed = _PENDING_CHANGES.get_change(request, self._row_label(pk), key)
            form = self._bind_form(request, row, typed) if typed is not None else None
            if form is None or not form.is_valid():
                return self._redirect_expired(request, pk, key, form)
            reason = self.confirmation_form(request, form)
            changes = self._field_changes(form)
            digest = _digest_changes(changes)
            # The person must confirm the differences that will be saved, not earlier ones.
            if request.method == "POST" and request.POST.get("seen") != digest:
                reason.add_error(None, _("It was changed in the meantime. Review the changes again."))
            elif reason.is_valid():
                self._require_fresh_login(request, form)
                # Removed before it is saved: a second click finds nothing to save.
                _PENDING_CHANGES.remove(request, key)
                return self._save_change(request, form, reason)
        context = {
            "title": _("Change %(name)s?") % {"name": name},
            "name": name,
            "back": self._change_url(pk),
            "changes": changes,
            "hidden": self.secret_changes(form),
            "warnings": self.change_warnings(form),
            "reason_form": reason,
            "seen": digest,
        }
        return self.render_page(request, "console/base/confirm_change.html", context)

    def _save_change(self, request: HttpRequest, form: Any, reason: ReasonForm) -> HttpResponse:
        attach_reason(request, reason)
        row = self.save_form(request, form, change=True)
        self.save_model(request, row, form, change=True)
        self.save_related(request, form, [], change=True)
        link = format_html('<a href="{}">{}</a>', self._change_url(row.pk), row)
        messages.success(request, format_html(_("The change of {} was saved."), link))
        return return_to_origin(request) or self.response_post_save_change(request, row)

    def _redirect_expired(self, request: HttpRequest, pk: int, key: UUID, form: Any) -> HttpResponseRedirect:
        _PENDING_CHANGES.remove(request, key)
        if form is None:
            messages.error(request, _("Your change has expired. Make it again."))
        else:
            errors = " ".join(
                str(message) for field_errors in form.errors.values() for message in field_errors
            )
            messages.error(request, _("This change is no longer possible: %(why)s") % {"why": errors})
        return redirect(self._change_url(pk))

    def _bind_form(self, request: HttpRequest, row: Any, typed: Any) -> Any:
        return self.get_form(request, row, change=True)(typed, instance=row)

    def _field_changes(self, form: Any) -> list[FieldChange]:
        after = field_values(form.instance)
        names = [name for name in form.fields if name in after and name not in self._unrecorded_fields()]
        labels = {name: str(form.fields[name].label or name) for name in names}
        return diff_fields(self.stored_values(form.instance.pk), after, labels)

    def _has_changes(self, form: Any) -> bool:
        return bool(self._field_changes(form) or self.secret_changes(form))

    def _row_label(self, pk: Any) -> str:
        return f"{self.opts.label_lower}:{pk}"

    def _change_url(self, pk: Any) -> str:
        return reverse(f"admin:{self.url_name('change')}", args=[pk])


def _digest_changes(changes: list[FieldChange]) -> str:
    text = json.dumps([asdict(change) for change in changes], ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
