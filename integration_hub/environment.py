"""Strict parsing of environment variables: an invalid value stops the start, with a message that names the variable.

A message repeats numbers and words, but no address, which may contain a password.
"""

import logging
import re
from io import StringIO
from ipaddress import ip_address
from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured

from connectors.http.egress import DEVELOPMENT_POLICY, EgressPolicy, parse_egress_policy
from database.settings import postgresql_settings, sqlite_settings

Number = TypeVar("Number", int, float)
_ENV_LINE = re.compile(r"(export )?\w+=|#|\Z", re.ASCII)


def read_env_file(path: str) -> None:
    """Set the variables of a file of `NAME=value` lines that are not set yet. Ignores spaces before a line.

    A missing file sets none. Raises ImproperlyConfigured, with the number of the line and not its text, for any other
    line.
    """
    try:
        lines = [line.strip() for line in Path(path).read_text("utf-8").splitlines()]
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        if not _ENV_LINE.match(line):
            raise ImproperlyConfigured(f"{path}: line {number} must be NAME=value, a comment or empty.")
    environ.Env.read_env(StringIO("\n".join(lines)))


def read_required(env: environ.Env, name: str, why: str) -> str:
    """Return the value of a variable. Raises ImproperlyConfigured, with the reason `why`, if it is not set."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"Set {name} in the environment or in .env: {why}.")
    return value


def read_number(
    env: environ.Env, name: str, default: Number, *, minimum: float = 0, maximum: float = 1_000_000_000
) -> Number:
    """Return a number from `minimum` to `maximum`, a whole one if the default is. An empty value means the default.

    Raises ImproperlyConfigured for anything else.
    """
    text = env.str(name, default="")
    if not text:
        return default
    try:
        value = type(default)(text)
    except ValueError:
        value = None
    if value is None or not isfinite(value) or not minimum <= value <= maximum:
        kind = "whole number" if isinstance(default, int) else "number"
        raise ImproperlyConfigured(f"{name}: must be a {kind} from {minimum:,} to {maximum:,}, not {text!r}.")
    return value


def read_limit(env: environ.Env, name: str, default: int, *, minimum: int) -> int:
    """Return a whole number of at least `minimum`, or 0 for no limit. An empty value means the default.

    Raises ImproperlyConfigured for anything else.
    """
    value = read_number(env, name, default)
    if 0 < value < minimum:
        raise ImproperlyConfigured(
            f"{name}: must be 0, or a whole number from {minimum:,}, not {str(value)!r}."
        )
    return value


def read_delays(env: environ.Env, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return delays in seconds, separated by commas. An empty value means the default.

    Raises ImproperlyConfigured unless there are one to ten, from 0.01 to 86,400, in increasing order.
    """
    text = env.str(name, default="")
    if not text:
        return default
    try:
        delays = tuple(float(part) for part in text.split(","))
    except ValueError:
        delays = ()
    is_in_bounds = 0 < len(delays) <= 10 and all(0.01 <= delay <= 86_400 for delay in delays)
    if not is_in_bounds or any(later <= earlier for earlier, later in pairwise(delays)):
        raise ImproperlyConfigured(
            f"{name}: must be one to ten increasing numbers of seconds from 0.01 to 86,400, "
            f"separated by commas, not {text!r}."
        )
    return delays


def read_database(env: environ.Env, folder: Path) -> dict[str, Any]:
    """Return Django's settings for the database of DATABASE_URL; without one, for a SQLite file in `folder`.

    DATABASE_WAIT_SECONDS limits how long a statement may wait for the database, its lock or its pool. After that, a
    source gets a 503 and sends again.
    """
    parsed_url = parse_database_url(
        env.str("DATABASE_URL", default="") or f"sqlite:///{folder / 'hub.sqlite3'}"
    )
    seconds = read_wait_seconds(env)
    if "sqlite" in parsed_url["ENGINE"]:
        test_file = env.str("TEST_DATABASE_FILE", default=str(folder / "test.sqlite3"))
        return sqlite_settings(parsed_url, wait_seconds=seconds, test_file=test_file)
    pool_size = read_number(env, "DATABASE_POOL", 8, minimum=1, maximum=1000)
    prepares = 3 if env.bool("DATABASE_PREPARES", default=True) else None
    return postgresql_settings(
        parsed_url, wait_seconds=seconds, pool_size=pool_size, prepare_threshold=prepares
    )


def read_wait_seconds(env: environ.Env) -> float:
    """Return DATABASE_WAIT_SECONDS: how long a statement may wait for a lock, or a thread for a connection."""
    return read_number(env, "DATABASE_WAIT_SECONDS", 5.0, minimum=0.1, maximum=3600)


def build_transport_options(broker_url: str) -> dict[str, Any]:
    """Return the timeouts for a broker, in seconds, as options of Celery's transport for it."""
    if broker_url.startswith(("redis", "valkey")):
        return {"socket_timeout": 5.0, "socket_connect_timeout": 4.0}
    if broker_url.startswith(("amqp", "pyamqp")):
        return {"connect_timeout": 4.0, "read_timeout": 5.0, "write_timeout": 5.0, "max_retries": 1}
    return {}


def parse_database_url(url: str) -> dict[str, Any]:
    """Return the URL of a database as Django's settings. Raises ImproperlyConfigured if it is invalid."""
    try:
        parsed = dict(environ.Env.db_url_config(url))
    except ValueError:
        parsed = {}
    if parsed.get("ENGINE", "").rpartition(".")[2] not in ("sqlite3", "postgresql"):
        raise ImproperlyConfigured(
            "DATABASE_URL: must be like postgres://user:password@host/database or sqlite:////path/file."
        )
    return parsed


def read_mail_server(env: environ.Env) -> dict[str, Any]:
    """Return the mail server of EMAIL_URL as settings of Django. Raises ImproperlyConfigured if it is invalid."""
    try:
        return dict(environ.Env.email_url_config(env.str("EMAIL_URL", default="") or "smtp://localhost:25"))
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(
            "EMAIL_URL: must be like smtp+tls://user:password@mail.example.com:587."
        ) from None


def read_egress_policy(env: environ.Env, *, is_development: bool) -> EgressPolicy:
    """Return what the hub may contact, of EGRESS_ALLOW. Empty: public addresses, in development also loopback and
    private ones. Raises ImproperlyConfigured if it is invalid.
    """
    text: str = env.str("EGRESS_ALLOW", default="").strip()
    if not text:
        return DEVELOPMENT_POLICY if is_development else EgressPolicy()
    try:
        return parse_egress_policy(text)
    except ValueError as error:
        raise ImproperlyConfigured(
            "EGRESS_ALLOW: must be networks such as 10.20.0.0/16, host names and the word public, separated by "
            f"commas: {error}."
        ) from None


def read_public_url(env: environ.Env) -> str:
    """Return PUBLIC_URL without a slash at its end, or "". Raises ImproperlyConfigured if it is not an `http` URL."""
    url: str = env.str("PUBLIC_URL", default="").rstrip("/")
    parts = urlsplit(url)
    if url and not (
        parts.scheme in ("http", "https") and parts.netloc and not parts.query and "@" not in url
    ):
        raise ImproperlyConfigured(
            "Set PUBLIC_URL to the address of the hub, for example https://hub.example.com"
        )
    return url


def read_listen_address(env: environ.Env, name: str) -> str:
    """Return an IP address and a port, such as 10.0.0.5:9464 or [::]:9464, or "". Raises ImproperlyConfigured."""
    text: str = env.str(name, default="").strip()
    host, _, port = text.rpartition(":")
    try:
        is_valid = not text or (
            bool(ip_address(host.strip("[]"))) and port.isascii() and 0 < int(port) < 65_536
        )
    except ValueError:
        is_valid = False
    if not is_valid:
        raise ImproperlyConfigured(
            f"{name}: must be an IP address and a port, like 0.0.0.0:9464, not {text!r}."
        )
    return text


def read_log_level(env: environ.Env) -> str:
    """Return the level of LOG_LEVEL. Raises ImproperlyConfigured for an unknown one."""
    level: str = env.str("LOG_LEVEL", default="") or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(
            f"LOG_LEVEL: must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {level!r}."
        )
    return level


def read_log_format(env: environ.Env) -> str:
    """Return LOG_FORMAT. Raises ImproperlyConfigured for an unknown one."""
    log_format: str = env.str("LOG_FORMAT", default="") or "auto"
    if log_format not in ("auto", "json", "text"):
        raise ImproperlyConfigured(f"LOG_FORMAT: must be auto, json or text, not {log_format!r}.")
    return log_format
