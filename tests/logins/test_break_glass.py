"""The break-glass command: it works when nobody else can, and never without a trace."""

import io
import logging
import os
from datetime import timedelta
from unittest.mock import Mock, patch

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from logins.held_permissions import CHANGE_PEOPLE
from logins.management.commands import break_glass
from logins.models import HeldPermission
from sync.models import Alarm, AlarmKind
from sync.monitoring.alarms import evaluate_alarms
from tests.support.people import entries, person

pytestmark = [pytest.mark.django_db, pytest.mark.one_database]


def run(change: str, username: str = "anna", reason: str = "the only superuser left") -> str:
    out = io.StringIO()
    call_command("break_glass", change, username, reason=reason, stdout=out)
    return out.getvalue()


def test_a_login_becomes_a_superuser_who_can_log_in(caplog: pytest.LogCaptureFixture) -> None:
    anna = person("support", "anna")
    User.objects.filter(pk=anna.pk).update(is_active=False, is_staff=False)
    run("make-superuser")
    anna.refresh_from_db()
    assert (anna.is_active, anna.is_staff, anna.is_superuser) == (True, True, True)
    [entry] = entries("person.break-glass")
    assert (entry["stream"], entry["actor"]) == (f"person:{anna.pk}", "system")
    assert entry["details"] == {"change": "make-superuser", "reason": "the only superuser left"}
    [record] = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert f"make-superuser for person {anna.pk}" in record.getMessage()
    assert HeldPermission.objects.get(person=anna, permission=CHANGE_PEOPLE).since > anna.date_joined


def test_a_superuser_is_one_no_more() -> None:
    person(name="anna")
    run("end-superuser")
    anna = User.objects.get(username="anna")
    assert (anna.is_superuser, anna.is_active) == (False, True)
    assert not HeldPermission.objects.exists()


def test_a_login_is_reset_and_its_password_is_printed_once() -> None:
    anna = person("administrator", "anna")
    User.objects.filter(pk=anna.pk).update(is_active=False)
    password = run("reset-login").partition("shown once: ")[2].split()[0]
    assert Client().login(username="anna", password=password)
    [entry] = entries("person.break-glass")
    assert password not in str(entry)
    assert not User.objects.get(pk=anna.pk).is_superuser


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_the_command_asks_for_a_missing_reason_and_changes_nothing_without_one(
    reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    person("support", "anna")
    monkeypatch.setattr("builtins.input", lambda _: reason)
    with pytest.raises(CommandError, match="enter a reason"):
        run("make-superuser", reason=reason)
    assert not User.objects.get(username="anna").is_superuser
    assert not entries("person.break-glass")
    monkeypatch.setattr("builtins.input", lambda _: "typed at the prompt")
    run("make-superuser", reason="")
    assert entries("person.break-glass")[0]["details"]["reason"] == "typed at the prompt"


def test_a_login_that_does_not_exist_is_named() -> None:
    with pytest.raises(CommandError, match="There is no login 'nobody'"):
        run("make-superuser", "nobody")


def test_the_entry_and_the_change_are_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    person("support", "anna")
    monkeypatch.setattr(break_glass, "append_entries", Mock(side_effect=RuntimeError("away")))
    with pytest.raises(RuntimeError):
        run("make-superuser")
    assert not User.objects.get(username="anna").is_superuser


def create_superuser(name: str) -> None:
    environment = {"DJANGO_SUPERUSER_PASSWORD": "a long enough passphrase"}
    with patch.dict(os.environ, environment):
        call_command("createsuperuser", username=name, email="", interactive=False, stdout=io.StringIO())


def test_the_first_superuser_is_recorded_without_an_alarm() -> None:
    create_superuser("anna")
    anna = User.objects.get(username="anna")
    assert [entry["stream"] for entry in entries("person.first-superuser")] == [f"person:{anna.pk}"]
    assert not entries("person.break-glass")
    evaluate_alarms()
    assert not Alarm.objects.filter(kind=AlarmKind.BREAK_GLASS).exists()


def test_a_further_superuser_raises_an_alarm_for_a_day(caplog: pytest.LogCaptureFixture) -> None:
    create_superuser("anna")
    create_superuser("bo")
    run("reset-login", "anna")
    assert [entry["details"]["change"] for entry in entries("person.break-glass")] == [
        "create-superuser",
        "reset-login",
    ]
    assert any("created on the server" in record.getMessage() for record in caplog.records)
    evaluate_alarms()
    alarm = Alarm.objects.get(kind=AlarmKind.BREAK_GLASS)
    assert (alarm.count, alarm.ended_at) == (2, None)
    evaluate_alarms(timezone.now() + timedelta(hours=25))
    alarm.refresh_from_db()
    assert alarm.ended_at is not None
