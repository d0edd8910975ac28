"""Sentences of the steps of a connection test."""

from datetime import UTC, datetime

import pytest

from console.settings.connections.connection_test_words import build_step_row, step_result
from sync.connectors.connection_check import CheckStep
from sync.connectors.contracts.errors import ConnectorError
from webhooks.catalogue.codes import CATALOGUE

pytestmark = pytest.mark.pure


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
