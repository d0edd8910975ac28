"""What is read from a document is written as a document that is read as the same."""

import json
from typing import Any

import pytest

from console.reference.json_schemas import DOCUMENTS
from tests.config_documents.accepted_documents import accepted_documents
from tests.config_documents.right_documents import right_documents

pytestmark = pytest.mark.pure


def assert_written_as_read(name: str, document: Any) -> None:
    kind = DOCUMENTS[name][1]
    first = kind.read(document, ())
    written = json.loads(json.dumps(kind.to_json(first)))
    again = kind.read(written, ())
    assert again == first, (name, document, written)
    assert kind.to_json(again) == written, (name, document)


@pytest.mark.parametrize("number", [200, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_what_is_read_is_written_as_a_document_that_is_read_as_the_same(number: int) -> None:
    shown = right_documents()
    assert {name for name, _document in shown} == set(DOCUMENTS)
    for name, document in (*shown, *accepted_documents(number, seed=1)):
        assert_written_as_read(name, document)
