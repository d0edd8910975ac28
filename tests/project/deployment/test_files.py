"""The image, compose and the units start the same commands as the documentation, with the least rights."""

import re
import shutil
import subprocess
import tomllib

import pytest
from gunicorn.config import GracefulTimeout

from console.reference.support_page import DOCUMENT as SUPPORT_PAGE
from sync.worker.heartbeat import MAX_AGE_SECONDS
from tests.project.deployment.files import (
    CELERY,
    ROOT,
    SYSTEMD,
    UNITS,
    celery_commands,
    documented_commands,
    hub_services,
    image_command,
    image_contents,
    image_environment,
    procfile_command,
    read_compose,
    read_dockerfile,
    read_seconds,
    read_unit,
    unit_command,
)

pytestmark = pytest.mark.pure
# The time in which a process ends its work after SIGTERM: `--graceful-timeout`, `--grace` and that of Celery's workers.
DRAIN_SECONDS = 30


def options_of(command: list[str]) -> dict[str, str]:
    """Return the options of a web command that have to be the same everywhere."""
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options.keys() <= {
        "--worker-class",
        "--threads",
        "--graceful-timeout",
        "--bind",
        "--workers",
        "--log-level",
    }
    options.setdefault("--graceful-timeout", str(GracefulTimeout.default))
    options["--threads"] = options["--threads"].removeprefix("${WEB_THREADS:-").removesuffix("}")
    return {name: options[name] for name in ("--worker-class", "--threads", "--graceful-timeout")}


def test_web_processes_are_started_alike_everywhere() -> None:
    [documented, *others] = [command for command in documented_commands() if command[0] == "gunicorn"]
    assert others == []
    assert "command" not in hub_services()["web"], "it runs the command of the image"
    for command in (image_command(), unit_command("hub-web"), procfile_command("web"), documented):
        assert command[0].rpartition("/")[2] == "gunicorn"
        assert (command[1], options_of(command)) == ("integration_hub.wsgi", options_of(image_command()))
    assert int(options_of(image_command())["--graceful-timeout"]) == DRAIN_SECONDS


@pytest.mark.parametrize(("service", "unit"), [("worker", "hub-worker"), ("migrate", "hub-migrate")])
def test_workers_and_migrations_are_started_alike_everywhere(service: str, unit: str) -> None:
    command = hub_services()[service]["command"]
    assert unit_command(unit) == ["/srv/hub/.venv/bin/python", *command[1:]]
    assert command in documented_commands()
    assert service == "migrate" or procfile_command(service) == command


def test_celery_is_started_as_documented() -> None:
    commands = celery_commands()
    assert commands.keys() == {"worker", "beat"}
    assert all(command in documented_commands() for command in commands.values())
    assert read_compose(CELERY)["services"]["beat"]["extends"] == {
        "file": "compose.yaml",
        "service": "worker",
    }


def test_the_image_is_built_from_locked_packages_and_runs_as_a_numeric_user() -> None:
    steps = read_dockerfile()
    bases = [rest for name, rest in steps if name == "FROM"]
    assert [base.split()[0] for base in bases] == ["python:${PYTHON}"] * 2
    assert re.fullmatch(r"PYTHON=3\.\d+\.\d+-slim-\w+", steps[0][1]), "pinned by its version"
    installed = [rest for name, rest in steps if name == "RUN" and "pip install" in rest]
    assert len(installed) == 1
    assert "--require-hashes --only-binary :all: -r " in installed[0]
    assert ("ARG", "LOCK=requirements.lock") in steps
    assert [rest for name, rest in steps if name == "USER"] == ["10001:10001"]
    assert not any(name == "ADD" for name, _ in steps)
    assert not re.search("KEY|TOKEN|PASSWORD|SECRET", str(image_environment()))


def test_the_image_has_the_packages_of_a_production_hub_and_nothing_else() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    packages = set(contracts["root_packages"]) - {"devtools", "sandbox"}
    locks = {"requirements.lock", "requirements-celery.lock"}
    assert set(image_contents()) == packages | locks | {
        "LICENSE",
        str(SUPPORT_PAGE),
        "gunicorn.conf.py",
        "manage.py",
        "templates",
    }


@pytest.mark.parametrize("name", ["migrate", "web", "worker"])
def test_a_service_of_the_hub_writes_to_its_volume_alone_and_has_no_rights(name: str) -> None:
    service = hub_services()[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert (service["security_opt"], "cap_add" in service, "privileged" in service) == (
        ["no-new-privileges:true"],
        False,
        False,
    )
    assert service["volumes"] == ["hub:/srv/hub/var"]
    assert [mount.partition(":")[0] for mount in service["tmpfs"]] == ["/tmp"]
    assert read_seconds(service["stop_grace_period"]) > DRAIN_SECONDS
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}


def test_every_service_is_limited_and_pinned_and_no_file_has_a_secret() -> None:
    for name, service in read_compose()["services"].items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert service["image"] == "integration-hub" or re.search(r":\d+\.\d+(\.\d+)?$", service["image"]), (
            name
        )
        assert name == "migrate" or service["healthcheck"]["test"], name
        for variable, value in service["environment"].items():
            assert not re.search("PASSWORD|KEY|SECRET|TOKEN", variable) or value.startswith("${"), variable
    assert read_compose()["services"]["postgres"]["networks"] == ["inside"]
    assert read_compose()["networks"]["inside"] == {"internal": True}
    assert "ports" not in str([hub_services(), read_compose()["services"]["postgres"]])


def test_a_worker_is_healthy_while_its_file_is_younger_than_its_longest_round() -> None:
    [_, check] = hub_services()["worker"]["healthcheck"]["test"]
    assert (
        check == f"find {image_environment()['HEARTBEAT_FILE']} -mmin -{MAX_AGE_SECONDS / 60:g} | grep -q ."
    )


@pytest.mark.parametrize("name", UNITS)
def test_a_unit_has_no_rights_and_time_to_end_its_work(name: str) -> None:
    unit = read_unit(name)
    assert (unit["User"], unit["ReadWritePaths"], unit["ProtectSystem"]) == (
        ["hub"],
        ["/srv/hub/var"],
        ["strict"],
    )
    assert (unit["CapabilityBoundingSet"], unit["NoNewPrivileges"], unit["KillMode"]) == (
        [""],
        ["yes"],
        ["mixed"],
    )
    assert int(unit["TimeoutStopSec"][0]) > DRAIN_SECONDS
    assert (
        dict(part.split("=") for part in unit["Environment"][0].split()).items()
        <= image_environment().items()
    )


@pytest.mark.submission
def test_systemd_accepts_the_units(tmp_path: "pytest.TempPathFactory") -> None:
    """With programs that exist here in place of those of the hub, which systemd looks for."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed here; .ci/run installs it")
    folder = str(tmp_path)
    shutil.copytree(SYSTEMD, folder, dirs_exist_ok=True)
    paths = [f"{folder}/{name}.service" for name in UNITS]
    for path in paths:
        with open(path) as file:  # noqa: PTH123
            text = file.read()
        with open(path, "w") as file:  # noqa: PTH123
            file.write(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *paths],
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
