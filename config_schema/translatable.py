"""Texts that are marked for translation where they are written, and translated where they are shown. Pure.

`python -m devtools makemessages` finds the templates by the names of these functions. A template has its parameters
by name: `translatable("at most %(most)s items", most="200")`.
"""

from collections.abc import Iterable, Mapping
from typing import Any


class TranslatableText(str):
    """An English text that still knows its template and its parameters. A parameter may be such a text itself.

    `plural` and `number`: of a text with two forms, the other template, and the number that decides.
    """

    __slots__ = ("number", "params", "plural", "template")

    template: str
    params: Mapping[str, object]
    plural: str
    number: int

    def __new__(
        cls, template: str, params: Mapping[str, object], plural: str = "", number: int = 1
    ) -> "TranslatableText":
        chosen = plural if plural and number != 1 else template
        text = super().__new__(cls, chosen % params if params else chosen)
        text.template, text.params, text.plural, text.number = template, params, plural, number
        return text

    def __getnewargs__(self) -> tuple[str, Mapping[str, object], str, int]:  # type: ignore[override]
        return self.template, self.params, self.plural, self.number


def translatable(template: str, **params: object) -> TranslatableText:
    """Mark a template for translation, and fill in its parameters. A marked text is returned unchanged. Without
    parameters, `%` has no special meaning.
    """
    if isinstance(template, TranslatableText) and not params:
        return template
    return TranslatableText(template, params)


def translatable_plural(singular: str, plural: str, number: int, **params: object) -> TranslatableText:
    """Mark two templates for translation, and fill in the one for this number. Both may use `%(number)s`."""
    return TranslatableText(singular, {"number": f"{number:,}", **params}, plural, number)


def join_texts(separator: str, texts: Iterable[str]) -> TranslatableText:
    """Join texts into one, which is translated part by part."""
    params = {f"part{number}": text for number, text in enumerate(texts)}
    return TranslatableText(separator.join(f"%({name})s" for name in params), params)


def encode_text(text: TranslatableText) -> dict[str, Any]:
    """Convert a text for JSON, so that it can be translated later into the language of its reader."""
    params = {
        name: encode_text(value) if isinstance(value, TranslatableText) else str(value)
        for name, value in text.params.items()
    }
    return {"template": text.template, "params": params, "plural": text.plural, "number": text.number}


def decode_text(document: Mapping[str, Any]) -> TranslatableText:
    """Restore a text from a document that `encode_text` returned."""
    params = {
        name: decode_text(value) if isinstance(value, Mapping) else value
        for name, value in document["params"].items()
    }
    return TranslatableText(document["template"], params, document["plural"], document["number"])


def error_sentence(error: Exception) -> str:
    """Return the sentence that an error was raised with, still translatable: `str(error)` would lose the template."""
    sentence = error.args[0] if error.args else ""
    return sentence if isinstance(sentence, str) else str(error)
