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


_CONTROLS = tuple(bytes([number]) for number in range(0x20))

CASES = (
    *cases(
        "string",
        ACCEPTED,
        _quoted(
            b"", b" ", b"a", b"abc", b"/", b"'", b"`", b"//", b"/*x*/", b"#", b"null", b"1e400", b"NaN",
            b"{", b"]]]]", b"[" * 40, b"{" * 40, b"\x7f", b"\\\\[" * 40, b"%s", b"${x}", b"<script>",
            b"'; DROP TABLE x; --", b"=1+1", b"\xc2\x80", b"\xc2\x85", b"\xc2\xa0", b"\xc3\xa4",
            b"\xdf\xbf", b"\xe0\xa0\x80", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b"\xe2\x80\xae",
            b"\xe2\x80\x8b", b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xb7\x90", b"\xef\xbb\xbf",
            b"\xef\xbf\xbd", b"\xef\xbf\xbe", b"\xef\xbf\xbf", b"\xf0\x90\x80\x80", b"\xf0\x9f\x98\x80",
            b"\xf4\x8f\xbf\xbf", b"e\xcc\x81", b"\xd8\xa7", b"Z\xcd\x91\xcd\xab\xcd\x83",
            b"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9", b"\xe3\x81\x82", b"\xf3\xa0\x81\x81",
        ),
    ),
    *cases(
        "escape",
        ACCEPTED,
        _quoted(
            b'\\"', b"\\\\", b"\\/", b"\\b", b"\\f", b"\\n", b"\\r", b"\\t", b"\\\\n", b'\\\\\\"',
            b'\\"\\\\\\/\\b\\f\\n\\r\\t', b"\\u0000", b"a\\u0000b", b"\\u0001", b"\\u0022", b"\\u005c",
            b"\\u005C", b"\\u007f", b"\\u00e4", b"\\u00E4", b"\\u0123\\u4567\\u89ab\\ucdef",
            b"\\uABCD\\uEF01", b"\\u2028\\u2029", b"\\u200b", b"\\u202e", b"\\uFEFF", b"\\uFFFE",
            b"\\uffff", b"\\ufdd0", b"\\ud7ff", b"\\ue000", b"\\u0060\\u012a\\u12AB", b"\\\\u0000",
            b"\\\\uXYZ", b"\\ud83d\\ude00", b"\\uD83D\\uDE00", b"\\ud800\\udc00", b"\\udbff\\udfff",
            b"\\uDBFF\\uDFFE", b"\\ud83d\\ude00" * 2, b"\\\\ud800", b"\\\\uDC00", b"\\\\\\\\ud83d",
            b"\\\\ud800\\\\udc00", b"\\u005cud800", b"\\\\\\u0041", b"ud800", b"\\nud800",
        ),
    ),
    *cases("escape", ACCEPTED, _in_all_places(b"\\u0000x", b"\\ud834\\udd1e", b"\\\\ud834", b"\\tx")),
    *cases(
        "lone surrogate",
        "bad-text",
        _in_all_places(
            b"\\ud800", b"\\uD800", b"\\udbff", b"\\udc00", b"\\uDFFF", b"\\udead", b"\\uDaDA",
            b"a\\ud800b", b"\\ud800\\n", b"\\ud800\\ud800", b"\\ud800\\ud800\\udc00", b"\\udc00\\ud800",
            b"\\ud83d\\ude00\\ude00", b"\\ud800\\u0041", b"\\ud800 \\udc00", b"\\ud83d\xc3\xa4",
            b"\\\\\\ud800", b"\\ud800\\\\udc00", b"\\ud800\\u005cudc00", b"\\ud800udc00",
            b"\\uD83d\\uD83D\\uDE00", b"\\udc00\\udc00", b"\\u0000\\ud800", b"\\\\\\\\\\udfff",
            b"\\ud800\\ue000", b"\\uDBFF\\uDBFF",
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
            b"\\a", b"\\v", b"\\0", b"\\x00", b"\\x41", b"\\'", b"\\ ", b"\\e", b"\\U0001F600", b"\\N",
            b"\\101", b"\\`", b"\\N{DASH}", b"\\u", b"\\u0", b"\\u00", b"\\u00A", b"\\u00G0", b"\\u 0041",
            b"\\u+041", b"\\u-041", b"\\u0x41", b"\\u{41}", b"\\ug000", b"\\u\xc3\xa4000",
            b"\\u\xef\xbc\x90041", b"\\ud800\\u", b"\\ud800\\u1", b"\\ud800\\x", b"\\ud800\\uXXXX",
            b"\\ud8", b"\\ud83d\\ude0", b"\\\xc3\xa4", b"\\\xf0\x9f\x8c\x80", b"\\\n", b"\\\r\n", b"\\\t",
            b"\\\x00", b"\\u00\n41", b"\\D83D", b"\\(x)", b"\\u_041",
        ),
    ),
    *cases("control", "not-json", _quoted(*_CONTROLS)),
    *cases("control", "not-json", [b'{"a' + control + b'":1}' for control in _CONTROLS]),
    *cases("control", "not-json", [b'["a' + control + b'b"]' for control in _CONTROLS]),
    *cases(
        "quote",
        "not-json",
        [
            b'"', b'"a', b'a"', b'""a', b'""""', b'"a""b"', b'"a" "b"', b'"a"b', b'"\\', b'"\\"', b'"a\\"',
            b'"\\\\\\"', b'"\\u', b"'a'", b"'", b"''", b"\"a'", b"'a\"", b"`a`",
            b"\xe2\x80\x9ca\xe2\x80\x9d", b"\xc2\xaba\xc2\xbb", b'\\"a\\"', b"\\u0022a\\u0022", b'"""a"""',
            b'r"a"', b'b"a"', b'u"a"', b'f"a"', b'"a"+"b"', b'"a"\\', b'"a"x"', b"&quot;a&quot;", b'["a]',
            b'["a\\"]',
        ],
    ),
)
