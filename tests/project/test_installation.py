"""An installation refuses a changed package, and a package with the name of one of the hub's changes nothing."""

import hashlib
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.processes.settings_check import VALID_SETTINGS
from tests.support.rows import in_submission

pytestmark = [pytest.mark.one_database, pytest.mark.concurrent]

ROOT = Path(__file__).resolve().parents[2]
OWN_PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
SCRIPTS = Path(sys.executable).parent
COMMANDS = {
    "manage.py": ["manage.py", "version"],
    "manage.py of a Python that leaves its folder out": ["-P", "manage.py", "version"],
    "integration_hub": ["-m", "integration_hub", "version"],
    "devtools": ["-m", "devtools", "version"],
    "sandbox": ["-m", "sandbox", "--help"],
    "gunicorn": [str(SCRIPTS / "gunicorn"), "--check-config", "integration_hub.wsgi"],
    "gunicorn as a module": ["-m", "gunicorn", "--check-config", "integration_hub.wsgi"],
    "celery": [str(SCRIPTS / "celery"), "-A", "integration_hub", "report"],
    "celery as a module": ["-m", "celery", "-A", "integration_hub", "report"],
    "pytest": ["-m", "pytest", "--collect-only", "tests/project/test_installation.py"],
}
FIRST = ["manage.py of a Python that leaves its folder out"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the packages that are installed here."""
    folder = tmp_path_factory.mktemp("environment") / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    packages(folder).joinpath("installed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def packages(environment: Path) -> Path:
    return environment / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def build_wheel(folder: Path, name: str) -> Path:
    """Build a wheel of one package, which ends whatever imports it."""
    wheel, facts = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}/__init__.py", f"raise SystemExit('{name} of another project')\n")
        archive.writestr(f"{facts}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{facts}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{facts}/RECORD", "")
    return wheel


@pytest.fixture(scope="module")
def crowded(environment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment into which packages with all names of the hub's are installed."""
    wheels = [build_wheel(tmp_path_factory.mktemp("wheels"), name) for name in OWN_PACKAGES]
    for wheel in wheels:
        zipfile.ZipFile(wheel).extractall(packages(environment))
    return environment / "bin" / "python"


@pytest.mark.promise("T31")
@pytest.mark.parametrize("command", in_submission(COMMANDS, but=FIRST))
def test_an_installed_package_with_the_name_of_one_of_the_hub_changes_nothing(
    crowded: Path, command: str
) -> None:
    """Every command that starts the hub or its tests, in an environment with all names of the hub's packages."""
    assert {"audit", "console", "tests"} <= set(OWN_PACKAGES)
    variables = VALID_SETTINGS | {
        "PATH": os.environ["PATH"],
        "HUB_SHARED_TEMPLATES": os.environ.get("HUB_SHARED_TEMPLATES", ""),
    }
    if "celery" in command:
        variables["CELERY_BROKER_URL"] = "memory://"
    foreign = subprocess.run([crowded, "-c", "import audit"], cwd="/", capture_output=True, text=True)
    assert foreign.stderr == "audit of another project\n"
    result = subprocess.run(
        [crowded, *COMMANDS[command]], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120
    )
    assert (result.returncode, "of another project" in result.stderr) == (0, False), result.stderr


@pytest.mark.submission
@pytest.mark.parametrize("is_changed", [True, False])
def test_make_installs_no_package_with_another_hash(
    environment: Path, tmp_path: Path, is_changed: bool
) -> None:
    """Runs the rule of the Makefile that `make run` runs first, on a lock of one wheel."""
    name = "changed" if is_changed else "unchanged"
    content = build_wheel(tmp_path, name).read_bytes()
    digest = hashlib.sha256(content + b"x" * is_changed).hexdigest()
    (tmp_path / "requirements-run.lock").write_text(f"{name}==1.0 --hash=sha256:{digest}\n")
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    (tmp_path / ".venv").symlink_to(environment)
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path), "PIP_NO_CACHE_DIR": "1"}
    result = subprocess.run(
        ["make", ".venv/ready", "PYTHON=true"],
        cwd=tmp_path, env=os.environ | offline, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    installed = (packages(environment) / name).exists()
    assert (result.returncode == 0, installed) == (not is_changed, not is_changed), result.stderr
    assert ("DO NOT MATCH THE HASHES" in result.stderr) is is_changed
