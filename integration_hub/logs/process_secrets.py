"""The secrets that this process knows: those of its settings, and those of the connections that it has used."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

from connectors.values.secret_forms import KnownSecrets, SecretSet
from connectors.values.secret_scrubber import SecretScrubber

_SECRETS = (
    "SECRET_KEY",
    "HEALTH_TOKEN",
    "METRICS_TOKEN",
    "ALARM_WEBHOOK_SECRET",
    "AUDIT_CHECKPOINT_SECRET",
    "EMAIL_HOST_PASSWORD",
)
_LISTS = ("SECRET_KEY_FALLBACKS", "SEALING_KEYS", "SEARCH_KEYS")
_URLS = ("CELERY_BROKER_URL", "DATABASE_URL", "EMAIL_URL", "ALARM_WEBHOOK_URL", "AUDIT_CHECKPOINT_URL")
_DATABASE_SECRETS = ("PASSWORD", "password", "sslpassword")


class _SecretCache:
    """The scrubber of the last line, and what it was made of."""

    settings: object = None
    known: tuple[SecretSet, ...] = ()
    scrubber = SecretScrubber()


def make_scrubber() -> SecretScrubber:
    """Return a scrubber of all secrets that this process knows now."""
    # Each line needs it. The object of the settings is another one as soon as a setting is changed, in a test.
    now, known = settings.__dict__.get("_wrapped"), KnownSecrets.sets
    if _SecretCache.settings is not now or _SecretCache.known is not known:
        scrubber = SecretScrubber(SecretSet(_list_secrets()), *known)
        _SecretCache.settings, _SecretCache.known, _SecretCache.scrubber = now, known, scrubber
    return _SecretCache.scrubber


def _list_secrets() -> Iterator[str]:
    """Yield the secrets of the settings; of the environment alone in gunicorn's master, which reads no settings."""
    for name in _SECRETS:
        yield from _select_texts(_read_setting(name))
    for name in _LISTS:
        value = _read_setting(name)
        yield from _select_texts(*(value.split(",") if isinstance(value, str) else value or ()))
    for name in _URLS:
        yield from _url_secrets(_read_setting(name) or os.environ.get(name, ""))
    if settings.configured:
        for database in settings.DATABASES.values():
            for place in (database, database.get("OPTIONS") or {}):
                yield from _select_texts(*(place.get(name) for name in _DATABASE_SECRETS))


def _read_setting(name: str) -> Any:
    return getattr(settings, name, None) if settings.configured else os.environ.get(name)


def _select_texts(*values: Any) -> Iterator[str]:
    return (value for value in values if isinstance(value, str) and value)


def _url_secrets(url: Any) -> Iterator[str]:
    """Yield the password of a URL, as it is there and unquoted."""
    try:
        password = urlsplit(str(url or "")).password or ""
    except ValueError:
        return
    yield from _select_texts(password, unquote(password))
