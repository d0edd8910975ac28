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
from tests.support.people import browser, person

TWENTY_DIGITS = "9" * 20


def test_digits_are_read_as_a_key() -> None:
    texts = ["1", "007", "0", str(2**63 - 1)]
    assert [parse_pk(text) for text in texts] == [1, 7, 0, 2**63 - 1]


def test_impossible_keys_are_parsed_as_none() -> None:
    texts = ["", "x", "-1", "+1", " 1", "1.0", "1_0", "²", "١", str(2**63), TWENTY_DIGITS, "9" * 5_000]
    assert [text for text in texts if parse_pk(text) is not None] == []


@pytest.mark.django_db
@pytest.mark.parametrize("key", [TWENTY_DIGITS, "9" * 4_500])
def test_a_parameter_with_an_impossible_key_selects_nothing(key: str) -> None:
    event = an_event(source=a_source())
    route = a_route(event.source)
    a_delivery(event, route)
    replay = a_replay(person("support"), state="finished")
    client, edit = browser(), f"/admin/sync/mapping/{route.mapping.pk}/edit/"
    for address in (
        f"/admin/sync/erasure/find/?event={key}",
        f"/admin/webhooks/entity/?type=USER&id={event.entity_id}&identity={key}",
        f"/admin/webhooks/event/?q=/admin/webhooks/event/{key}/change/",
        f"/admin/sync/personrequest/{replay.uuid}/events/?after={key}",
        f"{edit}?version={key}",
        f"/admin/webhooks/event/?before=1-{key}",
    ):
        assert client.get(address).status_code == 200, address


@pytest.mark.submission
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


def test_a_reason_is_one_line_in_every_form() -> None:
    forms: tuple[type[Form], ...] = (
        *(ReasonForm, SnoozeForm, ClosingForm, TermsForm, FailureDecisionForm),
        *(export_forms.ExportRequestForm, erasure_forms.ErasureRequestForm),
    )
    for form in forms:
        reason = form.base_fields["reason"].clean("  the  letter\r\n\tof the 3rd\xa0")
        assert reason == "the letter of the 3rd", form


def test_the_limits_of_a_reason_apply_to_its_cleaned_text() -> None:
    field = ReasonField(min_length=3, max_length=5)
    assert field.clean("a  \n  b  \n  c") == "a b c"
    for wrong in ("", " \n ", "a     ", "a b c d"):
        with pytest.raises(ValidationError):
            field.clean(wrong)
