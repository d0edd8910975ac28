"""The import contracts hold something: a forbidden import planted for each of them breaks it, and it alone."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("audit", "webhooks", "sync", "integration_hub", "sandbox")
LINT = Path(sys.executable).parent / "lint-imports"

ONE_WAY = "Imports run one way"
NO_SANDBOX = "The product does not import the sandbox"
NO_PRODUCT = "The sandbox does not import the product"
CALL_NOBODY = "Receiving and auditing call nobody"
ONLY_MODELS = "Delivering knows of receiving only its models, codes and sealing"
NO_DRF = "Delivering does not know DRF"
NO_MODEL = "Connectors know no model"
ONE_HTTP = "One module speaks HTTP"
PURE = "The pure modules know no Django"

PLANTS = [
    ("audit/entries/append.py", "import webhooks.catalogue.codes", {ONE_WAY}),
    ("webhooks/receiving/gate.py", "import database.clock", {ONE_WAY}),
    ("database/clock.py", "import integration_hub.logs", {ONE_WAY}),
    ("integration_hub/health.py", "import sandbox.faults.rules", {NO_SANDBOX}),
    ("sandbox/demo/walkthrough.py", "import audit.format.canonical_json", {NO_PRODUCT}),
    ("webhooks/receiving/gate.py", "import http.client", {CALL_NOBODY}),
    ("sync/delivery_service.py", "import webhooks.receiving.gate", {ONLY_MODELS}),
    ("sync/delivery_service.py", "import rest_framework.response", {NO_DRF}),
    ("sync/connectors/client/exchange.py", "import django.db", {NO_MODEL}),
    ("integration_hub/health.py", "import requests", {ONE_HTTP}),
    ("sync/connectors/client/client.py", "import urllib3", {ONE_HTTP}),
    ("sync/planning/retry_policy.py", "import django.utils.timezone", {PURE}),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, to plant in; linted once without a plant."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "static")
        )
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_without_a_plant_every_contract_is_kept(tree: Path) -> None:
    broken, kept = lint(tree)
    assert (broken, kept) == (set(), contracts())


@pytest.mark.parametrize(("file", "forbidden", "expected"), PLANTS, ids=lambda value: str(value)[:40])
def test_a_planted_import_breaks_its_contract_and_no_other(
    tree: Path, file: str, forbidden: str, expected: set[str]
) -> None:
    path = tree / file
    honest = path.read_text()
    path.write_text(f"{honest}\n{forbidden}\n")
    try:
        broken, _ = lint(tree)
    finally:
        path.write_text(honest)
    assert broken == expected


def test_each_contract_has_a_plant_that_breaks_it() -> None:
    assert set().union(*(expected for _, _, expected in PLANTS)) == contracts()


def contracts() -> set[str]:
    """The names in pyproject.toml, in the form in which lint-imports reports them."""
    return set(re.findall(r'contracts\]\]\nname = "(.+)"', (ROOT / "pyproject.toml").read_text()))


def lint(tree: Path) -> tuple[set[str], set[str]]:
    """The contracts that are broken and those that are kept, as the command itself says."""
    command = [str(LINT), "--config", "pyproject.toml", "--no-logo"]
    done = subprocess.run(
        command, cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True, text=True, timeout=60
    )
    found = re.findall(r"^(.+?) (KEPT|BROKEN)(?: \(.*\))?$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    broken = {name for name, verdict in found if verdict == "BROKEN"}
    assert bool(broken) == (done.returncode != 0)
    return broken, {name for name, verdict in found if verdict == "KEPT"}
