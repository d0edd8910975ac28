"""Limits: 32 levels, 1,000 digits, both sides of each, and large documents that stay within them."""

from tests.webhooks.corpus.case import ACCEPTED, cases

# fmt: off
# Many documents to a row, as in a table.


def _nested(levels: int, core: bytes = b"") -> bytes:
    return b"[" * levels + core + b"]" * levels


def _objects(levels: int) -> bytes:
    return b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


def _mixed(pairs: int) -> bytes:
    return b'[{"a":' * pairs + b"1" + b"}]" * pairs


_MANY_DIGITS = (
    b"9" * 1_001, b"-" + b"9" * 1_001, b"1" + b"0" * 1_000, b"9" * 20_000, b"0." + b"3" * 1_000, b"-0." + b"0" * 1_000,
    b"1.5e" + b"0" * 999, b"1e-" + b"9" * 1_000,
)
_ENOUGH_DIGITS = (
    b"9" * 1_000, b"-" + b"9" * 1_000, b"9" * 641, b"0." + b"3" * 999, b"1.5e" + b"0" * 998, b"1e-" + b"9" * 999,
)

CASES = (
    *cases(
        "depth",
        ACCEPTED,
        [
            _nested(31, b'"]"'), _objects(31), _mixed(15), b"[" + b"[]," * 500 + b"[]]",
            b"[" + (_nested(30) + b",") * 9 + b"1]", b'["' + b"[{" * 999 + b'"]',
        ],
    ),
    *cases("depth", ACCEPTED, [_nested(32), _objects(32), _mixed(16)], inside="too-deep"),
    *cases(
        "depth",
        "too-deep",
        [_nested(33), _objects(33), _mixed(17), _nested(30_000), b"[" * 60_000, b'{"a":' * 12_000, b"{" * 33],
    ),
    # Brackets are counted before anything is parsed: no fault of grammar counts, not even an earlier one.
    *cases(
        "depth",
        "too-deep",
        [
            b"[1,," + b"[" * 32, b"nul" + b"[" * 33, b"[" * 33 + b"1e400", b'{"a":1,"a":' + b"[" * 32, b'"a"' + b"[" * 33,
            b'["\\""' + b"," + b"[" * 32, b'["\\\\"' + b"," + b"[" * 32, b"[" * 33 + b'"\\ud800"',
        ],
    ),
    *cases("depth", "not-json", [b"[" * 31, b"]" * 100, b"[}" * 100, b'"' + b"[" * 100, b'"\\"' + b"[" * 100]),
    *cases("depth", "not-json", [b"[" * 32], inside="too-deep"),
    *cases("digits", ACCEPTED, _ENOUGH_DIGITS),
    *cases("digits", "number-too-large", _MANY_DIGITS),
    *cases("digits", "number-too-large", [b'{"a":[{"b":' + body + b"}]}" for body in _MANY_DIGITS]),
    *cases("digits", "not-json", [b"0" * 1_001, b"." + b"1" * 1_001, b"+" + b"9" * 1_001]),
    *cases(
        "size",
        ACCEPTED,
        [
            b'"' + b"a" * 60_000 + b'"', b"[" + b"1," * 30_000 + b"1]", b" " * 60_000 + b"1", b'{"' + b"n" * 60_000 + b'":1}',
            b"{" + b",".join(b'"%d":%d' % (number, number) for number in range(4_000)) + b"}",
        ],
    ),
    *cases("size", "not-json", [b'"' + b"a" * 60_000, b'"' + b"\\" * 60_001, b"[" + b"1," * 30_000, b"-" * 60_000]),
    *cases("size", "bad-text", [b'"' + b"a" * 60_000 + b'\\udc00"', b'"' + b"\\ud83d\\ude00" * 5_000 + b'\\ud83d"']),
)
