"""Brackets, commas, colons, white space, literals, comments, and what follows the document."""

from tests.webhooks.corpus.case import ACCEPTED, cases

# fmt: off
# Many documents to a row, as in a table.

CASES = (
    *cases("empty", "not-json", [b"", b" ", b"\t", b"\n", b"\r\n", b" \r\n\t "]),
    *cases(
        "literal", ACCEPTED, [b"null", b"true", b"false", b" null ", b"\r\n\ttrue\r\n", b"[null,true,false]"]
    ),
    *cases(
        "literal",
        "not-json",
        [
            b"nul", b"nulls", b"Null", b"NULL", b"tru", b"truth", b"True", b"TRUE", b"fals", b"falsy",
            b"False", b"n", b"t", b"f", b"nil", b"none", b"None", b"undefined", b"yes", b"no", b"on",
            b"void 0", b"truefalse", b"true false", b"[nul]", b"[tru]", b"[fals]", b"[n,1]", b"[nullnull]",
            b'{"a":tru}', b"nan", b"NaN", b"[NaN]", b"-NaN", b"+NaN", b"Nan", b"NAN", b"sNaN", b"1NaN",
            b'{"a":NaN}', b"Infinity", b"-Infinity", b"+Infinity", b"[Infinity]", b"[-Infinity]",
            b"infinity", b"Inf", b"-Inf", b"inf", b"-inf", b"[INF]", b"-INF", b"Infinit", b"-Infinit",
            b"InfinityInfinity", b'{"a":-Infinity}', b"a", b"abc", b"id", b"*", b"@", b"$", b"&", b"<null>",
            b"<xml/>", b"%s", b"\\", b"\\u0061",
        ],
    ),
    *cases(
        "array",
        ACCEPTED,
        [
            b"[]", b"[ ]", b"[\n]", b"[[]]", b"[[],[]]", b"[{}]", b"[1]", b"[1,2]", b"[ 1 , 2 ]",
            b"[1\n,\r2\t]", b" [1]", b"[1] ", b'[1,null,true,"a",{},[]]', b"[[[[]]]]", b'["]"]', b'["["]',
            b'["\\"]"]',
        ],
    ),
    *cases(
        "array",
        "not-json",
        [
            b"[", b"]", b"[[", b"]]", b"[]]", b"[[]", b"[1", b"[1,", b"[1]]", b"1]", b"[,", b"[,]", b"[,1]",
            b"[1,]", b"[1,,]", b"[1,,2]", b"[,,1]", b"[1 2]", b"[1\n2]", b"[1;2]", b"[1:2]", b'["a":1]',
            b'["a" "b"]', b'["a"1]', b'[1"a"]', b"[[]1]", b"[1[]]", b"[[][]]", b"[{}{}]", b"[1,\n1\n,1",
            b'["a",', b'["a"', b'["a', b'["', b"[}", b"[1}", b"(1)", b"[1)", b"<1>", b"[x", b"[x]", b"[*]",
            b"[-]", b"[ , ]", b"[1],", b",[1]", b"[][]", b"[] []", b"[1]x", b"[1]null", b"[1]#", b"[...]",
            b"[[1],[2]",
        ],
    ),
    *cases(
        "object",
        ACCEPTED,
        [
            b"{}", b"{ }", b"{\n}", b'{"a":1}', b'{ "a" : 1 }', b'{"a":1,"b":2}', b'{"":0}',
            b'{"a":{"a":{}}}', b'{"a":[]}', b'{"a":null}', b'{"a\\u0000b":1}', b'{"\xc3\xa4":1}',
            b'{"\\u00e4":1}', b'{"a b":"c d"}', b'{"a":"}"}', b'{"{":"["}', b'{"a":1,"A":2}',
            b'{"a":1,"a ":2}', b'{"__proto__":{}}', b'{"\\"":1}', b'\n{"a"\n:\n1\n,\n"b"\n:\n2\n}\n',
            b'{"a/b":1,"a~b":2}', b'{"constructor":1}', b'{"__class__":"x"}',
        ],
    ),
    *cases(
        "object",
        "not-json",
        [
            b"{", b"}", b"{{", b"}}", b"{}}", b"{{}", b"{{}}", b"{]", b"{,}", b"{:}", b"{:1}", b'{"a"',
            b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{"a":1,,"b":2}', b'{,"a":1}', b'{"a"}',
            b'{"a",}', b'{"a","b"}', b'{"a" 1}', b'{"a"::1}', b'{"a":}', b'{"a":,}', b'{"a":1 "b":2}',
            b'{"a":1;"b":2}', b'{"a"=1}', b'{"a"=>1}', b"{a:1}", b"{'a':1}", b"{'a':'b'}", b'{a":1}',
            b'{"a:1}', b"{1:1}", b"{null:1}", b"{[]:1}", b'{"a":b}', b'{"a":"b}', b'{"a":1 2}',
            b'{"a":"b""c"}', b'{"a":"b"c}', b'{"a" "b":1}', b'{"a":1]', b'{"a":1}}', b'{"a":1}x',
            b'{"a":1}#', b'{"a":1}{"b":2}', b'{"a":1},{"b":2}', b'{"a":1}\n{"b":2}', b'{"a":1}null',
            b'{"a":1}"', b"{true}", b"{1}", b'{"a":{}', b'{"a":[}]', b"{[]}", b"{...a}", b'{["a"]:1}',
            b'{"id":1', b'{"id"', b'{"id', b'{"id":"1","entityType":}', b"id=1&entityType=USER",
            b'{"a":1}\x1e',
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
            b"/**/", b"//", b"#", b"--", b"1//", b"1//x", b"1/**/", b"/**/1", b"[/**/]", b"[1,/*x*/2]",
            b"[1//x\n]", b'{"a":/**/1}', b'{"a":1/**/}', b'{/**/"a":1}', b'{"a":1}//x', b'{"a":1}/*x*/',
            b'{"a":1}#x', b"<!--1-->", b'{"a":1}/', b'{"a":1}/*', b'{"a":1 # x\n}', b'{"a":1 -- x\n}',
            b"'1'", b"`1`", b")]}'\n1", b"while(1);1", b"callback(1)", b"1;", b"%1", b"\x1e1", b"1\x1e",
        ],
    ),
    *cases(
        "white space",
        "not-json",
        [
            b"\x0b1", b"1\x0b", b"\x0c1", b"[\x0c]", b"[1\x0b]", b"\x001", b"1\x00", b"\x00", b"[1\x00]",
            b"\x1a", b"1\x1a", b"\xc2\xa01", b"1\xc2\xa0", b"[\xc2\xa0]", b"\xc2\x851", b"[\xc2\x85]",
            b"\xe2\x80\xa81", b"1\xe2\x80\xa9", b"[\xe2\x81\xa0]", b"\xe2\x80\x8b1", b"\xe3\x80\x801",
            b"[\xe1\x9a\x80]", b"\x081", b"\x7f1", b"\x1b[0m1", b"tr ue", b"nu\nll", b"[1\\n]", b"[\\t]",
            b"\\ufeff1", b"[\xe2\x80\xa61]",
        ],
    ),
    *cases(
        "repeated name",
        "duplicate-member",
        [b'{"a":1,"a":1}', b'{"a":1,"a":2}', b'{"a":1,"b":2,"a":3}'],
    ),
    *cases(
        "repeated name",
        "duplicate-member",
        [b'{"a":1,"\\u0061":2}', b'{"":1,"":2}', b'{"~/":1,"~/":2}'],
    ),
    *cases(
        "repeated name",
        "duplicate-member",
        [b'{"a":{"a":1},"a":{}}', b'{"\xc3\xa4":1,"\\u00E4":2}'],
    ),
    *cases(
        "repeated name",
        "duplicate-member",
        [b'{"\\ud83d\\ude00":1,"\xf0\x9f\x98\x80":2}', b'{"b":[],"b":[],"b":[]}'],
    ),
    *cases(
        "repeated name", "duplicate-member", [b'{"a":{"b":1,"b":2}}', b'[{"a":1,"a":2}]', b'{"a":{"b":1,"b":2},"c":3}']
    ),
    *cases(
        "alike names",
        ACCEPTED,
        [b'{"\xc3\xa4":1,"a\xcc\x88":2}', b'{"K":1,"\xe2\x84\xaa":2}', b'{"a":1,"a\\u0000":2}'],
    ),
)
