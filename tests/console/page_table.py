"""The pages of the console: which role may open each, and their addresses for rows of a test."""

import contextlib
from typing import Any
from uuid import uuid4

from django.urls import NoReverseMatch, reverse

from tests.support.builders.console_rows import SUPPORT

AUDITOR, ADMINISTRATOR = "auditor", "administrator"
ROLES = (SUPPORT, AUDITOR, ADMINISTRATOR)


NOBODY: frozenset[str] = frozenset()
EVERYBODY = frozenset(ROLES)
ADMINISTRATORS = frozenset({ADMINISTRATOR})
AUDITING = frozenset({AUDITOR, ADMINISTRATOR})
ACTING = frozenset({SUPPORT, ADMINISTRATOR})

# A page of a model is named after it; these are the models whose rows people look at, and who may change them.
LOOKED_AT = {
    "webhooks_event": EVERYBODY,
    "webhooks_receipt": EVERYBODY,
    "webhooks_refusal": EVERYBODY,
    "webhooks_source": EVERYBODY,
    "sync_connection": EVERYBODY,
    "sync_route": EVERYBODY,
    "sync_mapping": EVERYBODY,
    "sync_delivery": EVERYBODY,
    "sync_replay": EVERYBODY,
    "sync_alarm": EVERYBODY,
    "sync_erasure": ADMINISTRATORS,
    "exports_export": AUDITING,
    "audit_entry": AUDITING,
    "auth_user": ADMINISTRATORS,
    "auth_group": ADMINISTRATORS,
    "logins_accessrequest": ADMINISTRATORS,
}
SET_UP = {"webhooks_source", "sync_connection", "sync_route", "auth_user", "auth_group"}
TABLE = {
    **{f"{name}_{page}": who for name, who in LOOKED_AT.items() for page in ("changelist", "change")},
    **{f"{name}_history": who & AUDITING for name, who in LOOKED_AT.items()},
    **{
        f"{name}_{page}": ADMINISTRATORS if name in SET_UP else NOBODY
        for name in LOOKED_AT
        for page in ("add", "delete")
    },
    "auth_user_delete": NOBODY,
    "sync_mapping_add": ADMINISTRATORS,
    **{f"sync_mapping_{way}": ADMINISTRATORS for way in ("edit", "try", "discard", "backtest", "activate")},
    **{f"sync_failuregroup_{page}": EVERYBODY for page in ("changelist", "change")},
    "sync_failuregroup_history": AUDITING,
    **{f"sync_failuregroup_{page}": NOBODY for page in ("add", "delete")},
    "webhooks_entity": EVERYBODY,
    "webhooks_entity_link": ACTING,
    "webhooks_event_close": ACTING,
    "sync_failuregroup_close_chosen": ACTING,
    "webhooks_event_reveal": {SUPPORT},
    "webhooks_receipt_reveal": {SUPPORT},
    "webhooks_source_format": {ADMINISTRATOR},
    "webhooks_source_capture": EVERYBODY,
    "webhooks_source_capture_reveal": {SUPPORT},
    **dict.fromkeys(
        ("index", "app_list", "preferences", "password_change", "password_change_done", "jsi18n"), EVERYBODY
    ),
    **dict.fromkeys(("reference", "reference_page", "reference_presets", "reference_schema"), EVERYBODY),
    "webhooks_event_view_save": EVERYBODY,
    "webhooks_event_view_remove": EVERYBODY,
    "webhooks_event_replay": ACTING,
    "webhooks_event_replay_new": ACTING,
    "sync_replay_confirm": ACTING,
    "sync_replay_members": EVERYBODY,
    **{
        f"sync_replay_{deed}": ACTING for deed in ("pause", "continue", "stop", "approve", "decline", "again")
    },
    "webhooks_event_download": AUDITING,
    "audit_entry_download": AUDITING,
    "audit_entry_sealing": AUDITING,
    "exports_export_new": {AUDITOR},
    "exports_export_cancel": {AUDITOR},
    "exports_export_download": {AUDITOR},
    "sync_alarm_snooze": ACTING,
    "sync_delivery_route": EVERYBODY,
    "sync_delivery_decide": ACTING,
    "sync_delivery_match": EVERYBODY,
    "sync_connection_test": ACTING,
    "sync_connection_try_now": ADMINISTRATORS,
    "sync_erasure_find": ADMINISTRATORS,
    "sync_erasure_request": ADMINISTRATORS,
    **{f"{name}_confirm": ADMINISTRATORS for name in ("webhooks_source", "sync_connection", "sync_route")},
    **{
        f"webhooks_source_{way}": ADMINISTRATORS
        for way in ("rotate", "end_secret", "pause", "resume", "test")
    },
    **{f"sync_route_{way}": ADMINISTRATORS for way in ("pause", "resume")},
    "auth_user_password_change": ADMINISTRATORS,
    "auth_user_unlock": ADMINISTRATORS,
    **{f"sync_failuregroup_{way}": ACTING for way in ("close", "decide", "note")},
}
# Of buttons: whoever logs in anew after pressing one comes to its address by GET.
BUTTONS = (
    *(f"sync_replay_{deed}" for deed in ("pause", "continue", "stop", "approve", "decline", "again")),
    *(f"sync_failuregroup_{way}" for way in ("close", "decide", "note")),
    "webhooks_source_test",
    "sync_connection_test",
    "sync_connection_try_now",
    "sync_mapping_backtest",
    "exports_export_cancel",
    "webhooks_event_reveal",
    "webhooks_receipt_reveal",
    "webhooks_source_capture_reveal",
    "webhooks_event_view_save",
    "webhooks_event_view_remove",
)


def address_of(name: str, found: dict[str, Any]) -> str:
    """Return the address of a page with the keys of these rows."""
    label = next((label for label in found if name.startswith(f"{label}_")), "")
    key = found[label].pk if label else None
    ways: list[list[Any]] = [[], [key], [key, uuid4()], [uuid4()], [key, found["secret"].pk]]
    ways.append(["sync"])  # an application
    if name.startswith("reference_"):
        ways = [[], ["mapping"]]
    for arguments in [["csv"], *ways] if name.endswith(("event_download", "entry_download")) else ways:
        with contextlib.suppress(NoReverseMatch):
            return reverse(f"admin:{name}", args=arguments)
    raise AssertionError(f"{name}: say here which keys its address needs")
