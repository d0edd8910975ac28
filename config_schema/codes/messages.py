"""Load the texts of the catalogue of codes, one TOML file for each language, which translators edit.

`detail` is one sentence for the person who pressed *Save*. `next_step` is for support staff: whether a replay helps and
who has to act. `{connection}` may only begin a sentence, since a name cannot be inflected.
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


@dataclass(frozen=True, slots=True)
class CodeTexts:
    """The texts of one code in one language."""

    title: str
    detail: str
    next_step: str


@cache
def load_texts(language: Language) -> Mapping[str, CodeTexts]:
    """Return the texts of each code, `{connection}` not yet filled in."""
    text = resources.files(__package__).joinpath(f"{language}.toml").read_text("utf-8")
    return {code: CodeTexts(**entry) for code, entry in tomllib.loads(text).items()}


def default_connection_name(language: Language, side: Side) -> str:
    """Return the name to use for a connection if its own is not known, fit to begin a sentence."""
    return _UNNAMED[language][side]
