"""Print a stored request as a curl command, with masked values and variables for secrets. Pure."""

import shlex
from collections.abc import Mapping
from typing import Any

from console.payloads.masking import mask_header, mask_text, mask_url

_SECRET_HEADERS = ("authorization", "cookie", "x-api-key", "proxy-authorization")


def build_curl_command(method: str, path: str, request_document: Mapping[str, Any]) -> str:
    """Build a curl command from a stored request (`url`, `headers`, `body`).

    It cannot be run by accident: the reader must fill in `$TOKEN` and every masked value.
    """
    parts = [
        "curl",
        "-X",
        shlex.quote(method),
        shlex.quote(mask_url(str(request_document.get("url", "")), path)),
    ]
    for name, value in (request_document.get("headers") or {}).items():
        # Stored headers have their secrets redacted; known names are hidden in any case.
        is_secret = name.lower() in _SECRET_HEADERS or "redacted" in str(value).lower()
        shown = shlex.quote(f"{name}: {mask_header(name, str(value))}")
        # Double quotes, so that the shell replaces $TOKEN. Nothing else in them may have a meaning for a shell.
        parts.append("-H " + (f'"{_safe_header_name(name)}: $TOKEN"' if is_secret else shown))
    if request_document.get("body"):
        parts.append("--data-raw " + shlex.quote(mask_text(str(request_document["body"]))))
    # The command and its address on one line, then one option a line.
    return " ".join(parts[:4]) + "".join(f" \\\n  {part}" for part in parts[4:])


def _safe_header_name(name: str) -> str:
    """Return the name without characters that a shell would interpret."""
    return "".join(letter for letter in name if letter.isalnum() or letter == "-")
