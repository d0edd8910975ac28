"""Targets of every form, and hosts."""

from tests.web_server.raw_requests.case import MARK, PATH, STORED, Case, named, webhook

_PATH = PATH.encode()
_MALFORMED = (
    b"webhooks/aurora-unsigned", b"*", b"?", b"#", b"localhost", b"localhost:80", b"http://[", b"http://[::1", b"http:///" + MARK, b"http://", b"://",
    b"ftp://localhost" + _PATH, b"file://" + _PATH, b"javascript://" + MARK, b"ws://localhost" + _PATH, _PATH + b"\x00", _PATH + b"\x01", _PATH + b"\x7f",
    _PATH + b"\x80", _PATH + b"\xff", _PATH + b"\xc3\xa4", b"/\x1b[31m" + MARK, _PATH + b"\r", b"\\webhooks\\aurora-unsigned",
)  # fmt: skip
_ABSENT = (
    b"/" + MARK, b"//", b"///", b"//[", b"//localhost" + _PATH, b"/.", b"/..", b"/../../etc/passwd", b"/webhooks/../admin/", b"/webhooks/..;/admin/", b"/webhooks/%2e%2e/admin/",
    b"/%", b"/%zz", b"/%00", b"/%0d%0aX:%20" + MARK, b"/%ff", b"/%c0%ae", b"/%u0041", b"/webhooks//aurora-unsigned", b"/Webhooks/aurora-unsigned",
    b"/webhooks/" + MARK, b"/webhooks/%00", b"/webhooks/aurora-unsigned%0a", b"/webhooks/aurora-unsigned%20", b"/webhooks/aurora-unsigned/more", b"/webhooks",
    b"/{}", b"/<script>" + MARK, b"/'\"", b"/|", b"/^", b"/`", b"/a" * 400, b"http://localhost/" + MARK, b"http://localhost//",
    b"/;jsessionid=" + MARK, b"/webhooks/aurora-unsigned;a=b",
)  # fmt: skip
_FINE = (
    _PATH, _PATH + b"/", _PATH + b"?", _PATH + b"?" + MARK, _PATH + b"?a=%00", _PATH + b"?a=<b>", b"http://localhost" + _PATH, b"HTTP://localhost" + _PATH,
    b"https://localhost" + _PATH, b"/%77ebhooks/aurora-unsigned",
)  # fmt: skip
_FOREIGN = (
    b"http://evil.example" + _PATH,
    b"http://" + MARK + b"@localhost" + _PATH,
    b"http://localhost:a" + _PATH,
)
_HOSTS = (
    b"", b"evil.example", MARK + b".example", b"localhost.evil.example", b"localhost evil.example", b"localhost, evil.example", b"localhost/" + MARK, b"http://localhost",
    b"user@localhost", b"localhost:", b"localhost:a", b"localhost:80:80", b".", b"*", b"[", b"[::1", b"[::1]" + MARK, b"localhost\\", b"local\xffhost", b"localhost%00",
    b"<script>", b"0x7f.1", b"a" * 300, b"a." * 2_000,
)  # fmt: skip
_FINE_HOSTS = (b"localhost", b"LOCALHOST", b"localhost:80", b"localhost:1", b"localhost.", b" localhost ")
_LINE = b"POST %s HTTP/1.1"

CASES = (
    *(Case("target", name, webhook(line=_LINE % data)) for name, data in named(_MALFORMED)),
    *(Case("absent target", name, webhook(line=_LINE % data), frozenset({404})) for name, data in named(_ABSENT)),
    *(Case("fine target", name, webhook(line=_LINE % data), STORED, stores=1) for name, data in named(_FINE)),
    *(Case("foreign target", name, webhook(line=_LINE % data)) for name, data in named(_FOREIGN)),
    Case("foreign target", "of a foreign Host", webhook(line=_LINE % (b"http://localhost" + _PATH), host=b"evil.example"), STORED, stores=1),
    *(
        Case("other target", name, webhook(line=_LINE % data), frozenset({405}))
        for name, data in named((b"/outcomes/" + MARK, b"/problems/" + MARK, b"http://localhost", b"http://localhost?a"))
    ),
    Case("asterisk", "OPTIONS", webhook(line=b"OPTIONS * HTTP/1.1"), frozenset({404, 405})),
    Case("authority", "CONNECT", webhook(line=b"CONNECT localhost:80 HTTP/1.1"), frozenset({400, 404, 405})),
    *(Case("host", name, webhook(host=data)) for name, data in named(_HOSTS)),
    *(Case("fine host", name, webhook(host=data), STORED, stores=1) for name, data in named(_FINE_HOSTS)),
    Case("host", "none", webhook(host=None)),
    Case("host", "twice", webhook("Host: localhost")),
    Case("host", "two", webhook("Host: evil.example")),
    *(
        Case("read only", f"{method} {path}", webhook(line=f"{method} {path} HTTP/1.1".encode(), body=b""), frozenset({405}))
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW")
        for path in ("/health", "/problems/too-large", "/", "/admin")
    ),
)  # fmt: skip
