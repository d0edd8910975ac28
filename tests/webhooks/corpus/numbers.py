"""Numbers: the grammar of RFC 8259, section 6, and what a double cannot hold."""

from tests.webhooks.corpus.case import ACCEPTED, cases

# fmt: off
# Many documents to a row, as in a table.

_TAKEN = (
    b"0", b"-0", b"1", b"-1", b"10", b"0.0", b"-0.0", b"0.1", b"1.50", b"1e1", b"1E+1", b"1e-1", b"0e1",
    b"-1.5E-10", b"1e01", b"1e308", b"1.7976931348623157e308", b"5e-324", b"1e-400", b"123e-10000000", b"0e99999",
    b"9007199254740993", b"9223372036854775808", b"-9223372036854775809", b"0.1234567890123456789012345678",
)

_INFINITE = (
    b"1e400", b"-1e400", b"1E+400", b"1e309", b"1.8e308", b"1.7976931348623159e308", b"-123123e100000",
    b"0.4e00669999999999999999999999999999", b"9" * 310 + b".0", b"1" + b"0" * 309 + b".5",
)

_NO_NUMBERS = (
    b"+1", b"--1", b"-", b".", b"e1", b".5", b"-.5", b"1.", b"1.e1", b"1.2.3", b"1e", b"1e+", b"1.0e-", b"1e1e1",
    b"1e1.5", b"1e+-1", b"1 e1", b"- 1", b"1 000", b"1,000", b"1_000", b"00", b"01", b"-01", b"00.5", b"0x1F", b"0b1",
    b"0o7", b"1f", b"1n", b"1+2", b"1/2", b"1%", b"-a", b"$1", b"1\xef\xbc\x91", b"\xd9\xa1", b"1.\xd9\xa1",
    b"\xc2\xb2", b"\xe2\x88\x921", b"\xe2\x88\x9e", b"1\x002", b"2019-01-01", b"12:30",
)

CASES = (
    *cases("number", ACCEPTED, _TAKEN),
    *cases("number", ACCEPTED, [b'{"a":[ ' + body + b"\n]}" for body in _TAKEN[::4]]),
    *cases("overflow", "number-too-large", _INFINITE),
    *cases("overflow", "number-too-large", [b'{"a":[' + body + b"]}" for body in _INFINITE[::3]]),
    # The first fault in reading order counts.
    *cases("overflow", "number-too-large", [b"1e1000e", b"[1e400,]", b"[1e400"]),
    *cases("overflow", "not-json", [b"[,1e400]", b"[01,1e400]"]),
    *cases("no number", "not-json", _NO_NUMBERS),
    *cases("no number", "not-json", [b'{"a":' + body + b"}" for body in _NO_NUMBERS[::4]]),
)
