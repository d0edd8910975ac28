"""Options of a mapped field, against the stand-in shop: only at creation, not compared, kept without a value."""

from typing import Any

from tests.support.builders.references import add_user, record_of, set_field, tell
from tests.support.hub import ANNA, Hub


def shop_record(hub: Hub, key: str) -> dict[str, Any]:
    record = record_of(hub, "customers", key)
    assert record is not None
    return record


def test_a_field_of_the_creation_is_never_written_again(hub: Hub) -> None:
    set_field("USER", "language", {"constant": "sv", "only_on_create": True})
    add_user(hub, "BEA")
    assert tell(hub, "USER", "BEA") == "done"
    record = shop_record(hub, "BEA")
    assert record["language"] == "sv"
    # The shop's own choice stays, also when another field changes.
    hub.shop.catalogue.update_record("customers", str(record["id"]), {"language": "en"}, replaces=False)
    hub.change_email("new@example.com", "BEA")
    assert tell(hub, "USER", "BEA") == "done"
    record = shop_record(hub, "BEA")
    assert (record["email"], record["language"]) == ("new@example.com", "en")
    assert "language" not in hub.writes()[-1]["body"]


def test_a_field_that_is_not_compared_is_sent_only_with_others(hub: Hub) -> None:
    set_field("USER", "phone", {"constant": "+3580000", "not_compared": True})
    assert tell(hub, "USER", ANNA) == "done"
    assert hub.writes() == []
    hub.change_email("other@example.com")
    assert tell(hub, "USER", ANNA) == "done"
    (write,) = hub.writes()
    assert "+3580000" in str(write["body"])


def test_a_field_without_a_value_is_kept_or_cleared(hub: Hub) -> None:
    phone = shop_record(hub, ANNA)["phone"]
    assert phone
    set_field("USER", "phone", {"path": "entity.none", "when_absent": "keep"})
    assert tell(hub, "USER", ANNA) == "done"
    assert shop_record(hub, ANNA)["phone"] == phone
    set_field("USER", "phone", {"path": "entity.none", "when_absent": "clear"})
    assert tell(hub, "USER", ANNA) == "done"
    assert shop_record(hub, ANNA)["phone"] is None
