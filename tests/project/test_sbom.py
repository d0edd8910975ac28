"""The SBOM of the production locks, and the licences of what they name."""

import json

import pytest

from devtools.packages import ROOT, find_licence, list_licences, read_lock, read_project
from devtools.sbom import DOCUMENTS, build_sbom

pytestmark = pytest.mark.pure


@pytest.mark.parametrize("name", DOCUMENTS.values())
def test_each_production_package_has_a_licence_that_is_allowed(name: str) -> None:
    """Offline, from the metadata of the installed packages: no other test reads it."""
    allowed = set(read_project()["tool"]["hub"]["licences"]["allowed"])
    licences = {package: list_licences(find_licence(package)) for package in read_lock(ROOT / f"{name}.lock")}
    assert {package for package, found in licences.items() if not found or found - allowed} == set()


def test_no_licence_is_stated_for_a_package_that_is_not_locked() -> None:
    stated = read_project()["tool"]["hub"]["licences"]["stated"]
    assert (
        set(stated) - {package for name in DOCUMENTS.values() for package in read_lock(ROOT / f"{name}.lock")}
        == set()
    )


@pytest.mark.parametrize("name", DOCUMENTS.values())
def test_the_sbom_names_each_package_with_version_hashes_and_licence_and_what_requires_it(name: str) -> None:
    document = json.loads(build_sbom(name))
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    components = {component["name"]: component for component in document["components"]}
    locked = read_lock(ROOT / f"{name}.lock")
    assert set(components) == set(locked)
    for package, component in components.items():
        assert component["version"] == locked[package].version
        assert component["purl"] == f"pkg:pypi/{package}@{locked[package].version}"
        (files,) = component["externalReferences"]
        assert {digest["content"] for digest in files["hashes"]} == set(locked[package].hashes)
        assert component["licenses"]
    edges = {edge["ref"].partition("==")[0]: edge.get("dependsOn", []) for edge in document["dependencies"]}
    assert document["metadata"]["component"]["name"] == "integration-hub"
    required = {needed.partition("==")[0] for needs in edges.values() for needed in needs}
    unreached = {name for name in components if name not in required}
    # On another platform or Python only.
    assert unreached <= {"tzdata", "async-timeout"}
    assert "django" in {needed.partition("==")[0] for needed in edges["integration-hub"]}
