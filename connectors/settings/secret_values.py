"""Find secrets in the settings of a connection: its credentials, and values that belong among them. Pure."""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from config_schema.errors import SettingPath, SettingsInvalid
from connectors.settings.credentials import CREDENTIALS
from connectors.settings.schemes.base import Authentication
from connectors.values.secret_forms import MIN_SECRET_LENGTH
from connectors.values.secret_scrubber import MASK

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_JOINED_WORDS = re.compile(r"([a-z]+)(token|secret|password)")
_SECRET_WORDS = frozenset(
    {"apikey", "auth", "authentication", "authorization", "cookie", "credential", "credentials", "jwt", "key"}
    | {"passphrase", "passwd", "password", "pwd", "secret", "sig", "signature", "token"}
)
# Words before `key` and `token` that name no secret: `Idempotency-Key`, `page_token`.
_PUBLIC_BEFORE = frozenset(
    {
        "cache",
        "continuation",
        "csrf",
        "cursor",
        "external",
        "foreign",
        "group",
        "idempotency",
        "index",
        "lookup",
    }
    | {
        "next",
        "order",
        "page",
        "partition",
        "primary",
        "public",
        "record",
        "routing",
        "search",
        "sort",
        "sync",
    }
    # `X-Atlassian-Token: no-check`
    | {"atlassian", "tenant"}
)
# Members of a body that mostly are not secrets: `{"key": "email", "value": …}`.
_GENERIC_NAMES = frozenset({"auth", "key", "sig", "signature", "token"})
# Objects of names and texts. Any of the texts may be a secret.
_NAMED_VALUES = ("headers", "query", "parameters")
# How the secrets of well-known services begin, so that scanners find them: of Stripe, OpenAI, Slack, GitHub, GitLab,
# Shopify, SendGrid, AWS, Google, HubSpot, Square, DigitalOcean, Hugging Face, npm, PyPI and Standard Webhooks.
_KNOWN_BEGINNING = (
    r"(?:[sr]k_(?:live|test)_|sk-|xox[a-z]-|xapp-|gh[a-z]_|github_pat_|gl[a-z]{2,6}-|shp[a-z]{2}_|SG\.|AKIA|ASIA|AIza|ya29\."
    r"|pat-[a-z]{2}\d-|EAAA|sq0[a-z]{3}-|do[a-z]_v1_|hf_|npm_|pypi-|whsec_)"
)
_SECRET_VALUE = re.compile(
    r"(?i:(?:bearer|basic|digest|negotiate|apikey|token)\s+\S+|eyJ[\w-]+\.[\w-]+\.[\w-]*)"
    rf"|{_KNOWN_BEGINNING}(?=[\w./+=-]*\d)[\w./+=-]{{16,}}",
    re.ASCII,
)
_SCHEMES_BY_HEADER = {
    "authorization": '{"scheme": "bearer"}, or {"scheme": "basic"}',
    "proxy-authorization": '{"scheme": "bearer"}, or {"scheme": "basic"}',
    "cookie": '{"scheme": "header", "header": "X-Api-Key"}',
}


class PlainSecret(NamedTuple):
    """A secret among the settings, where it is neither encrypted nor hidden."""

    place: SettingPath
    name: str
    value: str
    is_header: bool


class ListedSecrets(NamedTuple):
    """Texts that no record, page or answer may show. `sent_texts` contain a secret beside public words, such as a user
    name: they are secret as a whole, not each part of them.
    """

    secrets: list[str]
    sent_texts: list[str]


def list_secrets(
    scheme: Authentication, credentials: Mapping[str, str], settings: Mapping[str, Any]
) -> ListedSecrets:
    """Return the credentials, as they are and as they are sent, and secrets among the settings."""
    texts = [
        str(value)
        for name, value in credentials.items()
        if name not in CREDENTIALS or CREDENTIALS[name].is_secret
    ]
    sent_texts: list[str] = []
    for name, secret in (("username", "password"), ("client_id", "client_secret")):
        if name in credentials and secret in credentials:
            pair = f"{credentials[name]}:{credentials[secret]}"
            # The whole pair is found in base64 too, and a short password only with it.
            sent_texts += [pair, b64encode(pair.encode("utf-8", "surrogatepass")).decode("ascii")]
    texts += [found.value for found in find_plain_secrets(settings)]
    names = {scheme.secret_header, *(place.name for place in scheme.secret_places)}
    # Many systems write the names of headers in lower case.
    names |= {name.lower() for name in names}
    for text in texts:
        if len(text) < MIN_SECRET_LENGTH:
            sent_texts += _texts_with(text, sorted(names))
    long = [text for text in texts if len(text) >= MIN_SECRET_LENGTH]
    return ListedSecrets([*long, *(word for text in long for word in _second_word(text))], sent_texts)


def _texts_with(secret: str, names: list[str]) -> Iterator[str]:
    """Yield the texts in which a secret is sent that is too short to be searched for alone."""
    yield f"Bearer {secret}"
    for name in names:
        yield from (f"{name}={secret}", f"{name}: {secret}", f'"{name}": "{secret}"', f'"{name}":"{secret}"')


def _second_word(text: str) -> Iterator[str]:
    """Yield the second of two words, which alone is the secret: `Token abcdef`."""
    word, _, rest = text.partition(" ")
    if word.isalpha() and " " not in rest and len(rest) >= MIN_SECRET_LENGTH:
        yield rest


def refuse_plain_secrets(settings: Mapping[str, Any]) -> None:
    """Raise SettingsInvalid for a secret among the settings, and name the credential to use in its place."""
    for found in find_plain_secrets(settings):
        if "parameters" in found.place:
            sentence = (
                f"“{found.name[:100]}” seems to be a secret. Enter the secret of the client under “Client secret”, "
                "where it is stored encrypted."
            )
        elif not found.is_header:
            why, where = "settings are not encrypted", "body"
            if "body" not in found.place:
                why, where = "addresses appear in the logs of other systems", "query"
            scheme = f'{{"scheme": "parameter", "parameter": "{found.name[:64]}", "in": "{where}"}}'
            sentence = (
                f"“{found.name[:100]}” seems to be a secret, and {why}. Use the authentication "
                '{"scheme": "header", "header": "X-Api-Key"}, and enter the secret under “Header value”, where it is '
                f"stored encrypted. A system that takes it nowhere else needs {scheme} and “Parameter value”."
            )
        else:
            name = found.name[:100]
            own = f'{{"scheme": "header", "header": "{name}"}}'
            scheme = _SCHEMES_BY_HEADER.get(name.lower(), own)
            field = "“Header value”" if scheme == own else "“Token”, “Password” or “Header value”"
            sentence = (
                f"The header “{name}” holds a secret. Use the authentication {scheme}, and enter the secret under "
                f"{field}, where it is stored encrypted."
            )
            if scheme == own:
                sentence += (
                    f' If requests also need another secret, add "second": {{"header": "{name}"}} to the '
                    "authentication of that one, and enter this one under “Second secret”."
                )
        raise SettingsInvalid(found.place, sentence)


def mask_plain_secrets(settings: Any) -> Any:
    """Return settings with `***` in place of secrets, for the audit log."""
    if isinstance(settings, list):
        return [mask_plain_secrets(one) for one in settings]
    if not isinstance(settings, Mapping):
        return settings
    return {name: _mask_member(name, value) for name, value in settings.items()}


def _mask_member(name: Any, value: Any) -> Any:
    if name in _NAMED_VALUES and isinstance(value, Mapping):
        return {key: _mask_texts(name, key, texts) for key, texts in value.items()}
    return _mask_body(value) if name == "body" else mask_plain_secrets(value)


def _mask_texts(place: str, name: Any, texts: Any) -> Any:
    if isinstance(texts, list | tuple):
        return [_mask_texts(place, name, text) for text in texts]
    return MASK if _is_secret(place, name, texts) else texts


def _mask_body(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: MASK if _is_secret("body", key, one) else _mask_body(one) for key, one in value.items()}
    return [_mask_body(one) for one in value] if isinstance(value, list) else value


def find_plain_secrets(settings: Any, place: SettingPath = ()) -> Iterator[PlainSecret]:
    """Yield the secrets in objects named `headers`, `query`, `parameters` and `body`, at any depth."""
    if isinstance(settings, list):
        for index, one in enumerate(settings):
            yield from find_plain_secrets(one, (*place, index))
    if not isinstance(settings, Mapping):
        return
    for name, value in settings.items():
        own = (*place, str(name))
        if name in _NAMED_VALUES and isinstance(value, Mapping):
            yield from _find_in_named_values(name, value, own)
        elif name == "body":
            yield from _find_in_body(value, own)
        else:
            yield from find_plain_secrets(value, own)


def _find_in_named_values(kind: str, values: Mapping[Any, Any], place: SettingPath) -> Iterator[PlainSecret]:
    """Yield the secrets among headers or parameters."""
    for name, texts in values.items():
        # A query parameter may have several values.
        for text in texts if isinstance(texts, list | tuple) else (texts,):
            if _is_secret(kind, name, text):
                yield PlainSecret(place, name, text, kind == "headers")


def _find_in_body(value: Any, place: SettingPath) -> Iterator[PlainSecret]:
    """Yield the secrets among the texts of a body that are sent as they are."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _find_in_body(one, (*place, index))
    elif isinstance(value, Mapping):
        for key, one in value.items():
            if _is_secret("body", key, one):
                yield PlainSecret((*place, key), key, one, is_header=False)
            else:
                yield from _find_in_body(one, (*place, str(key)))


def _is_secret(place: str, name: Any, value: Any) -> bool:
    is_template = place in ("query", "body") and isinstance(value, str) and "{" in value
    if not isinstance(name, str) or not isinstance(value, str) or is_template:
        return False
    is_generic = place == "body" and name.lower() in _GENERIC_NAMES
    return (is_secret_name(name) and not is_generic) or bool(_SECRET_VALUE.fullmatch(value.strip()))


def is_secret_name(name: str) -> bool:
    """Return True if a header or parameter of this name contains a secret, such as `X-Api-Key`, `accessToken` or
    `wstoken`.
    """
    words = [word.lower() for word in _WORDS.findall(name)]
    # Two words that are written as one: `wstoken` as `ws_token`.
    if words and (joined := _JOINED_WORDS.fullmatch(words[-1])):
        words[-1:] = joined.groups()
    if not words or words[-1] not in _SECRET_WORDS:
        return False
    return words[-1] not in ("key", "token") or len(words) < 2 or words[-2] not in _PUBLIC_BEFORE
