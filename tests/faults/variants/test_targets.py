"""What the broken variants break is there: a renamed function would leave a variant whole, and found out late."""

import pytest

from tests.faults.variants.mutants import MUTANTS, _require
from tests.faults.variants.process_variants import VARIANTS

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("name", [*MUTANTS, *VARIANTS])
def test_each_variant_finds_what_it_breaks(name: str) -> None:
    _require({**MUTANTS, **VARIANTS}[name])
