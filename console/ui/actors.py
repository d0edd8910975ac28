"""Names of the actors of the audit log: people, sources and the hub itself."""

from collections.abc import Iterable, Mapping

from django.contrib.auth import get_user_model
from django.utils.translation import gettext as _


def load_person_names(actors: Iterable[str]) -> dict[str, str]:
    """Return the login names of the actors that are people and still have a login. One query."""
    keys = {int(actor.removeprefix("person:")) for actor in actors if actor.startswith("person:")}
    users = get_user_model()._default_manager.in_bulk(keys)
    return {f"person:{key}": user.get_username() for key, user in users.items()}


def actor_name(actor: str, names: Mapping[tuple[str, str], str]) -> str:
    """Return the display name of an actor. `names` maps (kind, key) to names, with kind `person` or `sender`."""
    kind, _colon, name = actor.partition(":")
    if kind == "person":
        return names.get((kind, name)) or _("person %(key)s, deleted") % {"key": name}
    if kind == "source":
        return _("source %(name)s") % {"name": names.get(("sender", name), name)}
    return _("the hub") if actor == "system" else actor
