"""The identity service's pages: people change their profile and read the result of the webhook."""

import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

from sandbox.base.control_api import parse_whole_number
from sandbox.base.page_renderer import PageRenderer
from sandbox.base.store import Record, RecordStore
from sandbox.http.messages import HttpError, Request, Response, redirect_after_post
from sandbox.http.router import Router
from sandbox.identity.entities import ENTITY_TYPES, EntityDirectory
from sandbox.identity.hub_response import SaveOutcome, describe_outcome
from sandbox.identity.profile_form import (
    FORM_FIELDS,
    build_person_row,
    build_username,
    check_form,
    list_field_messages,
    parse_profile_form,
)
from sandbox.identity.webhook import SentWebhook, Webhook
from sandbox.identity.webhook_sender import WebhookSender

MAX_SHOWN = 200
LANGUAGES = (("en", "English"), ("fi", "Suomi"))


class IdentityPages:
    """The views of the pages.

    Every save stores the change, sends a webhook, waits for the hub's response and redirects to a page that shows it.
    """

    def __init__(
        self, pages: PageRenderer, store: RecordStore, directory: EntityDirectory, sender: WebhookSender
    ) -> None:
        self._pages, self._store, self._directory, self._sender = pages, store, directory, sender

    def show_people(self, request: Request) -> Response:
        """Return the list of people."""
        return self._render_people(request, outcome=self._find_outcome(request))

    def _render_people(self, request: Request, status: int = 200, **values: object) -> Response:
        people = [build_person_row(user) for user in self._store.list_records("users", 0, MAX_SHOWN)]
        return self._pages.render_page(request, "people.html", "People", status, people=people, **values)

    def show_profile(self, request: Request, key: str) -> Response:
        """Return the profile of a user."""
        person = build_person_row(self._directory.get_record("users", key))
        return self._render_profile(request, person, self._find_outcome(request, key))

    def _render_profile(
        self, request: Request, person: Mapping[str, object], outcome: SaveOutcome | None, status: int = 200
    ) -> Response:
        language = self._sender.settings.language
        values = {"person": person, "outcome": outcome, "languages": LANGUAGES, "language": language}
        return self._pages.render_page(request, "profile.html", str(person["full_name"]), status, **values)

    def save_profile(self, request: Request, key: str) -> Response:
        """Change a user's profile, and the language of the hub's responses."""
        form, before = request.parse_form(), self._directory.get_record("users", key)
        if form.get("language") in {code for code, _ in LANGUAGES}:
            self._sender.change_settings({"language": form["language"]})
        try:
            after = self._directory.update_record(
                "users", key, parse_profile_form(form, before), replaces=False
            )
        except HttpError as error:
            typed = {name: form[name] for name in FORM_FIELDS if name in form}
            return self._render_profile(
                request, build_person_row(before) | typed, _describe_unsaved(error), 400
            )
        sent = self._send_webhook("users", key, "UPDATE", before)
        is_email_changed = build_person_row(before)["email"] != build_person_row(after)["email"]
        changed = "&changed=email" if is_email_changed else ""
        return redirect_after_post(f"/users/{quote(key, safe='')}?outcome={sent.number}{changed}")

    def verify_email(self, request: Request, key: str) -> Response:
        """Mark the first address of a user as verified."""
        before = self._directory.get_record("users", key)
        try:
            self._directory.verify_email(key)
        except HttpError as error:
            return self._render_profile(request, build_person_row(before), _describe_unsaved(error), 400)
        sent = self._send_webhook("users", key, "UPDATE", before)
        return redirect_after_post(f"/users/{quote(key, safe='')}?outcome={sent.number}")

    def create_user(self, request: Request) -> Response:
        """Create a user."""
        form = request.parse_form()
        try:
            fixed_fields = {"username": build_username(form), "memberOf": [], "locale": "fi"}
            user = self._directory.create_record("users", fixed_fields | parse_profile_form(form, {}))
        except HttpError as error:
            return self._render_people(request, 400, outcome=_describe_unsaved(error), form=form)
        sent = self._send_webhook("users", user["id"], "CREATE", None)
        return redirect_after_post(f"/users/{user['id']}?outcome={sent.number}")

    def build_list_view(self, collection: str) -> Callable[[Request], Response]:
        """Return the view that lists groups or files."""

        def show_entities(request: Request) -> Response:
            return self._render_entities(request, collection, outcome=self._find_outcome(request))

        return show_entities

    def _render_entities(
        self, request: Request, collection: str, status: int = 200, **values: object
    ) -> Response:
        rows = [
            self._build_entity_row(entity) for entity in self._store.list_records(collection, 0, MAX_SHOWN)
        ]
        values |= {"rows": rows, "collection": collection}
        return self._pages.render_page(
            request, "groups_files.html", collection.capitalize(), status, **values
        )

    def build_rename_view(self, collection: str) -> Callable[[Request, str], Response]:
        """Return the view that renames a group or a file."""

        def rename_entity(request: Request, key: str) -> Response:
            form, before = request.parse_form(), self._directory.get_record(collection, key)
            try:
                check_form(form, required=("name",))
                self._directory.update_record(collection, key, {"name": form["name"]}, replaces=False)
            except HttpError as error:
                rejected = {"wrong_id": key, "typed": form.get("name", "")}
                return self._render_entities(
                    request, collection, 400, outcome=_describe_unsaved(error), **rejected
                )
            sent = self._send_webhook(collection, key, "UPDATE", before)
            return redirect_after_post(f"/{collection}?outcome={sent.number}")

        return rename_entity

    def build_delete_view(self, collection: str) -> Callable[[Request, str], Response]:
        """Return the view that deletes an entity."""

        def delete_entity(request: Request, key: str) -> Response:
            before = self._directory.get_record(collection, key)
            self._directory.delete_record(collection, key)
            sent = self._send_webhook(collection, key, "DELETE", before)
            return redirect_after_post(f"/{collection}?outcome={sent.number}")

        return delete_entity

    def show_webhooks(self, request: Request) -> Response:
        """Return the webhooks that were sent, newest first."""
        rows = [sent.as_json() | {"entity_id": sent.entity_id} for sent in reversed(self._sender.list_sent())]
        for row in rows:
            row["good"] = row["status"] in {200, 202}
            row["pretty"] = (
                json.dumps(row["json"], indent=2, ensure_ascii=False) if row["json"] else row["body"]
            )
        return self._pages.render_page(request, "webhooks.html", "Webhooks", rows=rows)

    def show_settings(self, request: Request) -> Response:
        """Return the settings of the sender."""
        return self._render_settings(request, self._sender.settings.as_json(), saved="saved" in request.query)

    def _render_settings(
        self, request: Request, settings: Mapping[str, object], status: int = 200, **values: object
    ) -> Response:
        values |= {"settings": settings, "languages": LANGUAGES}
        return self._pages.render_page(request, "settings.html", "Settings", status, **values)

    def save_settings(self, request: Request) -> Response:
        """Change the settings of the sender. An empty secret leaves the stored one unchanged."""
        form = request.parse_form()
        texts = ("signed_url", "unsigned_url", "mode", "language", "respond")
        changes: dict[str, object] = {name: form[name] for name in texts if name in form}
        changes |= {name: bool(form.get(name)) for name in ("automatic", "previous")}
        if form.get("secret"):
            changes["secret"] = form["secret"]
        try:
            self._sender.change_settings(changes)
        except HttpError as error:
            typed = self._sender.settings.as_json() | changes
            return self._render_settings(request, typed, 400, outcome=_describe_unsaved(error))
        return redirect_after_post("/settings?saved=1")

    def _send_webhook(self, collection: str, key: str, event_type: str, before: Record | None) -> SentWebhook:
        """Send a webhook for a write of the pages, with the optional fields that the settings ask for."""
        settings, optional_fields = self._sender.settings, dict[str, object]()
        if settings.respond:
            optional_fields["respond"] = settings.respond
        if settings.previous and before and event_type == "UPDATE":
            emails = before.get("emails") or [{}]
            # The list says of each address whether it was verified.
            optional_fields["previous"] = (
                {"email": emails[0].get("address"), "emails": emails}
                if collection == "users"
                else {"name": before["name"]}
            )
        return self._sender.send_webhook(
            Webhook(ENTITY_TYPES[collection], key, event_type, optional_fields=optional_fields)
        )

    def _find_outcome(self, request: Request, key: str | None = None) -> SaveOutcome | None:
        """Return the outcome of the save that redirected here; None without one, or if it was of another entity."""
        number = request.query.get("outcome")
        sent = self._sender.find_sent(parse_whole_number(number, "outcome")) if number else None
        if sent is None or (key is not None and sent.entity_id != key):
            return None
        return describe_outcome(sent, request.query.get("changed", ""))

    def _build_entity_row(self, entity: Record) -> dict[str, object]:
        members = [self._get_person_name(member) for member in entity.get("members", [])]
        owner = self._get_person_name(entity["ownerId"]) if entity.get("ownerId") else ""
        size = f"{entity['size'] / 1024:.0f} KB" if isinstance(entity.get("size"), int) else ""
        facts = [entity.get("description"), ", ".join(members), entity.get("contentType"), size, owner]
        return {
            "id": entity["id"],
            "name": entity["name"],
            "facts": " · ".join(filter(None, map(str, filter(None, facts)))),
        }

    def _get_person_name(self, key: str) -> str:
        person = self._store.get_record("users", key)
        return str(build_person_row(person)["full_name"]) if person else key


def _describe_unsaved(error: HttpError) -> SaveOutcome:
    return SaveOutcome("bad", "Not saved", error.message, fields=list_field_messages(error))


def add_identity_pages(
    routes: Router, pages: PageRenderer, store: RecordStore, directory: EntityDirectory, sender: WebhookSender
) -> None:
    """Add the routes of the pages to ``routes``."""
    views = IdentityPages(pages, store, directory, sender)
    for path in ("/", "/users"):
        routes.add_route("GET", path, views.show_people)
    routes.add_route("POST", "/users", views.create_user)
    routes.add_route("GET", "/users/{}", views.show_profile)
    routes.add_route("POST", "/users/{}", views.save_profile)
    routes.add_route("POST", "/users/{}/verify", views.verify_email)
    routes.add_route("POST", "/users/{}/delete", views.build_delete_view("users"))
    for collection in ("groups", "files"):
        routes.add_route("GET", f"/{collection}", views.build_list_view(collection))
        routes.add_route("POST", f"/{collection}/{{}}", views.build_rename_view(collection))
        routes.add_route("POST", f"/{collection}/{{}}/delete", views.build_delete_view(collection))
    routes.add_route("GET", "/webhooks", views.show_webhooks)
    routes.add_route("GET", "/settings", views.show_settings)
    routes.add_route("POST", "/settings", views.save_settings)
