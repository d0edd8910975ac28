"""Routes and their policies as sentences."""

from django.utils.translation import gettext as _

from sync.models import Route


def route_sentence(route: Route, version: int | None) -> str:
    """Describe the route: its events, where the entity is fetched, the mapping version, the target, and if it is
    disabled.
    """
    names = {
        "type": route.entity_type,
        "source": route.source.name,
        "identity": route.identity.name,
        "commercial": route.commercial.name,
        "mapping": _mapping_text(route, version),
    }
    text = _(
        "%(type)s events of %(source)s: fetched from %(identity)s → mapped by %(mapping)s → "
        "written to %(commercial)s."
    )
    if route.relays:
        text = _(
            "%(type)s events of %(source)s: data of the webhook → mapped by %(mapping)s → written to "
            "%(commercial)s. Nothing is fetched from %(identity)s."
        )
    off = "" if route.is_enabled else " " + _("The route is disabled: new events do not use it.")
    return f"{text % names}{off}"


def policy_sentences(route: Route) -> list[str]:
    """Describe what happens if no record matches and if the entity is deleted."""
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
    return [creates, deletion_texts[Route.DeletionPolicy(route.when_gone)]]


def _mapping_text(route: Route, version: int | None) -> str:
    names = {"name": route.mapping.name, "number": version}
    return (
        _("%(name)s, version %(number)s") % names
        if version
        else _("%(name)s, which has no version yet") % names
    )
