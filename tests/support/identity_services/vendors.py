"""Vendors' APIs of users, as their documentation describes them: requests, envelopes, pages and refusals."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode

from tests.support.http.servers import Reply, SeenRequest

Users = list[dict[str, Any]]


@dataclass
class IdentityVendor:
    """Users below one path. `page`: makes the answer to a list of a request and all users. `absent` and `refusal`: the
    answers for a user who is not there and for wrong credentials. `ending`: what every path ends with; `list_path`: that of
    the list, if it is another one. `token_path`: where a
    token is fetched with `client`, in the form or by basic authentication. `confused`: it answers with another user.
    """

    path: str
    id_field: str
    page: Callable[[SeenRequest, Users], Reply]
    absent: Reply
    refusal: Reply
    authorization: str = "Bearer s3cret-token"
    wrap: Callable[[dict[str, Any]], Any] = lambda user: user
    list_method: str = "GET"
    ending: str = ""
    list_path: str = ""
    token_path: str = ""
    token_form: dict[str, str] = field(default_factory=dict)
    is_basic: bool = False
    confused: bool = False
    users: Users = field(default_factory=list)

    def add(self, **fields: Any) -> None:
        self.users.append(fields)

    def answer(self, seen: SeenRequest) -> Reply:
        """Answer one request."""
        if self.token_path and seen.path == self.token_path:
            return self._give_token(seen)
        if seen.headers.get("authorization") != self.authorization:
            return self.refusal
        if seen.path == (self.list_path or self.path) + self.ending:
            return self.page(seen, self.users) if seen.method == self.list_method else Reply(405)
        match = re.fullmatch(rf"{re.escape(self.path)}/([^/]+){self.ending}", seen.path)
        if match is None or seen.method != "GET":
            return Reply(404, raw=b"<html>No such page</html>")
        found = [user for user in self.users if user[self.id_field] == unquote(match[1])]
        if self.confused:
            found = [user for user in self.users if user not in found]
        return Reply(200, self.wrap(found[0])) if found else self.absent

    def _give_token(self, seen: SeenRequest) -> Reply:
        form = dict(parse_qsl(seen.body.decode()))
        client = "hub:" + form.get("client_secret", "") if form.get("client_id") == "hub" else ""
        if self.is_basic:
            client = base64.b64decode(seen.headers.get("authorization", "").removeprefix("Basic ")).decode()
        expected = {"grant_type": "client_credentials", **self.token_form}
        if client != "hub:s3cret" or any(form.get(name) != value for name, value in expected.items()):
            return Reply(
                401, {"error": "invalid_client", "error_description": "Client authentication failed"}
            )
        return Reply(200, {"access_token": "s3cret-token", "token_type": "Bearer", "expires_in": 3600})


def _slice(seen: SeenRequest, users: Users, start: str, count: str, first: int = 0) -> Users:
    begin = int(seen.query.get(start, first)) - first
    return users[begin : begin + int(seen.query[count])]


def _scim_page(seen: SeenRequest, users: Users, count: str = "count") -> Reply:
    found = _slice(seen, users, "startIndex", count, 1)
    return Reply(200, {"totalResults": len(users), "itemsPerPage": len(found), "Resources": found})


def _scim_error(status: int, detail: str) -> Reply:
    return Reply(
        status,
        {"schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"], "detail": detail, "status": str(status)},
    )


def scim(**options: Any) -> IdentityVendor:
    """Return a SCIM 2.0 service."""
    return IdentityVendor(
        path="/scim/v2/Users",
        page=_scim_page,
        absent=_scim_error(404, "Resource not found."),
        refusal=_scim_error(401, "Authorization failure."),
        **{"id_field": "id"} | options,
    )


def canaille() -> IdentityVendor:
    """Return Canaille, whose users are read by their name, and which takes any count of a page."""
    vendor = scim(id_field="userName", token_path="/oauth/token", is_basic=True)
    # It ignores the parameter, and gives all that follow.
    vendor.page = lambda seen, users: Reply(
        200, {"totalResults": len(users), "Resources": users[int(seen.query.get("startIndex", "1")) - 1 :]}
    )
    return vendor


def directus() -> IdentityVendor:
    """Return Directus, for which what is absent is forbidden."""

    def error(status: int, code: str, message: str) -> Reply:
        return Reply(status, {"errors": [{"message": message, "extensions": {"code": code}}]})

    return IdentityVendor(
        path="/users",
        id_field="id",
        page=lambda seen, users: Reply(200, {"data": _slice(seen, users, "offset", "limit")}),
        absent=error(403, "FORBIDDEN", "You don't have permission to access this."),
        refusal=error(401, "INVALID_CREDENTIALS", "Invalid user credentials."),
        wrap=lambda user: {"data": user},
    )


def keycloak() -> IdentityVendor:
    """Return the admin API of a realm. Its lists are bare."""
    return IdentityVendor(
        path="/admin/realms/REALM/users",
        id_field="id",
        page=lambda seen, users: Reply(200, _slice(seen, users, "first", "max")),
        absent=Reply(404, {"error": "User not found"}),
        refusal=Reply(401, {"error": "HTTP 401 Unauthorized"}),
        token_path="/realms/REALM/protocol/openid-connect/token",
        is_basic=True,
    )


def okta() -> IdentityVendor:
    """Return Okta, which names the next page in a header."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, after = int(seen.query["limit"]), int(seen.query.get("after", "0"))
        headers = {}
        if after + size < len(users):
            origin = f"http://{seen.headers['host']}"
            following = urlencode({"after": after + size, "limit": size})
            headers["Link"] = (
                f'<{origin}/api/v1/users?limit={size}>; rel="self", <{origin}/api/v1/users?{following}>; rel="next"'
            )
        return Reply(200, users[after : after + size], headers)

    def error(status: int, code: str, summary: str) -> Reply:
        return Reply(status, {"errorCode": code, "errorSummary": summary, "errorCauses": []})

    return IdentityVendor(
        path="/api/v1/users",
        id_field="id",
        page=page,
        absent=error(404, "E0000007", "Not found: Resource not found: 00u404 (User)"),
        refusal=error(401, "E0000011", "Invalid token provided"),
        authorization="SSWS s3cret-token",
    )


def auth0() -> IdentityVendor:
    """Return Auth0, whose pages count from nought and state the total if they are asked to."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, number = int(seen.query["per_page"]), int(seen.query["page"])
        found = users[number * size : (number + 1) * size]
        if seen.query.get("include_totals") != "true":
            return Reply(200, found)
        return Reply(
            200,
            {
                "start": number * size,
                "limit": size,
                "length": len(found),
                "users": found,
                "total": len(users),
            },
        )

    def error(status: int, title: str, message: str, code: str) -> Reply:
        return Reply(status, {"statusCode": status, "error": title, "message": message, "errorCode": code})

    return IdentityVendor(
        path="/api/v2/users",
        id_field="user_id",
        page=page,
        absent=error(404, "Not Found", "The user does not exist.", "inexistent_user"),
        refusal=error(401, "Unauthorized", "Invalid token", "invalid_token"),
        token_path="/oauth/token",
        token_form={"audience": "https://TENANT.eu.auth0.com/api/v2/"},
    )


def authentik() -> IdentityVendor:
    """Return authentik, whose paths end with a slash, and whose pages state how many users there are."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, number = int(seen.query["page_size"]), int(seen.query["page"])
        found = users[(number - 1) * size : number * size]
        pages = -(-len(users) // size)
        if number > max(pages, 1):
            return Reply(404, {"detail": "Invalid page."})
        following = number + 1 if number < pages else 0
        return Reply(
            200, {"pagination": {"next": following, "count": len(users), "current": number}, "results": found}
        )

    return IdentityVendor(
        path="/api/v3/core/users",
        ending="/",
        id_field="pk",
        page=page,
        absent=Reply(404, {"detail": "No User matches the given query."}),
        refusal=Reply(403, {"detail": "Token invalid/expired"}),
    )


def entra_id() -> IdentityVendor:
    """Return Microsoft Graph, which gives the address of the next page and the fields that are asked for."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, token = int(seen.query["$top"]), int(seen.query.get("$skiptoken", "0"))
        document: dict[str, Any] = {"value": users[token : token + size]}
        if token + size < len(users):
            following = urlencode(
                {"$select": seen.query["$select"], "$top": size, "$skiptoken": token + size}
            )
            document["@odata.nextLink"] = f"http://{seen.headers['host']}/v1.0/users?{following}"
        return Reply(200, document)

    def error(status: int, code: str, message: str) -> Reply:
        return Reply(status, {"error": {"code": code, "message": message}})

    sentence = "Resource does not exist or one of its queried reference-property objects are not present."
    return IdentityVendor(
        path="/v1.0/users",
        id_field="id",
        page=page,
        absent=error(404, "Request_ResourceNotFound", sentence),
        refusal=error(401, "InvalidAuthenticationToken", "Access token is empty."),
        token_path="/TENANT/oauth2/v2.0/token",
        token_form={"scope": "https://graph.microsoft.com/.default"},
    )


def zitadel() -> IdentityVendor:
    """Return Zitadel, whose list is a POST, and whose numbers are texts."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        query = json.loads(seen.body)["query"]
        found = users[int(query["offset"]) : int(query["offset"]) + int(query["limit"])]
        # An empty list is left out.
        return Reply(
            200, {"details": {"totalResult": str(len(users))}, **({"result": found} if found else {})}
        )

    return IdentityVendor(
        path="/v2/users",
        id_field="userId",
        page=page,
        absent=Reply(404, {"code": 5, "message": "User could not be found"}),
        refusal=Reply(401, {"code": 16, "message": "Errors.Token.Invalid"}),
        wrap=lambda user: {"details": {"sequence": "4"}, "user": user},
        list_method="POST",
    )


def fusionauth() -> IdentityVendor:
    """Return FusionAuth, whose refusals have no body, and whose list is a search."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        assert seen.query["queryString"] == "*"
        found = _slice(seen, users, "startRow", "numberOfResults")
        return Reply(200, {"total": len(users), **({"users": found} if found else {})})

    return IdentityVendor(
        path="/api/user",
        list_path="/api/user/search",
        id_field="id",
        page=page,
        absent=Reply(404, raw=b""),
        refusal=Reply(401, raw=b""),
        authorization="s3cret-key",
        wrap=lambda user: {"user": user},
    )


def clerk() -> IdentityVendor:
    """Return Clerk, whose lists are bare."""

    def error(status: int, code: str, message: str, long_message: str) -> Reply:
        return Reply(status, {"errors": [{"code": code, "message": message, "long_message": long_message}]})

    return IdentityVendor(
        path="/v1/users",
        id_field="id",
        page=lambda seen, users: Reply(200, _slice(seen, users, "offset", "limit")),
        absent=error(404, "resource_not_found", "not found", "No user was found with id nobody"),
        refusal=error(
            401, "authentication_invalid", "Invalid authentication", "Unable to authenticate the request"
        ),
    )


def workos() -> IdentityVendor:
    """Return WorkOS, whose pages give the id after which the next one begins."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        ids, size = [user["id"] for user in users], int(seen.query["limit"])
        begin = ids.index(seen.query["after"]) + 1 if "after" in seen.query else 0
        found = users[begin : begin + size]
        after = found[-1]["id"] if begin + size < len(users) else None
        metadata = {"before": None, "after": after}
        return Reply(200, {"object": "list", "data": found, "list_metadata": metadata})

    absent = {"code": "entity_not_found", "message": "User not found: 'nobody'.", "entity_id": "nobody"}
    return IdentityVendor(
        path="/user_management/users",
        id_field="id",
        page=page,
        absent=Reply(404, absent),
        refusal=Reply(401, {"message": "Unauthorized"}),
    )


def ory() -> IdentityVendor:
    """Return Ory Kratos, which names the next page in a header, by its path."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, token = int(seen.query["page_size"]), int(seen.query.get("page_token", "0"))
        links = [f'</admin/identities?page_size={size}&page_token=>; rel="first"']
        if token + size < len(users):
            links.append(f'</admin/identities?page_size={size}&page_token={token + size}>; rel="next"')
        return Reply(200, users[token : token + size], {"Link": ",".join(links)})

    def error(status: int, text: str, message: str) -> Reply:
        return Reply(status, {"error": {"code": status, "status": text, "message": message}})

    return IdentityVendor(
        path="/admin/identities",
        id_field="id",
        page=page,
        absent=error(404, "Not Found", "Unable to locate the resource"),
        refusal=error(401, "Unauthorized", "The request could not be authorized"),
    )


def logto() -> IdentityVendor:
    """Return Logto, whose lists are bare, and whose pages have a hundred users at most."""

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, number = int(seen.query["page_size"]), int(seen.query["page"])
        if size > 100:
            return Reply(400, {"code": "guard.invalid_pagination", "message": "Invalid pagination."})
        found = users[(number - 1) * size : number * size]
        return Reply(200, found, {"Total-Number": str(len(users))})

    return IdentityVendor(
        path="/api/users",
        id_field="id",
        page=page,
        absent=Reply(404, {"code": "entity.not_found", "message": "Resource not found."}),
        refusal=Reply(401, {"code": "auth.unauthorized", "message": "Unauthorized."}),
        token_path="/oidc/token",
        token_form={"resource": "https://TENANT.logto.app/api", "scope": "all"},
        is_basic=True,
    )


def pingone() -> IdentityVendor:
    """Return PingOne, whose pages have the address of the next one among their links."""
    path = "/v1/environments/ENVIRONMENT_ID/users"

    def page(seen: SeenRequest, users: Users) -> Reply:
        size, cursor = int(seen.query["limit"]), int(seen.query.get("cursor", "0"))
        origin = f"http://{seen.headers['host']}"
        links = {"self": {"href": f"{origin}{path}?limit={size}"}}
        if cursor + size < len(users):
            following = urlencode({"limit": size, "cursor": cursor + size})
            links["next"] = {"href": f"{origin}{path}?{following}"}
        found = users[cursor : cursor + size]
        return Reply(
            200, {"_links": links, "_embedded": {"users": found}, "count": len(users), "size": len(found)}
        )

    def error(status: int, code: str, message: str) -> Reply:
        return Reply(status, {"id": "0d6bd5ba-5d70-4b4f-8b4c-5f3c6f9a7f4e", "code": code, "message": message})

    return IdentityVendor(
        path=path,
        id_field="id",
        page=page,
        absent=error(
            404, "NOT_FOUND", "The request could not be completed. The requested resource was not found."
        ),
        refusal=error(
            401,
            "ACCESS_FAILED",
            "The request could not be completed. You do not have access to this resource.",
        ),
        token_path="/ENVIRONMENT_ID/as/token",
        is_basic=True,
    )
