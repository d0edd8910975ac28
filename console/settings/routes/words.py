"""Routes and their policies as sentences."""

from django.utils.translation import gettext as _

from sync.models import Route
from sync.planning.record_matching import MatchingPolicy


def route_sentence(route: Route, version: int | None) -> str:
    """Describe the route: its events, where the entity is fetched, the mapping version, the target, and if it is
    disabled.
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
    off = "" if route.is_enabled else " " + _("The route is disabled: new events do not use it.")
    return f"{sentence}{off}"


def policy_sentences(route: Route) -> list[str]:
    """Describe how an unlinked record is matched, what happens if none is, and if the entity is deleted."""
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
    return [matching, creates, deletion_texts[Route.DeletionPolicy(route.when_deleted)]]


def _mapping_text(route: Route, version: int | None) -> str:
    names = {"name": route.mapping.name, "number": version}
    return (
        _("%(name)s, version %(number)s") % names
        if version
        else _("%(name)s, which has no version yet") % names
    )
