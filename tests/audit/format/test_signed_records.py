"""Signed records: a signature is valid for its record, kind and key, and has one spelling."""

from datetime import UTC, datetime
from typing import Any

import pytest

from audit.format.signed_records import (
    format_time,
    has_valid_signature,
    is_time_text,
    load_signer,
    new_private_key,
    parse_hex,
    public_key,
    sign_record,
)

pytestmark = pytest.mark.pure

PRIVATE = new_private_key()
PUBLIC = public_key(PRIVATE)
CHECKPOINT = {
    "v": 1,
    "count": 3,
    "root": "00" * 32,
    "head": "11" * 32,
    "at": "2026-03-04T12:00:00.000000Z",
    "key": "k",
}


@pytest.fixture
def record() -> dict[str, Any]:
    return sign_record("checkpoint", CHECKPOINT, load_signer(PRIVATE))


def test_a_signature_is_valid_for_its_record(record: dict[str, Any]) -> None:
    assert has_valid_signature("checkpoint", record, PUBLIC)


@pytest.mark.parametrize(
    "change", [{"count": 4}, {"count": True}, {"at": "2026"}, {"root": "00" * 31 + "01"}]
)
def test_a_signature_is_not_valid_for_another_record(record: dict[str, Any], change: dict[str, Any]) -> None:
    assert not has_valid_signature("checkpoint", record | change, PUBLIC)


def test_a_signature_is_not_valid_for_another_key_or_kind(record: dict[str, Any]) -> None:
    assert not has_valid_signature("checkpoint", record, public_key(new_private_key()))
    everything = {**CHECKPOINT, "number": 1, "public": "", "prev": "", "from": ""}
    signed = sign_record("checkpoint", everything, load_signer(PRIVATE))
    assert has_valid_signature("checkpoint", signed, PUBLIC)
    assert not has_valid_signature("key", signed, PUBLIC)


def test_a_signature_has_one_spelling(record: dict[str, Any]) -> None:
    text = record["signature"]
    order = 2**252 + 27742317777372353535851937790883648493
    shifted = (
        text[:64] + (int.from_bytes(bytes.fromhex(text[64:]), "little") + order).to_bytes(32, "little").hex()
    )
    for other in ("", text.upper(), text[:-2], f"{text}00", f"{text[:2]} {text[2:]}", shifted, None, 5):
        assert not has_valid_signature("checkpoint", record | {"signature": other}, PUBLIC)
    assert not has_valid_signature("checkpoint", CHECKPOINT, PUBLIC)


@pytest.mark.parametrize("text", ["AA" * 32, "a" * 63, "0x" + "a" * 62, " " + "a" * 63, "٠" * 64, 7])
def test_only_lower_case_hexadecimal_of_the_right_size_is_accepted(text: Any) -> None:
    with pytest.raises(ValueError, match="not"):
        parse_hex(text)


def test_times_have_one_form() -> None:
    text = format_time(datetime(2026, 3, 4, 12, tzinfo=UTC))
    assert text == "2026-03-04T12:00:00.000000Z"
    assert is_time_text(text)
    assert not is_time_text(text.replace(".000000", ""))
    assert not is_time_text(text.replace("2", "\u0662"))
