"""The settings of alarms: unsafe ones stop the start, and one URL configures the mail server."""

import pytest

from tests.support.builders.alarms import SECRET
from tests.support.processes.settings_check import check, run

pytestmark = [pytest.mark.pure, pytest.mark.concurrent, pytest.mark.nightly]


def test_an_unsigned_webhook_cannot_be_set_up() -> None:
    result = check(ALARM_WEBHOOK_URL="https://alarms.example.com/hub")
    assert result.returncode != 0
    assert "Set ALARM_WEBHOOK_SECRET in the environment" in result.stderr
    assert (
        check(ALARM_WEBHOOK_URL="https://alarms.example.com/hub", ALARM_WEBHOOK_SECRET=SECRET).returncode == 0
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, "localhost 25 None None False False"),
        ("smtp+tls://me%40x:p%2Fw@mail.example.com", "mail.example.com 587 me@x p/w True False"),
        ("smtp+ssl://mail.example.com", "mail.example.com 465 None None False True"),
    ],
)
def test_the_mail_server_is_set_up_by_one_address(url: str | None, expected: str) -> None:
    names = ("HOST", "PORT", "HOST_USER", "HOST_PASSWORD", "USE_TLS", "USE_SSL")
    wanted = ", ".join(f"found.EMAIL_{name}" for name in names)
    result = run("-c", f"from integration_hub import settings as found; print({wanted})", EMAIL_URL=url)
    assert result.stdout.strip() == expected, result.stderr
