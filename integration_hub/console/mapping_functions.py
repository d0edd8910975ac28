"""What the functions of a mapping do to a value, in words."""

from collections.abc import Iterable, Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

FUNCTION_WORDS: Mapping[str, Promise] = {
    "first_verified_email": gettext_lazy("the first verified address"),
    "first": gettext_lazy("the first of the list"),
    "text": gettext_lazy("as text"),
    "trim": gettext_lazy("without spaces around it"),
    "lower": gettext_lazy("in small letters"),
    "upper": gettext_lazy("in capitals"),
}


def in_words(functions: Iterable[str]) -> str:
    """What these functions do, one after the other; of none of them: as it is."""
    return ", ".join(str(FUNCTION_WORDS.get(each, each)) for each in functions) or _("as it is")
