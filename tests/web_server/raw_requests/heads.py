"""Header names and values, folded lines, too many or too long headers, and headers that a server could believe."""

from tests.web_server.raw_requests.case import MARK, PATH, STORED, Case, named, webhook

_NAMES = (
    b"", b" ", b"X Y", b" X-Y", b"\tX-Y", b"X-Y ", b"X-Y\t", b"Content-Length ", b"Transfer-Encoding ", b"Host ", b"X\x00Y", b"X\x01Y",
    b"X\x0bY", b"X\x1fY", b"X\x7fY", b"X\x80Y", b"X\xffY", b"X\xc3\xa4Y", b"X\xdfY", b"X(Y", b"X)Y", b"X,Y", b"X/Y", b"X;Y", b"X<Y", b"X=Y", b"X>Y",
    b"X?Y", b"X@Y", b"X[Y", b"X\\Y", b"X]Y", b"X{Y", b"X}Y", b"\"X\"", MARK + b" X",
)  # fmt: skip
_CONTROLS = [bytes([number]) for number in (*range(9), *range(10, 32), 127)]
_HARMLESS_VALUES = (b"", b"\t", b"a\tb", b"\x80\xff", b"a" * 8_000, b"%00%0d%0a", b'"', b"a, b;c=d")
# What servers or frameworks take for facts about the request.
_BELIEVED = (
    "SCRIPT_NAME: /webhooks", f"SCRIPT_NAME: {PATH}", "Script_Name: /webhooks", "X-Script-Name: /webhooks", "PATH_INFO: /admin/", "REQUEST_METHOD: GET",
    "QUERY_STRING: a=b", "X-Original-URL: /admin/", "X-HTTP-Method-Override: GET", "REMOTE_USER: admin", "X-Remote-User: admin", "REMOTE_ADDR: 192.0.2.1",
    "SERVER_NAME: evil.example", "HTTP_HOST: evil.example", "wsgi.url_scheme: https", "HTTPS: on", "CONTENT_LENGTH: 3", "TRANSFER_ENCODING: chunked",
    "X-Forwarded-For: 192.0.2.1", "X_Forwarded_For: 192.0.2.1", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http, https", "X-Forwarded-Ssl: on",
    "X-Forwarded-Prefix: /webhooks", "Forwarded: for=192.0.2.1;host=evil.example;proto=https", "X-Sendfile: /etc/passwd",
)  # fmt: skip
# What the application reads, with values that it cannot use.
_READ = (
    b"Accept-Language: \xff", b"Accept-Language: " + MARK * 700, b"Cookie: sessionid=\xff\xfe", b"Cookie: csrftoken=" + MARK, b"Authorization: Bearer \xff",
    "Referer: http://[", b"Origin: " + MARK, "If-Modified-Since: yesterday", "Range: bytes=0-0", "Upgrade: h2c", "Connection: Upgrade", "TE: trailers",
    "X-Forwarded-For: , ,", b"X-Forwarded-For: \xff", "webhook-timestamp: never", b"webhook-signature: \xff",
)  # fmt: skip
_WRONG_TYPES = (
    b"text/plain", b"", b"application/json; charset=latin-1", b"application/json; charset=\xff", b"application/json,", b"multipart/form-data", b"multipart/form-data; boundary=a",
    b"application/x-www-form-urlencoded", MARK, b"application/json\xa0", b"application/" + MARK * 300,
)  # fmt: skip
_JSON_TYPE = b"Content-Type: application/json"
_IN_CONFLICT = (
    "X-Forwarded-Proto: https",
    "X-Forwarded-Ssl: off",
    "X-Forwarded-Protocol: http",
    "X-Forwarded-Proto: http",
)
_UNDER_PREFIX = f"GET {PATH}/admin/login/ HTTP/1.1".encode()
_FOLDED = (b"X-Y: a\r\n b", b"X-Y: a\r\n\tb", b"Content-Length:\r\n 3", b"X-Y: a\r\n \r\n b")
_NO_FIELD = (MARK, b":", b": " + MARK, b"X-Y", b"= " + MARK, b"\x00", b"\xff")
_EXPECTED = (b"Expect: " + MARK, b"Expect: 100-continue, " + MARK, b"Expect: 200-ok")
_TOO_LONG = frozenset({431})

CASES = (
    *(Case("header name", name, webhook(data + b": " + MARK)) for name, data in named(_NAMES)),
    *(Case("control character", name, webhook(b"X-Y: a" + data + MARK)) for name, data in named(_CONTROLS)),
    *(
        Case("header value", name, webhook(b"X-Y:" + data), STORED, stores=1)
        for name, data in named(_HARMLESS_VALUES)
    ),
    *(Case("no field", name, webhook(data)) for name, data in named(_NO_FIELD)),
    *(Case("folded", name, webhook(data)) for name, data in named(_FOLDED)),
    Case("folded", "the first header", webhook(line=f"POST {PATH} HTTP/1.1\r\n X-Y: a".encode())),
    *(Case("believed", name, webhook(data), STORED, stores=1) for name, data in named(_BELIEVED)),
    *(Case("read header", name, webhook(data), STORED, stores=1) for name, data in named(_READ)),
    *(
        Case("content type", name, webhook().replace(_JSON_TYPE, b"Content-Type: " + data), frozenset({415}))
        for name, data in named(_WRONG_TYPES)
    ),
    *(
        Case("content coding", name, webhook(b"Content-Encoding: " + data), frozenset({415}))
        for name, data in named((b"gzip", b"br", b"identity", b"\xff", MARK))
    ),
    *(
        Case("signature", name, webhook(data).replace(PATH.encode(), b"/webhooks/aurora"), frozenset({401}))
        for name, data in named(
            (
                b"webhook-id: a",
                b"webhook-signature: v1,\xff",
                b"webhook-timestamp: " + MARK,
                b"webhook-id: \xff",
            )
        )
    ),
    Case("believed", "in conflict", webhook(*_IN_CONFLICT), STORED, stores=1),
    *(
        Case("prefix", name, webhook(data, line=_UNDER_PREFIX, body=b""), frozenset({404}))
        for name, data in named(text.replace("/webhooks", PATH) for text in _BELIEVED if "/webhooks" in text)
    ),
    *(Case("expectation", name, webhook(data), frozenset({417})) for name, data in named(_EXPECTED)),
    Case("expectation", "100-continue with the body", webhook("Expect: 100-continue"), STORED, stores=1),
    *(
        Case("too many headers", str(count), webhook(*["X-Y: a"] * count), _TOO_LONG)
        for count in (100, 500, 5_000)
    ),
    *(
        Case("long header", f"{size} bytes", webhook(b"X-Y: " + MARK * (size // 10)), _TOO_LONG)
        for size in (8_200, 20_000, 64_000, 200_000)
    ),
    Case("long header", "a long name", webhook(MARK * 900 + b": a"), _TOO_LONG),
    Case(
        "long header",
        "without an end",
        webhook().partition(b"\r\n")[0] + b"\r\nX-Y: " + MARK * 8_000,
        _TOO_LONG,
    ),
    Case("long header", "many of 8,000 bytes", webhook(*[b"X-Y: " + b"a" * 8_000] * 9), _TOO_LONG),
)
