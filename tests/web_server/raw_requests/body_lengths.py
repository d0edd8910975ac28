"""Lengths, transfer codings, and connections that end or go on where the request does not."""

from tests.web_server.raw_requests.case import MARK, PATH, STORED, WEBHOOK, Case, named, webhook

_SIZE = len(WEBHOOK)
_LENGTHS = (
    "", " ", "a", MARK, "-1", f"-{_SIZE}", f"+{_SIZE}", f"{_SIZE}.0", f"{_SIZE},", f",{_SIZE}", f"{_SIZE},{_SIZE}", f"{_SIZE}, {_SIZE}",
    f"{_SIZE} {_SIZE}", f"{_SIZE};", f"0x{_SIZE:x}", f"{_SIZE}e0", "1e1", f"{_SIZE}_0", "\xb2", "\xb9\xb2", "\xbd", f"{_SIZE}\xa0", f"\"{_SIZE}\"",
    "NaN", "inf", "None", "true", "9" * 5_000, f"{_SIZE}\x00", f"{_SIZE}\x0b", f"{_SIZE}\r", f"{_SIZE}\x85",
)  # fmt: skip
_HUGE = (1_100_000, 2**31 - 1, 2**31, 2**32 + _SIZE, 2**63, 2**64 + _SIZE, 10**30)
_CODINGS = (
    "", " ", MARK, "gzip", "deflate", "compress", "identity", "br", "x-gzip", "gzip, chunked", "deflate, chunked", "chunked, gzip", "chunked, chunked",
    "identity, chunked", "chunked, identity", "chunked;q=1", "chunked ;", "\"chunked\"", "'chunked'", "xchunked", "chunkedx", "chunke", "chunk", "chunked\x00",
    "\x00chunked", "chunked\x0b", "\x0bchunked", "chunked\xa0", "\xa0chunked", "chunked\r", "ch\x00unked", ",chunked", "chunked,", "chunked, ,", "trailers",
)  # fmt: skip
_CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (_SIZE, WEBHOOK)
_PAIRS = (
    ("Content-Length: {0}", "Content-Length: {0}"), ("Content-Length: {0}", "Content-Length: 3"), ("Content-Length: 3", "content-length: {0}"),
    ("Content-Length: {0}", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: {0}"),
    ("Transfer-Encoding: chunked", "Content-Length: 0"), ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), ("Transfer-Encoding: identity", "Transfer-Encoding: chunked"),
    ("Transfer-Encoding: gzip", "Transfer-Encoding: chunked"), ("Transfer-Encoding: x", "Content-Length: {0}"),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: x"), ("Content-Type: application/json", "Content-Length: {0}"),
)  # fmt: skip
_WHOLE = webhook()
_CHUNKED_WHOLE = webhook("Transfer-Encoding: chunked", body=_CHUNKED, length=False)
_HEAD_SIZE = _WHOLE.index(b"\r\n\r\n") + 4
# Valid JSON after any of its bytes behind the webhook.
_LARGE = WEBHOOK + b" " * 70_000
_LARGE_IN_CHUNKS = b"%x\r\n%s\r\n0\r\n\r\n" % (len(_LARGE), _LARGE)
_SPELLINGS = (
    PATH,
    PATH.replace("/w", "/%77"),
    PATH.replace("s/", "s%2F"),
    PATH.replace("/webhooks", "http://localhost/webhook%73"),
)
_KEPT = webhook().replace(b"Connection: close\r\n", b"")

CASES = (
    *(
        Case("length", name, webhook(b"Content-Length: " + data, length=False), ends=True)
        for name, data in named(_LENGTHS)
    ),
    *(
        Case("huge length", str(size), webhook(f"Content-Length: {size}", length=False), frozenset({413}))
        for size in _HUGE
    ),
    *(
        Case(
            "large",
            f"{path}, {coding or 'a length'}",
            webhook(*coding, line=f"POST {path} HTTP/1.1".encode(), body=body, length=not coding),
            frozenset({413}),
        )
        for path in _SPELLINGS
        for coding, body in (((), _LARGE), (("Transfer-Encoding: chunked",), _LARGE_IN_CHUNKS))
    ),
    *(
        Case("coding", name, webhook(b"Transfer-Encoding: " + data, body=_CHUNKED, length=False), ends=True)
        for name, data in named(_CODINGS)
    ),
    Case(
        "coding",
        "Chunked",
        webhook("Transfer-Encoding: Chunked", body=_CHUNKED, length=False),
        STORED,
        stores=1,
    ),
    Case("coding", "HTTP/1.0", _CHUNKED_WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0")),
    *(
        Case(
            "in conflict",
            " + ".join(pair),
            webhook(*(text.format(_SIZE) for text in pair), body=_CHUNKED, length=False),
            ends=True,
        )
        for pair in _PAIRS
    ),
    *(
        Case("cut off", f"after {size} bytes", _WHOLE[:size], ends=True)
        for size in (1, 20, _HEAD_SIZE - 4, _HEAD_SIZE - 1, _HEAD_SIZE, _HEAD_SIZE + 1, len(_WHOLE) - 1)
    ),
    Case("cut off", "before anything", b"", frozenset(), ends=True),
    Case("half-closed", "after the request", _WHOLE, STORED, stores=1, ends=True),
    Case("half-closed", "after the chunks", _CHUNKED_WHOLE, STORED, stores=1, ends=True),
    Case("no length", "with a body", webhook(length=False), frozenset({400})),
    Case("followed", "by another request", _WHOLE + webhook(), STORED, stores=1),
    Case("followed", "by rubbish", _WHOLE + MARK, STORED, stores=1),
    Case("pipelined", "two webhooks", _KEPT + webhook(), STORED, stores=2),
    Case("pipelined", "five webhooks", _KEPT * 4 + webhook(), STORED, stores=5),
    Case(
        "pipelined",
        "chunks, then a length",
        _CHUNKED_WHOLE.replace(b"Connection: close\r\n", b"") + webhook(),
        STORED,
        stores=2,
    ),
    Case("pipelined", "an empty line between them", _KEPT + b"\r\n" + webhook(), STORED, stores=2),
    Case("pipelined", "rubbish after a webhook", _KEPT + MARK + b"\r\n\r\n", STORED, stores=1),
    Case("pipelined", "a webhook after rubbish", MARK + b"\r\n\r\n" + webhook()),
    Case(
        "pipelined",
        "a webhook within the body of a refused one",
        webhook("Content-Length: 3", length=False, body=webhook()),
    ),
    Case(
        "pipelined",
        "a webhook after a too large one",
        webhook("Content-Length: 1100000", length=False, body=webhook()),
        frozenset({413}),
    ),
    Case("body of a GET", "to a page", webhook(line=b"GET /health HTTP/1.1"), STORED),
    Case(
        "body of a GET", "in chunks", _CHUNKED_WHOLE.replace(b"POST " + PATH.encode(), b"GET /health"), STORED
    ),
)
