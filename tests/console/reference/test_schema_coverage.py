"""The published JSON Schemas refuse most of what one wrong change makes of a document."""

import pytest

from tests.config_documents.schema_coverage import measure

pytestmark = pytest.mark.pure

# In a hundred documents that the reader refuses. `python -m tests.config_documents` measures 10,000 changes.
LEAST_PER_CENT = 85


def test_the_schemas_refuse_most_of_what_the_reader_refuses() -> None:
    coverage = measure(340)
    assert coverage.refused > 200
    assert coverage.per_cent >= LEAST_PER_CENT, coverage.accepted.most_common(20)
