"""Every reason of a BadSignature has a stable code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from webhooks.protocol import signatures
from webhooks.protocol.signature_reasons import SignatureReason, reason_code

pytestmark = pytest.mark.one_database


def raised_reasons() -> Iterator[str]:
    """Read the texts of all BadSignature that the module raises."""
    for node in ast.walk(ast.parse(Path(signatures.__file__).read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadSignature":
            [text] = node.args
            if isinstance(text, ast.JoinedStr):
                yield from (ast.unparse(text)[2:-1].replace("{unit}", unit) for unit in signatures._UNITS)
            else:
                yield ast.literal_eval(text)


def test_every_reason_has_a_code_of_its_own() -> None:
    reasons = list(raised_reasons())
    assert len(reasons) >= 13
    assert [reason for reason in reasons if reason_code(reason) == SignatureReason.OTHER] == []


def test_an_unknown_reason_is_other_and_no_code_is_too_long() -> None:
    assert reason_code("something new") == SignatureReason.OTHER
    assert max(len(reason) for reason in SignatureReason) <= 32
