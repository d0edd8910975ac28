"""Strings: escapes, control characters, surrogates, quotes, and text that others stumble on."""

from tests.webhooks.corpus.case import ACCEPTED, cases

# fmt: off
# Many documents to a row, as in a table.


def _quoted(*contents: bytes) -> tuple[bytes, ...]:
    return tuple(b'"' + content + b'"' for content in contents)


def _in_all_places(*contents: bytes) -> tuple[bytes, ...]:
    """Return documents with the text as a string, in an array, as a value and as a name."""
    forms = (b'"%s"', b'["%s"]', b'{"a":"%s"}', b'{"%s":1}')
    return tuple(form % content for content in contents for form in forms)


CASES = (
    *cases(
        "string",
        ACCEPTED,
        _quoted(
            b"", b" ", b"abc", b"/", b"'", b"/*x*/", b"null", b"1e400", b"]]]]", b"[" * 40, b"\x7f", b"\\\\[" * 40,
            b"<script>", b"'; DROP TABLE x; --", b"\xc2\x80", b"\xc3\xa4", b"\xdf\xbf", b"\xe0\xa0\x80",
            b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbb\xbf", b"\xef\xbf\xbf",
            b"\xf0\x9f\x98\x80", b"\xf4\x8f\xbf\xbf", b"e\xcc\x81",
        ),
    ),
    *cases(
        "escape",
        ACCEPTED,
        _quoted(
            b'\\\\\\"', b'\\"\\\\\\/\\b\\f\\n\\r\\t', b"a\\u0000b", b"\\u0022", b"\\u005C", b"\\u00E4",
            b"\\u0123\\u4567\\u89ab\\ucdef", b"\\uFEFF", b"\\uffff", b"\\ud7ff", b"\\ue000", b"\\\\uXYZ",
            b"\\uD83D\\uDE00", b"\\ud800\\udc00", b"\\udbff\\udfff", b"\\ud83d\\ude00" * 2, b"\\\\ud800",
            b"\\\\\\\\ud83d", b"\\\\ud800\\\\udc00", b"\\u005cud800", b"ud800", b"\\nud800",
        ),
    ),
    *cases("escape", ACCEPTED, _in_all_places(b"\\u0000x", b"\\ud834\\udd1e", b"\\\\ud834")),
    *cases(
        "lone surrogate",
        "bad-text",
        _in_all_places(
            b"\\ud800", b"\\uDbFF", b"\\udc00", b"\\uDFFF", b"a\\ud800b", b"\\ud800\\ud800\\udc00", b"\\udc00\\ud800",
            b"\\ud83d\\ude00\\ude00", b"\\ud800\\u0041", b"\\ud83d\xc3\xa4", b"\\\\\\ud800", b"\\ud800\\\\udc00",
            b"\\ud800\\u005cudc00", b"\\ud800udc00", b"\\u0000\\ud800", b"\\\\\\\\\\udfff", b"\\ud800\\ue000",
        ),
    ),
    *cases(
        "lone surrogate",
        "bad-text",
        [b'{"a":1,"b":{"c":["\\ud800"]}}', b'["\\ud83d","\\ude00"]', b'{"a":{"\\ud800":1,"\\ud800":2}}'],
    ),
    *cases(
        "escape",
        "not-json",
        _in_all_places(
            b"\\a", b"\\0", b"\\x41", b"\\'", b"\\ ", b"\\U0001F600", b"\\u", b"\\u00A", b"\\u00G0", b"\\u+041",
            b"\\u{41}", b"\\u\xef\xbc\x90041", b"\\ud800\\u1", b"\\ud83d\\ude0", b"\\\xc3\xa4", b"\\\n", b"\\u_041",
        ),
    ),
    *cases("control", "not-json", _quoted(*(bytes([number]) for number in range(0x20)))),
    *cases("control", "not-json", [b'{"a\x00":1}', b'["a\x1fb"]', b'{"a":"\n"}']),
    *cases(
        "quote",
        "not-json",
        [
            b'"', b'"a', b'a"', b'"a""b"', b'"\\"', b'"\\\\\\"', b"'a'", b"`a`", b"\xe2\x80\x9ca\xe2\x80\x9d", b'\\"a\\"', b'b"a"',
            b'["a\\"]',
        ],
    ),
)
