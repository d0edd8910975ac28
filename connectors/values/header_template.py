"""Fill the template of a header value, such as `Session {base64:{username}:{token}}`. Pure."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping

_NAME = r"\{[a-z][a-z_]*\}"
_PART = re.compile(
    rf"(?P<literal>[^{{}}]+)|\{{base64:(?P<inner>(?:[^{{}}]|{_NAME})+)\}}|\{{(?P<name>[a-z][a-z_]*)\}}"
)
_INNER_NAME = re.compile(r"\{([a-z][a-z_]*)\}")


class TemplateError(ValueError):
    """A text that is not a template. The message is a sentence."""


class HeaderTemplate:
    """A text with placeholders: `{name}` for a value, `{base64:…}` for the base64 of a text with placeholders."""

    __slots__ = ("_parts", "names", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._parts = tuple(_split(text))
        self.names = frozenset(name for part in self._parts for name in _names_of(part))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HeaderTemplate) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with the values in place. Values are not expanded again."""
        return "".join(_render_part(part, values) for part in self._parts)


def template_pattern(names: Iterable[str], required: str) -> str:
    """Return a JSON Schema pattern for templates in printable ASCII with only these placeholders, and the required
    one.
    """
    known = "|".join(sorted(names))
    character = r"[\x20-\x7a|\x7e]"
    inner = rf"(?:{character}|\{{(?:{known})\}})"
    return rf"^(?=.*\{{{required}\}})(?:{character}|\{{(?:{known})\}}|\{{base64:{inner}+\}})+$"


def _split(text: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(text):
        part = _PART.match(text, position)
        if part is None:
            raise TemplateError("This must be a text with placeholders such as {token} or {base64:{token}}.")
        yield part
        position = part.end()


def _names_of(part: re.Match[str]) -> list[str]:
    return [part["name"]] if part["name"] else _INNER_NAME.findall(part["inner"] or "")


def _render_part(part: re.Match[str], values: Mapping[str, str]) -> str:
    if part["literal"] is not None:
        return part["literal"]
    if part["name"] is not None:
        return values[part["name"]]
    inner = _INNER_NAME.sub(lambda match: values[match[1]], part["inner"])
    return b64encode(inner.encode("utf-8", "surrogatepass")).decode("ascii")
