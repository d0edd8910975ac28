"""Mappings in the console: edited, tried out, compared, back-tested, activated, by permitted roles."""

import json
import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from console.pairs.choices import list_choices
from console.settings.mappings.mapping_trial import MappingTrial
from console.settings.mappings.words import FUNCTION_LABELS, describe_rules
from sync.models import BackTest, Mapping, MappingDraft
from sync.pairs.planned_pair import MAPPING
from sync.planning.mapping_functions import FUNCTIONS
from tests.support.builders.backtests import a_draft, a_mapped_event, a_mapping_in_use
from tests.support.builders.history import sealed_findings
from tests.support.builders.settings_rows import DECLARATION, mapping
from tests.support.jobs import run_jobs
from tests.support.pages import text_of, typed_form
from tests.support.people import browser, entries, person

pytestmark = pytest.mark.django_db

LOWER = {"fields": {"email": {"path": "entity.email", "apply": ["lower"]}}}
UPPER = {"fields": {"email": {"path": "entity.email", "apply": ["upper"]}, "active": {"constant": True}}}
SECRET = "Anna.Secret@example.com"
BACKTEST = {"events": "50", "reason": "before it is activated"}


def address(of: Mapping, what: str = "change") -> str:
    return f"/admin/sync/mapping/{of.pk}/{what}/"


def form(declaration: Any, version: int = 1, draft: int = 0, **more: str) -> dict[str, Any]:
    text = declaration if isinstance(declaration, str) else json.dumps(declaration, indent=2)
    return {
        "declaration": text,
        "seen_version": version,
        "seen_draft": draft,
        "save": "1",
        "note": "n",
    } | more


def seeing_contents() -> Client:
    """Return the client of an administrator who is in support too."""
    return browser("administrator+support", "both")


@pytest.mark.submission
def test_a_declaration_is_saved_as_a_draft_and_the_active_version_stays() -> None:
    of, client = mapping(), browser("administrator")
    page = client.get(address(of, "edit")).content.decode()
    assert "entity.email" in page
    assert client.post(address(of, "edit"), form(UPPER, note="upper-cased")).status_code == 302
    draft = MappingDraft.objects.get()
    assert (draft.declaration, draft.note, draft.text) == (UPPER, "upper-cased", json.dumps(UPPER, indent=2))
    assert of.current_version().declaration == DECLARATION
    page = client.get(address(of)).content.decode()
    assert "upper-cased" in page
    assert "Changes" in page
    assert "lower" not in client.get(address(of, "edit")).context["state"].text


@pytest.mark.submission
def test_an_invalid_declaration_is_refused_with_its_line_and_stays_in_the_form() -> None:
    of, client = mapping(), browser("administrator")
    for text, told in (
        ('{"fields": {\n  "a": {"path": "entity.x"}\n  "b": 1}}', "Line 3: "),
        ('{"fields": {\n  "a": {"path": "entity.x",\n    "apply": ["lowr"]}}}', "Line 3: a.apply: "),
        ('{"fields": {"a": {"path": "entity.x"},\n\n"a": {"path": "entity.y"}}}', "Line 3: “a” "),
        ('{"fields": {\n"a": {"path": "a[["}}}', "Line 2: a.path: &#x27;a[[&#x27; "),
        (
            '{"fields": {\n"a": {"path": "entitty.phone"}}}',
            "begins with entitty. It must begin with one of: ",
        ),
        ('{"fields": {"a": {"constant":\n "\\u0000"}}}', "Line 2: "),
        ('{"fields": {"a": {"constant": "\\ud800"}}}', "cannot be stored"),
        ("[" * 100_000, ""),
        ("", "Line 1"),
    ):
        answer = client.post(address(of, "edit"), form(text))
        assert told in text_of(answer), text[:80]
        assert answer.context["state"].text == text
    assert not MappingDraft.objects.exists()


def test_the_second_of_two_editors_sees_the_text_of_the_first_and_loses_nothing() -> None:
    of, anna, ben = mapping(), browser("administrator", "anna"), browser("administrator", "ben")
    anna.post(address(of, "edit"), form(LOWER | {"match": {"new": ["email"]}}))
    mine = {"fields": {"email": {"path": "entity.mine"}}}
    answer = ben.post(address(of, "edit"), form(mine))
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "anna" in page
    assert "entity.mine" in page
    assert MappingDraft.objects.count() == 1
    seen = answer.context["seen"]
    assert ben.post(address(of, "edit"), form(mine, seen.version_number, seen.draft_id)).status_code == 302
    assert list(MappingDraft.objects.order_by("pk").values_list("state", flat=True)) == ["replaced", "open"]


@pytest.mark.submission
@pytest.mark.parametrize("page", ["edit", "try"])
def test_a_declaration_is_tried_out_with_and_without_script_and_not_saved(page: str) -> None:
    of, client = mapping(), browser("administrator")
    for given, shown in (
        ({"entity": '{"email": "ANNA@EXAMPLE.COM"}'}, "anna@example.com"),
        ({"entity": "{}"}, "email: required, but `entity.email`"),
        ({"entity": "{"}, "line 1: "),
        ({"entity": "[" * 100_000}, "nested too deeply"),
        ({"entity": "{}", "webhook": "[]"}, "The webhook: "),
        ({"entity": "{}", "declaration": '{"fields": {"x": {"constant": "unsaved"}}}'}, "unsaved"),
        ({"declaration": '{"fields": {}}'}, "1 to 200 fields"),
        ({"event": "99999999"}, "“Can see payload contents”"),
        ({"event": "x"}, "“Can see payload contents”"),
    ):
        answer = client.post(address(of, page), {"declaration": json.dumps(DECLARATION)} | given)
        assert shown in answer.content.decode(), given
    assert of.versions.get().declaration == DECLARATION
    assert not MappingDraft.objects.exists()
    assert not entries("mapping.drafted")


def test_a_trial_on_an_event_shows_changes_to_the_last_known_record() -> None:
    of, route = a_mapping_in_use(LOWER)
    event = a_mapped_event(route, {"email": SECRET})
    document = {
        "action": "update",
        "record": "4711",
        "fields": [{"name": "email", "before": "old@example.com", "after": SECRET.lower()}],
        "same": {"active": True},
    }
    attempt = event.deliveries.get().attempts.get()
    attempt.findings, attempt.outcome = (
        sealed_findings(entity={"email": SECRET}, change=document),
        "succeeded",
    )
    attempt.save()
    given = {"declaration": json.dumps(UPPER | {"match": {}}), "event": str(event.pk)}
    client = seeing_contents()
    assert client.post(address(of, "try"), given).context["trial"].is_masked
    client.post(address(of, "edit"), given | {"reveal": "1", "reason": "new rules"})
    page = client.post(address(of, "try"), given)
    fields = {field.name: field for field in page.context["trial"].fields}
    assert (fields["email"].before, fields["email"].value) == (SECRET.lower(), SECRET.upper())
    assert fields["active"].kind == "same"
    assert SECRET.upper() in page.content.decode()
    (entry,) = entries("event.revealed")
    details = entry["details"]
    assert (details["reason"], details["purpose"]) == ("new rules", "mapping_trials")
    elsewhere = client.post(address(a_mapping_in_use(LOWER)[0], "try"), given)
    assert "No route of this mapping delivered this event." in text_of(elsewhere)


# Expressions that would tell one bit of a name each, by their value, its absence, or a failure.
PROBES = (
    {"path": "entity.email | starts_with(@, 'Anna')"},
    {"path": "entity.email | starts_with(@, 'Bert') || `null`"},
    {"path": "entity.email && [@][?starts_with(entity.email, 'Anna')]", "required": True},
    {"path": "entity.email", "apply": ["lower"], "required": True},
)


@pytest.mark.submission_rows(2)
@pytest.mark.parametrize(("role", "page"), [("administrator", "try"), ("both", "edit"), ("both", "try")])
def test_an_event_that_is_not_revealed_is_not_evaluated(role: str, page: str) -> None:
    of, route = a_mapping_in_use(LOWER)
    with_name, without = a_mapped_event(route, {"email": SECRET}, 1), a_mapped_event(route, {}, 2)
    client = seeing_contents() if role == "both" else browser("administrator")
    for probe in PROBES:
        shown = []
        for event in (with_name, without):
            given = {"declaration": json.dumps({"fields": {"x": probe}}), "event": str(event.pk)}
            answer = client.post(address(of, page), given)
            assert answer.context["trial"] == MappingTrial(is_masked=True)
            shown.append(answer.context["trial"])
        assert shown[0] == shown[1]


def test_an_event_is_revealed_for_trials_only_with_a_reason_and_the_permission() -> None:
    of, route = a_mapping_in_use(LOWER)
    event = a_mapped_event(route, {"email": SECRET})
    given = {"declaration": json.dumps(LOWER), "event": str(event.pk), "reveal": "1"}
    client = seeing_contents()
    for reason in ("", "ab", "x" * 201):
        answer = client.post(address(of, "edit"), given | {"reason": reason})
        assert answer.context["trial"].is_masked
    refused = browser("administrator").post(address(of, "edit"), given | {"reason": "curious"})
    assert refused.status_code == 403
    wrong = client.post(address(of, "edit"), given | {"reason": "curious", "event": "99999999"})
    assert wrong.status_code == 200
    assert not entries("event.revealed")


@pytest.mark.submission
def test_a_draft_is_back_tested_then_activated_with_a_reason() -> None:
    of, route = a_mapping_in_use(LOWER)
    for number in range(3):
        a_mapped_event(route, {"email": SECRET if number else "x@example.com"}, number)
    client = seeing_contents()
    client.post(address(of, "edit"), form(UPPER))
    untested = client.get(address(of, "activate")).content.decode()
    assert 0 < untested.find("Back-test</button>") < untested.find('id="id_reason"')
    assert client.post(address(of, "backtest"), {"events": "50"}).status_code == 302
    assert not BackTest.objects.exists(), "a reason is required"
    answer = client.post(address(of, "backtest"), {"events": "50", "reason": "is it right?"})
    (entry,) = entries("mapping.backtested")
    assert (entry["details"]["reason"], entry["details"]["events"]) == ("is it right?", 50)
    row = BackTest.objects.get()
    assert answer["Location"] == f"{address(of, 'backtest')}{row.uuid}/"
    masked = client.get(answer["Location"]).content.decode()
    assert SECRET.lower() not in masked.lower()
    client.post(answer["Location"], {"reason": "which ones?"})
    assert len(entries("event.revealed")) == len(row.examples)
    page = client.get(answer["Location"]).content.decode()
    assert SECRET.upper() in page
    assert "3 of 3 tested events" in page
    question = client.get(address(of, "activate"))
    assert "3 of 3 tested events" in question.content.decode()
    seen = question.context["seen"]
    sent = {"seen_version": seen.version_number, "seen_draft": seen.draft_id}
    client.post(address(of, "activate"), sent)
    assert of.current_version().number == 1
    assert client.post(address(of, "activate"), sent | {"reason": "asked for by sales"}).status_code == 302
    assert (of.current_version().number, of.current_version().declaration, of.current_version().reason) == (
        2,
        UPPER,
        "asked for by sales",
    )
    assert len(entries("mapping.activated")) == 1
    assert "version 2" in client.get(f"{address(of, 'backtest')}{row.uuid}/").content.decode()


@pytest.mark.submission
def test_each_field_that_gets_no_value_is_confirmed_by_typing_its_name() -> None:
    """The page asks after the reason was given, and shows no value; the mapping's page names fields without one."""
    of, route = a_mapping_in_use(LOWER)
    a_mapped_event(route, {"email": SECRET})
    a_draft(of, {"fields": {"email": {"path": "entity.emial"}, "active": {"constant": True}}})
    client = browser("administrator")
    question = client.get(address(of, "activate"))
    assert question.context["confirmations"] == []
    seen = question.context["seen"]
    sent = {"seen_version": seen.version_number, "seen_draft": seen.draft_id, "reason": "asked for by sales"}
    for typed in ([], ["emial"], ["active"]):
        answer = client.post(address(of, "activate"), sent | {"confirm": typed})
        page = answer.content.decode()
        assert (answer.status_code, of.versions.count()) == (200, 1)
        assert "email gets no value from any of them" in page
        assert "asked for by sales" in page
        assert SECRET not in page
    assert client.post(address(of, "activate"), sent | {"confirm": [" email "]}).status_code == 302
    assert of.versions.count() == 2
    page = text_of(client.get(address(of)))
    assert 'No entity had a value yet for: <span class="mono">email</span>' in page


@pytest.mark.promise("I6")
def test_without_the_permission_to_see_contents_a_back_test_has_field_names_and_counts_only() -> None:
    """Neither which events differ nor whom they are about; for support, each of them."""
    of, route = a_mapping_in_use(LOWER)
    events = [a_mapped_event(route, {"email": SECRET}, number) for number in range(3)]
    a_draft(of, UPPER)
    assert browser("support").post(address(of, "backtest"), BACKTEST).status_code == 403
    client = browser("administrator")
    assert "Which events differ" in text_of(client.get(address(of)))
    assert client.post(address(of, "backtest"), {"events": "50"}).status_code == 302
    assert not BackTest.objects.exists(), "a reason is required"
    path = client.post(address(of, "backtest"), BACKTEST)["Location"]
    assert client.post(path, {"reason": "curious"}).status_code == 403
    page = text_of(client.get(path))
    fields = re.findall(r'<td class="mono">(\w+)</td>\s*<td[^>]*>\s*(\d+) ', page)
    assert fields == [("email", "3"), ("active", "3")]
    assert "3 of 3 tested events give a different result" in page
    assert 'id="reveal"' not in page
    assert SECRET.lower() not in page.lower()
    for event in events:
        assert f"/event/{event.pk}/" not in page
        assert event.entity_id not in page
    seen = text_of(seeing_contents().get(path))
    examples = re.findall(r"<li>.*?</li>", seen.partition('<ul class="examples">')[2].partition("</ul>")[0])
    assert len(examples) == 3
    assert all('<span class="mono">email</span>' in example for example in examples)


@pytest.mark.submission
def test_the_editor_opens_with_the_result_for_the_newest_event() -> None:
    of, route = a_mapping_in_use(LOWER)
    a_mapped_event(route, {"email": "older@example.com"}, 2)
    newest = a_mapped_event(route, {"email": SECRET}, 1)
    client = seeing_contents()
    masked = client.get(address(of, "edit"))
    assert masked.context["state"].sample.event == str(newest.pk)
    assert SECRET.lower() not in masked.content.decode().lower()
    revealed = {"declaration": json.dumps(LOWER), "event": str(newest.pk), "reveal": "1", "reason": "rules"}
    assert SECRET.lower() in client.post(address(of, "edit"), revealed).content.decode()
    assert SECRET.lower() in client.get(address(of, "edit")).content.decode()
    withheld = browser("administrator").get(address(of, "edit"))
    assert (withheld.context["state"].sample.event, withheld.context["choices"]) == ("newest", [])


def test_a_draft_is_discarded_after_a_confirmation_with_its_changes() -> None:
    of, client = mapping(), browser("administrator")
    draft = a_draft(of, UPPER)
    assert client.get(address(of, "discard")).status_code == 200
    assert MappingDraft.objects.get().state == "open"
    assert client.post(address(of, "discard"), {"draft": draft.pk}).status_code == 302
    assert MappingDraft.objects.get().state == "discarded"
    assert client.get(address(of, "discard")).status_code == 302


def test_each_function_has_a_description() -> None:
    assert FUNCTION_LABELS.keys() == FUNCTIONS.keys()
    (email,) = describe_rules({"fields": {"email": {"path": "entity.emails", "apply": ["first", "trim"]}}})
    assert email.sentence.startswith("taken from entity.emails; ")
    assert str(FUNCTION_LABELS["first"]) in email.sentence
    assert str(FUNCTION_LABELS["trim"]) in email.sentence


@pytest.mark.submission
def test_restoring_a_version_needs_a_reason_and_no_draft() -> None:
    of, client = mapping(), browser("administrator")
    a_draft(of, UPPER)
    question = client.get(address(of, "activate"))
    seen = {"seen_version": 1, "seen_draft": question.context["seen"].draft_id, "reason": "go"}
    client.post(address(of, "activate"), seen)
    page = client.get(address(of)).content.decode()
    assert "?version=1" in page
    back = {"seen_version": 2, "seen_draft": 0, "reason": "it broke the shop"}
    assert client.post(f"{address(of, 'activate')}?version=1", back).status_code == 302
    assert (
        of.current_version().number,
        of.current_version().restores.number,
        of.current_version().declaration,
    ) == (
        3,
        1,
        DECLARATION,
    )
    client.post(f"{address(of, 'activate')}?version=2", back)  # its page is old
    assert of.versions.count() == 3


def test_unstorable_characters_are_removed_from_the_note_of_a_change() -> None:
    of, client = mapping(), browser("administrator")
    client.post(address(of, "edit"), form(UPPER, note="new\0 rules"))
    draft = of.drafts.get()
    assert draft.note == "new rules"
    seen = {"seen_version": 1, "seen_draft": draft.pk, "reason": "asked\0 for"}
    client.post(address(of, "activate"), seen)
    assert of.current_version().reason == "asked for"


def test_differences_of_two_versions_are_described_field_by_field() -> None:
    of = mapping()
    a_draft(of, UPPER)
    page = browser("support").get(f"{address(of, 'compare')}?from=1&to=draft").content.decode()
    for phrase in ("now upper-cased instead of lower-cased", "no longer required", "always true", "added"):
        assert phrase in page
    assert browser("support", "other").get(f"{address(of, 'compare')}?from=1&to=9").status_code == 404


def test_activation_is_hidden_without_its_permission() -> None:
    of, user = mapping(), person("support", "editor")
    user.user_permissions.add(Permission.objects.get(codename="change_mapping"))
    client = Client()
    client.force_login(user)
    a_draft(of, UPPER)
    assert "Activate…" not in client.get(address(of)).content.decode()
    assert client.get(address(of, "activate")).status_code == 403


def test_a_new_mapping_needs_a_name_and_no_enabled_route_uses_it_before_its_first_version() -> None:
    client = browser("administrator")
    add = "/admin/sync/mapping/add/?then=/admin/sync/pairdraft/"
    assert client.post(add, {"name": "New"}).context["adminform"].form.errors.keys() == {"reason"}
    answer = client.post(add, {"name": "New", "reason": "for the shop"})
    assert entries("mapping.created")[0]["details"]["reason"] == "for the shop"
    of = Mapping.objects.get()
    assert not of.versions.exists()
    page = client.get(answer["Location"])
    assert page.context["table"] is not None
    _, route = a_mapping_in_use(LOWER)
    page_of_route = f"/admin/sync/route/{route.pk}/change/"
    chosen = typed_form(client, page_of_route) | {"mapping": str(of.pk)}
    assert "no active version yet" in client.post(page_of_route, chosen).context["errors"].as_text()
    assert list_choices(MAPPING, "/admin/", added=str(of.pk)).existing[0].label == route.mapping.name
    activate = client.post(answer["Location"], form(LOWER, version=0))["Location"]
    assert "/activate/?then=" in activate
    confirmed = {"seen_version": 0, "seen_draft": MappingDraft.objects.get().pk, "reason": "for the shop"}
    assert client.post(activate, confirmed)["Location"] == f"/admin/sync/pairdraft/?added={of.pk}"
    assert (of.current_version().number, of.current_version().declaration) == (1, LOWER)
    assert "no active version yet" not in client.post(page_of_route, chosen).text


def test_another_name_of_a_mapping_is_recorded() -> None:
    of, client = mapping(), browser("administrator")
    name = of.name
    client.post(address(of), {"name": "Renamed"})
    assert Mapping.objects.get().name == name
    client.post(address(of), {"name": "Renamed", "reason": "a better name"})
    of.refresh_from_db()
    assert of.name == "Renamed"
    (entry,) = entries("mapping.changed")
    assert (entry["details"]["after"], entry["details"]["reason"]) == ({"name": "Renamed"}, "a better name")


@pytest.mark.submission
def test_a_large_back_test_waits_for_a_worker_and_its_page_follows_it() -> None:
    of, route = a_mapping_in_use(LOWER)
    a_mapped_event(route, {"email": SECRET})
    a_draft(of, UPPER)
    client = seeing_contents()
    path = client.post(address(of, "backtest"), BACKTEST | {"events": "1000"})["Location"]
    page = client.get(path).content.decode()
    assert 'data-poll="2"' in page
    assert "0 of 1,000" in page
    run_jobs("backtest")
    page = client.get(path).content.decode()
    assert "data-poll=" not in page
    assert "1 of 1 tested events" in page
    client.post(address(of, "backtest"), BACKTEST | {"events": "9"})
    assert BackTest.objects.count() == 1
