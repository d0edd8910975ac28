"""Load the texts of the catalogue of codes, one TOML file for each language, which translators edit.

`detail` and `next_step` are for support staff: what happened, and what to do, by whom. `person` is for the person who
waits for an answer after *Save*; a code without it says the same to both in `detail`. `{connection}` may only begin a
sentence, since a name cannot be inflected.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Language = Literal["en", "fi"]
Side = Literal["identity", "target"]

LANGUAGES: tuple[Language, ...] = ("en", "fi")

_UNNAMED: Mapping[Language, Mapping[Side, str]] = {
    "en": {"identity": "The identity service", "target": "The target system"},
    "fi": {"identity": "Identiteettipalvelu", "target": "Kohdejärjestelmä"},
}
FOR_SUPPORT: Mapping[Language, str] = {"en": "For support", "fi": "Tuelle"}
_QUOTED: Mapping[Language, str] = {
    "en": "{lead} {connection} responded: “{sentence}”",
    "fi": "{lead} {connection} vastasi: ”{sentence}”",
}


@dataclass(frozen=True, slots=True)
class CodeTexts:
    """The texts of one code in one language."""

    title: str
    detail: str
    next_step: str
    person: str = ""

    @property
    def for_person(self) -> str:
        """Return the sentence for the person who waits."""
        return self.person or self.detail


@cache
def load_texts(language: Language) -> Mapping[str, CodeTexts]:
    """Return the texts of each code, `{connection}` not yet filled in."""
    text = resources.files(__package__).joinpath(f"{language}.toml").read_text("utf-8")
    return {code: CodeTexts(**entry) for code, entry in tomllib.loads(text).items()}


def quote_response(language: Language, lead: str, connection: str, sentence: str) -> str:
    """Return our own sentence, followed by what a system said in another language, as a quotation."""
    return _QUOTED[language].format(lead=lead, connection=connection, sentence=sentence)


def default_connection_name(language: Language, side: Side) -> str:
    """Return the name to use for a connection if its own is not known, fit to begin a sentence."""
    return _UNNAMED[language][side]
