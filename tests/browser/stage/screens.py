"""All screens of the console: name, role and address on the stage."""

from collections.abc import Callable
from dataclasses import dataclass

from django.contrib.auth.models import Group, User
from django.utils import timezone

from audit.models import Entry
from exports.models import Export
from logins.models import AccessRequest
from sync.models import (
    MATCH_HELD_CODE,
    Alarm,
    Connection,
    Delivery,
    Erasure,
    FailureGroup,
    Link,
    Mapping,
    PersonRequest,
    PersonRequestState,
    RelinkExample,
    Relinking,
    Route,
)
from sync.operations.failure_groups import refresh_failure_groups
from sync.statistics.periodic_recount import recount_stale_hours
from tests.browser.stage.busy_hub import Stage
from tests.browser.stage.catch_ups import caught_up
from tests.browser.stage.compared_systems import compared, found_by_value, linking, running
from tests.browser.stage.conditions import (
    condition_form,
    condition_try,
    confirmed_condition,
    running_try,
)
from tests.browser.stage.observing_route import observing
from tests.browser.stage.pair_draft import draft_page
from tests.support.hub import ANNA
from webhooks.models import CapturedRequest, Refusal, Source, State

Address = Callable[[Stage], str]
STAFF = ("support", "auditor", "administrator")


@dataclass(frozen=True)
class Screen:
    """One screen. `title` describes its picture. `status` is the expected HTTP status."""

    name: str
    title: str
    role: str
    address: Address
    status: int = 200


def _page(path: str) -> Address:
    return lambda _: f"/admin/{path}"


def _change(path: str, find: Callable[[Stage], object], then: str = "change/") -> Address:
    return lambda stage: f"/admin/{path}/{find(stage)}/{then}"


def _event(state: str, code: str = "", then: str = "change/", **values: object) -> Address:
    return lambda stage: f"/admin/webhooks/event/{stage.event(state, code, **values).pk}/{then}"


def _access_request(stage: Stage) -> AccessRequest:
    """Return a request that the administrator may approve."""
    role, root = Group.objects.get(name="support"), User.objects.get_or_create(username="liisa")[0]
    whom = stage.people["auditor"]
    values = {"role_name": role.name, "requested_by": root, "requested_at": timezone.now()}
    return AccessRequest.objects.get_or_create(person=whom, role=role, defaults=values)[0]


def _access_requests(stage: Stage) -> str:
    _access_request(stage)
    return "/admin/logins/accessrequest/"


def _held_route(_: Stage) -> int:
    return Delivery.objects.filter(state=State.HELD, code="held").latest("id").route_id


def _held_match(stage: Stage) -> str:
    held = Delivery.objects.filter(state=State.HELD, code=MATCH_HELD_CODE).latest("id")
    return _revealed(stage, held.event_id, f"/admin/sync/delivery/{held.pk}/record/")


def _record_link(_: Stage) -> str:
    link = Link.objects.get(entity_id=ANNA)
    keys = f"identity={link.identity_id}&target={link.target_id}"
    return f"/admin/webhooks/entity/link/?type=USER&id={ANNA}&{keys}"


def _replay(stage: Stage) -> str:
    taken = stage.event(State.DEAD, entity_id=ANNA)
    return _revealed(stage, taken.pk, f"/admin/webhooks/event/{taken.pk}/replay/")


def _revealed(stage: Stage, event: int, page: str) -> str:
    """Return the address of a page after support has revealed the contents of this event."""
    address = f"/admin/webhooks/event/{event}/reveal/"
    return stage.posted("support", address, reason="She asked why", next=page)


def _replay_of_many(stage: Stage) -> str:
    return stage.posted("support", "/admin/webhooks/event/replay/new/", state=State.DEAD)


def _begun(stage: Stage) -> str:
    terms = {"reason": "the shop refused them on Tuesday", "pace": "gentle", "pauses": "on"}
    return stage.posted("support", _replay_of_many(stage), **terms)


def _members(stage: Stage) -> str:
    _begun(stage)
    return f"/admin/sync/personrequest/{PersonRequest.objects.latest('id').uuid}/events/"


def _deciding(stage: Stage) -> str:
    page = f"/admin/sync/delivery/route/{_held_route(stage)}/"
    return stage.posted("support", page, decision="approve", everything="1")


def _confirming(stage: Stage) -> str:
    page = f"/admin/webhooks/source/{_aurora(stage)}/change/"
    form = stage.client("administrator").get(page).context["adminform"].form
    given = {name: form[name].value() for name in form.fields}
    typed = {name: "on" if value is True else value for name, value in given.items() if value}
    return stage.posted("administrator", page, **typed | {"name": "Aurora ID, Turku", "wait_seconds": 5})


def _ending(stage: Stage) -> str:
    source = Source.objects.get(pk=_aurora(stage))
    return f"/admin/webhooks/source/{source.pk}/secrets/{source.secrets.earliest('pk').pk}/end/"


def _capturing(stage: Stage) -> str:
    """Return the page of an open window that has stored requests."""
    page = f"/admin/webhooks/source/{_aurora(stage)}/capture/"
    if not CapturedRequest.objects.exists():
        stage.posted("administrator", page, reason="the sender sees 401")
        stage.hub.post({"id": ANNA, "user": {"email": "anna@example.com", "is_new": True}}, "aurora")
        stage.hub.post_signed(b"[]")
    return page


def _captured_request(stage: Stage) -> str:
    page = f"{_capturing(stage)}{CapturedRequest.objects.latest('-pk').pk}/"
    stage.posted("administrator", f"{page}reveal/", value="b0")
    return page


def _closing(stage: Stage) -> str:
    return stage.posted("support", f"/admin/sync/failuregroup/{_group(stage)}/close/")


def _source_tested(stage: Stage) -> str:
    return stage.posted("administrator", f"/admin/webhooks/source/{_aurora(stage)}/test/")


def _relinking(stage: Stage) -> str:
    """Return the page of a preview that is ready, with a link that would get another record."""
    shop, root = Connection.objects.get(pk=_shop(stage)), User.objects.get_or_create(username="liisa")[0]
    run, _ = Relinking.objects.get_or_create(
        connection=shop,
        defaults={
            "state": "ready",
            "reason": "restored from a backup",
            "requested_by": root,
            "requested_at": timezone.now(),
            "counts": {"stays": 1_200, "relinked": 37, "held": 2},
        },
    )
    link = Link.objects.filter(target=shop).order_by("pk").first()
    if link is not None:
        RelinkExample.objects.get_or_create(
            relinking=run, link=link, outcome="relinked", record_before=link.record_id, record_after="4799"
        )
    return f"/admin/sync/connection/{shop.pk}/relink/"


def _connection_tested(stage: Stage) -> str:
    page = stage.posted("administrator", f"/admin/sync/connection/{_shop(stage)}/test/")
    return page.partition("#")[0]  # from the same page a browser would only scroll there


def _comparison(then: str = "change/") -> Address:
    return lambda stage: f"/admin/sync/comparison/{compared(stage).uuid}/{then}"


def _pair(stage: Stage) -> str:
    return f"/admin/sync/comparison/route/{compared(stage).route_id}/"


def _comparisons(stage: Stage) -> str:
    compared(stage)
    return "/admin/sync/comparison/"


def _difference(stage: Stage) -> str:
    """Return the page of a difference that support has opened."""
    row = compared(stage).differences.get(entity_id=ANNA)
    page = f"/admin/sync/comparison/{row.comparison.uuid}/difference/{row.pk}/"
    return stage.posted("support", page, reason="She asked why")


def _uncompared_route() -> int:
    """Return a route of groups that observes."""
    route = Route.objects.filter(entity_type="GROUP").latest("id")
    Route.objects.filter(pk=route.pk).update(mode="observe")
    return route.pk


def _observing(stage: Stage, then: str) -> str:
    """Return a page of the only route that observes: it leads to the systems of the first, and has observed events."""
    return f"/admin/sync/route/{observing(stage).pk}/{then}"


def _match_desk(stage: Stage) -> str:
    """Return the matching desk with both sides, as support has opened it."""
    page = f"/admin/sync/comparison/{found_by_value(stage).comparison.uuid}/match/"
    return stage.posted("support", page, reason="First load")


def _desk_masked(stage: Stage) -> str:
    return f"/admin/sync/comparison/{found_by_value(stage).comparison.uuid}/match/"


def _match(stage: Stage) -> str:
    """Return the page of a match that support has opened."""
    row = found_by_value(stage)
    page = f"/admin/sync/comparison/{row.comparison.uuid}/match/{row.pk}/"
    return stage.posted("support", page, reason="First load")


def _link_all(stage: Stage) -> str:
    return f"/admin/sync/comparison/{linking(stage).comparison.uuid}/links/"


def _running_comparison(stage: Stage) -> str:
    running(stage)
    return _pair(stage)


def _aurora(_: Stage) -> int:
    return Source.objects.get(slug="aurora").pk


def _shop(_: Stage) -> int:
    return Connection.objects.get(slug="shop").pk


def _group(_: Stage) -> int:
    return FailureGroup.objects.order_by("-number").values_list("pk", flat=True)[0]


def _mapping(_: Stage) -> int:
    return Mapping.objects.get(name="Person to customer").pk


def _counted(then: Address) -> Address:
    """Return a function that runs the worker's counts first."""

    def address(stage: Stage) -> str:
        recount_stale_hours(seconds=30.0)
        refresh_failure_groups()
        return then(stage)

    return address


LOOKING = (
    Screen("overview", "Overview", "support", _counted(_page(""))),
    Screen("failures", "Failures", "support", _counted(_page("sync/failuregroup/"))),
    Screen(
        "failure",
        "A failure group",
        "support",
        _counted(_change("sync/failuregroup", lambda _: FailureGroup.objects.latest("number").pk)),
    ),
    Screen("failure-close", "Close all deliveries of a failure group", "support", _closing),
    Screen("close", "Close a failed event", "support", _event("dead", then="close/", entity_id=ANNA)),
    Screen("events", "Events", "support", _page("webhooks/event/")),
    Screen(
        "events-failed", "Events that need attention", "support", _page("webhooks/event/?state=dead,held")
    ),
    Screen("events-none", "A list without results", "support", _page("webhooks/event/?entity_id=NOBODY")),
    Screen("event-failed", "A failed event", "support", _event("dead", entity_id=ANNA)),
    Screen("event-retrying", "An event that is being retried", "support", _event("retrying")),
    Screen("event-succeeded", "An event that succeeded", "support", _event("succeeded", entity_id=ANNA)),
    Screen(
        "event-replayed",
        "A replayed event",
        "support",
        _event("unchanged", entity_id="GROUPREGULARS"),
    ),
    Screen("event-auditor", "A failed event, seen by an auditor", "auditor", _event("dead", entity_id=ANNA)),
    Screen(
        "entity",
        "Timeline of one person",
        "support",
        _page(f"webhooks/entity/?type=USER&id={ANNA}"),
    ),
    Screen("find", "Find a person", "support", _page("find/")),
    Screen("replay", "Replay one event: preview", "support", _replay),
    Screen("replay-many", "Replay many events: preview", "support", _replay_of_many),
    Screen(
        "replay-new",
        "Replay many events: selection",
        "support",
        _page("webhooks/event/replay/new/?state=dead&code=target-rejected"),
    ),
    Screen("replay-progress", "A bulk replay in progress", "support", _begun),
    Screen("replays", "Replays", "support", _page("sync/personrequest/")),
    Screen(
        "replay-done",
        "A finished replay",
        "support",
        _change(
            "sync/personrequest",
            lambda _: PersonRequest.objects.filter(state=PersonRequestState.FINISHED).latest("id").pk,
        ),
    ),
    Screen("replay-members", "Results of each event of a replay", "support", _members),
    Screen("held", "Held for approval", "support", _page("sync/delivery/")),
    Screen(
        "held-route",
        "Deliveries that a route holds for approval",
        "support",
        _change("sync/delivery/route", _held_route, ""),
    ),
    Screen("held-decide", "Approve held deliveries", "support", _deciding),
    Screen("held-match", "Choose the record of a held entity", "support", _held_match),
    Screen("entity-link", "Unlink the record of an entity", "support", _record_link),
    Screen(
        "entity-compare",
        "Compare an entity now",
        "support",
        _page(f"webhooks/entity/compare/?type=USER&id={ANNA}"),
    ),
    Screen("comparisons", "Whether the systems of each route agree", "support", _comparisons),
    Screen("comparison-pair", "Comparisons of two systems", "support", _pair),
    Screen("comparison", "A comparison with its differences", "support", _comparison()),
    Screen("comparison-auditor", "A comparison, seen by an auditor", "auditor", _comparison()),
    Screen("difference", "A difference as it is now", "support", _difference),
    Screen("match-desk", "The matching desk of a comparison with both sides", "support", _match_desk),
    Screen("match-desk-masked", "The matching desk, seen by an administrator", "administrator", _desk_masked),
    Screen("match", "Decide about one record found by a value", "support", _match),
    Screen("match-link-all", "A preview of linking all unique matches", "administrator", _link_all),
    Screen("comparison-running", "A comparison in progress", "support", _running_comparison),
    Screen("requests", "Requests", "support", _page("webhooks/receipt/")),
    Screen(
        "refusal",
        "A refused request",
        "support",
        _change("webhooks/refusal", lambda _: Refusal.objects.latest("id").pk),
    ),
    Screen("alarms", "Alarms", "support", _page("sync/alarm/")),
    Screen(
        "alarms-snooze",
        "Snooze alarms",
        "support",
        lambda _: f"/admin/sync/alarm/snooze/?alarm={Alarm.objects.get(ended_at=None).pk}",
    ),
)
CONFIGURING = (
    Screen("pair-start", "Connect systems", "administrator", draft_page("../", is_entered=False)),
    Screen(
        "pair-details",
        "Addresses and credentials of a pair",
        "administrator",
        draft_page("details/", is_entered=False),
    ),
    Screen("pair-review", "Test and create a pair", "administrator", draft_page("review/", is_entered=True)),
    Screen("sources", "Sources", "administrator", _page("webhooks/source/")),
    Screen("source", "A source", "administrator", _change("webhooks/source", _aurora)),
    Screen("source-test", "A source after a test event", "administrator", _source_tested),
    Screen("source-pause", "Pause a source", "administrator", _change("webhooks/source", _aurora, "pause/")),
    Screen("source-confirm", "Confirm changes of a source", "administrator", _confirming),
    Screen(
        "source-rotate",
        "Rotate the secret of a source",
        "administrator",
        _change("webhooks/source", _aurora, "rotate/"),
    ),
    Screen("source-capture", "A capture window", "administrator", _capturing),
    Screen("source-captured-request", "A captured request", "administrator", _captured_request),
    Screen("source-secret-end", "End a secret immediately", "administrator", _ending),
    Screen(
        "source-delete",
        "A source that cannot be deleted",
        "administrator",
        _change("webhooks/source", _aurora, "delete/"),
    ),
    Screen("connections", "Connections", "administrator", _page("sync/connection/")),
    Screen("connection", "A connection", "administrator", _change("sync/connection", _shop)),
    Screen(
        "connection-catch-up",
        "A connection that is caught up with",
        "administrator",
        lambda stage: f"/admin/sync/connection/{caught_up(stage).pk}/change/",
    ),
    Screen(
        "overview-catch-up",
        "Overview with catch-ups",
        "administrator",
        lambda stage: f"/admin/?catch-ups={caught_up(stage).pk}",
    ),
    Screen("connection-test", "A tested connection", "administrator", _connection_tested),
    Screen("connection-relink", "Records linked again", "administrator", _relinking),
    Screen("connection-add", "A new connection", "administrator", _page("sync/connection/add/")),
    Screen("routes", "Routes", "administrator", _page("sync/route/")),
    Screen(
        "route", "A route", "administrator", _change("sync/route", lambda _: Route.objects.earliest("id").pk)
    ),
    Screen(
        "route-pause",
        "Pause a route",
        "administrator",
        _change("sync/route", lambda _: Route.objects.earliest("id").pk, "pause/"),
    ),
    Screen(
        "route-observing",
        "A route that observes",
        "support",
        lambda stage: _observing(stage, "change/"),
    ),
    Screen(
        "route-live",
        "Let a route go live",
        "administrator",
        lambda stage: _observing(stage, "live/"),
    ),
    Screen(
        "route-live-uncompared",
        "Let a route go live without a comparison",
        "administrator",
        _change("sync/route", lambda _: _uncompared_route(), "live/"),
    ),
    Screen(
        "route-went-live",
        "What a comparison found before a route went live",
        "administrator",
        _change("sync/route", lambda _: Route.objects.earliest("id").pk, "live/"),
    ),
    Screen(
        "route-observe",
        "Let a route only observe",
        "administrator",
        _change("sync/route", lambda _: Route.objects.earliest("id").pk, "observe/"),
    ),
    Screen(
        "overview-observing",
        "Overview while a route observes",
        "administrator",
        lambda stage: f"/admin/?observing={observing(stage).pk}",
    ),
    Screen("route-condition", "A condition that is tried", "administrator", condition_form),
    Screen("route-condition-try", "Many who leave the scope", "administrator", condition_try),
    Screen("route-condition-running", "A try that runs", "administrator", running_try),
    Screen("route-condition-confirm", "Saving a condition by number", "administrator", confirmed_condition),
    Screen("mappings", "Mappings", "administrator", _page("sync/mapping/")),
    Screen("mapping", "A mapping", "administrator", _change("sync/mapping", _mapping)),
    Screen(
        "mapping-edit",
        "Edit a mapping and try it out",
        "administrator+support",
        _change("sync/mapping", _mapping, "edit/"),
    ),
    Screen(
        "mapping-compare",
        "Compare a draft with the active version",
        "administrator",
        _change("sync/mapping", _mapping, "compare/?from=1&to=draft"),
    ),
    Screen(
        "mapping-backtest",
        "Back-test: events with a different result",
        "administrator+support",
        lambda stage: stage.backtest,
    ),
    Screen(
        "mapping-discard",
        "Discard a draft",
        "administrator",
        _change("sync/mapping", _mapping, "discard/"),
    ),
    Screen(
        "mapping-activate",
        "Activate a draft",
        "administrator",
        _change("sync/mapping", _mapping, "activate/"),
    ),
)
AUDITING = (
    Screen("audit", "Audit log", "auditor", _page("audit/entry/")),
    Screen(
        "audit-entry",
        "An entry of the audit log",
        "auditor",
        _change("audit/entry", lambda _: Entry.objects.latest("id").pk),
    ),
    Screen("exports", "Exports", "auditor", _page("exports/export/")),
    Screen("export-new", "A new export", "auditor", _page("exports/export/new/")),
    Screen(
        "export",
        "An export",
        "auditor",
        _change("exports/export", lambda _: Export.objects.latest("created_at").pk),
    ),
    Screen(
        "export-made",
        "A finished export",
        "auditor",
        _change("exports/export", lambda _: Export.objects.get(state="done").pk),
    ),
    Screen("erasures", "Erasures", "administrator", _page("sync/erasure/")),
    Screen(
        "erasure",
        "An erasure waiting for a second person",
        "administrator",
        _change("sync/erasure", lambda _: Erasure.objects.latest("id").pk),
    ),
    Screen("erasure-look", "Erase a person", "administrator", _page("sync/erasure/find/")),
)
ENTERING = (
    Screen("people", "People", "administrator", _page("auth/user/")),
    Screen(
        "person",
        "A user account",
        "administrator",
        _change("auth/user", lambda stage: stage.people["support"].pk),
    ),
    Screen("person-add", "A new user account", "administrator", _page("auth/user/add/")),
    Screen(
        "person-password",
        "Set another user's password",
        "administrator",
        _change("auth/user", lambda _: User.objects.get_or_create(username="newcomer")[0].pk, "password/"),
    ),
    Screen("roles", "Roles", "administrator", _page("auth/group/")),
    Screen(
        "role",
        "A role",
        "administrator",
        _change("auth/group", lambda _: Group.objects.get(name="support").pk),
    ),
    Screen("access-requests", "Access requests", "administrator", _access_requests),
    Screen(
        "access-request",
        "A request for access",
        "administrator",
        _change("logins/accessrequest", lambda stage: _access_request(stage).pk),
    ),
    Screen("preferences", "Preferences", "support", _page("preferences/")),
    Screen("help", "The help for support", "support", _page("help/")),
    Screen("reference", "The reference of all settings", "administrator", _page("reference/")),
    Screen(
        "reference-target",
        "The settings of a target connection",
        "administrator",
        _page("reference/target-connection/"),
    ),
    Screen("password", "Change your password", "support", _page("password_change/")),
    Screen("login", "Log in", "", _page("login/")),
    Screen("not-allowed", "A page without permission", "support", _page("audit/entry/"), 403),
    Screen("not-found", "A page that does not exist", "support", _page("nowhere/"), 404),
)
SCREENS = (*LOOKING, *CONFIGURING, *AUDITING, *ENTERING)
