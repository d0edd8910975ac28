"""Compress JSON documents before they are encrypted: raw DEFLATE with a dictionary of frequent content.

The dictionary is part of the format: a change of one byte makes stored values unreadable. A new dictionary needs a new
version of the encrypted value (`subject_cipher`).
"""

import zlib

# Measured: 12 µs for a payload; the default memory would take 14 to 80.
_LEVEL, _WINDOW, _MEMORY = 1, -13, 6
# Bytes of the plain length, which is in front of the compressed value.
_LENGTH = 4
# Shorter values do not become smaller.
_SMALLEST = 48

# From rare to frequent: references to the end of the dictionary take the fewest bits.
DICTIONARY = b"".join(
    (
        b'{"type":"","title":"","status":422,"detail":"","code":"","retrying":false,"errors":[{"field":"","pointer":"",',
        b'"sentence":"{"id":"","entityType":"FILE","entityType":"GROUP","eventId":"","eventType":"DELETE",',
        b'"eventType":"CREATE","previous":{"entityType":"USER","eventType":"UPDATE","timestamp":"2026-01-01T00:00:00Z",',
        b'"respond":"ack"},"respond":"result"}{"status":"unchanged","reference":"01{"status":"succeeded","reference":"01",',
        b'"results":[{"connection":"","status":"succeeded","action":"created","action":"updated","id":"{"action":"none",',
        b'"action":"delete","action":"create","action":"update","record":"","fields":[{"name":"","before":null,"after":"",',
        b'"before":"","after":""}],"same":{""email":"@example.com","first_name":"","last_name":"","phone":"",',
        b'"language":"","active":true,"enabled":false,',
        rb"\",\"username\":\"\",\"name\":{\"givenName\":\"\",\"familyName\":\"\"},\"emails\":[{\"address\":\"\",",
        rb"\"verified\":true}],\"value\":\"\",\"mobiles\":[{\"number\":\"+\"}],\"memberOf\":[\"\"],\"locale\":\"en\",",
        rb"\"meta\":{\"lastModified\":\"{\"items\":[{\"external_id\":\"\",\"email\":\"@example.com\",",
        rb"\"first_name\":\"\",\"last_name\":\"\",\"phone\":\"\",\"language\":\"\",\"active\":true,",
        rb"\"created_at\":\"2026-01-01T00:00:00Z\",\"updated_at\":\"2026-01-01T00:00:00Z\"}",
        b'{"headers":{"content-type":"application/json; charset=utf-8","content-length":"","date":"","etag":"",',
        b'"location":"","retry-after":"{"headers":{"content-type":"application/json"},',
        rb'"body":"{\"id\":\"","body":null,"request":{"url":"https://',
        b'{"url":"http://","headers":{"Accept":"application/json","Accept-Encoding":"identity",',
        b'"User-Agent":"integration-hub","Content-Type":"application/json","X-Request-Id":"01","Idempotency-Key":"01",',
        rb'"Authorization":"***"},"body":null}}"Authorization":"***"},"body":"{\"',
    )
)


def compress(plain: bytes) -> bytes | None:
    """Return the compressed value with its plain length in front, or None if it would not be smaller."""
    if len(plain) < _SMALLEST:
        return None
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, DICTIONARY)
    packed = len(plain).to_bytes(_LENGTH, "big") + packer.compress(plain) + packer.flush()
    return packed if len(packed) < len(plain) else None


def decompress(packed: bytes) -> bytes:
    """Return the plain value. Reads no more than the declared length, and raises ValueError if the length differs."""
    length = int.from_bytes(packed[:_LENGTH], "big")
    unpacker = zlib.decompressobj(_WINDOW, DICTIONARY)
    try:
        # One byte more than declared, to see that the stream ends there.
        plain = unpacker.decompress(packed[_LENGTH:], length + 1)
    except zlib.error as error:
        raise ValueError("this is not compressed") from error
    if len(plain) != length or not unpacker.eof:
        raise ValueError("the length is not the declared one")
    return plain
