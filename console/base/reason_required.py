"""ModelAdmin that requires a reason for each addition and deletion.

Protected relations are found with EXISTS: a source may have millions of events.
"""

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import PROTECT, ForeignObjectRel, Model
from django.http import HttpRequest, HttpResponse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from console.base.audited_admin import AuditedAdmin
from console.base.forms import ReasonForm
from console.base.origin_page import return_to_origin


def protected_relations(row: Model) -> list[str]:
    """Return the plural names of the kinds of rows that prevent the deletion of this row."""
    return list(dict.fromkeys(_protecting_kinds(row)))


def _protecting_kinds(row: Model) -> Iterator[str]:
    for relation in row._meta.get_fields(include_hidden=True):
        if not (isinstance(relation, ForeignObjectRel) and relation.on_delete is PROTECT):
            continue
        of: Any = relation.related_model
        # EXISTS stops at the first row; loading or counting millions of events would take seconds.
        if of._base_manager.filter(**{relation.field.name: row}).exists():
            yield capfirst(str(of._meta.verbose_name_plural))


class ReasonRequiredAdmin(AuditedAdmin):
    """Base admin that requires a reason for each addition and deletion."""

    delete_confirmation_template = "console/base/confirm_delete.html"

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm]:  # type: ignore[type-arg]
        if not change:
            plain = kwargs.get("form", self.form)
            # Django validates the reason together with the other fields of the form.
            kwargs["form"] = type(plain)(f"Reasoned{plain.__name__}", (ReasonForm, plain), {})
        form_class: type[forms.ModelForm] = super().get_form(request, obj, change, **kwargs)  # type: ignore[type-arg]
        return form_class

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        why = [] if obj else [(_("Why"), {"fields": ("reason",)})]
        return [*super().get_fieldsets(request, obj), *why]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            attach_reason(request, form)
        super().save_model(request, obj, form, change)

    def response_post_save_add(self, request: HttpRequest, obj: Any) -> Any:
        return return_to_origin(request, added=obj.pk) or super().response_post_save_add(request, obj)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the effect of a deletion; on POST with a reason, delete the row."""
        reason = ReasonForm(request.POST or None)
        with transaction.atomic():
            row = self.get_object(request, unquote(object_id))
            if not self.has_delete_permission(request, row):
                raise PermissionDenied
            if row is None:
                return super().delete_view(request, object_id)
            _rows, counts, lacking, protected = self.get_deleted_objects([row], request)
            if reason.is_valid() and not (lacking or protected):
                name, pk = str(row), row.pk
                attach_reason(request, reason)
                self.delete_model(request, row)
                return self.response_delete(request, name, pk)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Delete %(name)s?") % {"name": row},
            "opts": self.opts,
            "object": row,
            "model_count": counts.items(),
            "perms_lacking": lacking,
            "protected": protected,
            "reason_form": reason,
            "is_switched": getattr(row, "is_enabled", False),
            "warnings": self.delete_warnings(row),
        }
        return self.render_delete_form(request, context)

    def delete_warnings(self, row: Any) -> list[str]:
        """Return sentences on the consequences of a deletion."""
        return []

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Name the kinds of rows that protect these, without loading every such row as Django would."""
        if protected := [kind for row in objs for kind in protected_relations(row)]:
            return [], {}, set(), protected
        return super().get_deleted_objects(objs, request)


def attach_reason(request: HttpRequest, form: forms.BaseForm) -> None:
    """Set the reason of a form on the request, for its entries on the audit log."""
    request.reason = form.cleaned_data["reason"]  # type: ignore[attr-defined]
