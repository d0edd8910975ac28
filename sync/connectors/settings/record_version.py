"""Settings of the version of records: where it is read, how a write sends it, and which responses call it outdated.
Pure.
"""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sync.connectors.settings.settings_reader import SettingsReader
from sync.connectors.values.jmespath_paths import parse_field_path
from sync.connectors.values.json_responses import JmesPathExpression, UnreadableError, parse_json

FieldPath = tuple[str, ...]

MAX_STALE_RULES = 10
_MAX_PATH_LENGTH = 10
_DEFAULT_STATUS = 412
# These have a meaning of their own, whatever the version.
_OTHER_MEANINGS = frozenset({401, 403, 404, 408, 410, 425, 429})
# Other statuses refuse values too: without a condition, every refusal would be taken for an outdated version.
_UNCONDITIONAL = frozenset({409, 412, 428})


@dataclass(frozen=True, slots=True)
class StaleRule:
    """Rule for a response that refuses a write because its version is outdated. `condition`: an expression that must
    be true of the body; None for every response with the status.
    """

    status: int
    condition: JmesPathExpression | None = None

    def fits_response(self, status: int, body: bytes) -> bool:
        """Return True if a response fits the rule. Raises ExpressionOverBudget."""
        if status != self.status:
            return False
        try:
            return self.condition is None or self.condition.is_true(parse_json(body))
        except UnreadableError:
            return False


@dataclass(frozen=True, slots=True)
class VersionSettings:
    """Settings of the version of the records of one entity type.

    It is read from `read_header` of a response with one record (lower case), or at `read_path` of each record. A write
    sends it as `send_header`, or at `send_path` of the record; then a request without a body sends it as
    `send_parameter` of the query.
    """

    read_header: str | None
    read_path: FieldPath | None
    send_header: str | None
    send_path: FieldPath | None
    send_parameter: str | None
    stale_rules: tuple[StaleRule, ...]


def parse_version_settings(members: SettingsReader) -> VersionSettings:
    """Parse the setting `version` of an entity type. Raises SettingsInvalid."""
    read, send = members.read_object("read"), members.read_object("send")
    read_header, read_path = _read_place(read, "header", "path")
    send_header, send_path = _read_place(send, "header", "field")
    parameter = None if send_path is None else send.read_optional_text("query")
    for reader in (read, send):
        reader.reject_unknown_fields()
    rules = [_parse_stale_rule(rule) for rule in members.read_optional_objects("stale", MAX_STALE_RULES)]
    members.reject_unknown_fields()
    return VersionSettings(
        read_header.lower() if read_header else None,
        read_path,
        send_header,
        send_path,
        parameter,
        tuple(rules) or (StaleRule(_DEFAULT_STATUS),),
    )


def is_stale(rules: Iterable[StaleRule], status: int, body: bytes) -> bool:
    """Return True if a response fits one of the rules. Raises ExpressionOverBudget."""
    return any(rule.fits_response(status, body) for rule in rules)


def _read_place(members: SettingsReader, header: str, path: str) -> tuple[str | None, FieldPath | None]:
    """Read exactly one of a header name and a path of field names."""
    name = members.read_optional_header_name(header)
    text = members.read_optional_text(path)
    if (name is None) is (text is None):
        members.reject_field(header, f"Exactly one of “{header}” and “{path}” is required.")
    fields = None
    if text is not None:
        # JMESPath raises a ValueError too.
        with suppress(ValueError):
            fields = parse_field_path(text)
        if not fields or len(fields) > _MAX_PATH_LENGTH:
            members.reject_field(path, "This must be a path of field names such as version or meta.version.")
    return name, fields


def _parse_stale_rule(members: SettingsReader) -> StaleRule:
    status = members.read_whole_number("status", 0, 400, 499)
    condition = members.read_optional_expression("when")
    if status in _OTHER_MEANINGS:
        members.reject_field("status", "This status has another meaning.")
    if condition is None and status not in _UNCONDITIONAL:
        members.reject_field("when", "Only the statuses 409, 412 and 428 may stand without a condition.")
    members.reject_unknown_fields()
    return StaleRule(status, condition)
