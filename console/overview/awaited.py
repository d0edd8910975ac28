"""Requests that await a second person: which of them this person can decide, and who is awaited."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.base.decisions import deciders_text
from database.lookups.row_count import RowCount
from exports.jobs.approvals import awaiting_exports
from exports.jobs.approvals import who_can_approve as who_can_approve_export
from logins.access_requests import open_requests
from logins.access_requests import who_can_approve as who_can_approve_access
from logins.held_permissions import APPROVE_EXPORTS, APPROVE_REPLAYS, CHANGE_PEOPLE, ERASE
from logins.second_person import Decider
from sync.comparisons.match_linking.requests import who_can_approve as who_can_approve_links
from sync.erasure.requests import who_can_confirm
from sync.models import (
    Erasure,
    ErasureState,
    MatchLinking,
    MatchLinkingState,
    PersonRequest,
    PersonRequestState,
)
from sync.replays.decisions import who_can_approve as who_can_approve_replay

# Of each kind.
MAX_COUNTED = 99
MAX_SHOWN = 2


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of requests. Whoever has the permission sees them, and decides on those of others. `find_page`: the
    address of a request that has no page of its model.
    """

    permission: str
    model_name: str
    title: Any
    open_rows: Callable[[], QuerySet[Any]]
    find_deciders: Callable[[Any], Sequence[Decider]]
    find_page: Callable[[Any], str] | None = None

    def address_of(self, row: Any) -> str:
        """Return the address of the page of a request."""
        if self.find_page is not None:
            return self.find_page(row)
        return reverse(f"admin:{self.model_name}_change", args=[row.pk])


def _linking_page(linking: MatchLinking) -> str:
    return reverse("admin:sync_comparison_links", args=[linking.comparison.uuid])


@dataclass(frozen=True, slots=True)
class AwaitedRequest:
    """A request, with a sentence about who is awaited, and the address of its page."""

    title: str
    text: str
    link: str


_KINDS = (
    _Kind(
        ERASE,
        "sync_erasure",
        gettext_lazy("An erasure awaits a second person."),
        lambda: Erasure.objects.filter(state=ErasureState.REQUESTED),
        who_can_confirm,
    ),
    _Kind(
        CHANGE_PEOPLE,
        "logins_accessrequest",
        gettext_lazy("A request for access awaits a second person."),
        open_requests,
        who_can_approve_access,
    ),
    _Kind(
        APPROVE_REPLAYS,
        "sync_personrequest",
        gettext_lazy("A replay awaits a second person."),
        lambda: PersonRequest.objects.filter(state=PersonRequestState.AWAITING),
        who_can_approve_replay,
    ),
    _Kind(
        APPROVE_REPLAYS,
        "sync_comparison",
        gettext_lazy("Linking unique matches awaits a second person."),
        lambda: MatchLinking.objects.filter(state=MatchLinkingState.AWAITING),
        who_can_approve_links,
        _linking_page,
    ),
    _Kind(
        APPROVE_EXPORTS,
        "exports_export",
        gettext_lazy("An export awaits a second person."),
        awaiting_exports,
        who_can_approve_export,
    ),
)


def awaited_counts(user: Any) -> dict[str, RowCount]:
    """Return expressions that count the requests of others that await this person as the second one, by the URL name of
    their list. Kinds that this person does not decide on are left out.
    """
    kinds = [kind for kind in _KINDS if user.has_perm(kind.permission)]
    rows = (kind.open_rows().exclude(requested_by=user.pk).order_by().values("pk") for kind in kinds)
    names = (f"admin:{kind.model_name}_changelist" for kind in kinds)
    return dict(zip(names, (RowCount(keys[:MAX_COUNTED]) for keys in rows), strict=True))


def awaited_requests(user: Any) -> Iterator[AwaitedRequest]:
    """Yield the oldest requests of each kind that this person sees. One statement a kind, and more for each request."""
    for kind in _KINDS:
        if not user.has_perm(kind.permission):
            continue
        for row in kind.open_rows().select_related("requested_by").order_by("pk")[:MAX_SHOWN]:
            text = _("Requested by %(who)s. %(deciders)s") % {
                "who": row.requested_by,
                "deciders": deciders_text(kind.find_deciders(row)),
            }
            yield AwaitedRequest(str(kind.title), text, kind.address_of(row))
