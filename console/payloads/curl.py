"""A request of the hub as a command for a shell: secrets are variables, values are covered. Pure."""

import shlex
from collections.abc import Mapping
from typing import Any

from console.payloads.masking import masked_address, masked_text

_SECRET = ("authorization", "cookie", "x-api-key", "proxy-authorization")


def curl(method: str, path: str, sent: Mapping[str, Any]) -> str:
    """Of a stored request (`url`, `headers`, `body`). Nothing of it can be run by accident: `$TOKEN` is for the reader
    to fill in, and so is what stands for a value.
    """
    parts = ["curl", "-X", shlex.quote(method), shlex.quote(masked_address(str(sent.get("url", "")), path))]
    for name, value in (sent.get("headers") or {}).items():
        is_secret = name.lower() in _SECRET or "redacted" in str(value).lower()
        parts.append("-H " + (f'"{_plain(name)}: $TOKEN"' if is_secret else shlex.quote(f"{name}: {value}")))
    if sent.get("body"):
        parts.append("--data-raw " + shlex.quote(masked_text(str(sent["body"]))))
    return " ".join(parts[:4]) + "".join(f" \\\n  {part}" for part in parts[4:])


def _plain(name: str) -> str:
    """A header's name holds nothing that a shell would read; what is stored may."""
    return "".join(letter for letter in name if letter.isalnum() or letter == "-")
