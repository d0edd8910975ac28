"""Settings for secrets that are sent elsewhere than in one header: a parameter, or a second secret. Pure."""

import re
from dataclasses import dataclass

from config_schema.kinds import Choice, Text
from config_schema.objects import Object, ObjectRule
from config_schema.settings import SettingValues, defaulted, optional, required
from config_schema.translatable import translatable
from sync.connectors.settings.setting_kinds import HeaderName

_PARAMETER_NAME = Text(
    re.compile(r"[A-Za-z0-9_.:\[\]-]{1,64}", re.ASCII),
    translatable("1 to 64 letters, digits and characters of `_.:[]-`"),
    translatable("This is not the name of a parameter."),
)


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """Place of a secret in requests.

    `kind` is `header`, `query` or `body`. `credential` is the name of the credential that is sent there.
    """

    kind: str
    name: str
    credential: str


PARAMETER = required(
    "parameter", _PARAMETER_NAME, "The name of the parameter that holds the secret.", example="wstoken"
)
PARAMETER_IN = defaulted(
    "in",
    Choice(("query", "body")),
    "query",
    "Where the parameter is. `query`: in the address of each request. `body`: in a field of the form or JSON "
    "object that a request sends; a request without a body has it in its address. Prefer `body`: addresses "
    "appear in the logs of other systems.",
    example="body",
)
_SECOND_HEADER = optional(
    "header", HeaderName(), "The header that holds it.", example="App-Token", is_nullable=False
)
_SECOND_QUERY = optional(
    "query", _PARAMETER_NAME, "The query parameter that holds it.", example="key", is_nullable=False
)
_SECOND_PLACES = (_SECOND_HEADER, _SECOND_QUERY)


def _build_second(values: SettingValues) -> SecretPlace:
    given = [(place.name, values[place]) for place in _SECOND_PLACES if values.is_given(place)]
    kind, name = given[0] if len(given) == 1 else ("", None)
    if name is None:
        values.reject(_SECOND_HEADER, "Exactly one of “header” and “query” is required.")
    return SecretPlace(kind, name, "second_value")


SECOND = optional(
    "second",
    Object(
        _SECOND_PLACES,
        _build_second,
        (
            ObjectRule(
                "Exactly one of `header` and `query` is required.",
                {"oneOf": [{"required": [place.name]} for place in _SECOND_PLACES]},
            ),
        ),
    ),
    "A second secret that every request to the origin of the base URL also sends, including a log-in: the "
    "key of an application, or of a gateway in front of the system.",
    example={"header": "App-Token"},
    is_nullable=False,
)
