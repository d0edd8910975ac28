"""Encodings: byte order marks, other encodings, and every way not to be UTF-8."""

from tests.webhooks.corpus.case import ACCEPTED, cases

# fmt: off
# Many documents to a row, as in a table.

_MARK = b"\xef\xbb\xbf"
_DOCUMENT = '{"a":"\u00e4\U0001f600"}'

_NOT_UTF8 = (
    b"\x80", b"\xbf", b"\xff", b"\xe4", b"\xc3\x28", b"a\x80b", b"\xc0\x80", b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf",
    b"\xe0\x9f\xbf", b"\xf0\x80\x80\xaf", b"\xf0\x8f\xbf\xbf", b"\xf8\x88\x80\x80\x80", b"\xed\xa0\x80",
    b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xe2\x82", b"\xe2\x28\xa1",
    b"\xf0\x9f\x98", b"\xf0\x9f\x98\x22\x22", b"\xfe\xff", b"\\u\xe4", b"\\ud800\xff",
)

CASES = (
    *cases("mark", "byte-order-mark", [_MARK, _MARK * 2, _MARK + b'{"a":1}', _MARK + b"{"], inside="not-json"),
    *cases("mark", "byte-order-mark", [_MARK + b"[" * 33], inside="too-deep"),
    *cases("mark", "byte-order-mark", [_MARK + b"\xff"], inside="wrong-encoding"),
    *cases("mark", "not-json", [b" " + _MARK + b"1", b"1" + _MARK, b"[" + _MARK + b"1]"]),
    *cases("mark", ACCEPTED, [b'"a' + _MARK + b'"', b'{"' + _MARK + b'a":1}']),
    *cases("half a mark", "wrong-encoding", [b"\xef", b"\xef\xbb{}", b"\xbb\xbf{}"]),
    *cases("UTF-8", ACCEPTED, [_DOCUMENT.encode(), '["\u20ac","\U0010ffff","\u0800","\u07ff"]'.encode()]),
    *cases(
        "other encoding",
        "wrong-encoding",
        [
            _DOCUMENT.encode("utf-16"), _DOCUMENT.encode("utf-16-be"), _DOCUMENT.encode("utf-32"),
            '["\u00e4"]'.encode("latin-1"), '["\u20ac"]'.encode("cp1252"), '["\u3042"]'.encode("shift_jis"),
            '{"a":1}'.encode("cp500"), b"\xfe\xff\x00{\x00}", b"\x00\x00\xfe\xff\x00\x00\x00{",
        ],
    ),
    # Without a letter beyond ASCII these are UTF-8 full of zero bytes, or plain text: no encoding is guessed.
    *cases(
        "other encoding",
        "not-json",
        [
            '{"a":1}'.encode("utf-16-le"), "[]".encode("utf-32-be"), b"+AHsAfQ-", b"e30=", b"%7B%7D", b"&#123;&#125;",
            b"\x1b$B\x1b(B",
        ],
    ),
    *cases("broken UTF-8", "wrong-encoding", [b'"' + content + b'"' for content in _NOT_UTF8]),
    *cases("broken UTF-8", "wrong-encoding", [b'{"' + content + b'":[]}' for content in _NOT_UTF8[::4]]),
    # The encoding is judged before depth and grammar.
    *cases("broken UTF-8", "wrong-encoding", [b"[" * 40 + b"\xff", b"[1,]\xe4", b"1e400\xff", b'{"\\ud800":\xff}']),
)
