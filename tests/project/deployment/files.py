"""What the files of the image, of compose and of systemd say: commands, variables, files and limits."""

import re
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
SYSTEMD = ROOT / "deploy" / "systemd"
# Of the base image.
PATH = "/usr/local/bin:/usr/bin:/bin"
UNITS = ("hub-web", "hub-worker", "hub-migrate")
COMPOSE, CELERY = "compose.yaml", "compose.celery.yaml"


@dataclass(frozen=True)
class Service:
    """A process of the hub as compose starts it, from the image."""

    command: list[str]
    environment: dict[str, str]
    health: list[str]
    stop_seconds: int


def read_dockerfile() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line]
    return [(name, " ".join(rest.split())) for name, _, rest in lines]


def image_environment() -> dict[str, str]:
    """Return the variables of the last stage."""
    variables: dict[str, str] = {}
    for name, rest in read_dockerfile():
        if name == "FROM":
            variables = {}
        elif name == "ENV":
            variables |= dict(part.replace("$PATH", PATH).split("=", 1) for part in shlex.split(rest))
    return variables


def image_command() -> list[str]:
    return list(yaml.safe_load(next(rest for name, rest in read_dockerfile() if name == "CMD")))


def image_contents() -> list[str]:
    """Return the files and folders that `COPY . .` copies."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines, "everything that is not named is left out"
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


def copy_image(folder: Path) -> None:
    """Copy what the image has of this checkout, with the bytecode that is here: the build compiles all of it."""
    for name in image_contents():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)


def read_compose(name: str = COMPOSE) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def hub_services() -> dict[str, Any]:
    """Return the services of the hub's image in compose.yaml."""
    services: dict[str, Any] = read_compose()["services"]
    return {name: service for name, service in services.items() if service["image"] == "integration-hub"}


def read_service(name: str, variables: dict[str, str]) -> Service:
    """Return a service of the hub. `variables` are those of `.env`, with which compose completes its file."""
    service = hub_services()[name]

    def complete(value: str) -> str:
        return re.sub(r"\$\{(\w+)(?::\?)?\}", lambda match: variables[match[1]], value)

    given = {key: complete(value) for key, value in service["environment"].items()}
    return Service(
        service.get("command", image_command()),
        image_environment() | variables | given,
        service.get("healthcheck", {}).get("test", []),
        read_seconds(service["stop_grace_period"]),
    )


def celery_commands() -> dict[str, list[str]]:
    services = read_compose(CELERY)["services"]
    return {name: service["command"] for name, service in services.items() if "command" in service}


def read_seconds(text: str) -> int:
    assert re.fullmatch(r"\d+s?", text), text
    return int(text.removesuffix("s"))


def read_unit(name: str) -> dict[str, list[str]]:
    """Return the values of each setting of a unit, with those of the file for all units of the hub."""
    settings: dict[str, list[str]] = {}
    for path in (SYSTEMD / f"{name}.service", SYSTEMD / "hub-.service.d" / "common.conf"):
        for key, value in re.findall(r"^(\w+)=(.*)$", path.read_text(), re.MULTILINE):
            settings.setdefault(key, []).append(value)
    return settings


def unit_command(name: str) -> list[str]:
    [command] = read_unit(name)["ExecStart"]
    return shlex.split(command)


def procfile_command(name: str) -> list[str]:
    match = re.search(rf"^{name}: (.+)$", (ROOT / "Procfile").read_text(), re.MULTILINE)
    assert match, name
    return shlex.split(match[1])


def documented_commands() -> list[list[str]]:
    """Return the commands of all code blocks of the pages for operators."""
    pages = sorted((ROOT / "docs" / "operations").glob("*.md"))
    lines = re.findall(r"^ {4}(\S.*)$", "\n".join(page.read_text() for page in pages), re.MULTILINE)
    return [line.split() for line in lines]
