"""Chunked bodies: sizes, extensions, ends, trailers, and where they are cut off."""

from tests.web_server.raw_requests.case import MARK, STORED, WEBHOOK, Case, named, webhook

_SIZE = b"%x" % len(WEBHOOK)
_END = b"0\r\n\r\n"
_SIZES = (
    b"", b" ", MARK, b"g", b"zz", b"-1", b"-" + _SIZE, b"+" + _SIZE, b"0x" + _SIZE, b"x" + _SIZE, b"\\x" + _SIZE, b" " + _SIZE, b"\t" + _SIZE, _SIZE + b" ",
    _SIZE + b"\t", _SIZE + b"\x00", b"\x00" + _SIZE, _SIZE + b"\x0b", _SIZE + b" " + _SIZE, _SIZE + b",", _SIZE + b".0", _SIZE + b"_", b"3_8", b"3 8", b"\"38\"",
    b"\xb2", b"\xef\xbc\x93\xef\xbc\x98", _SIZE + b"\r", _SIZE + b"\n", _SIZE + b"\xff", b"f" * 2_000, b"0" * 2_000 + _SIZE, b"NaN", b"(38)", _SIZE + b"=a", _SIZE + b"h",
)  # fmt: skip
_OVERSIZED = (b"f" * 8, b"f" * 16, b"f" * 17, b"7" + b"f" * 15, b"1" + b"0" * 16 + _SIZE, b"f" * 300)
_EXTENSIONS = (
    b";", b"; ", b";;", b";=", b";=a", b";a=", b";a b", b";a=b c", b";\x00", b";a=\x00", b";a=\"", b";a=\"b", b";a=b\"", b";a=\"b\"c", b";\"a\"=b", b";a=\x01", b";a\x7f",
    b";a,b", b";a=(b)", b";a=[b]", b";a=\x80", b";\x80=a", b";a=\"\x00\"", b";a\r", b";a\n", b";" + b"a" * 20_000, b";a=" + b"b" * 2_000, b" " + MARK,
)  # fmt: skip
_FINE_EXTENSIONS = (b";a", b";a=b", b" ;a", b" ; a = b", b';a="b c"', b";a;b;c=d", b';a="\\""', b';a="\xe4"')
_ENDS = (b"", b"\r", b"\n", b"\n\r", b" \r\n", b"\x00\x00", b"X\r\n", b"\r\nX", MARK, b"\r\n\r\n")
_TRAILERS = (
    MARK, b"X Y: a", b" X: a", b"X : a", b": a", b"X\x00: a", b"X: a\x00", b"X: a\x0b", b"X: \x7f", b"X: a\r\n b", b"\x80: a", b"Content-Length: 3",
    b"Transfer-Encoding: chunked", b"Host: evil.example", b"Authorization: Basic YTpi", b"Trailer: X", b"X: a\nY: b", b"X: a\rY: b", b"\x00", b"()",
)  # fmt: skip
_FINE_TRAILERS = (
    b"X: a",
    b"X: a\r\nY: b",
    b"X:",
    b"X: \xe4",
    b"SCRIPT_NAME: /webhooks",
    b"X-Forwarded-Proto: https",
    b"Webhook-Id: " + MARK,
)
_LONG_TRAILERS = (b"X: " + MARK * 900, b"\r\n".join([b"X: a"] * 3_000), b"X: " + MARK * 30_000)


def chunked(body: bytes) -> bytes:
    return webhook("Transfer-Encoding: chunked", body=body, length=False)


def _one_chunk(after_size: bytes = b"\r\n", after_data: bytes = b"\r\n", size: bytes = _SIZE) -> bytes:
    return size + after_size + WEBHOOK + after_data


_WHOLE = _one_chunk() + _END
_PIECES = b"".join(b"1\r\n%c\r\n" % byte for byte in WEBHOOK)

CASES = (
    *(Case("chunk size", name, chunked(_one_chunk(size=data) + _END)) for name, data in named(_SIZES)),
    *(Case("chunk too large", name, chunked(_one_chunk(size=data)), frozenset({400, 413}), ends=True) for name, data in named(_OVERSIZED)),
    *(Case("chunk extension", name, chunked(_one_chunk(data + b"\r\n") + _END)) for name, data in named(_EXTENSIONS)),
    *(
        Case("fine extension", name, chunked(_one_chunk(data + b"\r\n") + b"0" + data + b"\r\n\r\n"), STORED, stores=1)
        for name, data in named(_FINE_EXTENSIONS)
    ),
    *(Case("chunk end", name, chunked(_one_chunk(after_data=data) + _END), ends=True) for name, data in named(_ENDS)),
    *(Case("trailer", name, chunked(_one_chunk() + b"0\r\n" + data + b"\r\n\r\n"), ends=True) for name, data in named(_TRAILERS)),
    *(
        Case("fine trailer", name, chunked(_one_chunk() + b"0\r\n" + data + b"\r\n\r\n"), STORED, stores=1)
        for name, data in named(_FINE_TRAILERS)
    ),
    *(
        Case("long trailers", name, chunked(_one_chunk() + b"0\r\n" + data + b"\r\n\r\n"), frozenset({400, 431}))
        for name, data in named(_LONG_TRAILERS)
    ),
    *(Case("chunks cut off", f"after {size} bytes", chunked(_WHOLE[:size]), ends=True) for size in (0, 1, 3, 4, 20, *range(len(_WHOLE) - 7, len(_WHOLE)))),
    Case("chunks", "a shorter chunk than announced", chunked(b"ff\r\n" + WEBHOOK + b"\r\n" + _END), ends=True),
    Case("chunks", "a longer chunk than announced", chunked(b"5\r\n" + WEBHOOK + b"\r\n" + _END)),
    Case("chunks", "no chunks at all", chunked(WEBHOOK)),
    Case("chunks", "line feeds only", chunked(_WHOLE.replace(b"\r\n", b"\n"))),
    Case("chunks", "one byte each", chunked(_PIECES + _END), STORED, stores=1),
    Case("chunks", "one byte each, with extensions without end", chunked(_PIECES.replace(b"\r\n", b";" + b"a" * 900 + b"\r\n", 1) * 20 + _END)),
    Case("chunks", "capital digits", chunked(_one_chunk(size=_SIZE.upper()) + b"000\r\n\r\n"), STORED, stores=1),
    Case("chunks", "an empty body", chunked(_END), frozenset({400})),
    Case("chunks", "a large body", chunked(b"11170\r\n" + b" " * 0x11170 + b"\r\n" + _END), frozenset({413})),
    Case("chunks", "rubbish after the end", chunked(_WHOLE + MARK), STORED, stores=1),
)  # fmt: skip
