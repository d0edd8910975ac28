"""The reasons of a BadSignature can be stored, and each has a name for people."""

import pytest

from console.requests.results import SIGNATURE_REASON_NAMES
from webhooks.models import Refusal
from webhooks.protocol.signature_reasons import SignatureReason

pytestmark = pytest.mark.pure


def test_each_reason_fits_its_column_and_has_a_name() -> None:
    assert max(map(len, SignatureReason)) <= Refusal._meta.get_field("reason").max_length
    assert set(SIGNATURE_REASON_NAMES) == set(SignatureReason)
