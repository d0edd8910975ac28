"""`python -m devtools.sbom`: write the packages of the production locks as CycloneDX documents into var/."""

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

import integration_hub
from devtools.packages import (
    ROOT,
    LockedPackage,
    find_licence,
    find_required,
    read_lock,
    read_project,
    read_requirements,
)

# With Celery, another lock is installed.
DOCUMENTS = {"sbom.cdx.json": "requirements", "sbom-celery.cdx.json": "requirements-celery"}


def build_sbom(name: str) -> str:
    """Return the CycloneDX document of a lock, `name` being its file without the ending."""
    locked = read_lock(ROOT / f"{name}.lock")
    direct = read_requirements(ROOT / f"{name}.txt")
    components = {package.name: _component(package) for package in locked.values()}
    project = read_project()["project"]
    hub = Component(
        type=ComponentType.APPLICATION,
        name=project["name"],
        bom_ref=project["name"],
        version=integration_hub.__version__,
        licenses=[LicenseFactory().make_from_string(project["license"])],
    )
    bom = Bom(components=components.values())
    bom.metadata.component = hub
    required = find_required(direct)
    for package, needed in required.items():
        bom.register_dependency(components[package], [components[other] for other in needed])
    named = {requirement.name.lower() for requirement in direct}
    bom.register_dependency(hub, [components[package] for package in components if package in named])
    return JsonV1Dot6(bom).output_as_string(indent=2)


def _component(package: LockedPackage) -> Component:
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(f"https://pypi.org/project/{package.name}/{package.version}/#files"),
        comment="the files of this version, any of which may be installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
    )
    licence, marker = find_licence(package.name), package.requirement.marker
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=f"{package.name}=={package.version}",
        purl=PackageURL("pypi", name=package.name, version=package.version),
        licenses=[LicenseFactory().make_from_string(licence)] if licence else [],
        external_references=[files],
        properties=[Property(name="hub:only-if", value=str(marker))] if marker else [],
    )


def main() -> None:
    """Write the documents."""
    folder = ROOT / "var"
    folder.mkdir(exist_ok=True)
    for document, lock in DOCUMENTS.items():
        (folder / document).write_text(build_sbom(lock) + "\n")
        print(f"Wrote var/{document}.")


if __name__ == "__main__":
    main()
