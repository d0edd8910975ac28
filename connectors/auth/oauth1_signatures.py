"""Sign requests by OAuth 1.0a (RFC 5849) with credentials that a person has entered, without its redirections."""

from typing import Any

from oauthlib.oauth1 import Client

from config_schema.errors import SettingsInvalid
from connectors.exchange import PreparedRequest, SignedRequest
from connectors.http.message_types import HttpRequest, UrlNotAllowed
from connectors.http.transport import prepare_with_requests
from connectors.settings.credentials import Credentials
from connectors.settings.schemes.signatures import OAuth1Authentication
from connectors.settings.setting_kinds import is_header_value

_FORM_TYPE = "application/x-www-form-urlencoded"


class OAuth1Signer:
    """Signs requests with the credentials of a connection: method, URL, query and, of a form, its fields. Each
    signature has a nonce and a timestamp of its own, so a request that is sent again must be signed again.

    Raises SettingsInvalid if the credentials cannot be sent.
    """

    def __init__(self, scheme: OAuth1Authentication, held: Credentials) -> None:
        token, token_secret = (None, None) if scheme.consumer_only else (held["token"], held["token_secret"])
        # It holds no state of a request, so threads can share it.
        self._client: Any = Client(
            held["consumer_key"],
            held["consumer_secret"],
            token,
            token_secret,
            signature_method=scheme.algorithm,
            realm=scheme.realm,
        )
        try:
            header = self._make_header("GET", "https://example.com/", None)
        except ValueError:
            header = ""
        if not is_header_value(header):
            raise SettingsInvalid(
                ("credentials", "consumer_key"), "This credential contains characters that cannot be sent."
            )

    def __repr__(self) -> str:
        return "<OAuth1Signer>"

    def sign(self, call: PreparedRequest) -> SignedRequest:
        """Return the request with its URL as it will be sent, and the header that signs it. Raises UrlNotAllowed."""
        sent = prepare_with_requests(HttpRequest(call.method, call.url, {}, None, call.allowed_url))
        try:
            header = self._make_header(call.method, sent.url, _form_of(call))
        except ValueError:
            # A query or a form that is not encoded as RFC 5849, 3.4.1.3 has it, or a form in a GET.
            raise UrlNotAllowed("the request cannot be signed") from None
        signature = header.partition('oauth_signature="')[2].partition('"')[0]
        return SignedRequest(call._replace(url=sent.url), {"Authorization": header}, signature)

    def _make_header(self, method: str, url: str, form: str | None) -> str:
        # Without other bodies: `oauthlib` would add a hash of them, an extension that few systems know.
        _, headers, _ = self._client.sign(
            url, method, form, {} if form is None else {"Content-Type": _FORM_TYPE}
        )
        return str(headers["Authorization"])


def _form_of(call: PreparedRequest) -> str | None:
    """Return the body of a request if it is a form; None for any other, or if there is none."""
    types = [value for name, value in call.headers.items() if name.lower() == "content-type"]
    is_form = bool(types) and types[-1].partition(";")[0].strip().lower() == _FORM_TYPE
    return call.body.decode("ascii") if call.body and is_form else None
