"""`manage.py check` names what is configured and would not be contacted."""

from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

import connectors.address_check
from integration_hub.egress.checks import check_egress
from sync.models import Connection
from tests.support.builders.settings_rows import connection
from tests.support.http.egress import egress_policy
from webhooks.models import Source

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

KEYS = {"algorithm": "RS256", "header": "Authorization", "jwks_url": "https://10.1.2.3/keys"}
SETTINGS = {
    "ALARM_WEBHOOK_URL": "https://10.1.2.3/alarms",
    "AUDIT_CHECKPOINT_URL": "https://[fd00:ec2::254]/checkpoints",
    "ALARM_EMAILS": ["someone@example.com"],
    "EMAIL_BACKEND": "integration_hub.egress.mail_backend.CheckedEmailBackend",
    "EMAIL_HOST": "localhost",
}


def _configure_blocked_addresses(settings: Any) -> None:
    for name, value in SETTINGS.items():
        setattr(settings, name, value)
    connection(name="Blocked", base_url="https://127.0.0.1")
    token = {"scheme": "oauth2-client-credentials", "token_url": "https://10.1.2.3/token"}
    connection(name="Its tokens", slug="tokens", base_url="https://8.8.8.8", authentication=token)
    connection(name="Disabled", slug="disabled", base_url="https://127.0.0.1", is_enabled=False)
    connection(name="Public", slug="public", base_url="https://8.8.8.8")
    connection(
        name="Invalid",
        slug="invalid",
        base_url="https://127.0.0.1",
        authentication={"scheme": "none of these"},
    )
    Source.objects.create(slug="blocked", name="Blocked keys", scheme="jwt", scheme_settings=KEYS)


def test_each_blocked_address_is_named_unless_it_is_disabled(settings: Any) -> None:
    _configure_blocked_addresses(settings)
    with egress_policy():
        messages = check_egress()
    named = [message.msg.partition(":")[0] for message in messages]
    assert named == [
        "ALARM_WEBHOOK_URL", "AUDIT_CHECKPOINT_URL", "EMAIL_URL", "The connection “Blocked”",
        "The connection “Its tokens”", "The keys of the source “Blocked keys”",
    ]  # fmt: skip
    assert {message.id for message in messages} == {"hub.W020"}
    assert "EGRESS_ALLOW" in messages[0].msg
    assert "never connects" in messages[1].msg


def test_the_command_shows_them_and_is_not_held_up_by_a_name_server(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(host: str, _: int, seconds: float) -> Any:
        waits.append(seconds)
        raise TimeoutError

    waits: list[float] = []
    connection(name="Blocked", base_url="https://127.0.0.1")
    for number in range(3):
        connection(name="Slow", slug=f"slow{number}", base_url="https://slow.test")
    monkeypatch.setattr("integration_hub.egress.checks.MAX_SECONDS", 0.0)
    with monkeypatch.context() as patched, egress_policy():
        patched.setattr(connectors.address_check, "resolve_addresses", hang)
        call_command("check", stderr=StringIO())
    assert waits == [0.0] * 4
    errors = StringIO()
    with egress_policy():
        call_command("check", stderr=errors)
    assert "The connection “Blocked”: The hub may not connect to 127.0.0.1" in errors.getvalue()
    assert Connection.objects.count() == 4
