"""Mask the values of an unverified request's headers, except those that contain no secret. Pure."""

from collections.abc import Mapping

MAX_HEADERS = 50
MAX_NAME_LENGTH = 64
MAX_VALUE_LENGTH = 512
MASK = "•••"

_SHOWN = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
        *("content-language", "content-length", "content-type", "date", "host", "transfer-encoding"),
        *("user-agent",),
    }
)
_SIGNATURE_HEADERS: Mapping[str, tuple[str, ...]] = {
    "standard-webhooks": tuple(
        f"{spelling}-{part}" for spelling in ("webhook", "svix") for part in ("id", "timestamp", "signature")
    )
}
# Their header contains a signature, which is not a secret. That of other schemes may contain the secret itself.
_SCHEMES_WITH_SIGNATURE = ("body-hmac", "timestamped-hmac")
_NEVER_SHOWN = ("authorization", "proxy-authorization", "cookie", "x-api-key")


def mask_headers(headers: Mapping[str, str], scheme: str, settings: Mapping[str, object]) -> dict[str, str]:
    """Return the first 50 headers by name. A value is shown only if its header says how a request was sent or signed;
    of others only the length is.
    """
    shown = _SHOWN.union(_SIGNATURE_HEADERS.get(scheme, ()))
    if scheme in _SCHEMES_WITH_SIGNATURE:
        shown |= {str(settings.get("header", "")).lower()}
    shown -= set(_NEVER_SHOWN)
    return {
        name[:MAX_NAME_LENGTH]: value[:MAX_VALUE_LENGTH] if name in shown else f"{MASK} ({len(value)})"
        for name, value in sorted(headers.items())[:MAX_HEADERS]
    }
