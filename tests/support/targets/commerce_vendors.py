"""Vendors' REST APIs of shops and mailings, as their documentation and the tests of their source describe them."""

from typing import Any

from tests.support.http.servers import Reply, SeenRequest
from tests.support.targets.rest_vendors import RestVendor

_CRITERIA = "searchCriteria[filterGroups][0][filters][0]"


class Magento(RestVendor):
    """Customers whose address no other one of the website has. A PUT is the whole customer, but for its addresses."""

    collection = "/V1/customers"
    update_method = "PUT"
    unique = ("email",)

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a customer of the default website and return it."""
        addresses = [{"id": 1, "city": "Helsinki", "region": {"region_code": None, "region_id": 0}}]
        return super().add(**{"website_id": 1, "group_id": 1, "addresses": addresses, **fields})

    def answer(self, seen: SeenRequest) -> Reply:
        known = seen.headers.get(self.header) == self.authorization
        if known and seen.method == "PUT":
            return self._put(seen) or super().answer(seen)
        return super().answer(seen)

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
