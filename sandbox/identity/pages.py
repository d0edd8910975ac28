"""The identity service's pages: people change their own profile and read what came of it."""

import json
from collections.abc import Callable, Mapping
from urllib.parse import quote

from sandbox.base.control_api import whole_number
from sandbox.base.page_renderer import Pages
from sandbox.base.store import Record, Store
from sandbox.http.messages import Answer, Problem, Request, see_other
from sandbox.http.router import Router
from sandbox.identity.entities import ENTITY_TYPES, Directory
from sandbox.identity.hub_answer import Outcome, outcome_of
from sandbox.identity.profile_form import (
    FORM_FIELDS,
    check_form,
    field_sentences,
    person_row,
    profile_changes,
    username_of,
)
from sandbox.identity.webhook import Delivered, Webhook
from sandbox.identity.webhook_sender import Sender

SHOWN = 200
LANGUAGES = (("en", "English"), ("fi", "Suomi"))


class IdentityPages:
    """Every save stores, sends the webhook, waits for the hub's answer and shows it (post, redirect, get)."""

    def __init__(self, pages: Pages, store: Store, directory: Directory, sender: Sender) -> None:
        self._pages, self._store, self._directory, self._sender = pages, store, directory, sender

    def people(self, request: Request) -> Answer:
        return self._people(request, outcome=self._outcome(request))

    def _people(self, request: Request, status: int = 200, **values: object) -> Answer:
        people = [person_row(each) for each in self._store.all("users", 0, SHOWN)]
        return self._pages.render(request, "people.html", "People", status, people=people, **values)

    def profile(self, request: Request, key: str) -> Answer:
        person = person_row(self._directory.get("users", key))
        return self._profile(request, person, self._outcome(request, key))

    def _profile(
        self, request: Request, person: Mapping[str, object], outcome: Outcome | None, status: int = 200
    ) -> Answer:
        language = self._sender.settings.language
        values = {"person": person, "outcome": outcome, "languages": LANGUAGES, "language": language}
        return self._pages.render(request, "profile.html", str(person["full_name"]), status, **values)

    def save_profile(self, request: Request, key: str) -> Answer:
        form, before = request.form(), self._directory.get("users", key)
        if form.get("language") in {code for code, _ in LANGUAGES}:
            self._sender.configure({"language": form["language"]})
        try:
            after = self._directory.change("users", key, profile_changes(form, before), whole=False)
        except Problem as problem:
            typed = {name: form[name] for name in FORM_FIELDS if name in form}
            return self._profile(request, person_row(before) | typed, _not_saved(problem), 400)
        sent = self._send("users", key, "UPDATE", before)
        changed = "&changed=email" if person_row(before)["email"] != person_row(after)["email"] else ""
        return see_other(f"/users/{quote(key, safe='')}?outcome={sent.number}{changed}")

    def create_user(self, request: Request) -> Answer:
        form = request.form()
        try:
            own = {"username": username_of(form), "memberOf": [], "locale": "fi"}
            user = self._directory.create("users", own | profile_changes(form, {}))
        except Problem as problem:
            return self._people(request, 400, outcome=_not_saved(problem), form=form)
        sent = self._send("users", user["id"], "CREATE", None)
        return see_other(f"/users/{user['id']}?outcome={sent.number}")

    def things(self, collection: str) -> Callable[[Request], Answer]:
        def page(request: Request) -> Answer:
            return self._things(request, collection, outcome=self._outcome(request))

        return page

    def _things(self, request: Request, collection: str, status: int = 200, **values: object) -> Answer:
        rows = [self._thing_row(each) for each in self._store.all(collection, 0, SHOWN)]
        values |= {"rows": rows, "collection": collection}
        return self._pages.render(request, "groups_files.html", collection.capitalize(), status, **values)

    def rename(self, collection: str) -> Callable[[Request, str], Answer]:
        def save(request: Request, key: str) -> Answer:
            form, before = request.form(), self._directory.get(collection, key)
            try:
                check_form(form, required=("name",))
                self._directory.change(collection, key, {"name": form["name"]}, whole=False)
            except Problem as problem:
                wrong = {"wrong_id": key, "typed": form.get("name", "")}
                return self._things(request, collection, 400, outcome=_not_saved(problem), **wrong)
            sent = self._send(collection, key, "UPDATE", before)
            return see_other(f"/{collection}?outcome={sent.number}")

        return save

    def delete(self, collection: str) -> Callable[[Request, str], Answer]:
        def remove(request: Request, key: str) -> Answer:
            before = self._directory.get(collection, key)
            self._directory.delete(collection, key)
            sent = self._send(collection, key, "DELETE", before)
            return see_other(f"/{collection}?outcome={sent.number}")

        return remove

    def webhooks(self, request: Request) -> Answer:
        rows = [each.as_json() | {"entity_id": each.entity_id} for each in reversed(self._sender.log())]
        for row in rows:
            row["good"] = row["status"] in {200, 202}
            row["pretty"] = (
                json.dumps(row["json"], indent=2, ensure_ascii=False) if row["json"] else row["body"]
            )
        return self._pages.render(request, "webhooks.html", "Webhooks", rows=rows)

    def settings(self, request: Request) -> Answer:
        return self._settings(request, self._sender.settings.as_json(), saved="saved" in request.query)

    def _settings(
        self, request: Request, settings: Mapping[str, object], status: int = 200, **values: object
    ) -> Answer:
        values |= {"settings": settings, "languages": LANGUAGES}
        return self._pages.render(request, "settings.html", "Settings", status, **values)

    def save_settings(self, request: Request) -> Answer:
        form = request.form()
        texts = ("signed_url", "unsigned_url", "mode", "language", "respond")
        changes: dict[str, object] = {name: form[name] for name in texts if name in form}
        changes |= {name: bool(form.get(name)) for name in ("automatic", "previous")}
        if form.get("secret"):
            changes["secret"] = form["secret"]
        try:
            self._sender.configure(changes)
        except Problem as problem:
            typed = self._sender.settings.as_json() | changes
            return self._settings(request, typed, 400, outcome=_not_saved(problem))
        return see_other("/settings?saved=1")

    def _send(self, collection: str, key: str, event_type: str, before: Record | None) -> Delivered:
        settings, optional = self._sender.settings, dict[str, object]()
        if settings.respond:
            optional["respond"] = settings.respond
        if settings.previous and before and event_type == "UPDATE":
            emails = before.get("emails") or [{}]
            optional["previous"] = (
                {"email": emails[0].get("address")} if collection == "users" else {"name": before["name"]}
            )
        return self._sender.send(Webhook(ENTITY_TYPES[collection], key, event_type, optional=optional))

    def _outcome(self, request: Request, key: str | None = None) -> Outcome | None:
        """What became of the save that led here; None on a plain visit and for another entity's number."""
        number = request.query.get("outcome")
        sent = self._sender.find(whole_number(number, "outcome")) if number else None
        if sent is None or (key is not None and sent.entity_id != key):
            return None
        return outcome_of(sent, request.query.get("changed", ""))

    def _thing_row(self, entity: Record) -> dict[str, object]:
        members = [self._person_name(each) for each in entity.get("members", [])]
        owner = self._person_name(entity["ownerId"]) if entity.get("ownerId") else ""
        size = f"{entity['size'] / 1024:.0f} KB" if isinstance(entity.get("size"), int) else ""
        facts = [entity.get("description"), ", ".join(members), entity.get("contentType"), size, owner]
        return {
            "id": entity["id"],
            "name": entity["name"],
            "facts": " · ".join(filter(None, map(str, filter(None, facts)))),
        }

    def _person_name(self, key: str) -> str:
        person = self._store.get("users", key)
        return str(person_row(person)["full_name"]) if person else key


def _not_saved(problem: Problem) -> Outcome:
    return Outcome("bad", "Not saved", problem.sentence, fields=field_sentences(problem))


def add_identity_pages(
    routes: Router, pages: Pages, store: Store, directory: Directory, sender: Sender
) -> None:
    views = IdentityPages(pages, store, directory, sender)
    for path in ("/", "/users"):
        routes.add("GET", path, views.people)
    routes.add("POST", "/users", views.create_user)
    routes.add("GET", "/users/{}", views.profile)
    routes.add("POST", "/users/{}", views.save_profile)
    routes.add("POST", "/users/{}/delete", views.delete("users"))
    for collection in ("groups", "files"):
        routes.add("GET", f"/{collection}", views.things(collection))
        routes.add("POST", f"/{collection}/{{}}", views.rename(collection))
        routes.add("POST", f"/{collection}/{{}}/delete", views.delete(collection))
    routes.add("GET", "/webhooks", views.webhooks)
    routes.add("GET", "/settings", views.settings)
    routes.add("POST", "/settings", views.save_settings)
