"""Schemes that send the same secret with each request, or none. Pure."""

from config_schema.declared import setting
from config_schema.kinds import Choice
from config_schema.rules import Given, Is, Requires
from connectors.settings.credentials import (
    PARAMETER_NAME,
    Credentials,
    SecretPlace,
    basic_authorization,
)
from connectors.settings.schemes.base import Authentication, SecretAuthentication
from connectors.settings.setting_kinds import HeaderName


class NoAuthentication(Authentication):
    scheme = "none"
    meaning = "Requests have no credentials, unless TLS presents a client certificate."

    rules = (
        Requires(
            sentence="`csrf` needs `client_certificate`.",
            when=Given("csrf"),
            then=Is("client_certificate", True),
            at="csrf",
        ),
    )


class BasicAuthentication(SecretAuthentication):
    scheme = "basic"
    meaning = "Each request has a user name and a password (RFC 7617)."
    credentials = ("username", "password")

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        return {"Authorization": basic_authorization(held["username"], held["password"])}


class BearerAuthentication(SecretAuthentication):
    scheme = "bearer"
    meaning = "Each request has a token (RFC 6750)."
    credentials = ("token",)

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        return {"Authorization": f"Bearer {held['token']}"}


class HeaderAuthentication(SecretAuthentication):
    scheme = "header"
    meaning = "Each request has a secret in a separate header."
    example = {"header": "X-Api-Key"}
    credentials = ("value",)

    header: str = setting(
        HeaderName("authorization"), "The header that holds the secret.", example="X-Api-Key"
    )

    @property
    def secret_header(self) -> str:
        return self.header

    def fixed_headers(self, held: Credentials) -> dict[str, str]:
        return {self.header: held["value"]}


class ParameterAuthentication(SecretAuthentication):
    scheme = "parameter"
    meaning = (
        "Each request has a secret in a query parameter, or in a field of its body. Only for a system that accepts it "
        "nowhere else."
    )
    example = {"parameter": "wstoken", "in": "body"}
    credentials = ("parameter_value",)

    parameter: str = setting(
        PARAMETER_NAME, "The name of the parameter that holds the secret.", example="wstoken"
    )
    place: str = setting(
        Choice(("query", "body")),
        "Where the parameter is. `query`: in the address of each request. `body`: in a field of the form or JSON "
        "object that a request sends; a request without a body has it in its address. Prefer `body`: addresses "
        "appear in the logs of other systems.",
        name="in",
        default="query",
        example="body",
    )

    @property
    def secret_places(self) -> tuple[SecretPlace, ...]:
        return (SecretPlace(self.place, self.parameter, "parameter_value"), *super().secret_places)
