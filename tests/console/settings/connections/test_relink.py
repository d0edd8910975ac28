"""The page that links the records of a target again: its preview, its result, and who may use it."""

from typing import Any

import pytest

from sync.models import Connection, Relinking
from sync.operations.ids_changed import pause_changed_targets
from sync.operations.pauses import resume_flow
from tests.support.changed_ids import change_ids, create_people, linked_ids, post_event, record_ids
from tests.support.hub import Hub
from tests.support.jobs import run_jobs
from tests.support.pages import visible_text
from tests.support.people import browser, entries

pytestmark = pytest.mark.concurrent


def test_support_reviews_the_preview_and_links_the_records(hub: Hub) -> None:
    people = create_people(hub, 5)
    before = linked_ids(people)
    change_ids(hub, "shift")
    for user in people:
        post_event(hub, user)
    shop = Connection.objects.get(slug="shop")
    # A failed proof is noted after the answer.
    hub.wait_until_quiet()
    assert pause_changed_targets() == [shop.pk]
    change_ids(hub, "import")
    client, page = browser("support"), f"/admin/sync/connection/{shop.pk}/relink/"
    text = visible_text(client.get(f"/admin/sync/connection/{shop.pk}/change/"))
    assert "Paused by the hub: the record ids of this system have changed." in text
    assert "Link records again…" in text
    assert client.post(page, {"preview": "1"}).status_code == 200, "it needs a reason"
    assert "0 links checked" in visible_text(client.post(page, preview_form(), follow=True))
    run_jobs("relink")
    text = visible_text(client.get(page))
    assert "5 entities get another record. Nothing has been changed yet." in text
    after = record_ids(hub, people)
    for user in people:
        assert after[user] in text
        assert user in text
    run = Relinking.objects.get()
    client.post(page, {"apply": "1", "run": str(run.uuid)})
    run_jobs("relink")
    text = visible_text(client.get(page))
    assert "5 entities have another record now. Resume the connection" in text
    assert linked_ids(people) == after != before
    assert entries("connection.relinking-previewed")[0]["details"]["reason"] == "restored"
    assert entries("connection.relinking-applied")[0]["details"]["relinked"] == 5
    resume_flow(shop)


def preview_form() -> dict[str, Any]:
    return {"preview": "1", "reason": "restored"}


@pytest.mark.submission
def test_a_stale_page_applies_nothing(hub: Hub) -> None:
    shop = Connection.objects.get(slug="shop")
    client, page = browser("support"), f"/admin/sync/connection/{shop.pk}/relink/"
    client.post(page, preview_form())
    run_jobs("relink")
    first = Relinking.objects.get()
    client.post(page, {"cancel": "1", "run": str(first.uuid)})
    client.post(page, preview_form())
    run_jobs("relink")
    text = visible_text(client.post(page, {"apply": "1", "run": str(first.uuid)}, follow=True))
    assert "The run has changed in the meantime." in text
    assert [run.state for run in Relinking.objects.order_by("pk")] == ["cancelled", "ready"]


def test_only_a_target_has_the_page(hub: Hub) -> None:
    identity = Connection.objects.get(side="identity")
    assert browser("support").get(f"/admin/sync/connection/{identity.pk}/relink/").status_code == 404
