"""Values from forms and addresses: a reason as one line, the key of a row or none."""

import pytest
from django.core.exceptions import ValidationError
from django.forms import Form

from console.alarms.snooze import SnoozeForm
from console.base.forms import ReasonField, ReasonForm, parse_pk
from console.deliveries.manual_closing import ClosingForm
from console.erasures import forms as erasure_forms
from console.export_jobs import admin as export_forms
from console.failures.forms import FailureDecisionForm
from console.replays.confirm import TermsForm
from sync.models import Mapping
from tests.support.builders.history import a_delivery, a_replay, a_route, a_source, an_event
from tests.support.pages import text_of
from tests.support.people import browser, entries, person

TWENTY_DIGITS = "9" * 20


@pytest.mark.parametrize(("text", "pk"), [("1", 1), ("007", 7), ("0", 0), (str(2**63 - 1), 2**63 - 1)])
def test_digits_are_read_as_a_key(text: str, pk: int) -> None:
    assert parse_pk(text) == pk


@pytest.mark.parametrize(
    "text", ["", "x", "-1", "+1", " 1", "1.0", "1_0", "²", "١", str(2**63), TWENTY_DIGITS, "9" * 5_000]
)
def test_impossible_keys_are_parsed_as_none(text: str) -> None:
    assert parse_pk(text) is None


@pytest.mark.django_db
@pytest.mark.parametrize(
    "page",
    [
        "webhooks/event/{key}/change/",
        "webhooks/event/{key}/replay/",
        "webhooks/receipt/{key}/change/",
        "webhooks/refusal/{key}/change/",
        "sync/replay/{key}/change/",
        "sync/erasure/{key}/change/",
        "sync/delivery/route/{key}/",
        "sync/mapping/{key}/edit/",
        "sync/mapping/{mapping}/compare/?from=1&to={key}",
    ],
)
@pytest.mark.parametrize("key", [TWENTY_DIGITS, "9" * 4_500])
def test_a_page_with_an_impossible_key_is_not_found(page: str, key: str) -> None:
    mapping = a_route(a_source()).mapping
    answer = browser().get("/admin/" + page.format(key=key, mapping=mapping.pk), follow=True)
    assert answer.status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("key", [TWENTY_DIGITS, "9" * 4_500])
def test_a_parameter_with_an_impossible_key_selects_nothing(key: str) -> None:
    event = an_event(source=a_source())
    route = a_route(event.source)
    a_delivery(event, route)
    replay = a_replay(person("support"), state="finished")
    client, edit = browser(), f"/admin/sync/mapping/{route.mapping.pk}/edit/"
    shown = {
        f"/admin/sync/erasure/find/?event={key}": "Entity id",
        f"/admin/webhooks/entity/?type=USER&id={event.entity_id}&identity={key}": event.entity_id,
        f"/admin/webhooks/event/?q=/admin/webhooks/event/{key}/change/": "Events",
        f"/admin/sync/replay/{replay.uuid}/events/?after={key}": "Events of this replay",
        f"{edit}?version={key}": "Edit Person to customer",
        f"/admin/webhooks/event/?before=1-{key}": "Events",
    }
    pages = {address: client.get(address) for address in shown}
    assert {address: page.status_code for address, page in pages.items()} == dict.fromkeys(shown, 200)
    assert [address for address, text in shown.items() if text not in text_of(pages[address])] == []


@pytest.mark.django_db
@pytest.mark.parametrize("key", [TWENTY_DIGITS, "9" * 4_500])
def test_an_action_on_impossible_keys_is_refused(key: str) -> None:
    mapping = a_route(a_source()).mapping
    client, page = browser(), f"/admin/sync/mapping/{mapping.pk}/"
    ticked = {"action": "replay_selected", "_selected_action": [key]}
    assert "Select events first." in text_of(client.post("/admin/webhooks/event/", ticked, follow=True))
    snoozed = client.get(f"/admin/sync/alarm/snooze/?alarm={key}", follow=True)
    assert "None of these alarms is active anymore." in text_of(snoozed)
    activated = client.get(f"{page}activate/?version={key}", follow=True)
    assert "This mapping no longer has a draft." in text_of(activated)
    tried = client.post(f"{page}try/", {"declaration": '{"fields": {"x": {"constant": 1}}}', "event": key})
    assert "The contents of this event are masked" in text_of(tried)
    assert Mapping.objects.get(pk=mapping.pk).current_version().number == 1


@pytest.mark.parametrize(
    "form",
    [
        ReasonForm,
        SnoozeForm,
        ClosingForm,
        TermsForm,
        FailureDecisionForm,
        export_forms.ExportRequestForm,
        erasure_forms.ErasureRequestForm,
    ],
)
def test_a_reason_is_one_line_in_every_form(form: type[Form]) -> None:
    assert form.base_fields["reason"].clean("  the  letter\r\n\tof the 3rd\xa0") == "the letter of the 3rd"


def test_the_limits_of_a_reason_apply_to_its_cleaned_text() -> None:
    field = ReasonField(min_length=3, max_length=5)
    assert field.clean("a  \n  b  \n  c") == "a b c"
    for wrong in ("", " \n ", "a     ", "a b c d"):
        with pytest.raises(ValidationError):
            field.clean(wrong)


@pytest.mark.django_db
def test_a_reason_of_several_lines_is_recorded_as_one() -> None:
    event = an_event(source=a_source())
    browser("support").post(f"/admin/webhooks/event/{event.pk}/reveal/", {"reason": "she asked\n  why"})
    (entry,) = entries("event.revealed")
    assert entry["details"]["reason"] == "she asked why"
