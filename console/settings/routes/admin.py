"""ModelAdmin of routes, which say which events go to which system, and a route in sentences."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.settings.pause import count_waiting, pause_view, render_activity_pill, resume_view
from console.settings.routes.condition import condition_try_view, condition_view
from console.settings.routes.expected_changes import load_expected_changes
from console.settings.routes.forms import RouteForm, route_change_warnings
from console.settings.routes.going_live import live_view, observe_view
from console.settings.routes.scope_admin import RouteScopeAdmin
from console.ui.comparison_texts import pair_context, schedule_sentences
from console.ui.outcome_texts import render_pill
from sync.mappings.configuration_gaps import absence_warnings
from sync.mappings.drafts import current_version
from sync.mappings.field_gaps import unread_warnings
from sync.mappings.referring_mappings import ending_warning, referring_mappings
from sync.models import SCHEDULE_FIELDS, MappingVersion, Route
from sync.monitoring.comparison_figures import pairs_of, with_comparisons
from sync.planning.mapping_declaration import InvalidMapping, parse_mapping
from sync.planning.record_matching import MatchingPolicy


def route_sentence(route: Route, version: int | None) -> str:
    """Describe the route: its events, where the entity is fetched, the mapping version, the target, and if it is
    disabled or only observes.
    """
    names = {
        "type": route.entity_type,
        "source": route.source.name,
        "identity": route.identity.name,
        "target": route.target.name,
        "mapping": _mapping_text(route, version),
    }
    text = _(
        "%(type)s events of %(source)s: fetched from %(identity)s → mapped by %(mapping)s → "
        "written to %(target)s."
    )
    if route.relays:
        text = _(
            "%(type)s events of %(source)s: data of the webhook → mapped by %(mapping)s → written to "
            "%(target)s. Nothing is fetched from %(identity)s."
        )
    sentence = text % names
    for connection, name in ((route.identity, route.identity_type), (route.target, route.target_type)):
        if name != route.entity_type:
            called = _("%(connection)s calls this %(type)s.")
            sentence += " " + called % {"connection": connection.name, "type": name}
    if not route.is_enabled:
        sentence += " " + _("The route is disabled: new events do not use it.")
    if route.observes:
        observes = _(
            "The route observes: changes are planned and recorded, and nothing is written to %(target)s."
        )
        sentence += " " + observes % names
    return sentence


def policy_sentences(route: Route, version: MappingVersion | None) -> list[str]:
    """Describe how an unlinked record is matched, what happens if none is, and if the entity is deleted; and whether
    the mapping version in force proves links.
    """
    matching_texts = {
        MatchingPolicy.NEVER: _("A record without a link is never linked by a value such as an address."),
        MatchingPolicy.HOLD: _(
            "A person decides whether a record with the same value, such as an address, is linked."
        ),
        MatchingPolicy.VERIFIED: _(
            "A record with a verified value of the entity, such as an address, is linked. Otherwise, a person "
            "decides."
        ),
        MatchingPolicy.TRUSTED: _(
            "A record with any value from the source, such as an address, is linked, even if the value is not "
            "verified."
        ),
    }
    deletion_texts = {
        Route.DeletionPolicy.DELETE: _("When the entity is deleted, its record is deleted."),
        Route.DeletionPolicy.DEACTIVATE: _(
            "When the entity is deleted, its record stays, and the fields below are set."
        ),
        Route.DeletionPolicy.IGNORE: _("When the entity is deleted, its record is not changed."),
    }
    creates = _("A missing record is created.")
    if route.without_match == Route.NoMatchPolicy.REFUSE:
        creates = _("A missing record is created only for a CREATE event; an UPDATE event fails.")
    matching = matching_texts[MatchingPolicy(route.matching)]
    sentences = [matching, creates, deletion_texts[Route.DeletionPolicy(route.when_deleted)]]
    sentences += scope_sentences(route)
    return sentences if version is None else [*sentences, *_proof_sentences(version)]


def scope_sentences(route: Route) -> list[str]:
    """Describe which entities the route is for, and what happens to the record of one that leaves or comes back; empty
    for a route without a condition.
    """
    if not route.condition:
        return []
    leaving_texts = {
        Route.LeavingPolicy.LEAVE: _("When an entity stops fulfilling it, its record is not changed."),
        Route.LeavingPolicy.DEACTIVATE: _(
            "When an entity stops fulfilling it, its record stays, and the fields for deleted entities are set."
        ),
        Route.LeavingPolicy.DELETE: _("When an entity stops fulfilling it, its record is deleted."),
        Route.LeavingPolicy.UNLINK: _(
            "When an entity stops fulfilling it, its link ends, and the record is not changed."
        ),
    }
    scope = _("The route is only for entities that fulfil its condition: %(condition)s") % {
        "condition": route.condition
    }
    sentences = [scope, leaving_texts[Route.LeavingPolicy(route.on_leaving)]]
    if route.reactivation:
        names = {"fields": ", ".join(map(str, route.reactivation))}
        sentences.append(
            _("When it fulfils the condition again, these fields are set too: %(fields)s.") % names
        )
    return sentences


def _proof_sentences(version: MappingVersion) -> list[str]:
    try:
        mapping = parse_mapping(version.declaration)
    except InvalidMapping:
        # Somebody has changed it by SQL: the page of the mapping says what is wrong.
        return []
    if mapping.match.external_id in mapping.fields:
        return [_("A record has to bear the external id of its entity, once it was seen there.")]
    return [
        _(
            "Nothing proves that a linked record is still that of its entity, because the mapping writes no external "
            "id: after the ids of the target have changed, another person's record could be changed."
        )
    ]


def _comparison_context(route: Route) -> tuple[Any, list[str]]:
    """Return what comparisons say of the route's pair, and the sentences on its schedule."""
    if route.relays:
        return None, list(schedule_sentences(route, None))
    columns = ("identity", "entity_type", "target", "mapping")
    of_pair = Route.objects.filter(relays=False, **{name: getattr(route, name) for name in columns})
    (pair,) = pairs_of(with_comparisons(of_pair).select_related("identity", "target"))
    return pair_context(pair), list(schedule_sentences(route, pair))


def _mapping_text(route: Route, version: int | None) -> str:
    names = {"name": route.mapping.name, "number": version}
    return (
        _("%(name)s, version %(number)s") % names
        if version
        else _("%(name)s, which has no version yet") % names
    )


@admin.register(Route)
class RouteAdmin(RouteScopeAdmin):
    """Manage routes: source and entity type, connections, mapping and policies."""

    pages = (pause_view, resume_view, live_view, observe_view, condition_view, condition_try_view)
    audit_kind = "route"
    no_rows_text = gettext_lazy(
        "No routes yet. A route leads from a source through a mapping to a target. Add the source, two "
        "connections and the mapping first."
    )
    form = RouteForm
    change_form_template = "console/settings/routes/change.html"
    fieldsets = (
        (
            gettext_lazy("Source and connections"),
            {
                "fields": (
                    *("source", "entity_type", "is_enabled", "identity", "identity_entity"),
                    *("target", "target_entity", "mapping"),
                )
            },
        ),
        (
            gettext_lazy("Behavior"),
            {
                "fields": (
                    *("matching", "without_match", "when_deleted", "deactivation"),
                    *("relays", "continues_after_failure"),
                )
            },
        ),
        (gettext_lazy("Scope"), {"fields": ("condition", "on_leaving", "reactivation")}),
        (
            gettext_lazy("Retries"),
            {"fields": ("max_attempts", "gives_up_after_hours", "retry_base_seconds", "retry_cap_seconds")},
        ),
        (gettext_lazy("Limits"), {"fields": ("guard_minutes", "max_removals", "max_changed_percent")}),
        (
            gettext_lazy("Scheduled comparison"),
            {
                "fields": (
                    *("compare_every_hours", "repairs_differences"),
                    *("repairs_missing_records", "max_repairs"),
                )
            },
        ),
    )
    list_display = ("route_name", "summary", "active_mapping", "activity")
    list_display_links = ("route_name",)
    list_select_related = ("source", "identity", "target", "mapping")
    sortable_by = ()

    def list_headline(self, rows: Sequence[Any]) -> str:
        resting = sum(not route.is_enabled or route.paused_at is not None for route in rows)
        observing = sum(route.observes for route in rows)
        if resting:
            text = ngettext(
                "%(count)d route is paused or disabled.", "%(count)d routes are paused or disabled.", resting
            )
            return text % {"count": resting}
        text = ngettext("%(count)d route only observes.", "%(count)d routes only observe.", observing)
        return text % {"count": observing} if observing else _("All routes deliver.")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Remove Django's add, change, delete and view icons next to each choice; the related rows have pages of their
        own.
        """
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        for name in ("add", "change", "delete", "view"):
            if hasattr(getattr(field, "widget", None), f"can_{name}_related"):
                setattr(field.widget, f"can_{name}_related", False)
        if db_field.name == "condition":
            field.widget.attrs |= {"rows": 3, "spellcheck": "false", "class": "vLargeTextField mono"}
        return field

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        numbered: QuerySet[Any] = (
            super().get_queryset(request).annotate(version=Max("mapping__versions__number"))
        )
        return numbered

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any) -> Any:
        """Describe the stored route, not the values that were just typed and refused."""
        route = kwargs.get("obj")
        if route is not None:
            related = (*self.list_select_related, "paused_by")
            stored = self.get_queryset(request).select_related(*related).get(pk=route.pk)
            context["stored_route"], context["route_version"] = stored, current_version(stored.mapping)
            context["route_sentence"] = route_sentence(stored, stored.version)
            context["route_policies"] = policy_sentences(stored, context["route_version"])
            if context["route_version"] is not None:
                context["route_policies"] += unread_warnings(stored, context["route_version"].declaration)
            context["comparison"], context["route_schedule"] = _comparison_context(stored)
            context["route_pill"], context["held"] = self.activity(stored), count_waiting(stored)
            context["referring_mappings"] = referring_mappings(stored)
            context["ended_warning"] = "" if stored.is_enabled else ending_warning(stored)
            context["absence_warnings"] = absence_warnings(stored) if stored.is_enabled else []
            context["may_pause"] = self.has_change_permission(request, stored)
            if stored.observes:
                context["expected"] = load_expected_changes(stored, timezone.now())
        return super().render_change_form(request, context, *args, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if any(name in form.changed_data for name in SCHEDULE_FIELDS):
            # A repair by schedule names this person.
            obj.schedule_set_by = request.user
        if not change:
            # It goes live on a page of its own, with the numbers of a comparison.
            obj.mode, obj.mode_since = Route.Mode.OBSERVE, timezone.now()
        super().save_model(request, obj, form, change)

    def change_warnings(self, form: Any) -> list[str]:
        return list(route_change_warnings(form))

    def delete_warnings(self, row: Any) -> list[str]:
        warning = ending_warning(row) if row.is_enabled else ""
        return [warning] if warning else []

    @admin.display(description=gettext_lazy("route"))
    def route_name(self, route: Any) -> str:
        return str(route)

    @admin.display(description=gettext_lazy("description"))
    def summary(self, route: Any) -> str:
        return route_sentence(route, route.version)

    @admin.display(description=gettext_lazy("active mapping"))
    def active_mapping(self, route: Any) -> SafeString:
        page = reverse("admin:sync_mapping_change", args=[route.mapping_id])
        text = _("version %(number)s") % {"number": route.version} if route.version else _("no version yet")
        return format_html('<a href="{}">{}</a>, {}', page, route.mapping, text)

    @admin.display(description=gettext_lazy("status"))
    def activity(self, route: Any) -> SafeString:
        # A mapping without a version fails every delivery, which an "enabled" pill would hide.
        if route.is_enabled and not route.version:
            return render_pill("bad", "!", _("No mapping"))
        return render_activity_pill(route)
