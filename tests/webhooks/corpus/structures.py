"""Brackets, commas, colons, white space, literals, comments, and what follows the document."""

from tests.webhooks.corpus.case import ACCEPTED, cases

# fmt: off
# Many documents to a row, as in a table.

CASES = (
    *cases("empty", "not-json", [b"", b" ", b"\r\n", b" \r\n\t "]),
    *cases("literal", ACCEPTED, [b"null", b"\r\n\ttrue\r\n", b"[null,true,false]"]),
    *cases(
        "literal",
        "not-json",
        [
            b"nul", b"TRUE", b"None", b"true false", b"[tru]", b"NaN", b"[NaN]", b"-NaN", b'{"a":NaN}', b"Infinity",
            b"-Infinity", b"[-Infinity]", b"inf", b'{"a":-Infinity}', b"abc", b"<xml/>", b"\\u0061",
        ],
    ),
    *cases(
        "array",
        ACCEPTED,
        [
            b"[]", b"[ ]", b"[[],[]]", b"[{}]", b"[ 1 , 2 ]", b"[1\n,\r2\t]", b" [1] ", b'[1,null,true,"a",{},[]]',
            b'["]"]', b'["\\"]"]',
        ],
    ),
    *cases(
        "array",
        "not-json",
        [
            b"[", b"]", b"[]]", b"[1", b"[1,", b"[,1]", b"[1,]", b"[1,,2]", b"[1 2]", b'["a":1]', b"[{}{}]", b'["a',
            b"[1}", b"(1)", b"[-]", b"[][]", b"[1]x",
        ],
    ),
    *cases(
        "object",
        ACCEPTED,
        [
            b"{}", b"{ }", b'{ "a" : 1 }', b'{"a":1,"b":2}', b'{"":0}', b'{"a":{"a":{}}}', b'{"a\\u0000b":1}',
            b'{"\\u00e4":1}', b'{"a":"}"}', b'{"{":"["}', b'{"a":1,"A":2}', b'{"__proto__":{}}', b'{"\\"":1}',
            b'\n{"a"\n:\n1\n,\n"b"\n:\n2\n}\n', b'{"a/b":1,"a~b":2}', b'{"__class__":"x"}',
        ],
    ),
    *cases(
        "object",
        "not-json",
        [
            b"{", b"}", b"{{}}", b"{]", b"{,}", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,}', b'{,"a":1}', b'{"a","b"}',
            b'{"a"::1}', b'{"a":1 "b":2}', b"{a:1}", b"{'a':1}", b'{"a:1}', b"{1:1}", b'{"a":b}', b'{"a":1]', b'{"a":1}}',
            b'{"a":1}{"b":2}', b'{"a":1}\n{"b":2}', b'{"id":"1","entityType":}', b"id=1&entityType=USER",
        ],
    ),
    # What a careless reader would take for the end of the value is a further member of the notice.
    *cases(
        "further member",
        "not-json",
        [b'1,"b":2', b'"a","b":{}', b'{},"b":[]', b'null\n,\n"b":null'],
        inside=ACCEPTED,
    ),
    *cases(
        "comment",
        "not-json",
        [
            b"/**/", b"1//x", b"[1,/*x*/2]", b"[1//x\n]", b'{/**/"a":1}', b'{"a":1}#x', b")]}'\n1", b"callback(1)", b"1;",
        ],
    ),
    *cases(
        "white space",
        "not-json",
        [
            b"\x0b1", b"[\x0c]", b"\x001", b"1\x00", b"1\x1a", b"\xc2\xa01", b"[\xc2\xa0]", b"\xc2\x851",
            b"1\xe2\x80\xa9", b"\xe2\x80\x8b1", b"\xe3\x80\x801", b"\x7f1", b"\x1b[0m1", b"tr ue", b"[1\\n]",
            b"\\ufeff1",
        ],
    ),
    *cases(
        "repeated name",
        "duplicate-member",
        [
            b'{"a":1,"a":1}', b'{"a":1,"b":2,"a":3}', b'{"a":1,"\\u0061":2}', b'{"":1,"":2}', b'{"~/":1,"~/":2}',
            b'{"a":{"a":1},"a":{}}', b'{"\xc3\xa4":1,"\\u00E4":2}', b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}',
            b'{"a":{"b":1,"b":2},"c":3}', b'[{"a":1,"a":2}]',
        ],
    ),
    *cases(
        "alike names",
        ACCEPTED,
        [b'{"\xc3\xa4":1,"a\xcc\x88":2}', b'{"K":1,"\xe2\x84\xaa":2}', b'{"a":1,"a\\u0000":2}'],
    ),
)
