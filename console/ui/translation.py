"""Texts of pure packages in the language of the reader."""

from django.utils.translation import gettext, ngettext

from config_schema.translatable import TranslatableText


def translate_text(text: str) -> str:
    """Return a marked text in the active language, with its parameters. Without a translation it stays English."""
    if not text:
        return ""  # gettext would return the header of the catalogue
    if not isinstance(text, TranslatableText):
        return gettext(text)
    template = gettext(text.template)
    if text.plural:
        template = ngettext(text.template, text.plural, text.number)
    if not text.params:
        return template
    return template % {name: _translate_parameter(value) for name, value in text.params.items()}


def _translate_parameter(value: object) -> object:
    """Return a parameter as it is, unless it is a marked text itself: others are names and values."""
    return translate_text(value) if isinstance(value, TranslatableText) else value
