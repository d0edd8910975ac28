"""The error for an invalid setting, and where in a document it is. Pure."""

from config_schema.translatable import TranslatableText, translatable

Place = tuple[str | int, ...]

_LONGEST_NAME = 60


class SettingsInvalid(ValueError):
    """An invalid setting. `place` is the path to it, `sentence` says what it must be, in English."""

    def __init__(self, place: Place, sentence: str) -> None:
        super().__init__(f"{to_pointer(place) or '/'}: {sentence}")
        self.place = place
        self.sentence = translatable(sentence)

    @property
    def text(self) -> TranslatableText:
        """Return the text of the error: its place, and its sentence."""
        return translatable("%(place)s: %(sentence)s", place=self.pointer or "/", sentence=self.sentence)

    @property
    def pointer(self) -> str:
        """Return the JSON Pointer (RFC 6901) of the setting."""
        return to_pointer(self.place)

    @property
    def path(self) -> str:
        """Return the path of the setting as people write it; empty for the whole document."""
        return to_path(self.place)


def to_path(place: Place) -> str:
    """Return a place as people write it: `entities.USER.fields[0]`. Long names are cut."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{_shorten(step)}" for step in place]
    return "".join(steps).removeprefix(".")


def to_pointer(place: Place) -> str:
    """Return the JSON Pointer (RFC 6901) of a place; empty for the whole document."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in place)


def from_pointer(pointer: str) -> Place:
    """Return the place that a JSON Pointer names. Indices of lists are texts in it."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _shorten(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
