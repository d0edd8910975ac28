"""Sentences about the health of a connection and about the steps of its test."""

from datetime import UTC, datetime, timedelta

import pytest

from config_schema.codes.codes import CATALOGUE
from connectors.check import CheckStep
from connectors.contracts.errors import ConnectorError
from console.settings.connections.connection_test_words import build_step_row, step_result
from console.settings.connections.health import health_sentence
from sync.monitoring.connection_health import ConnectionFigures, ConnectionHealth, classify_health

pytestmark = pytest.mark.pure

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)
EARLIER, LATER = NOON - timedelta(seconds=1), NOON + timedelta(seconds=45)


@pytest.mark.parametrize(
    ("figures", "health", "shown"),
    [
        (ConnectionFigures(), ConnectionHealth.IDLE, ""),
        (ConnectionFigures(calls=100, p95=0.2, usual_p95=0.2), ConnectionHealth.HEALTHY, ""),
        (ConnectionFigures(calls=1000, failed=2, p95=0.2), ConnectionHealth.HEALTHY, "2 of the last 1,000"),
        (ConnectionFigures(calls=100, failed=20, p95=0.2), ConnectionHealth.FAILING, "(20 %)"),
        (ConnectionFigures(calls=2, failed=2, p95=0.2), ConnectionHealth.DEGRADED, "(100 %)"),
        (ConnectionFigures(calls=22, failed=2, p95=0.2), ConnectionHealth.DEGRADED, "2 of the last 22"),
        (
            ConnectionFigures(calls=100, p95=4.1, usual_p95=0.2),
            ConnectionHealth.SLOW,
            "4.1 s (normally 200 ms)",
        ),
        (ConnectionFigures(calls=100, p95=0.39, usual_p95=0.2), ConnectionHealth.HEALTHY, ""),
        (ConnectionFigures(calls=100, p95=0.4, usual_p95=0.2), ConnectionHealth.HEALTHY, ""),
        (ConnectionFigures(calls=4, p95=9.0, usual_p95=0.2), ConnectionHealth.HEALTHY, ""),
        (ConnectionFigures(calls=100, p95=4.9), ConnectionHealth.HEALTHY, ""),
        (ConnectionFigures(calls=100, p95=6.0), ConnectionHealth.SLOW, "6.0 s"),
        (
            ConnectionFigures(open_until=LATER, failing_since=EARLIER, errors=10, status=503),
            ConnectionHealth.FAILING,
            f"10 errors (503) since {EARLIER:%H:%M}; next check in 45 s.",
        ),
        (
            ConnectionFigures(open_until=LATER, errors=1, code="target-timeout"),
            ConnectionHealth.FAILING,
            "1 error (timeout)",
        ),
        (ConnectionFigures(open_until=EARLIER, successes=3), ConnectionHealth.FAILING, "3 of 8"),
        (
            ConnectionFigures(open_until=LATER, is_paused=True),
            ConnectionHealth.PAUSED,
            "until someone resumes it",
        ),
        (ConnectionFigures(is_enabled=False, calls=9, open_until=LATER), ConnectionHealth.OFF, ""),
    ],
)
def test_the_figures_determine_the_health_and_its_sentence(
    figures: ConnectionFigures, health: ConnectionHealth, shown: str
) -> None:
    assert classify_health(figures) is health
    assert shown in health_sentence(figures, NOON)


def test_a_missing_credential_is_named_as_the_form_labels_it() -> None:
    step = CheckStep("credentials", False, "credential-missing", None, {"credential": "client_secret"})
    row = build_step_row(step, "The shop", datetime.now(UTC))
    assert "Client secret" in row.sentence
    assert "/credentials" not in row.sentence


def _subclasses(base: type[ConnectorError]) -> set[type[ConnectorError]]:
    return {base}.union(*map(_subclasses, base.__subclasses__()))


CODES = sorted(
    {
        f"{side}-{error.code_suffix}"
        for error in _subclasses(ConnectorError) - {ConnectorError}
        for side in ("identity", "target")
    }
    & set(CATALOGUE)
)


def _sentence(code: str, *credentials: str) -> str:
    step = CheckStep("read", False, code, 0.1, {"status": 401})
    return build_step_row(step, "The shop", datetime.now(UTC), credentials).sentence


def test_a_failed_step_says_what_to_do_with_the_connection_and_not_with_events() -> None:
    for code in CODES:
        sentence = _sentence(code, "token").lower()
        assert "test again" in sentence, code
        for word in ("replay", "event", "retries", "the change"):
            assert word not in f"{sentence} {step_result(code)}".lower(), code


def test_refused_credentials_are_named_as_the_form_labels_them() -> None:
    assert "Client id, Client secret" in _sentence("target-credentials", "client_id", "client_secret")
    assert "authentication" in _sentence("identity-credentials")


READ = {"call": "GET /c", "status": 200, "found": 0, "linked": 3}


@pytest.mark.parametrize(
    ("step", "label", "shown"),
    [
        (CheckStep("read", True, "read", 0.1, READ), "OK", "A record that the hub has linked can be read."),
        (
            CheckStep("read", True, "linked-read", 0.1, READ),
            "OK",
            "A record that the hub has linked can be read.",
        ),
        (
            CheckStep("read", True, "linked-missing", 0.1, READ),
            "Not found",
            "None of the 3 newest linked records",
        ),
        (CheckStep("read", False, "linked-unread", 0.1, READ), "Failed", "may ignore the credentials"),
        (
            CheckStep("read", False, "linked-unread", 0.1, READ | {"linked": 1}),
            "Failed",
            "The newest linked record",
        ),
    ],
)
def test_the_sample_call_says_whether_a_linked_record_can_be_read(
    step: CheckStep, label: str, shown: str
) -> None:
    row = build_step_row(step, "The shop", NOON)
    assert (row.label, shown in row.sentence) == (label, True), row.sentence
    assert row.sentence.count("linked") == 1
    assert step_result(step.code) != step.code.replace("-", " "), "the audit log has a text of it too"


def test_a_type_whose_deletions_nothing_proves_is_explained() -> None:
    finding = {
        "entity_type": "GROUP",
        "permission": "absence",
        "answer": "not-configured",
        "setting": "/entities/GROUP",
    }
    step = CheckStep("permissions", True, "permissions-limited", 0.1, {"findings": [finding]})
    (row,) = build_step_row(step, "Aurora ID", NOON).problems
    assert (row.title, row.label, row.setting) == (
        "GROUP: prove a deletion",
        "Not configured",
        "entities.GROUP",
    )
    assert "neither a list nor a probe" in row.sentence


def _stored_by_0_1_0(template: str, **params: object) -> dict[str, object]:
    return {"template": template, "params": params, "plural": "", "number": 1}


@pytest.mark.parametrize(
    "stored",
    [
        "/ca: At most 2 of 100 %.",
        _stored_by_0_1_0(
            "%(place)s: %(sentence)s",
            place="/ca",
            sentence=_stored_by_0_1_0("At most %(most)s of 100 %%.", most="2"),
        ),
    ],
)
def test_an_invalid_setting_is_named_by_a_test_of_now_and_of_version_0_1_0(stored: object) -> None:
    step = CheckStep("name", False, "settings-invalid", None, {"sentence": stored})
    assert build_step_row(step, "The shop", NOON).sentence == (
        "The settings are invalid: /ca: At most 2 of 100 %."
    )
