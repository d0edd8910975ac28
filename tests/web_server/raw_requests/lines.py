"""Request lines: malformed ones, methods, versions, and line ends."""

from tests.web_server.raw_requests.case import MARK, PATH, STORED, Case, named, webhook

_PATH = PATH.encode()
_LINES = (
    b"", b" ", b"\t", MARK, MARK + b" ", b" " + MARK, b"GET", b"GET ", b"GET /" + MARK, b"GET /" + MARK + b" ", b"POST  HTTP/1.1",
    b" POST " + _PATH + b" HTTP/1.1", b"POST  " + _PATH + b" HTTP/1.1", b"POST " + _PATH + b"  HTTP/1.1", b"POST " + _PATH + b" HTTP/1.1 ",
    b"POST\t" + _PATH + b"\tHTTP/1.1", b"POST\t" + _PATH + b" HTTP/1.1", b"POST " + _PATH + b"\tHTTP/1.1",
    b"POST " + _PATH + b" HTTP/1.1 " + MARK, b"POST " + _PATH + b" " + MARK + b" HTTP/1.1",
    b"POST\x0b" + _PATH + b" HTTP/1.1", b"POST\x0c" + _PATH + b" HTTP/1.1", b"POST\xa0" + _PATH + b" HTTP/1.1",
    b"HTTP/1.1 200 OK", b"HTTP/1.1 POST " + _PATH, _PATH + b" POST HTTP/1.1", b"{\"id\":\"" + MARK + b"\"}", b"<xml>" + MARK + b"</xml>",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARK, b"\x80\x2e\x01\x03\x01\x00\x15" + MARK, b"\x00" * 16, b"\xff" * 16,
    b"SSH-2.0-" + MARK, b"EHLO " + MARK, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", b"\r\n\x00\r\nQUIT\n" + MARK,
)  # fmt: skip
_METHODS = (
    b"post", b"Post", b"pOST", b"PO ST", b"P", b"PO", b"POST,", b"POST;", b"(POST)", b"POST:", b"\"POST\"", b"PO\x00ST", b"PO\x01ST",
    b"PO\x7fST", b"PO\x80ST", b"PO\xc3\xa4ST", b"PO/ST", b"PO@ST", b"PO[ST]", b"PO{ST}", b"PO=ST", b"PO?ST", b"PO<ST>", b"PO\\ST",
    b"#POST", b"POST\r", MARK, b"A" * 21, b"A" * 300,
)  # fmt: skip
_OTHER_METHODS = (
    b"GET", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"PURGE", b"BREW", b"M-SEARCH", b"QUERY",
)  # fmt: skip
_VERSIONS = (
    b"HTTP", b"HTTP/", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1,1", b"HTTP/x.1", b"HTTP/+1.1", b"http/1.1",
    b"HTTP 1.1", b"HTTPS/1.1", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/9.9", b"HTTP/1.1\x00", b"HTTP/1.\xb9", b"HTTP/1.1" + MARK, MARK, b"HTTP/" + b"1" * 400 + b".1",
)  # fmt: skip


def _with_line_end(number: int, end: bytes) -> bytes:
    """Return a webhook one line of which ends otherwise: the request line, or one of three headers."""
    lines = webhook().split(b"\r\n")
    lines[number : number + 2] = [lines[number] + end + lines[number + 1]]
    return b"\r\n".join(lines)


CASES = (
    *(Case("line", name, data + b"\r\nHost: localhost\r\n\r\n") for name, data in named(_LINES)),
    *(
        Case("method", name, webhook(line=data + b" " + _PATH + b" HTTP/1.1"))
        for name, data in named(_METHODS)
    ),
    *(
        Case("other method", name, webhook(line=data + b" " + _PATH + b" HTTP/1.1"), frozenset({405}))
        for name, data in named(_OTHER_METHODS)
    ),
    *(Case("version", name, webhook(line=b"POST " + _PATH + b" " + data)) for name, data in named(_VERSIONS)),
    Case("version", "1.0", webhook(line=b"POST " + _PATH + b" HTTP/1.0"), STORED, stores=1),
    Case("version", "1.7", webhook(line=b"POST " + _PATH + b" HTTP/1.7"), STORED, stores=1),
    Case("version", "1.7 without Host", webhook(line=b"POST " + _PATH + b" HTTP/1.7", host=None)),
    Case("version", "preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Case("line end", "one empty line first", b"\r\n" + webhook(), STORED, stores=1),
    Case("line end", "two empty lines first", b"\r\n\r\n" + webhook()),
    Case("line end", "bare line feeds", webhook().replace(b"\r\n", b"\n")),
    Case("line end", "bare carriage returns", webhook().replace(b"\r\n", b"\r"), ends=True),
    Case("line end", "a line feed first", b"\n" + webhook()),
    *(
        Case(
            "line end",
            f"{name} ends line {number}",
            _with_line_end(number, data),
            frozenset({400, 415}),
            ends=True,
        )
        for number in range(4)
        for name, data in named((b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\x00\r\n", b"\x0b\r\n", b"\x85"))
    ),
    *(
        Case(
            "long line",
            f"{size} bytes",
            webhook(line=b"POST /" + b"a" * size + b" HTTP/1.1"),
            frozenset({414}),
        )
        for size in (4_096, 8_190, 20_000, 66_000, 200_000)
    ),
    Case("long line", "without an end", b"GET /" + MARK * 2_000, frozenset({414})),
    Case("long line", "a long method", b"A" * 9_000, frozenset({414})),
    Case(
        "long line",
        "a long query",
        webhook(line=b"POST " + _PATH + b"?" + MARK * 900 + b" HTTP/1.1"),
        frozenset({414}),
    ),
)
