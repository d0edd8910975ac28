"""A connection on the stage that is caught up with: one entity type is up to date, the other fails."""

from datetime import timedelta

from sync.models import CatchUp, Connection
from tests.browser.stage.busy_hub import Stage


def caught_up(stage: Stage) -> Connection:
    """Return the connection of the identity service, caught up with. Made once."""
    identity = Connection.objects.filter(side="identity").earliest("id")
    Connection.objects.filter(pk=identity.pk).update(catch_up_minutes=30)
    began = stage.now - timedelta(minutes=12)
    values = {"created_at": stage.now - timedelta(days=3), "began_at": began}
    found = {"read_at": began, "listed": 41, "made": 3, "skipped": 38}
    CatchUp.objects.get_or_create(identity=identity, entity_type="USER", defaults=values | found)
    failure = {
        "read_at": stage.now - timedelta(hours=2),
        "failing_since": stage.now - timedelta(minutes=72),
        "failure": "identity-throttled",
    }
    CatchUp.objects.get_or_create(identity=identity, entity_type="GROUP", defaults=values | failure)
    return identity
