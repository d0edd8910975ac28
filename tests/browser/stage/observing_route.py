"""A route on the stage that observes, with a comparison and observed events."""

from datetime import timedelta

from sync.models import Route
from tests.browser.stage.busy_hub import Stage
from tests.browser.stage.compared_systems import compared
from tests.support.builders.observed_events import a_planned_change, an_observed_event

_CHANGES = (
    a_planned_change("create", email="a", first_name="b"),
    a_planned_change("update", email="c"),
    a_planned_change("update", email="d", phone="e"),
    a_planned_change("create", candidates=True),
    None,
)


def observing(stage: Stage) -> Route:
    """Return the route that observes: that of the unsigned source to the systems of the first comparison. Made once."""
    compared(stage)
    route = Route.objects.get(source__slug="aurora-unsigned", entity_type="USER")
    if not route.observes:
        since = stage.now - timedelta(days=2)
        Route.objects.filter(pk=route.pk).update(mode="observe", mode_since=since, updated_at=since)
        route.refresh_from_db()
        for number, change in enumerate(_CHANGES):
            an_observed_event(route, 700 + number, change, at=stage.now - timedelta(hours=1))
    return route
