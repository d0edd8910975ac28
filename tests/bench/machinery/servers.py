"""The hub and the naive project as processes, both started by the same server command."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.machinery.databases import Database
from tests.bench.machinery.driver import SIGNING_SECRET
from tests.bench.machinery.processes import ROOT, Family, free_port, running, wait_for_port
from tests.bench.machinery.stand_ins import FIRST_RECORD
from tests.bench.machinery.systems import Systems

GRANIAN = (
    "granian integration_hub.wsgi:application --interface wsgi --workers 2 "
    "--blocking-threads 32 --host 127.0.0.1 --port ${HUB_PORT} --log-level warning"
)


# Every person has a record in the shop already: the steady state of an update.
USERS = 20_000


def links_statement(number: int) -> str:
    """Return the SQL that links so many people, from number 0 on, to their records."""
    return f"""
WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {number - 1})
INSERT INTO sync_link (identity_id, target_id, entity_type, entity_id, record_id, version, applied_at)
SELECT DISTINCT identity_id, target_id, 'USER', 'U' || substr(CAST(10000000 + n AS text), 2),
    CAST({FIRST_RECORD} + n AS text), '', CURRENT_TIMESTAMP
FROM sync_route CROSS JOIN numbers WHERE entity_type = 'USER'
ON CONFLICT DO NOTHING
"""


FORMATTED = "formatted"
# A source that reads the same webhooks by ten expressions, with the secret and the routes of the signed one.
_ADD_FORMATTED_SOURCE = f"""
from sync.models import Route
from webhooks.models import Source, SourceSecret
signed = Source.objects.get(slug="aurora")
source = Source(slug="{FORMATTED}", name="Formatted", scheme=signed.scheme, requests_per_minute=None)
source.webhook_format = {{
    "events": "[body]", "when": "event.entityType == 'USER' && body.eventType != 'LOGIN'", "id": "event.id",
    "entity_type": "event.entityType || 'USER'", "event_type": "event.eventType", "event_id": "event.uid",
    "occurred_at": "event.timestamp", "previous": "event.old && {{email: event.old.email}}",
    "data": "event.items[?type == 'User'] | [0]", "entity_types": {{"USER": "USER"}}, "drop": ["user.password"],
}}
source.full_clean()
source.save()
for secret in signed.secrets.all():
    SourceSecret.objects.create(source=source, value=secret.value, hint=secret.hint)
for route in Route.objects.filter(source=signed):
    route.pk, route.slug, route.source, route._state.adding = None, "", source, True
    route.save()
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running project: its web processes, its worker if it has one, and its database."""

    port: int
    web: Family
    worker: Family | None
    database: Database


def documented_command(beginning: str) -> str:
    """Return the command of docs/operations/install.md for production: a line of code with this beginning."""
    text = (ROOT / "docs" / "operations" / "install.md").read_text()
    match = re.search(rf"^    ({re.escape(beginning)}.*)$", text, re.MULTILINE)
    assert match, f"docs/operations/install.md has no command {beginning}"
    return match[1]


def documented_variables() -> dict[str, str]:
    """Return the variables that docs/operations/install.md exports in the lines before the command of gunicorn."""
    text = (ROOT / "docs" / "operations" / "install.md").read_text()
    lines = re.search(r"^((?:    export .*\n)*)    gunicorn ", text, re.MULTILINE)
    return dict(re.findall(r"export (\w+)=(\S+)", lines[1] if lines else ""))


def web_command(processes: int | None = None) -> str:
    """Return the documented command of the web processes, on the port that HUB_PORT names; `processes`: so many."""
    command = documented_command("gunicorn ")
    if processes is not None:
        command = re.sub(r"--workers \d+", f"--workers {processes}", command)
    return re.sub(r"--bind \S+", "--bind 127.0.0.1:${HUB_PORT} --log-level warning", command)


@contextmanager
def running_hub(
    database: Database,
    systems: Systems,
    folder: Path,
    web: str = "",
    workers: int = 1,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """Run the hub as in production, migrated and connected to the stand-in systems; `variables` for its processes."""
    environment = prepare_hub(database, systems, folder) | dict(variables or {})
    with ExitStack() as stack:
        worker = None
        if workers:
            log = stack.enter_context((folder / "worker.log").open("ab"))
            command = ["sh", "-c", f"exec {documented_command('python manage.py run_worker')}"]
            worker = Family(stack.enter_context(running(command, environment, log)).pid)
        yield stack.enter_context(_serving(database, environment, web or web_command(), folder, worker))


def prepare_hub(database: Database, systems: Systems, folder: Path) -> dict[str, str]:
    """Migrate a database and connect the hub to the stand-in systems. Returns the environment of its processes."""
    environment = _environment(database) | _hub_environment(database, systems, folder)
    _manage(environment, "migrate", "--verbosity", "0")
    _run(
        [
            sys.executable,
            "-m",
            "devtools",
            "seed_sandbox",
            "--allow-demo-logins",
            "--logins",
            str(folder / "logins.txt"),
        ],
        environment,
    )
    # A hub whose database is filled first is prepared twice.
    if not database.rows(f"SELECT 1 FROM webhooks_source WHERE slug = '{FORMATTED}'"):
        _manage(environment, "shell", "--command", _ADD_FORMATTED_SOURCE)
    database.write(links_statement(USERS))
    return environment


@contextmanager
def running_naive(database: Database, systems: Systems, folder: Path, web: str = "") -> Iterator[Server]:
    """Run the naive project with the hub's own server command, and gunicorn's default settings."""
    environment = _environment(database) | {
        "DJANGO_SETTINGS_MODULE": "tests.bench.naive.settings",
        "BENCH_IDENTITY_URL": f"http://127.0.0.1:{systems.identity}",
        "BENCH_SHOP_URL": f"http://127.0.0.1:{systems.shop}",
    }
    _run([sys.executable, "-m", "django", "migrate", "--run-syncdb", "--verbosity", "0"], environment)
    # A module without a setting of gunicorn, in place of the hub's `gunicorn.conf.py`.
    naive = "tests.bench.naive.wsgi --config python:tests.bench.naive.settings"
    command = (web or web_command()).replace("integration_hub.wsgi", naive)
    with _serving(database, environment, command, folder, None) as server:
        yield server


@contextmanager
def _serving(
    database: Database, environment: dict[str, str], web: str, folder: Path, worker: Family | None
) -> Iterator[Server]:
    port = free_port()
    with (folder / "web.log").open("ab") as log:
        command = ["sh", "-c", f"exec {web}"]
        with running(command, environment | {"HUB_PORT": str(port)}, log) as process:
            wait_for_port(port, process)
            yield Server(port, Family(process.pid), worker, database)


def _environment(database: Database) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"DATABASE_URL": database.url, "PATH": programs}


def _hub_environment(database: Database, systems: Systems, folder: Path) -> dict[str, str]:
    """Return the environment of production: DEBUG off, the log at its default level in a file."""
    return {
        "DJANGO_SETTINGS_MODULE": "integration_hub.settings",
        "HUB_ENV_FILE": os.devnull,
        "DEBUG": "off",
        **documented_variables(),
        "SECRET_KEY": "only-for-the-benchmark-0123456789abcdefghijklmnopqrstuvwxyz",
        "SEALING_KEYS": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
        "SEARCH_KEYS": "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=",
        "ALLOWED_HOSTS": "127.0.0.1",
        "EGRESS_ALLOW": "127.0.0.0/8",
        "SANDBOX_IDENTITY_PORT": str(systems.identity),
        "SANDBOX_SHOP_PORT": str(systems.shop),
        "SANDBOX_IDENTITY_TOKEN": "identity-token",
        "SANDBOX_SHOP_TOKEN": "shop-token",
        "SANDBOX_SIGNING_SECRET": SIGNING_SECRET,
        "HUB_URL": "http://127.0.0.1",
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder),
    }


def _manage(environment: dict[str, str], *arguments: str) -> None:
    _run([sys.executable, "manage.py", *arguments], environment)


def _run(command: list[str], environment: dict[str, str]) -> None:
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
