"""Sentences of the steps of a connection test."""

from datetime import UTC, datetime

import pytest

from console.settings.connections.connection_test_words import build_step_row
from sync.connectors.connection_check import CheckStep

pytestmark = pytest.mark.pure


def test_a_missing_credential_is_named_as_the_form_labels_it() -> None:
    step = CheckStep("credentials", False, "credential-missing", None, {"credential": "client_secret"})
    row = build_step_row(step, "The shop", datetime.now(UTC))
    assert row.sentence.startswith("Missing credentials: Client secret. ")
    assert "/credentials" not in row.sentence
