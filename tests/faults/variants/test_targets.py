"""A check that all targets of the broken variants exist: a renamed function would leave a variant unbroken."""

import pytest

from tests.faults.variants.mutants import MUTANTS, _require
from tests.faults.variants.process_variants import VARIANTS

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("name", [*MUTANTS, *VARIANTS])
def test_each_variant_finds_its_targets(name: str) -> None:
    _require({**MUTANTS, **VARIANTS}[name])
