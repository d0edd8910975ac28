"""The error for an invalid setting, and where in a document it is. Pure."""

SettingPath = tuple[str | int, ...]

_MAX_NAME_LENGTH = 60


class SettingsInvalid(ValueError):
    """A setting is invalid. `place`: its path in the document, `sentence`: the error in English."""

    def __init__(self, place: SettingPath, sentence: str) -> None:
        super().__init__(f"{format_pointer(place) or '/'}: {sentence}")
        self.place = place
        self.sentence = sentence

    @property
    def pointer(self) -> str:
        """Return the JSON Pointer (RFC 6901) of the setting."""
        return format_pointer(self.place)

    @property
    def path(self) -> str:
        """Return the path of the setting as people write it; empty for the whole document."""
        return format_path(self.place)


def format_path(place: SettingPath) -> str:
    """Format a path as people write it: `entities.USER.fields[0]`. Names are cut to 60 characters."""
    steps = [f"[{step}]" if isinstance(step, int) else f".{_shorten(step)}" for step in place]
    return "".join(steps).removeprefix(".")


def format_pointer(place: SettingPath) -> str:
    """Format a path as a JSON Pointer (RFC 6901); "" for the whole document."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in place)


def parse_pointer(pointer: str) -> SettingPath:
    """Parse a JSON Pointer into a path. Indices of lists stay texts."""
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])


def _shorten(name: str) -> str:
    return name if len(name) <= _MAX_NAME_LENGTH else f"{name[: _MAX_NAME_LENGTH - 1]}…"
