"""Variables of the environment, read strictly: what is not understood stops the start, with a sentence that names it.

The sentences repeat numbers and words only, never an address: that may hold a password.
"""

import logging
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import environ  # type: ignore[import-untyped]
from django.core.exceptions import ImproperlyConfigured

from database.settings import postgresql_settings, sqlite_settings

Number = TypeVar("Number", int, float)


def required(env: environ.Env, name: str, why: str) -> str:
    """The variable's value, or a refusal to start that names it."""
    value: str = env.str(name, default="")
    if not value:
        raise ImproperlyConfigured(f"Set {name} in the environment or in .env: {why}.")
    return value


def number(
    env: environ.Env, name: str, default: Number, *, least: float = 0, most: float = 1_000_000_000
) -> Number:
    """A number within these bounds; a whole one where the default is. An empty value means the default."""
    text = env.str(name, default="")
    if not text:
        return default
    try:
        found = type(default)(text)
    except ValueError:
        found = None
    if found is None or not isfinite(found) or not least <= found <= most:
        kind = "whole number" if isinstance(default, int) else "number"
        raise ImproperlyConfigured(f"{name}: must be a {kind} from {least:,} to {most:,}, not {text!r}.")
    return found


def database(env: environ.Env, folder: Path) -> dict[str, Any]:
    """The database of DATABASE_URL; without one, a SQLite file in `folder`.

    DATABASE_WAIT_SECONDS: how long a statement may wait for the database, its lock or its pool; then 503, and the
    source comes again.
    """
    address = _database_address(env, f"sqlite:///{folder / 'hub.sqlite3'}")
    seconds = number(env, "DATABASE_WAIT_SECONDS", 5.0, least=0.1, most=3600)
    if "sqlite" in address["ENGINE"]:
        test_file = env.str("TEST_DATABASE_FILE", default=str(folder / "test.sqlite3"))
        return sqlite_settings(address, wait_seconds=seconds, test_file=test_file)
    pool_size = number(env, "DATABASE_POOL", 8, least=1, most=1000)
    prepares = 3 if env.bool("DATABASE_PREPARES", default=True) else None
    return postgresql_settings(address, wait_seconds=seconds, pool_size=pool_size, prepare_threshold=prepares)


def celery_transport(broker_url: str) -> dict[str, Any]:
    """Seconds after which a broker counts as away, in the words of Celery's transport for it."""
    if broker_url.startswith(("redis", "valkey")):
        return {"socket_timeout": 5.0, "socket_connect_timeout": 4.0}
    if broker_url.startswith(("amqp", "pyamqp")):
        return {"connect_timeout": 4.0, "read_timeout": 5.0, "write_timeout": 5.0, "max_retries": 1}
    return {}


def _database_address(env: environ.Env, default: str) -> dict[str, Any]:
    """The database of DATABASE_URL, as Django wants it."""
    try:
        parsed = dict(environ.Env.db_url_config(env.str("DATABASE_URL", default="") or default))
    except ValueError:
        parsed = {}
    if parsed.get("ENGINE", "").rpartition(".")[2] not in ("sqlite3", "postgresql"):
        raise ImproperlyConfigured(
            "DATABASE_URL: must be like postgres://user:password@host/database or sqlite:////path/file."
        )
    return parsed


def mail_server(env: environ.Env) -> dict[str, Any]:
    """The mail server of EMAIL_URL, as django-environ tells it."""
    try:
        return dict(environ.Env.email_url_config(env.str("EMAIL_URL", default="") or "smtp://localhost:25"))
    except (ValueError, ImproperlyConfigured):
        raise ImproperlyConfigured(
            "EMAIL_URL: must be like smtp+tls://user:password@mail.example.com:587."
        ) from None


def log_level(env: environ.Env) -> str:
    """The level of LOG_LEVEL."""
    level: str = env.str("LOG_LEVEL", default="") or "INFO"
    if level not in logging.getLevelNamesMapping():
        raise ImproperlyConfigured(
            f"LOG_LEVEL: must be DEBUG, INFO, WARNING, ERROR or CRITICAL, not {level!r}."
        )
    return level
