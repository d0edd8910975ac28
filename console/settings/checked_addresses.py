"""Base of the pages whose settings name other systems: an address that the hub may not connect to is not saved."""

from typing import Any

from django import forms
from django.contrib.admin.utils import unquote
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from config_schema.errors import SettingsInvalid
from console.base.two_step_change import TwoStepChangeAdmin


class _BlockedForm(forms.ModelForm):  # type: ignore[type-arg]
    """Form with the error of an address that was looked up before."""

    blocked: SettingsInvalid

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        field, *place = self.blocked.place
        invalid = SettingsInvalid(tuple(place), self.blocked.sentence)
        self.add_error(str(field), ValidationError("%(setting)s", params={"setting": invalid}))


class CheckedAddressesAdmin(TwoStepChangeAdmin):
    """Base admin that refuses addresses to which the hub may not connect.

    Names are looked up before Django begins its transaction: a name server that is slow must not keep rows locked.
    """

    # The fields that name other systems.
    address_fields: tuple[str, ...]

    def find_blocked_address(self, row: Any) -> SettingsInvalid | None:
        """Look up the addresses of a valid row. Returns the error, whose place begins with the name of a field."""
        raise NotImplementedError

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form_class = super().get_form(request, obj, change, **kwargs)
        blocked = getattr(request, "blocked_address", None)
        if blocked is None:
            return form_class
        return type(f"Blocked{form_class.__name__}", (_BlockedForm, form_class), {"blocked": blocked})

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        if request.method == "POST":
            blocked = self._look_up_addresses(request, object_id)
            request.blocked_address = blocked  # type: ignore[attr-defined]
        return super().changeform_view(request, object_id, form_url, extra_context)

    def _look_up_addresses(self, request: HttpRequest, object_id: str | None) -> SettingsInvalid | None:
        """Look up the addresses of what was typed, if it is valid and may be saved."""
        row = None if object_id is None else self.get_object(request, unquote(object_id))
        is_allowed = (
            self.has_add_permission(request)
            if object_id is None
            else row is not None and self.has_change_permission(request, row)
        )
        if not is_allowed:
            return None
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        if (
            form.is_shown_again
            or form.errors
            or not (form.instance.is_enabled or self._names_new_addresses(form.instance))
        ):
            # What is disabled contacts nobody: it can still be renamed, or disabled because it is blocked.
            return None
        return self.find_blocked_address(form.instance)

    def _names_new_addresses(self, row: Any) -> bool:
        stored = self.model._default_manager.filter(pk=row.pk).values(*self.address_fields).first()
        return bool(stored != {name: getattr(row, name) for name in self.address_fields})
