"""Forms in which a system repeats what it was sent, and a search that knows how each of them looks when it is read."""

import base64
import codecs
import html
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from urllib.parse import quote, quote_plus, unquote_to_bytes


def _json_units(text: str) -> str:
    units = text.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


ECHOED_FORMS: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "base64": _base64,
    "base64 after one byte": lambda text: _base64("x" + text + "yz"),
    "base64 after two bytes": lambda text: _base64("xy" + text + "z"),
    "base64 in lines": lambda text: base64.encodebytes(f"{'x' * 50}{text}{'y' * 70}".encode()).decode(),
    "base64url": lambda text: base64.urlsafe_b64encode(("?" + text + "??").encode()).decode(),
    "base64 of JSON": lambda text: _base64(json.dumps({"seen": text})),
    "base64, then URL-encoded": lambda text: quote(_base64(text), safe=""),
    "hex": lambda text: text.encode().hex(),
    "hex in capitals": lambda text: text.encode().hex().upper(),
    "URL-encoded": lambda text: quote(text, safe=""),
    "form-encoded": quote_plus,
    "URL-encoded twice": lambda text: quote(quote(text, safe=""), safe=""),
    "URL-encoded, every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "URL-encoded, small letters": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "JSON-escaped": lambda text: json.dumps(text)[1:-1],
    "JSON-escaped, every character": _json_units,
    "JSON-escaped slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON in JSON": lambda text: json.dumps(json.dumps({"seen": text})),
    "HTML-escaped": html.escape,
    "HTML, numbers": lambda text: "".join(f"&#{ord(character)};" for character in text),
    "HTML, hex": lambda text: "".join(f"&#x{ord(character):x};" for character in text),
    "URL-encoded in HTML": lambda text: html.escape(f"<{quote(text, safe='')}>"),
}


def readable_in(page: str, secret: str) -> bool:
    """Return True if a person with a decoder can read a secret, or its first half, on a page.

    Independent of the scrubber: each text is decoded here, not each secret encoded.
    """
    return bool(readable_secrets(page, [secret]))


def readable_secrets(page: str, secrets: Collection[str]) -> list[str]:
    """Return the secrets of which a person with a decoder can read the first half on a page."""
    # Half of a secret, but no less than what is looked for.
    wanted = {secret: secret[: max(6, (len(secret) + 1) // 2)].encode() for secret in secrets}
    texts = b"\0".join(_decoded(page))
    return [secret for secret, half in wanted.items() if half in texts]


def _decoded(page: str) -> Iterator[bytes]:
    text = page.encode("utf-8", "replace")
    for _ in range(4):
        yield text
        for run in _decode_runs(text):
            yield run
            yield _unescape(run)
        yield from _decode_runs(re.sub(rb"\s+", b"", text))
        unescaped = _unescape(text)
        yield unquote_to_bytes(text)
        yield unquote_to_bytes(text.replace(b"+", b" "))
        yield html.unescape(text.decode("utf-8", "replace")).encode("utf-8", "replace")
        if unescaped == text:
            return
        text = unescaped


def _unescape(text: bytes) -> bytes:
    words = html.unescape(unquote_to_bytes(text).decode("utf-8", "replace"))
    words = re.sub(r"(?:\\u[0-9a-fA-F]{4})+|\\.", lambda match: _decode_escape(match[0]), words)
    return words.encode("utf-8", "replace")


def _decode_escape(escape: str) -> str:
    if escape.startswith("\\u") and len(escape) > 2:
        return bytes.fromhex(escape.replace("\\u", "")).decode("utf-16-be", "replace")
    return {"\\n": "\n", "\\r": "\r", "\\t": "\t"}.get(escape, escape[1:])


def _decode_runs(text: bytes) -> Iterator[bytes]:
    for run in re.findall(rb"[A-Za-z0-9+/_-]{7,}", text):
        for start in range(4):
            part = run[start : start + (len(run) - start) // 4 * 4]
            yield base64.urlsafe_b64decode(part.replace(b"+", b"-").replace(b"/", b"_"))
    for run in re.findall(rb"(?:[0-9a-fA-F]{2}){6,}", text):
        yield codecs.decode(run, "hex")
