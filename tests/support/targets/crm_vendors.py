"""Vendors' APIs of customer relations, as their documentation describes them: lists of one record, ids in headers."""

import re
from typing import Any
from urllib.parse import parse_qsl, unquote

import jwt

from tests.support.http.authentication_servers import make_key
from tests.support.http.servers import Reply, SeenRequest
from tests.support.targets.csrf_gateway import CsrfGateway
from tests.support.targets.odata_vendors import ODataVendor
from tests.support.targets.rest_vendors import RestVendor

NETSUITE_KEY, _NETSUITE_CERTIFICATE = make_key("ES256")
ANOTHER_KEY, _ = make_key("ES256")
_NETSUITE_TOKEN = "/services/rest/auth/oauth2/v1/token"
_QUERY = re.compile(r"SELECT (.+) FROM customer(?: WHERE (\w+) = '((?:[^']|'')*)')?")


class CloudForCustomer(ODataVendor):
    """Individual customers of SAP Cloud for Customer: OData 2 behind a CSRF token, with an entity tag for each."""

    collection = "/sap/c4c/odata/v1/c4codataapi/IndividualCustomerCollection"
    id_field = "ObjectID"
    key = r"\('([^']+)'\)"

    def __init__(self) -> None:
        super().__init__()
        self.gateway = CsrfGateway(inner=self.serve)
        self.invalid: set[str] = set()

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request. Without the parameter, a read is answered in XML."""
        if seen.method == "GET" and seen.query.get("$format") != "json":
            return Reply(200, raw=b"<feed/>")
        return self.gateway.answer(seen)

    def serve(self, seen: SeenRequest) -> Reply:
        """Answer a request that has its credentials and its token."""
        if seen.path == "/sap/c4c/odata/v1/c4codataapi/":
            return Reply(200, {"d": {"EntitySets": ["IndividualCustomerCollection"]}})
        return super().answer(seen)

    def is_known(self, seen: SeenRequest) -> bool:
        return True

    def new_id(self, fields: dict[str, Any]) -> Any:
        return f"00163E03A0701ED28DABB39DFBC{next(self.numbers):05}"

    def add(self, **fields: Any) -> dict[str, Any]:
        """Add a customer and return it."""
        return super().add(**{"revision": 1, **fields})

    def answer_item(self, seen: SeenRequest, key: str) -> Reply:
        if seen.method in ("PATCH", "DELETE") and key in self.live:
            if seen.headers["if-match"] != self.tag(key):
                return self.refuse(412, "", "Precondition failed")
            if seen.method == "PATCH" and seen.json().get("Email") in self.invalid:
                return self.refuse(400, "", f"E-mail address {seen.json()['Email']} is not valid")
            self.live[key]["revision"] += 1
        reply = super().answer_item(seen, key)
        return (
            Reply(200, {"d": {"results": reply.value}})
            if seen.method == "GET" and reply.status == 200
            else reply
        )

    def tag(self, key: str) -> str:
        return f"W/\"datetimeoffset'2026-11-29T12%3A00%3A{self.live[key]['revision']:02}.0000000Z'\""

    def show(self, key: str, seen: SeenRequest) -> dict[str, Any]:
        asked = seen.query.get("$select", "ObjectID,FirstName,LastName,Email").split(",")
        record = {name: self.live[key].get(name) for name in asked}
        return {"__metadata": {"type": "c4codataapi.IndividualCustomer", "etag": self.tag(key)}, **record}

    def list_records(self, seen: SeenRequest) -> Reply:
        reply = super().list_records(seen)
        return Reply(200, {"d": {"results": reply.value["value"]}}) if reply.status == 200 else reply

    def create(self, seen: SeenRequest) -> Reply:
        return Reply(201, {"d": {"results": super().create(seen).value}})

    def absent(self, method: str, key: str) -> Reply:
        return self.refuse(404, "", f"Resource not found for segment '{key}'")

    def refuse(self, status: int, code: str, message: str) -> Reply:
        return Reply(status, {"error": {"code": code, "message": {"lang": "en", "value": message}}})


class NetSuite(RestVendor):
    """Customers of NetSuite: a creation names its record in a header alone, and a search is a query in SQL."""

    collection = "/services/rest/record/v1/customer"
    authorization = "Bearer netsuite-access-token"
    unique = ("email",)

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        if seen.path != _NETSUITE_TOKEN:
            return None
        form = dict(parse_qsl(seen.body.decode()))
        audience = f"https://ACCOUNT.suitetalk.api.netsuite.com{_NETSUITE_TOKEN}"
        try:
            claims = jwt.decode(
                form["client_assertion"],
                _NETSUITE_CERTIFICATE,
                algorithms=["ES256"],
                audience=audience,
                issuer="hub",
            )
        except jwt.PyJWTError:
            return Reply(400, {"error": "invalid_client", "error_description": "Invalid client."})
        if claims.get("scope") != "rest_webservices" or form["grant_type"] != "client_credentials":
            return Reply(400, {"error": "invalid_scope"})
        token = self.authorization.removeprefix("Bearer ")
        return Reply(200, {"access_token": token, "expires_in": "3600", "token_type": "bearer"})

    def new_id(self, fields: dict[str, Any]) -> Any:
        return str(next(self.numbers))

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path != "/services/rest/query/v1/suiteql":
            return None
        if seen.headers.get("prefer") != "transient":
            return self._refuse(400, "INVALID_HEADER", "Invalid value for the header Prefer")
        match = _QUERY.fullmatch(seen.json()["q"])
        if match is None:
            return self._refuse(400, "INVALID_PARAMETER", "Invalid search query.")
        # Columns are in lower case, whatever the query says.
        rows = [{name.lower(): value for name, value in record.items()} for record in self.live.values()]
        if match[2]:
            value = match[3].replace("''", "'")
            rows = [row for row in rows if row.get(match[2].lower()) == value]
        asked = [name.strip().lower() for name in match[1].split(",")]
        items = [{"links": [], **{name: row.get(name) for name in asked if row.get(name)}} for row in rows]
        limit = int(seen.query.get("limit", "1000"))
        return Reply(200, {"links": [], "count": len(items), "hasMore": False, "items": items[:limit]})

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        if reply.status != 201:
            return reply
        location = f"https://ACCOUNT.suitetalk.api.netsuite.com{self.collection}/{reply.value['id']}"
        return Reply(204, None, {"Location": location})

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"links": [], **record}

    def updated(self, key: str) -> Reply:
        return Reply(204)

    def absent(self, method: str, key: str) -> Reply:
        sentence = "The record instance does not exist. Provide a valid record instance ID."
        return self._refuse(404, "NONEXISTENT_ID", sentence)

    def refuse_credentials(self) -> Reply:
        return self._refuse(401, "INVALID_LOGIN", "Invalid login attempt.")

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        sentence = "Error while accessing a resource. This entity already exists."
        return self._refuse(400, "USER_ERROR", sentence)

    def _refuse(self, status: int, code: str, detail: str) -> Reply:
        details = [{"detail": detail, "o:errorCode": code}]
        return Reply(
            status, {"type": "https://www.rfc-editor.org/", "status": status, "o:errorDetails": details}
        )


class Zoho(RestVendor):
    """Contacts of Zoho CRM: each body is a list of one record, and each result has a code of its own."""

    collection = "/crm/v8/Contacts"
    update_method = "PUT"
    authorization = "Zoho-oauthtoken zoho-access-token"
    unique = ("Email",)

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        if seen.path != "/oauth/v2/token":
            return None
        form = dict(parse_qsl(seen.body.decode()))
        # A refusal has the status of a success.
        if form["refresh_token"] != "1000.refresh" or form["client_secret"] != "s3cret":
            return Reply(200, {"error": "invalid_code"})
        token = self.authorization.removeprefix("Zoho-oauthtoken ")
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3600})

    def new_id(self, fields: dict[str, Any]) -> Any:
        return f"4150868000001944{next(self.numbers)}"

    def search(self, seen: SeenRequest) -> Reply | None:
        if seen.path != f"{self.collection}/search":
            return None
        found = self.find_by("Email", seen.query["email"])
        return Reply(200, {"data": found, "info": {"count": len(found)}}) if found else Reply(204)

    def list_records(self, seen: SeenRequest) -> Reply:
        if "fields" not in seen.query:
            return Reply(
                400, self._result("REQUIRED_PARAM_MISSING", "One of the expected parameter is missing")
            )
        return Reply(200, {"data": list(self.live.values())}) if self.live else Reply(204)

    def create(self, seen: SeenRequest) -> Reply:
        if not self.unwrap(seen.json()).get("Last_Name"):
            missing = self._result("MANDATORY_NOT_FOUND", "required field not found", api_name="Last_Name")
            return Reply(202, {"data": [missing]})
        reply = super().create(seen)
        if reply.status != 201:
            return reply
        return Reply(201, self._success(reply.value["data"][0]["id"], "record added"))

    def unwrap(self, body: Any) -> dict[str, Any]:
        [record] = body["data"]
        return dict(record)

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"data": [record]}

    def updated(self, key: str) -> Reply:
        return Reply(200, self._success(key, "record updated"))

    def delete(self, seen: SeenRequest, key: str) -> Reply:
        super().delete(seen, key)
        return Reply(200, self._success(key, "record deleted"))

    def absent(self, method: str, key: str) -> Reply:
        if method == "GET":
            return Reply(204)
        invalid = self._result("INVALID_DATA", "the id given seems to be invalid", id=key)
        return Reply(400, {"data": [invalid]})

    def refuse_credentials(self) -> Reply:
        return Reply(401, self._result("INVALID_TOKEN", "invalid oauth token"))

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        details = {"api_name": name, "json_path": f"$.data[0].{name}", "duplicate_record": {"id": other}}
        return Reply(
            202 if is_new else 400, {"data": [self._result("DUPLICATE_DATA", "duplicate data", **details)]}
        )

    def _success(self, key: str, message: str) -> Any:
        return {
            "data": [{"code": "SUCCESS", "details": {"id": key}, "message": message, "status": "success"}]
        }

    def _result(self, code: str, message: str, **details: Any) -> dict[str, Any]:
        return {"code": code, "details": details, "message": message, "status": "error"}


class Brevo(RestVendor):
    """Contacts of Brevo, known by number or address. Names are attributes, and a change is answered with nothing."""

    collection = "/v3/contacts"
    update_method = "PUT"
    header = "api-key"
    authorization = "xkeysib-s3cret"
    unique = ("email",)

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request; an address in the path stands for the number of its contact."""
        if (
            seen.headers.get(self.header) == self.authorization
            and seen.query.get("identifierType") == "email_id"
        ):
            found = self.find_by("email", unquote(seen.path.rpartition("/")[2]))
            return Reply(200, self.wrap(found[0])) if found else self.absent("GET", "")
        return super().answer(seen)

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        return Reply(201, {"id": reply.value["id"]}) if reply.status == 201 else reply

    def unwrap(self, body: Any) -> dict[str, Any]:
        attributes = dict(body.get("attributes", {}))
        email = attributes.pop("EMAIL", None) or body.get("email")
        # An empty text clears an attribute.
        return {**attributes, **({"email": email} if email else {})}

    def wrap(self, record: dict[str, Any]) -> Any:
        attributes = {name: value for name, value in record.items() if name not in ("id", "email") and value}
        return {
            **{name: record[name] for name in ("id", "email")},
            "emailBlacklisted": False,
            "attributes": attributes,
        }

    def wrap_list(self, records: list[dict[str, Any]]) -> Any:
        return {"contacts": [self.wrap(one) for one in records], "count": len(records)}

    def updated(self, key: str) -> Reply:
        return Reply(204)

    def absent(self, method: str, key: str) -> Reply:
        return Reply(404, {"code": "document_not_found", "message": "Contact does not exist"})

    def refuse_credentials(self) -> Reply:
        return Reply(401, {"code": "unauthorized", "message": "Key not found"})

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        if is_new:
            return Reply(400, {"code": "duplicate_parameter", "message": "Contact already exist"})
        sentence = "Unable to update contact, email is already associated with another Contact"
        return Reply(400, {"code": "duplicate_parameter", "message": sentence})


class BigCommerce(RestVendor):
    """Customers of BigCommerce: one address for all, a list in each body, and ids among the parameters."""

    collection = "/stores/HASH/v3/customers"
    header = "x-auth-token"
    authorization = "s3cret-token"
    unique = ("email",)

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if seen.headers.get(self.header) != self.authorization:
            return self.refuse_credentials()
        if seen.path != self.collection:
            return Reply(404, {"status": 404, "title": "Not found"})
        if seen.method == "DELETE":
            self.live.pop(seen.query["id:in"], None)
            return Reply(204)
        if seen.method == "PUT":
            [changed] = seen.json()
            return self._put(str(changed["id"]), changed)
        return super().answer(seen)

    def _put(self, key: str, changed: dict[str, Any]) -> Reply:
        if refusal := self.find_duplicate(changed, key):
            return self.refuse_duplicate(*refusal, is_new=False)
        self.live[key].update(changed)
        return Reply(200, self.wrap(self.live[key]))

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        return Reply(200, reply.value) if reply.status == 201 else reply

    def list_records(self, seen: SeenRequest) -> Reply:
        found = list(self.live.values())
        for name, value in seen.query.items():
            if name in ("id:in", "email:in"):
                found = self.find_by(name.removesuffix(":in"), value)
        return Reply(200, {"data": found, "meta": {"pagination": {"total": len(found)}}})

    def unwrap(self, body: Any) -> dict[str, Any]:
        [customer] = body
        return dict(customer)

    def wrap(self, record: dict[str, Any]) -> Any:
        return {"data": [record], "meta": {}}

    def refuse_credentials(self) -> Reply:
        return Reply(
            401, {"status": 401, "title": "X-Auth-Token header is required", "type": "https://developer.bc"}
        )

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        operation = "create" if is_new else "update"
        errors = {f".customer_{operation}": f"Error {operation}ing customers: email {value} already in use"}
        title = f"{operation.capitalize()} customers failed."
        return Reply(422, {"status": 422, "title": title, "type": "https://developer.bc", "errors": errors})


class KeycloakRealm(RestVendor):
    """Users of a realm of Keycloak: a creation names its user in a header alone, and a PUT is the whole user."""

    collection = "/admin/realms/REALM/users"
    update_method = "PUT"
    authorization = "Bearer keycloak-access-token"
    unique = ("username", "email")

    def answer_token_request(self, seen: SeenRequest) -> Reply | None:
        if seen.path != "/realms/REALM/protocol/openid-connect/token":
            return None
        text = f"{seen.headers.get('authorization')} {seen.body.decode()}"
        if "s3cret" not in text and "aHViOnMzY3JldA==" not in text:
            refused = {
                "error": "unauthorized_client",
                "error_description": "Invalid client or Invalid client credentials",
            }
            return Reply(401, refused)
        token = self.authorization.removeprefix("Bearer ")
        return Reply(200, {"access_token": token, "token_type": "Bearer", "expires_in": 60})

    def new_id(self, fields: dict[str, Any]) -> Any:
        return f"0ba3e1c4-73d2-4f25-8c86-{next(self.numbers):012}"

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        key = seen.path.rpartition("/")[2]
        known = seen.headers.get(self.header) == self.authorization
        if known and seen.method == "PUT" and key in self.live and not self.find_duplicate(seen.json(), key):
            # What is not sent is lost.
            self.live[key] = {"id": key}
        return super().answer(seen)

    def create(self, seen: SeenRequest) -> Reply:
        reply = super().create(seen)
        if reply.status != 201:
            return reply
        return Reply(
            201, raw=b"", headers={"Location": f"https://id.example.com{self.collection}/{reply.value['id']}"}
        )

    def list_records(self, seen: SeenRequest) -> Reply:
        found = list(self.live.values())
        for name in ("email", "username"):
            if name in seen.query:
                assert seen.query["exact"] == "true"
                found = self.find_by(name, seen.query[name])
        return Reply(200, found)

    def updated(self, key: str) -> Reply:
        return Reply(204)

    def absent(self, method: str, key: str) -> Reply:
        return Reply(404, {"error": "User not found"})

    def refuse_credentials(self) -> Reply:
        return Reply(401, {"error": "HTTP 401 Unauthorized"})

    def refuse_duplicate(self, name: str, value: str, other: str, *, is_new: bool) -> Reply:
        return Reply(409, {"errorMessage": f"User exists with same {name}"})
