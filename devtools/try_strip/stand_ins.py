"""The two stand-in systems, at the addresses of the hub's own connections, as their users change them."""

from typing import Any

from sandbox.demo.client import RemoteService
from sandbox.demo.walkthrough import PERSON_ID, build_address, build_new_email
from sync.models import Connection

REFUSAL = "The shop accepts no changes at the moment."
_FAULTS = "/_sandbox/faults"


def change_person() -> None:
    """Give the person of the demonstration another address, and let the identity service send its webhook.

    Waits for the hub's answer. Raises DemoError.
    """
    identity = _open_service("sandbox-identity", "The identity service")
    change = {"emails": [build_address(build_new_email())]}
    identity.call_api("PATCH", f"/api/users/{PERSON_ID}?notify=0", change)
    webhook = {"id": PERSON_ID, "entityType": "USER", "eventType": "UPDATE", "source": "signed"}
    identity.call_api("POST", "/api/notify", webhook)


def fetch_address() -> str:
    """Return the address that the person has in the identity service; empty for none. Raises DemoError."""
    user: dict[str, Any] = _open_service("sandbox-identity", "The identity service").call_api(
        "GET", f"/api/users/{PERSON_ID}"
    )
    return next((str(email["address"]) for email in user.get("emails") or []), "")


def break_shop() -> None:
    """Let the shop refuse every change until `repair_shop`. Raises DemoError."""
    repair_shop()
    _open_shop().call_api("POST", _FAULTS, {"kind": "refuse", "sentence": REFUSAL})


def repair_shop() -> None:
    """End all faults of the shop. Raises DemoError."""
    _open_shop().call_api("DELETE", _FAULTS)


def is_connected() -> bool:
    """Return True if the hub is connected to both stand-in systems."""
    presets = ("sandbox-identity", "sandbox-shop")
    return Connection.objects.filter(preset__in=presets).values("side").distinct().count() == len(presets)


def _open_shop() -> RemoteService:
    return _open_service("sandbox-shop", "The shop")


def _open_service(preset: str, title: str) -> RemoteService:
    connection = Connection.objects.filter(preset=preset).earliest("pk")
    token = str((connection.credentials or {}).get("token", ""))
    return RemoteService(title, connection.base_url, token)
