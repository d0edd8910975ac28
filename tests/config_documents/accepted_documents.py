"""Documents that the hub accepts, generated from presets and examples by several changes each."""

from collections.abc import Iterator
from random import Random

from console.reference.json_schemas import DOCUMENTS
from tests.config_documents.right_documents import NamedDocument, right_documents
from tests.config_documents.schema_coverage import find_error
from tests.config_documents.wrong_changes import CHANGES, put, sites

# The changes that the hub often accepts.
_OFTEN_ACCEPTED = (
    "a field dropped",
    "another setting",
    "another choice",
    "null",
    "a placeholder dropped",
    "beyond a bound",
)
# A document is changed again until so many of its descendants are known.
_MOST = 2_000


def accepted_documents(number: int, seed: int) -> Iterator[NamedDocument]:
    """Yield as many documents that the hub accepts. Each is an earlier one after one more change."""
    random, known = Random(seed), right_documents()
    while number > 0:
        name, document = random.choice(known)
        change = CHANGES[random.choice(_OFTEN_ACCEPTED)]
        places = [(site.place, new) for site in sites(DOCUMENTS[name][1], document) for new in change(site)]
        if not places:
            continue
        made = NamedDocument(name, put(document, *random.choice(places)))
        if find_error(*made) is not None:
            continue
        if len(known) < _MOST:
            known.append(made)
        number -= 1
        yield made
