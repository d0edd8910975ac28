"""Demo logins are never added to a hub that may be in production, which has no command for it either."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from integration_hub import settings as production
from sync.models import Connection
from tests.support.people import entries
from webhooks.models import Source

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]

SANDBOX = {
    "IDENTITY_TOKEN": "a",
    "SHOP_TOKEN": "b",
    "SIGNING_SECRET": "whsec_c2VjcmV0LW9mLXRoZS1zYW5kYm94LTMyLWJ5dGVz",
}


@pytest.fixture(autouse=True)
def _sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SANDBOX.items():
        monkeypatch.setenv(f"SANDBOX_{name}", value)


@pytest.mark.parametrize("only_logins", [True, False])
def test_nothing_is_added_with_debug_off(settings: Any, tmp_path: Path, only_logins: bool) -> None:
    settings.DEBUG = False
    with pytest.raises(CommandError, match="--allow-demo-logins"):
        call_command("seed_sandbox", logins=tmp_path / "logins.txt", only_logins=only_logins)
    assert not User.objects.exists()
    assert not Connection.objects.exists()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("debug", "allowed"), [(True, False), (False, True)])
def test_demo_logins_are_created_in_debug_mode_or_on_request(
    settings: Any, tmp_path: Path, debug: bool, allowed: bool
) -> None:
    settings.DEBUG = debug
    file = tmp_path / "logins.txt"
    call_command("seed_sandbox", logins=file, allow_demo_logins=allowed)
    assert set(User.objects.values_list("username", flat=True)) == {"support", "auditor", "administrator"}
    assert file.stat().st_mode & 0o777 == 0o600
    created = {entry["stream"]: entry["details"] for entry in entries("person.created")}
    assert created == {f"person:{user.pk}": {"groups": [user.username]} for user in User.objects.all()}


def test_a_hub_that_is_to_be_connected_by_hand_gets_logins_alone(settings: Any, tmp_path: Path) -> None:
    settings.DEBUG = True
    call_command("seed_sandbox", logins=tmp_path / "logins.txt", only_logins=True)
    assert User.objects.count() == 3
    assert not Connection.objects.exists()
    assert not Source.objects.exists()


def test_the_command_line_of_a_production_hub_has_no_command_for_developers() -> None:
    apps = {
        app: Path(import_module(app).__file__ or "").parent
        for app in production.INSTALLED_APPS
        if "." not in app
    }
    commands = {path.stem for folder in apps.values() for path in folder.glob("management/commands/*.py")}
    assert {"run_worker", "backup"} <= commands
    assert not commands & {"seed_sandbox", "generate_history", "write_reference"}
