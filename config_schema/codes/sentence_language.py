"""Is a system's sentence in the language of the answer? By what the system states, else by frequent words. Pure.

It decides only whether the hub's own sentence comes first, so a doubtful case costs no more than a longer answer.
"""

import re
from collections.abc import Mapping

from config_schema.codes.messages import Language


def _words(*lines: str) -> frozenset[str]:
    return frozenset(word for line in lines for word in line.split())


_WORDS: Mapping[str, frozenset[str]] = {
    "en": _words(
        "the is are was this that a an of to not already must be cannot can't invalid has have with for by no does",
        "please taken exists missing required allowed",
    ),
    "fi": _words(
        "ei ole olla että ja tai jo se tämä tällä tätä ovat eivät voi pitää puuttuu pakollinen virheellinen varattu",
        "käytössä osoite sähköposti sähköpostiosoite arvo kenttä kentän asiakas asiakkaalla toisella",
    ),
    "sv": _words("är och inte redan det att för som ett en har måste finns saknas ogiltig"),
    "de": _words("ist der die das nicht bereits und ein eine muss wird fehlt kein keine ungültig"),
    "fr": _words("est le la les déjà une des pas doit et cette cet existe être invalide manque"),
    "es": _words("el los ya está es una debe y no existe esta este ser falta inválido"),
}
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


def is_in_language(sentence: str, language: Language, stated: str = "") -> bool:
    """Return True if a sentence is in this language. `stated`: the Content-Language of the response, empty if none."""
    if stated:
        return stated.split(",", maxsplit=1)[0].strip().lower().split("-", 1)[0] == language
    words = [word.casefold() for word in _WORD.findall(sentence)]
    own = sum(word in _WORDS[language] for word in words)
    others = max(sum(word in _WORDS[other] for word in words) for other in _WORDS if other != language)
    if own or others:
        return own > others or (own == others and language == "en")
    # Without a frequent word, English is what systems speak that were not translated.
    return language == "en" and sentence.isascii()
