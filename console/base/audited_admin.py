"""ModelAdmin that appends every change to the audit log: who, from where, and the values before and after.

Names, addresses and secrets of people are never logged: the fields that contain them are listed as changed, without a
value.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import connection, models, transaction
from django.http import Http404, HttpRequest, HttpResponse

from audit.format.canonical_json import JSONValue
from console.base.admin_pages import AdminWithPages
from console.base.audit_trail import FieldValues, reason_details, record_action, redirect_to_audit_log
from database.encryption.at_rest import CannotDecrypt, EncryptedJSONField
from sync.planning.change import json_equal

# Beyond it, readers that parse numbers as doubles lose digits.
_MAX_JSON_INTEGER = 2**53


def to_json_value(value: Any) -> JSONValue:
    """Convert a value to canonical JSON: floats, times, ids and integers from 2**53 on become text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < _MAX_JSON_INTEGER else str(value)
    if isinstance(value, Mapping):
        return {str(name): to_json_value(member) for name, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(member) for member in value]
    # Floats become text here too, because canonical JSON has none.
    return value.isoformat() if isinstance(value, datetime) else str(value)


def field_values(instance: models.Model, m2m_fields: Iterable[str] = ()) -> FieldValues:
    """Return the stored values of a row by field name, with ids for relations. Leaves out the key and automatic
    timestamps.
    """
    fields = [field for field in instance._meta.concrete_fields if not _is_set_automatically(field)]
    values = {field.name: _field_value(field, instance) for field in fields}
    return values | {
        # Sorted, so that the same rows in another order are not a difference.
        name: sorted(getattr(instance, name).values_list("pk", flat=True))
        for name in m2m_fields
    }


def _field_value(field: Any, instance: models.Model) -> Any:
    try:
        return to_json_value(field.value_from_object(instance))
    except CannotDecrypt:
        # No such value is shown. It only has to differ from what a person enters instead.
        return {"cannot be decrypted": True}


def _is_set_automatically(field: Any) -> bool:
    return bool(
        field.primary_key or getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    )


def diff_values(before: FieldValues, after: FieldValues, redacted_fields: frozenset[str]) -> FieldValues:
    """Return `before` and `after` of the fields that differ, and in `changed` the names of differing fields in
    `redacted_fields`. Empty if nothing differs.
    """
    # Not `!=`: in Python 1 == True, in JSON that is a change.
    names = [name for name in {**before, **after} if not json_equal(before.get(name), after.get(name))]
    readable = [name for name in names if name not in redacted_fields]
    differences: FieldValues = {}
    if readable:
        differences = {
            "before": {name: before[name] for name in readable if name in before},
            "after": {name: after[name] for name in readable if name in after},
        }
    hidden = sorted(set(names) & redacted_fields)
    return differences | ({"changed": hidden} if hidden else {})


class AuditedAdmin(AdminWithPages):
    """Base admin that records every addition, change and deletion in the transaction that makes it.

    `audit_kind` is part of the stream and of the actions (`setting:<kind>:<id>`, `<kind>.changed`). Fields in
    `redacted_fields`, and encrypted ones, are recorded without values; a changed encrypted field adds `secret.changed`.
    `m2m_fields` are the many-to-many fields that are recorded. `no_rows_text` is shown instead of an empty list,
    followed by a link to the presets if there are any for it (`has_presets`).
    """

    # A bulk action would skip the entry of each row, its reason and its confirmation.
    actions = None
    no_rows_text: Any = ""
    has_presets = False

    audit_kind: ClassVar[str] = ""
    redacted_fields: ClassVar[frozenset[str]] = frozenset()
    m2m_fields: ClassVar[tuple[str, ...]] = ()

    def audit_stream(self, pk: Any) -> str:
        return f"setting:{self.audit_kind}:{pk}"

    def get_object(self, request: HttpRequest, object_id: str, from_field: Any = None) -> Any:
        """Return the row. During a POST, lock it and read it again first."""
        row = super().get_object(request, object_id, from_field)
        if row is not None and request.method == "POST" and connection.in_atomic_block:
            # Saving writes every column, so a concurrent change of another column would be lost without the lock.
            self.model._base_manager.select_for_update().filter(pk=row.pk).values_list("pk").first()
            # Not `refresh_from_db`, which decrypts every column.
            row = super().get_object(request, object_id, from_field)
        return row

    # Nothing is written to Django's own log: the audit log has each addition, change and deletion.
    def log_addition(self, *_: Any) -> Any: ...

    def log_change(self, *_: Any) -> Any: ...

    def log_deletions(self, *_: Any) -> Any: ...

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        # Labels without Django's colon, as in the other forms of the console.
        context["adminform"].form.label_suffix = ""
        return super().render_change_form(request, context, *args, **kwargs)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Redirect to the audit log entries of a row. Raises Http404 if there is no such row."""
        row = self.get_object(request, unquote(object_id))
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404(f"There is no {self.opts.verbose_name} {object_id}")
        return redirect_to_audit_log(request, self.audit_stream(row.pk))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # Django has already put the new values on the instance: the old ones must come from the database.
        form.values_before = self.stored_values(obj.pk) if change else {}
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        # Many-to-many fields are stored here, so the values after the change can be read only now.
        super().save_related(request, form, formsets, change)
        self._record_differences(request, form.instance.pk, form.values_before, is_new=not change)

    def _record_differences(
        self, request: HttpRequest, pk: Any, before: FieldValues, *, is_new: bool
    ) -> None:
        differences = diff_values(before, self.stored_values(pk), self._unrecorded_fields())
        if differences or is_new:
            action = f"{self.audit_kind}.{'created' if is_new else 'changed'}"
            record_action(request, self.audit_stream(pk), action, differences | reason_details(request))
        # An action of its own, so that auditors can filter for changes of secrets.
        if not self._encrypted_fields().isdisjoint(differences.get("changed", ())):
            record_action(request, self.audit_stream(pk), "secret.changed", reason_details(request))

    def record_addition(self, request: HttpRequest, row: models.Model) -> None:
        """Append the entries of a new row that no form of this admin has saved. Call it in the transaction."""
        self._record_differences(request, row.pk, {}, is_new=True)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            # Before the deletion, because the values are read from the row.
            differences = diff_values(self.stored_values(obj.pk), {}, self._unrecorded_fields())
            details = {"before": differences.get("before", {})} | reason_details(request)
            record_action(request, self.audit_stream(obj.pk), f"{self.audit_kind}.deleted", details)
            super().delete_model(request, obj)

    def stored_values(self, pk: Any) -> FieldValues:
        """Return the values of a row as the database holds them now."""
        return field_values(self.model._base_manager.get(pk=pk), self.m2m_fields)

    def _unrecorded_fields(self) -> frozenset[str]:
        return self.redacted_fields | self._encrypted_fields()

    def _encrypted_fields(self) -> frozenset[str]:
        fields = self.model._meta.concrete_fields
        return frozenset(field.name for field in fields if isinstance(field, EncryptedJSONField))
