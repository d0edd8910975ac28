"""The published JSON Schemas refuse most of what one wrong change makes of a document, and nothing that is right."""

import pytest

from tests.config_documents.schema_coverage import measure

pytestmark = pytest.mark.pure

# In a hundred documents that the reader refuses. `python -m tests.config_documents` measures 10,000 changes.
LEAST_PER_CENT = 95


@pytest.mark.submission
@pytest.mark.parametrize("number", [510, pytest.param(10_000, marks=pytest.mark.nightly)])
def test_the_schemas_refuse_most_of_what_the_reader_refuses_and_nothing_else(number: int) -> None:
    coverage = measure(number)
    assert coverage.wrongly_refused == []
    assert coverage.made - coverage.refused > number // 10
    assert coverage.per_cent >= LEAST_PER_CENT, coverage.accepted.most_common(20)
