"""Every fault of a field of a webhook, with its code and pointer."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from config_schema.codes.codes import CATALOGUE
from tests.support.rows import each_row
from tests.webhooks.corpus import CASES
from tests.webhooks.corpus.members import EVENT_IDS, FIELDS, IDS, NO_OBJECT, RESPONDS, TIMESTAMPS, WORDS
from webhooks.protocol.webhook_parser import MalformedBody, parse_webhook

pytestmark = pytest.mark.pure

SEED = {
    "id": "IDNUMBER1234",
    "entityType": "USER",
    "eventType": "UPDATE",
    "timestamp": "2019-01-01T00:00:00Z",
}


def refusal(members, **arguments):
    """Code and pointer of the refusal; `document` as they are, or a body in bytes."""
    body = members if isinstance(members, bytes) else json.dumps(members).encode()
    with pytest.raises(MalformedBody) as caught:
        parse_webhook(body, **arguments)
    assert CATALOGUE[caught.value.code].status == 400
    return caught.value.code, caught.value.pointer


@pytest.mark.promise("T5")
@each_row(
    [
        *(("id", "wrong-id", value) for value in IDS),
        *(("entityType", "wrong-entity-type", value) for value in WORDS),
        *(("eventType", "wrong-event-type", value) for value in WORDS),
        *(("timestamp", "wrong-timestamp", value) for value in TIMESTAMPS),
        *(("eventId", "wrong-event-id", value) for value in EVENT_IDS),
        *(("previous", "wrong-previous", value) for value in NO_OBJECT),
        *(("data", "wrong-data", value) for value in NO_OBJECT),
        *(("respond", "wrong-respond", value) for value in RESPONDS),
    ]
)
def test_a_wrong_field_is_refused_and_named_by_its_pointer(name, code, value):
    assert refusal({**SEED, name: value}) == (code, f"/{name}")


def test_each_document_of_the_corpus_has_exactly_one_refusal():
    assert [case for case in CASES if refusal(case.body) != case.as_a_webhook()] == []


@each_row(FIELDS)
def test_fields_of_a_wrong_type_are_refused_and_not_repeated_completely(value):
    assert refusal({**SEED, "respond": {"mode": "entity", "fields": value}}) == (
        "wrong-respond",
        "/respond/fields",
    )


@each_row(["id", "entityType", "eventType"])
def test_a_required_field_must_be_present_with_its_exact_name(name):
    without = {key: value for key, value in SEED.items() if key != name}
    assert refusal(without) == ("missing-member", f"/{name}")
    for misspelt in (name.upper(), f"{name} ", f"{name}\u0000", ""):
        assert refusal({**without, misspelt: SEED[name]}) == ("missing-member", f"/{name}")


@each_row([None, True, 1.5, "{}", [], [SEED], json.dumps(SEED)])
def test_a_document_that_is_no_object_is_refused(document):
    assert refusal(document) == ("not-an-object", "")


def test_an_empty_object_lacks_the_first_field():
    assert refusal({}) == ("missing-member", "/id")


@each_row(["1.0", "1e3", "-0.0", "9223372036854775808", "-1"])
def test_an_id_that_is_a_number_must_be_an_integer_in_range(number):
    assert refusal(f'{{"id":{number},"entityType":"USER","eventType":"UPDATE"}}'.encode()) == (
        "wrong-id",
        "/id",
    )


@each_row(
    [
        *((extra, f"{extra}a") for extra in ":@|+="),
        *((":@|+=", f"a{character}b") for character in "/?#%\\ \t\n;,&*^[<'\"`ä"),
        (":", "a@b"),
        ("@", "a:b"),
        ("=", "a|b"),
        ("+=", "a,b"),  # a range from + to = would let it in
        ("@|", "a[b"),
        (":", "a:."),
        (":", ":"),
        (":@|+=", "a" + ":" * 128),
        ("", "a:b"),
    ]
)
def test_additional_id_characters_are_accepted_except_at_the_start(extra, value):
    assert refusal({**SEED, "id": value}, extra_id_characters=extra) == ("wrong-id", "/id")


@each_row(["/", "?", "%", "\\", " ", ":/", "a", "^", "ä", "\n", "*"])
def test_path_characters_cannot_be_allowed_by_a_setting(extra):
    with pytest.raises(ValueError, match="widened"):
        parse_webhook(json.dumps(SEED).encode(), extra_id_characters=extra)


@each_row(
    [
        ({"id": "", "entityType": "", "data": 1}, ("wrong-id", "/id")),
        ({"entityType": "", "eventType": "", "timestamp": ""}, ("wrong-entity-type", "/entityType")),
        ({"eventType": "", "timestamp": "", "eventId": ""}, ("wrong-event-type", "/eventType")),
        ({"timestamp": "", "eventId": "", "previous": 1}, ("wrong-timestamp", "/timestamp")),
        ({"eventId": "", "previous": 1, "data": 1}, ("wrong-event-id", "/eventId")),
        ({"previous": 1, "data": 1, "respond": 1}, ("wrong-previous", "/previous")),
        ({"data": 1, "respond": 1}, ("wrong-data", "/data")),
    ]
)
def test_of_several_faults_the_first_of_the_contract_is_named_whatever_the_order_sent(faults, expected):
    assert refusal({**SEED, **faults}) == expected
    assert refusal(dict(reversed({**SEED, **faults}.items()))) == expected


@each_row(
    [
        (b'{"id":1,"id":2,"entityType":""}', ("duplicate-member", "/id")),
        (b'{"respond":1,"\\u0072espond":2}', ("duplicate-member", "/respond")),
        (b'{"password":1,"password":2}', ("duplicate-member", "")),
        (b'{"":1,"":2}', ("duplicate-member", "")),
        (b'{"/id":1,"/id":2}', ("duplicate-member", "")),
        (b'{"id":1,"entityType":"\\ud800"}', ("bad-text", "")),
        (b'{"id":1e999}', ("number-too-large", "")),
        (b'{"id":NaN}', ("not-json", "")),
        (b'{"id":"', ("not-json", "")),
        (b'\xef\xbb\xbf{"id":""}', ("byte-order-mark", "")),
        (b'{"id":"\xff"}', ("wrong-encoding", "")),
        (b'{"id":' + b"[" * 32 + b"]" * 32 + b"}", ("too-deep", "")),
        (b"[" * 31 + b"]" * 31, ("not-an-object", "")),
    ]
)
def test_faults_of_the_document_come_first_and_name_no_unknown_field(body, expected):
    assert refusal(body) == expected


NAMES = [*SEED, "eventId", "previous", "data", "respond", "mode", "wait", "fields", "extra"]
ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.text(max_size=8),
        st.sampled_from(
            [*SEED.values(), "ack", "entity", 2**63 - 1, 2**63, -0.0, "2100-12-31T23:59:59-14:00"]
        ),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
    ),
    max_leaves=8,
)


@pytest.mark.nightly
@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), ANYTHING), st.booleans(), st.sampled_from(["", ":", ":@|+="]))
def test_any_document_is_a_notice_or_has_one_known_refusal(members, whole, extra):
    body = json.dumps({**SEED, **members} if whole else members).encode()
    try:
        parsed = parse_webhook(body, extra_id_characters=extra)
    except MalformedBody as error:
        refused = error
    else:
        assert parsed.document == json.loads(body)
        assert 0 < len(parsed.entity_id) <= 128
        assert parsed.entity_id.isascii()
        assert parsed.respond.wait_seconds is None or 0 <= parsed.respond.wait_seconds <= 30
        return
    assert CATALOGUE[refused.code].status == 400
    assert refused.pointer.split("/")[1:2] in ([], *([name] for name in NAMES[:8]))
