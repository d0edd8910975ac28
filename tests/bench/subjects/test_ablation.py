"""Each part that the benchmark leaves out still has the names that are replaced."""

from importlib.util import find_spec, module_from_spec

import pytest

from tests.bench.startup.sitecustomize import PARTS


@pytest.mark.parametrize("part", PARTS)
def test_a_part_can_be_left_out(part: str) -> None:
    """Patches a second copy of the module, so that this process keeps the part."""
    name, patch = PARTS[part]
    spec = find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    copy = module_from_spec(spec)
    spec.loader.exec_module(copy)
    patch(copy)
