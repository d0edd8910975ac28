"""Settings of the operations that change records. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from config_schema.declared import nullable, setting
from config_schema.errors import SettingPath, SettingsInvalid
from config_schema.expressions.expression_analysis import (
    can_give_scalar,
    list_root_paths,
)
from config_schema.kinds import Choice, TextList
from config_schema.rules import AnyOf, Given, Is, Not, Requires
from connectors.settings.expression_documents import CONDITION_ROOTS, RESPONSE_ROOTS, expression_rule
from connectors.settings.operations.operation import BODY_RULES, Operation
from connectors.settings.operations.templates import placeholder_rule
from connectors.settings.setting_kinds import Expression
from connectors.values.json_responses import JmesPathExpression

_PATCH_STYLES = ("merge-patch", "json-patch", "scim-patch")
_STYLES = ("changed", "replace", *_PATCH_STYLES, "body")
# Styles that send an object of fields, so that the version can be one of them.
OBJECT_STYLES = frozenset({"changed", "replace", "merge-patch"})


class WriteOperation(Operation):
    """A request that changes a record."""

    # What an update sends; other writes send their fields as they are.
    style = "changed"

    @cached_property
    def needs_raw(self) -> bool:
        """True if the record has to be read before the request can be made."""
        return self.style == "replace" or self.uses("raw")


def _write_method(default: str) -> Any:
    choices = Choice(("POST", "PUT", "PATCH", "DELETE"))
    return setting(choices, Operation.settings["method"].meaning, default=default, example="POST")


@dataclass(frozen=True)
class CreatedIdExpression(Expression):
    """An expression that finds the id of a new record in a response. One that finds none in any response is refused:
    each creation would count as failed after the record was made.
    """

    roots: frozenset[str] = RESPONSE_ROOTS | {"key"}

    def read(self, value: Any, place: SettingPath) -> JmesPathExpression:
        expression = super().read(value, place)
        for root, part in list_root_paths(value):
            if (root == "headers" and part != part.lower()) or (root in ("status", "key") and part):
                path = f"{root}.{part}"[:100]
                sentence = (
                    f"“{path}” is null in every response: the names of headers are in lower case, and the status and "
                    "the key have no fields."
                )
                raise SettingsInvalid(place, sentence)
        if not list_root_paths(value) or not can_give_scalar(value):
            raise SettingsInvalid(place, "This expression must give the id: a text or a number.")
        return expression


class CreateOperation(WriteOperation):
    """The request that creates a record. Its response must have the id of the record."""

    method: str = _write_method("POST")
    created_id: JmesPathExpression | None = nullable(
        CreatedIdExpression(),
        "Where the id of the new record is in a response, for a system that answers without the record: an "
        "expression over an object with `status`, `headers` (names in lower case), `body` and `key` (the id of the "
        "entity in the identity service). `result` is then ignored. Without it, a response without a body means that "
        "the id is the key, if the path is that of `get` with `{key}` in place of `{id}`.",
        example="split(headers.location, '/')[-1]",
    )

    def is_at_key(self, get_path: str) -> bool:
        """Return True if the record is created at its own path, with the key as its id."""
        return "{key" in self.path and self.path.replace("{key", "{id") == get_path

    rules = (*BODY_RULES, placeholder_rule({"key"}), expression_rule("create"))


class UpdateOperation(WriteOperation):
    """The request that updates a record, or one of several that are sent in order."""

    method: str = _write_method("PATCH")
    when: JmesPathExpression | None = nullable(
        Expression(roots=CONDITION_ROOTS),
        "An expression over the context of the body, without `sent`. The request is skipped unless it is true.",
        example="contains(keys(changed), 'address')",
    )
    style: str = setting(
        Choice(_STYLES),
        "What an update sends. `changed`: the changed fields. `replace`: the whole record as the target returns "
        "it, with the changed fields replaced. `merge-patch`: the changed fields as in RFC 7396. `json-patch`: "
        "operations as in RFC 6902. `scim-patch`: a PatchOp as in RFC 7644. `body`: only the configured `body`.",
        default="changed",
        example="replace",
    )
    omit: tuple[str, ...] = setting(
        TextList(),
        "With the style `replace`: fields of the record that are not sent, such as those that the target sets itself.",
        default=[],
        example=["id", "created_at"],
    )

    rules = (
        *BODY_RULES,
        Requires(
            sentence="The style `body` needs a `body`, unless the encoding is `none`.",
            when=Is("style", "body"),
            then=AnyOf(Given("body"), Is("encoding", "none")),
            at="body",
            error="The style “body” needs a body.",
        ),
        Requires(
            sentence="A patch is not sent as a form.",
            when=Is("style", *_PATCH_STYLES),
            then=Not(Is("encoding", "form")),
            at="encoding",
            error="A patch is sent as JSON.",
        ),
        placeholder_rule({"id", "key"}),
        expression_rule("update"),
    )

    def request_expressions(self) -> Iterator[JmesPathExpression]:
        yield from super().request_expressions()
        if self.when is not None:
            yield self.when


class DeleteOperation(WriteOperation):
    """The request that deletes or anonymizes a record."""

    method: str = _write_method("DELETE")

    rules = (*BODY_RULES, placeholder_rule({"id", "key"}), expression_rule("delete"))
