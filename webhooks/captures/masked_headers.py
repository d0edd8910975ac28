"""Mask the values of a captured request's headers, except those that cannot contain a secret or a signature. Pure."""

from collections.abc import Iterator, Mapping

MAX_HEADERS = 50
MAX_NAME_LENGTH = 64
MAX_VALUE_LENGTH = 512
MASK = "•••"

_SHOWN = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
        *("content-language", "content-length", "content-type", "date", "host", "transfer-encoding"),
        *("user-agent", "webhook-id", "webhook-timestamp", "svix-id", "svix-timestamp"),
    }
)


def mask_headers(headers: Mapping[str, str], scheme_settings: object) -> dict[str, str]:
    """Return the first 50 headers by name. A value is kept only if its header says how a request was sent; of others
    only the length is. No header that the settings of the verification name is kept: it may hold a secret, or a
    signature with which the request could be sent again.
    """
    shown = _SHOWN.difference(_list_texts(scheme_settings))
    return {
        name[:MAX_NAME_LENGTH]: value[:MAX_VALUE_LENGTH] if name in shown else f"{MASK} ({len(value)})"
        for name, value in sorted(headers.items())[:MAX_HEADERS]
    }


def _list_texts(document: object) -> Iterator[str]:
    """Yield each text of the settings in lower case."""
    if isinstance(document, str):
        yield document.lower()
    elif isinstance(document, Mapping):
        for value in document.values():
            yield from _list_texts(value)
    elif isinstance(document, list):
        for value in document:
            yield from _list_texts(value)
