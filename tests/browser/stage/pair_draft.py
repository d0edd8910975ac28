"""A pair draft on the stage: its pages as the administrator sees them."""

from collections.abc import Callable

from sync.models import PairDraft
from tests.browser.stage.busy_hub import Stage

START = "/admin/connect/"


def draft_page(page: str, *, is_entered: bool) -> Callable[[Stage], str]:
    """Return the address of a page of a new pair, with the addresses and credentials entered or not."""

    def address(stage: Stage) -> str:
        PairDraft.objects.all().delete()
        stage.posted("administrator", START, choice="preset:sandbox")
        place = f"{START}{PairDraft.objects.latest('pk').uuid}/"
        stage.posted("administrator", f"{place}choose/target/", choice="preset:sandbox-shop")
        stage.posted("administrator", f"{place}choose/identity/", choice="preset:sandbox-identity")
        if is_entered:
            addresses = {"identity-base_url": stage.hub.identity.url, "target-base_url": stage.hub.shop.url}
            tokens = {"identity-token": "identity-token", "target-token": "shop-token"}
            stage.posted("administrator", f"{place}details/", **addresses, **tokens)
            stage.client("administrator").post(f"{place}review/", {"test": "1"})
        return f"{place}{page}"

    return address
