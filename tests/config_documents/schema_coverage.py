"""Documents made wrong by one change, and whether the reader and the JSON Schema refuse them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator

from config_schema.errors import SettingPath, SettingsInvalid
from connectors.http.urls import parse_base_url
from connectors.settings.authentication import parse_authentication
from console.reference.json_schemas import DOCUMENTS, make_schema
from tests.config_documents.right_documents import NamedDocument, right_documents
from tests.config_documents.wrong_changes import CHANGES, put, sites

_BASE = parse_base_url("https://a.test")


class ChangedDocument(NamedTuple):
    """A document after one change."""

    name: str
    change: str
    document: Any


class Accepted(NamedTuple):
    """A change that the reader refuses and the schema accepts: document, change, setting and the words of the reader."""

    name: str
    change: str
    setting: str
    sentence: str


@dataclass
class Coverage:
    """How many changed documents were made, and how many of them the reader and the schema refuse. `wrongly_refused`:
    those that the schema alone refuses.
    """

    made: int = 0
    wrongly_refused: list[ChangedDocument] = field(default_factory=list)
    refused: int = 0
    refused_by_schema: int = 0
    accepted: Counter[Accepted] = field(default_factory=Counter)

    def add(self, changed: ChangedDocument, is_valid: bool) -> None:
        """Count a document, which the schema accepts or not."""
        self.made += 1
        error = find_error(changed.name, changed.document)
        if error is None:
            self.wrongly_refused += [] if is_valid else [changed]
            return
        self.refused += 1
        self.refused_by_schema += not is_valid
        if is_valid:
            accepted = Accepted(changed.name, changed.change, _setting_name(error), str(error.sentence))
            self.accepted[accepted] += 1

    @property
    def per_cent(self) -> float:
        """Return how many in a hundred of those that the reader refuses the schema refuses too."""
        return 100 * self.refused_by_schema / self.refused


def changed_documents(number: int, seed: int) -> Iterator[ChangedDocument]:
    """Yield as many documents with one change each, of each kind of change the same number."""
    random, documents, names = Random(seed), right_documents(), list(CHANGES)
    found = cache(lambda change: _places(documents, change))
    for turn in range(number):
        change = names[turn % len(names)]
        (name, document), places = random.choice(found(change))
        yield ChangedDocument(name, change, put(document, *random.choice(places)))


def find_error(name: str, document: Any) -> SettingsInvalid | None:
    """Return the error of the hub's reader for a document, or None if it accepts it."""
    try:
        if name == "authentication":
            parse_authentication(document, _BASE)
        else:
            DOCUMENTS[name][1].read(document, ())
    except SettingsInvalid as invalid:
        return invalid
    return None


def measure(number: int, seed: int = 1, only: str = "") -> Coverage:
    """Return how the reader and the schemas judge changed documents; `only`: those of this JSON Schema."""
    validators = {name: Draft202012Validator(make_schema(name)) for name in DOCUMENTS}
    coverage = Coverage()
    for changed in changed_documents(number, seed):
        if only in ("", changed.name):
            coverage.add(changed, validators[changed.name].is_valid(changed.document))
    return coverage


def _places(
    documents: list[NamedDocument], change: str
) -> list[tuple[NamedDocument, list[tuple[SettingPath, Any]]]]:
    """Return the documents that a change can be made in, each with the places and what is put there."""
    found = []
    for one in documents:
        in_document = sites(DOCUMENTS[one.name][1], one.document)
        if places := [(site.place, new) for site in in_document for new in CHANGES[change](site)]:
            found.append((one, places))
    return found


def _setting_name(error: SettingsInvalid) -> str:
    names = [step for step in error.place if isinstance(step, str)]
    return ".".join(names[-2:]) or "/"
