"""Vendors' REST APIs of shops and mailings, as their documentation and the tests of their source describe them."""

import base64
import hashlib
from dataclasses import replace
from typing import Any

from tests.support.http.oauth1_server import OAuth1Server, Refused
from tests.support.http.servers import Reply, SeenRequest
from tests.support.targets.rest_vendors import RestVendor

_CRITERIA = "searchCriteria[filterGroups][0][filters][0]"


class Magento(RestVendor):
    """Customers whose address no other one of the website has. A PUT is the whole customer, but for its addresses.
    Requests are signed by an integration.
    """

    collection = "/V1/customers"
    update_method = "PUT"
    unique = ("email",)

    def __init__(self) -> None:
        super().__init__()
        self.gate = OAuth1Server(self.answer)

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a customer of the default website and return it."""
        addresses = [{"id": 1, "city": "Helsinki", "region": {"region_code": None, "region_id": 0}}]
        return super().add(**{"website_id": 1, "group_id": 1, "addresses": addresses, **fields})

    def answer(self, seen: SeenRequest) -> Reply:
        try:
            self.gate.verify(seen)
        except Refused:
            return self.refuse_credentials()
        known = replace(seen, headers={**seen.headers, self.header: self.authorization})
        if seen.method == "PUT":
            return self._put(known) or super().answer(known)
        return super().answer(known)

    def _put(self, seen: SeenRequest) -> Reply | None:
        key, customer = seen.path.rsplit("/", 1)[1], seen.json()["customer"]
        if key not in self.live:
            return None
        assert customer["id"] == int(key)
        if "website_id" not in customer:
            return Reply(400, {"message": '"Associate to Website" is a required value.'})
        if not self.find_duplicate(customer, key):
            # What is not sent is lost, but for the addresses, which are kept unless they are sent.
            self.live[key] = {"id": int(key), "addresses": self.live[key]["addresses"]}
        return None

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path != f"{self.collection}/search":
            return None
        if not any(name.startswith("searchCriteria") for name in seen.query):
            parameters = {"fieldName": "searchCriteria"}
            message = '"%fieldName" is required. Enter and try again.'
            return Reply(400, {"message": message, "parameters": parameters})
        found = list(self.live.values())
        if f"{_CRITERIA}[field]" in seen.query:
            assert seen.query.get(f"{_CRITERIA}[conditionType]", "eq") == "eq"
            found = self.find_by(seen.query[f"{_CRITERIA}[field]"], seen.query[f"{_CRITERIA}[value]"])
        return Reply(200, {"items": found, "search_criteria": {}, "total_count": len(found)})

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        return Reply(200, reply.value) if reply.status == 201 else reply

    def unwrap(self, body: Any) -> dict[str, Any]:
        return dict(body["customer"])

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        super().delete(seen, key)
        return Reply(200, True)

    def absent(self, method: str, key: str) -> Reply:
        parameters = {"fieldName": "customerId", "fieldValue": key}
        return Reply(
            404, {"message": "No such entity with %fieldName = %fieldValue", "parameters": parameters}
        )

    def refuse_credentials(self) -> Reply:
        message = "The consumer isn't authorized to access %resources."
        return Reply(401, {"message": message, "parameters": {"resources": "Magento_Customer::customer"}})

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        message = "A customer with the same email address already exists in an associated website."
        return Reply(400, {"message": message})


class Mailchimp(RestVendor):
    """Members of an audience by the MD5 of their address. A PUT adds or changes one, a DELETE archives them."""

    collection = "/3.0/lists/LIST_ID/members"
    authorization = "Basic " + base64.b64encode(b"hub:s3cret-us21").decode()
    unique = ("email_address",)

    def __init__(self) -> None:
        super().__init__()
        # Addresses of people who unsubscribed themselves.
        self.unsubscribed: set[str] = set()

    def new_id(self, fields: dict[str, Any]) -> Any:
        return hashlib.md5(fields["email_address"].lower().encode(), usedforsecurity=False).hexdigest()

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a member and return it."""
        empty = {"FNAME": "", "LNAME": "", "PHONE": ""}
        return super().add(
            **{"status": "subscribed", **fields, "merge_fields": empty | fields.get("merge_fields", {})}
        )

    def search(self, seen: SeenRequest) -> Reply | None:
        key = seen.path.rsplit("/", 1)[1]
        if key in self.deleted and seen.method == "GET":
            return Reply(200, {**self.deleted[key], "status": "archived"})
        return self._put(seen.json(), key) if seen.method == "PUT" else None

    def _put(self, given: dict[str, Any], key: str) -> Reply:
        assert key == self.new_id(given)
        if given["email_address"] in self.unsubscribed:
            sentence = "is in a compliance state due to unsubscribe, bounce, or compliance review and cannot be subscribed."
            return self._error(400, "Member In Compliance State", f"{given['email_address']} {sentence}")
        # Without a status, who is archived stays so.
        if key in self.deleted and "status" in given:
            self.live[key] = self.deleted.pop(key)
        if key not in self.live:
            self.add(email_address=given["email_address"], status=given["status_if_new"])
        return Reply(200, self._change(key, given))

    def unwrap(self, body: Any) -> dict[str, Any]:
        return dict(body)

    def updated(self, key: str) -> Reply:
        member = self.live.pop(key)
        member["id"] = self.new_id(member)
        self.live[member["id"]] = member
        return Reply(200, member)

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request. What is not sent of the merge fields stays."""
        key = seen.path.rsplit("/", 1)[1]
        kept = dict(self.live[key]["merge_fields"]) if key in self.live else {}
        reply = super().answer(seen)
        if seen.method == "PATCH" and reply.status == 200:
            reply.value["merge_fields"] = kept | reply.value["merge_fields"]
        return reply

    def _change(self, key: str, given: dict[str, Any]) -> dict[str, Any]:
        member = self.live[key]
        member.update({name: given[name] for name in ("status",) if name in given})
        member["merge_fields"].update(given.get("merge_fields", {}))
        return member

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"members": records, "total_items": len(records)}

    def absent(self, method: str, key: str) -> Reply:
        return self._error(404, "Resource Not Found", "The requested resource could not be found.")

    def refuse_credentials(self) -> Reply:
        sentence = "Your API key may be invalid, or you've attempted to access the wrong datacenter."
        return self._error(401, "API Key Invalid", sentence)

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = f"{value} is already a list member. Use PUT to insert or update list members."
        return self._error(400, "Member Exists", sentence)

    def _error(self, status: int, title: str, detail: str) -> Reply:
        page = "https://mailchimp.com/developer/marketing/docs/errors/"
        return Reply(status, {"type": page, "title": title, "status": status, "detail": detail})
