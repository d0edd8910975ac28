"""Form of a route, and the consequences of a change."""

from collections.abc import Iterator
from typing import Any, ClassVar

from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.document_forms.fields import DocumentField
from console.document_forms.forms import DocumentForm
from console.settings.help_texts import help_texts
from console.settings.routes.scope_words import scope_warnings
from sync.mappings.configuration_gaps import (
    delivery_conflicts,
    link_conflicts,
    naming_conflicts,
    reference_warnings,
    route_gaps,
)
from sync.mappings.field_gaps import unread_warnings
from sync.mappings.referring_mappings import ending_warning
from sync.models import ROUTE_SETTINGS, Route, decide_gate
from sync.planning.record_matching import MatchingPolicy

# Where to add what a route needs.
_ADD_PAGES = {
    "source": "admin:webhooks_source_add",
    "identity": "admin:sync_connection_add",
    "target": "admin:sync_connection_add",
    "mapping": "admin:sync_mapping_add",
}


_HELP_TEXTS = help_texts(ROUTE_SETTINGS)


def _field_values(name: str, label: Any) -> DocumentField:
    """Return the form field of an object of field names and values."""
    kind = ROUTE_SETTINGS[name].kind
    assert kind is not None, "its settings are described"
    return DocumentField(kind=kind, reference="route", label=label, help_text=_HELP_TEXTS[name])


class RouteForm(DocumentForm):
    """Form for a route. The fields that deactivate and reactivate a record are rows of names and values."""

    deactivation = _field_values("deactivation", gettext_lazy("Fields set when the entity is deleted"))
    reactivation = _field_values("reactivation", gettext_lazy("Fields set when it comes back"))

    class Meta:
        labels: ClassVar[dict[str, Any]] = {
            "is_enabled": gettext_lazy("Enabled"),
            "identity": gettext_lazy("Identity connection"),
            "identity_entity": gettext_lazy("Entity type in the identity connection"),
            "target": gettext_lazy("Target connection"),
            "target_entity": gettext_lazy("Entity type in the target connection"),
            "on_leaving": gettext_lazy("When an entity leaves the scope"),
            "max_attempts": gettext_lazy("Maximum attempts"),
            "gives_up_after_hours": gettext_lazy("Gives up after"),
            "compare_every_hours": gettext_lazy("Compare every"),
            "repairs_differences": gettext_lazy("Make equal automatically"),
            "repairs_missing_records": gettext_lazy("Also create missing records"),
            "max_repairs": gettext_lazy("Maximum number made equal"),
        }
        help_texts = _HELP_TEXTS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # The page that asks for the reason of the change asks for the number of those who leave too.
        self.instance.asks_for_number = True
        if self.instance.pk is None and not self.initial.get("deactivation"):
            # *Set the fields below* is the default, and needs some.
            self.initial["deactivation"] = ROUTE_SETTINGS["deactivation"].example
        for name, url_name in _ADD_PAGES.items():
            field: Any = self.fields.get(name)
            if field and not field.queryset.exists():
                field.help_text = format_html(
                    '{} <a href="{}">{}</a>', _("There is none yet."), reverse(url_name), _("Add one")
                )
        if choice := self.fields.get("continues_after_failure"):  # absent for people who only read
            widget: Any = choice.widget
            widget.choices = [("unknown", _("Default")), *widget.choices[1:]]

    def clean_reactivation(self) -> Any:
        """Return null for no fields, as a new route has it."""
        fields = self.cleaned_data["reactivation"]
        return None if fields == {} and self.instance.reactivation is None else fields

    def clean(self) -> dict[str, Any]:
        """Refuse an enabled route that its connections cannot carry: each delivery would fail. Refuse a change under
        which deliveries would send to one system what is meant for another, or create records a second time.
        """
        values: dict[str, Any] = super().clean() or {}
        names = ("is_enabled", "source", "identity", "target", "mapping", "entity_type")
        policy_names = ("when_deleted", "deactivation", "on_leaving", "reactivation")
        policies = {name: values[name] for name in policy_names if name in values}
        if not all(values.get(name) for name in names if name != "is_enabled"):
            return values
        entity_names = ("identity_entity", "target_entity")
        route = Route(
            pk=self.instance.pk,
            **{name: values[name] for name in names},
            **{name: (values.get(name) or "").upper() for name in entity_names},
            **policies,
        )
        # A route that has become impossible can still be disabled.
        own_gaps = _enabling_gaps(route) if route.is_enabled else ()
        conflicts = [*naming_conflicts(route), *delivery_conflicts(route), *link_conflicts(route)]
        for field, sentence in [*conflicts, *own_gaps]:
            self.add_error(field, sentence)
        return values


def _enabling_gaps(route: Route) -> Iterator[tuple[str, str]]:
    """Yield the field of a route and a sentence for each thing without which its deliveries would fail."""
    if not route.mapping.versions.exists():
        yield "mapping", _("This mapping has no active version yet. Activate its draft first.")
    yield from route_gaps(route)


def route_change_warnings(form: Any) -> Iterator[str]:
    """Yield a sentence for each immediate consequence of a change of a route."""
    if "matching" in form.changed_data and form.instance.matching == MatchingPolicy.TRUSTED:
        yield _(
            "Anyone who can enter an address in %(identity)s can change the record that has this address, "
            "verified or not."
        ) % {"identity": form.instance.identity}
    if "is_enabled" in form.changed_data and not form.instance.is_enabled:
        yield _(
            "New events do not use this route until it is enabled again, and are not delivered "
            "later. To keep them, pause the route instead."
        )
    if "condition" in form.changed_data or "on_leaving" in form.changed_data:
        stored = Route.objects.get(pk=form.instance.pk)
        yield from scope_warnings(form.instance, stored, decide_gate(form.instance))
    if (before := _stored_if_ended(form.instance)) and (warning := ending_warning(before)):
        yield warning
    if not form.instance.is_enabled:
        for _field, sentence in _enabling_gaps(form.instance):
            yield _("The route cannot be enabled yet: %(gap)s") % {"gap": sentence}
    elif (version := form.instance.mapping.versions.first()) is not None:
        yield from reference_warnings(form.instance, version.declaration)
        yield from unread_warnings(form.instance, version.declaration)


def _stored_if_ended(route: Route) -> Route | None:
    """Return the stored route if it is enabled, and the changed one delivers its type between its systems no more."""
    before = Route.objects.select_related("identity", "target").filter(pk=route.pk, is_enabled=True).first()
    if before is None:
        return None

    def delivery_key(of: Route) -> tuple[str, int, int]:
        return of.entity_type.upper(), of.identity_id, of.target_id

    return before if not route.is_enabled or delivery_key(before) != delivery_key(route) else None
