"""Events that senders send though the hub does not want them, as their documentation shows them: test buttons, log-ins,
other objects, and redactions that a sender requires each endpoint to accept.
"""

from dataclasses import dataclass
from typing import Any

from webhooks.presets.source_presets import SOURCE_PRESETS

Headers = dict[str, str]
UNHANDLED, FILTERED, IGNORED = "type-not-handled", "filtered", "ignored"


@dataclass(frozen=True)
class Sent:
    """One request with the code that its receipt gets. `body`: a document, or the text of a form."""

    code: str
    body: Any
    headers: Headers | None = None


@dataclass(frozen=True)
class Vendor:
    """A sender: its webhook format, its foreign events, and the body of an event that is handled and lacks its id."""

    name: str
    webhook_format: dict[str, Any]
    events: tuple[Sent, ...]
    without_id: Sent

    def __str__(self) -> str:
        return self.name


def _preset(name: str, *events: Sent, without_id: Any, headers: Headers | None = None) -> Vendor:
    webhook_format = SOURCE_PRESETS[name].copy_settings().get("webhook_format", {})
    return Vendor(name, webhook_format, events, Sent("missing-member", without_id, headers))


def _users(event_type: str, **other: Any) -> dict[str, Any]:
    return {"id": "event.id", "entity_type": {"constant": "USER"}, "event_type": event_type} | other


def _topic(header: str, topic: str) -> Headers:
    return {header: topic}


def _okta(event_type: str, *targets: Any) -> Any:
    outcome = {"result": "SUCCESS"}
    return {"data": {"events": [{"eventType": event_type, "outcome": outcome, "target": list(targets)}]}}


_SHOP = {"shop_id": 954889, "shop_domain": "example.myshopify.com"}
_SHOPIFY = _users('headers."x-shopify-topic"', event_types={"customers/update": "UPDATE"})
_STRIPE = _users("event.type", id="event.data.object.id", event_types={"customer.updated": "UPDATE"})
_GITHUB = _users('headers."x-github-event"', id="event.member.id", event_types={"member": "UPDATE"})
_GITLAB = _users("event.event_name", id="event.user_id", event_types={"user_create": "CREATE"})
_HUBSPOT = _users(
    "event.subscriptionType", events="body", id="event.objectId", event_types={"contact.creation": "CREATE"}
)
_SLACK = _users("event.event.type", id="event.event.user.id", event_types={"user_change": "UPDATE"})
_MAILCHIMP = _users(
    "event.type",
    id='event."data[id]"',
    event_types={"profile": "UPDATE"},
    content_types=["application/x-www-form-urlencoded"],
)
_PIPEDRIVE = {
    "id": "event.meta.entity_id",
    "entity_type": "event.meta.entity",
    "entity_types": {"person": "USER"},
    "event_type": "event.meta.action",
    "event_types": {"change": "UPDATE"},
}
_INTERCOM = _users("event.topic", id="event.data.item.id", event_types={"contact.user.updated": "UPDATE"})
_DISCOURSE = _users('headers."x-discourse-event"', id="event.user.id", event_types={"user_updated": "UPDATE"})
_LOGTO_SIGN_IN = {
    "hookId": "h1",
    "event": "PostSignIn",
    "interactionEvent": "SignIn",
    "userId": "a1",
    "user": {"id": "a1"},
}
_WORKOS_LOG_IN = {
    "type": "password",
    "status": "succeeded",
    "user_id": "user_01",
    "email": "anna@example.com",
}
_FUSIONAUTH_TEST = {
    "type": "test",
    "createInstant": 1563399203743,
    "id": "a5b9cae9-aacd-4649-a0f2-50bba29039c1",
}

VENDORS = (
    _preset(
        "auth0-event-streams",
        Sent(
            UNHANDLED,
            {"type": "organization.member.added", "data": {"object": {"user": {"user_id": "auth0|1"}}}},
        ),
        Sent(FILTERED, {"type": "user.created", "a0purpose": "test", "data": {}}),
        without_id={"type": "user.updated", "data": {"object": {"email": "a@example.com"}}},
    ),
    _preset(
        "authentik",
        Sent(UNHANDLED, {"pk": "1", "action": "login", "user": {"pk": 1}, "model": None}),
        Sent(UNHANDLED, {"pk": "2", "action": "configuration_error", "user": {}, "model": None}),
        without_id={"pk": "3", "action": "model_updated", "user": {"pk": 1}, "model": None},
    ),
    _preset(
        "clerk",
        Sent(IGNORED, {"type": "session.created", "data": {"id": "sess_1", "user_id": "user_1"}}),
        Sent(UNHANDLED, {"type": "permission.deleted", "data": {"object": "permission"}}),
        without_id={"type": "user.created", "data": {"object": "user"}},
    ),
    _preset(
        "cloudevents",
        Sent(
            UNHANDLED,
            {"specversion": "1.0", "type": "com.example.order.shipped", "source": "/orders", "id": "1"},
        ),
        without_id={"specversion": "1.0", "type": "com.example.user.updated", "source": "/users", "id": "1"},
        headers={"Content-Type": "application/cloudevents+json"},
    ),
    _preset(
        "directus-flows",
        Sent(UNHANDLED, {"event": "auth.login", "payload": {"email": "a@example.com"}, "status": "success"}),
        Sent(IGNORED, {"event": "items.create", "collection": "articles", "key": 12, "payload": {}}),
        without_id={"event": "users.update", "collection": "directus_users", "payload": {}},
    ),
    _preset(
        "entra-id",
        Sent(FILTERED, {"value": [{"subscriptionId": "7f10", "lifecycleEvent": "reauthorizationRequired"}]}),
        Sent(
            UNHANDLED,
            {
                "value": [
                    {"changeType": "updated", "resourceData": {"@odata.type": "#Microsoft.Graph.Message"}}
                ]
            },
        ),
        without_id={
            "value": [{"changeType": "updated", "resourceData": {"@odata.type": "#Microsoft.Graph.User"}}]
        },
    ),
    _preset(
        "fusionauth",
        Sent(UNHANDLED, {"event": _FUSIONAUTH_TEST}),
        Sent(UNHANDLED, {"event": {"type": "jwt.public-key.update", "applicationIds": ["3c21"]}}),
        without_id={"event": {"type": "user.update.complete", "user": {}}},
    ),
    _preset(
        "google-directory",
        Sent(
            FILTERED,
            None,
            {"X-Goog-Channel-ID": "c", "X-Goog-Resource-State": "sync", "X-Goog-Message-Number": "1"},
        ),
        Sent(UNHANDLED, {"kind": "admin#directory#user"}, _topic("X-Goog-Resource-State", "makeAlias")),
        without_id={"kind": "admin#directory#user"},
        headers=_topic("X-Goog-Resource-State", "update"),
    ),
    _preset(
        "keycloak",
        Sent(
            UNHANDLED, {"uid": "1", "type": "access.LOGIN", "time": "now", "authDetails": {"userId": "u 1"}}
        ),
        Sent(FILTERED, {"uid": "2", "type": "access.CLIENT_LOGIN", "authDetails": {}}),
        Sent(
            UNHANDLED,
            {"uid": "3", "type": "admin.CLIENT-CREATE", "resourceType": "CLIENT", "resourceId": "a/b"},
        ),
        without_id={"uid": "4", "type": "admin.USER-UPDATE", "resourceType": "USER", "resourceId": ["none"]},
    ),
    _preset(
        "logto",
        Sent(UNHANDLED, _LOGTO_SIGN_IN),
        Sent(UNHANDLED, _LOGTO_SIGN_IN | {"event": "PostResetPassword"}),
        without_id={"hookId": "h1", "event": "User.Data.Updated", "data": {"username": "anna"}},
    ),
    _preset(
        "okta-event-hooks",
        Sent(FILTERED, _okta("user.session.start")),
        Sent(IGNORED, _okta("user.session.start", {"type": "User", "id": "00u1"})),
        Sent(UNHANDLED, _okta("app.user_membership.add", {"type": "User", "id": "no id"})),
        without_id=_okta("user.lifecycle.create", {"type": "User", "id": {"no": "text"}}),
    ),
    _preset(
        "ory-kratos",
        Sent(UNHANDLED, {"entityType": "SESSION", "eventType": "UPDATE"}),
        Sent(UNHANDLED, {"entityType": "USER", "eventType": "LOGIN", "id": None}),
        without_id={"entityType": "USER", "eventType": "UPDATE"},
    ),
    _preset(
        "trivore",
        Sent(
            UNHANDLED, {"entityType": "CONTRACT", "eventType": "CREATE", "timestamp": "2019-01-01T00:00:00Z"}
        ),
        Sent(IGNORED, {"id": "1", "entityType": "CONTRACT", "eventType": "CREATE"}),
        without_id={"entityType": "USER", "eventType": "DELETE"},
    ),
    _preset(
        "workos",
        Sent(
            UNHANDLED, {"id": "event_1", "event": "authentication.password_succeeded", "data": _WORKOS_LOG_IN}
        ),
        without_id={"id": "event_2", "event": "user.updated", "data": {"object": "user"}},
    ),
    _preset(
        "zitadel-actions",
        Sent(
            IGNORED,
            {"aggregateID": "3364", "aggregateType": "session", "event_type": "session.added", "sequence": 1},
        ),
        Sent(UNHANDLED, {"aggregateType": "feature", "event_type": "feature.instance.set"}),
        without_id={"aggregateType": "user", "event_type": "user.human.added", "sequence": 1},
    ),
    Vendor(
        "Shopify",
        _SHOPIFY,
        (
            Sent(
                UNHANDLED, _SHOP | {"customer": {"id": 191167}}, _topic("X-Shopify-Topic", "customers/redact")
            ),
            Sent(
                UNHANDLED,
                _SHOP | {"data_request": {"id": 1}},
                _topic("X-Shopify-Topic", "customers/data_request"),
            ),
            Sent(UNHANDLED, _SHOP, _topic("X-Shopify-Topic", "shop/redact")),
        ),
        Sent("missing-member", _SHOP, _topic("X-Shopify-Topic", "customers/update")),
    ),
    Vendor(
        "Stripe",
        _STRIPE,
        (
            Sent(UNHANDLED, {"type": "balance.available", "data": {"object": {"object": "balance"}}}),
            Sent(UNHANDLED, {"type": "invoice.upcoming", "data": {"object": {"object": "invoice"}}}),
        ),
        Sent("missing-member", {"type": "customer.updated", "data": {"object": {}}}),
    ),
    Vendor(
        "GitHub",
        _GITHUB,
        (
            Sent(
                UNHANDLED,
                {"zen": "Keep it logically awesome.", "hook_id": 1},
                _topic("X-GitHub-Event", "ping"),
            ),
        ),
        Sent("missing-member", {"action": "edited"}, _topic("X-GitHub-Event", "member")),
    ),
    Vendor(
        "GitLab",
        _GITLAB,
        (
            Sent(UNHANDLED, {"event_name": "project_create", "project_id": 74}),
            Sent(IGNORED, {"event_name": "repository_update", "user_id": 1}),
        ),
        Sent("missing-member", {"event_name": "user_create", "name": "Anna"}),
    ),
    Vendor(
        "HubSpot",
        _HUBSPOT,
        (
            Sent(UNHANDLED, [{"subscriptionType": "company.merge", "primaryObjectId": 1}]),
            Sent(UNHANDLED, [{"subscriptionType": "contact.merge"}, {"subscriptionType": "contact.restore"}]),
        ),
        Sent("missing-member", [{"subscriptionType": "contact.creation"}]),
    ),
    Vendor(
        "Slack",
        _SLACK,
        (Sent(UNHANDLED, {"type": "event_callback", "event": {"type": "app_uninstalled"}}),),
        Sent("missing-member", {"type": "event_callback", "event": {"type": "user_change", "user": {}}}),
    ),
    Vendor(
        "Mailchimp",
        _MAILCHIMP,
        (Sent(UNHANDLED, "type=campaign&data%5Bsubject%5D=News&data%5Bstatus%5D=sent"),),
        Sent("missing-member", "type=profile&data%5Bemail%5D=a%40example.com"),
    ),
    Vendor(
        "Pipedrive",
        _PIPEDRIVE,
        (
            Sent(UNHANDLED, {"meta": {"entity": "note", "action": "change"}}),
            Sent(UNHANDLED, {"meta": {"entity": "person", "action": "merge"}}),
        ),
        Sent("missing-member", {"meta": {"entity": "person", "action": "change"}}),
    ),
    Vendor(
        "Intercom",
        _INTERCOM,
        (
            Sent(
                UNHANDLED, {"type": "notification_event", "topic": "ping", "data": {"item": {"type": "ping"}}}
            ),
        ),
        Sent("missing-member", {"topic": "contact.user.updated", "data": {"item": {}}}),
    ),
    Vendor(
        "Discourse",
        _DISCOURSE,
        (Sent(UNHANDLED, {"ping": "OK"}, _topic("X-Discourse-Event", "ping")),),
        Sent("missing-member", {"user": {}}, _topic("X-Discourse-Event", "user_updated")),
    ),
)
