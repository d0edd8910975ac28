"""The words of the catalogue of codes, one file a language, for translators to read and correct.

`detail` is one sentence for the person who pressed *Save*; `next_step` is for support staff: whether a
replay helps and who must act. `{connection}` begins a sentence wherever it stands, as a name cannot be
inflected.
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
class Words:
    """What people read for one code in one language."""

    title: str
    detail: str
    next_step: str


@cache
def load(language: Language) -> Mapping[str, Words]:
    """Words by code, `{connection}` not yet filled in."""
    text = resources.files(__package__).joinpath(f"{language}.toml").read_text("utf-8")
    return {code: Words(**entry) for code, entry in tomllib.loads(text).items()}


def unnamed(language: Language, side: Side) -> str:
    """What stands for the name of a connection where none is known, fit to begin a sentence."""
    return _UNNAMED[language][side]
