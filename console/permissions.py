"""The permissions that the console asks for, by the names that Django gives them."""

from typing import Any

from django.conf import settings

CONTENTS = "webhooks.view_contents"
MAY_ACTIVATE = "sync.activate_mapping"
MAY_APPROVE = "sync.approve_delivery"
MAY_APPROVE_REPLAY = "sync.approve_replay"
MAY_CHANGE_ROUTES = "sync.change_route"
MAY_CLOSE = "sync.close_delivery"
MAY_COMPARE = "sync.run_comparison"
MAY_DOWNLOAD = "webhooks.download_event"
MAY_EDIT = "sync.change_mapping"
MAY_EXPORT = "exports.request_export"
MAY_PAUSE_CONNECTION = "sync.pause_connection"
MAY_REPLAY = "webhooks.replay_event"
MAY_REPLAY_MANY = "sync.replay_many"
MAY_SHARE = "console.share_view"
MAY_TEND = "sync.manage_failuregroup"
MAY_TEST = "sync.test_connection"
MAY_UNDO = "sync.replay_older"
SEE_DIFFERENCES = "sync.view_differences"
# The values of the requests that a capture window stored.
SEE_LEARNING = "webhooks.see_learning_requests"
# To link the records of a target again.
RELINK_PERMISSIONS = ("sync.view_link", MAY_APPROVE)
# To connect two systems on one page: what each of its parts asks for.
PAIR_PERMISSIONS = (
    *("webhooks.add_source", "webhooks.change_source", "webhooks.add_sourcesecret"),
    *("sync.add_connection", "sync.view_connection", "sync.add_mapping", "sync.add_route", MAY_CHANGE_ROUTES),
    MAY_TEST,
)


def approval_limit(user: Any) -> int:
    """Return how many subjects this person may replay or link at once without approval by another one."""
    return int(settings.REPLAY_LIMIT_ADMIN if user.has_perm(MAY_REPLAY_MANY) else settings.REPLAY_LIMIT)


def may_find_by_value(user: Any) -> bool:
    """Return True if this person finds people by their data: only those who may see payload contents, if there is a key
    of search digests.
    """
    return bool(settings.SEARCH_KEYS) and bool(user.has_perm(CONTENTS))
