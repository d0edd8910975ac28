"""Evaluate JMESPath expressions under a budget of steps, bytes and CPU time. Pure.

Expressions come from settings, documents from other systems. `[@,@]` piped into itself 25 times takes 150 characters
and makes 33 million values. So each visit of a node, each copied item and each byte is counted before the work is done.
"""

import time
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Any, TypeVar, cast

from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions, signature
from jmespath.visitor import Options, TreeInterpreter

from config_schema.expressions.expression_functions import (
    TEXT_FUNCTIONS,
    UnexpectedValueType,
    apply_to_text,
    decode_base64,
    find_first_email,
    format_date,
    list_items,
    read_json,
    replace_text,
    split_text,
    subtract_list,
    zip_lists,
)

MAX_STEPS = 10_000
# Of the result, as JSON.
MAX_BYTES = 256 * 1024
# CPU time of the thread: a busy machine fails no expression.
MAX_SECONDS = 0.1

# Steps between two looks at the clock.
_CLOCK_INTERVAL = 256
# Copying this many items, reading this many characters or making this many bytes of text costs one step: powers
# of two.
_COPY_STEP_BITS = 3
_READ_STEP_BITS = 10
_MAKE_STEP_BITS = 6

# What the library raises besides its own errors if an expression does not fit the document.
_TYPE_ERRORS = (TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


OVER_BUDGET_REASON = "the expression exceeds 10,000 steps, 256 KiB or 100 ms"


class OverBudget(Exception):
    """An expression costs more than its budget, and its evaluation was stopped."""


class ExpressionBudget:
    """Budget that several expressions share: the steps and the bytes of results that are left to them. Each expression
    also has limits of its own. `find_linked` returns the result of `linked()`, if expressions may call it.
    """

    __slots__ = ("bytes_left", "find_linked", "steps_left")

    def __init__(
        self,
        max_steps: int = MAX_STEPS,
        max_bytes: int = MAX_BYTES,
        find_linked: Callable[[str, Any], Any] | None = None,
    ) -> None:
        self.steps_left = max_steps
        self.bytes_left = max_bytes
        self.find_linked = find_linked


def evaluate_node(node: Any, document: Any, budget: ExpressionBudget, *, can_exceed_document: bool) -> Any:
    """Evaluate a parsed expression. `can_exceed_document`: its result can be larger than the document.

    Raises OverBudget, and JMESPathError if the document does not fit the expression.
    """
    interpreter = _BudgetedInterpreter(min(budget.steps_left, MAX_STEPS), budget.find_linked)
    allowed_steps = interpreter.steps_left
    try:
        result = interpreter.visit(node, document)
        if can_exceed_document:
            allowed_bytes = min(budget.bytes_left, MAX_BYTES)
            budget.bytes_left -= allowed_bytes - _subtract_size(result, allowed_bytes)
    except JMESPathError:
        raise
    except _TYPE_ERRORS as error:
        raise UnexpectedValueType(str(error)) from None
    finally:
        budget.steps_left -= allowed_steps - interpreter.steps_left
    return result


def _subtract_size(value: Any, bytes_left: int) -> int:
    """Subtract the size of a value as JSON from the bytes left. A part that occurs twice counts twice."""
    pending_values = [value]
    while pending_values:
        part = pending_values.pop()
        if isinstance(part, str):
            bytes_left -= 2 + _text_size(part)
        elif isinstance(part, dict):
            bytes_left -= 2 + sum(4 + _text_size(name) for name in part)
        elif isinstance(part, list):
            bytes_left -= 2 + len(part)
        else:
            bytes_left -= _scalar_size(part)
        if bytes_left < 0:
            raise OverBudget
        if isinstance(part, dict | list):
            pending_values.extend(part.values() if isinstance(part, dict) else part)
    return bytes_left


def _text_size(text: str) -> int:
    # A character has at most four bytes in UTF-8.
    return len(text) if text.isascii() else 4 * len(text)


def _scalar_size(value: Any) -> int:
    if isinstance(value, int):
        # Three bits make a little less than a digit.
        return 1 + value.bit_length() // 3
    # An `ExactFloat` is written with the digits that were read.
    return max(24, len(getattr(value, "text", ""))) if isinstance(value, float) else 4


class _BudgetedInterpreter(TreeInterpreter):  # type: ignore[misc]
    """The library's interpreter with a budget: the cost of a node is counted before the node is evaluated."""

    def __init__(self, max_steps: int, find_linked: Callable[[str, Any], Any] | None = None) -> None:
        super().__init__(_OPTIONS)
        self.find_linked = find_linked
        self._functions = _BudgetedFunctions(self)
        self.steps_left = max_steps
        self._next_check = max(max_steps - _CLOCK_INTERVAL, 0)
        self._started: float | None = None

    def charge_steps(self, steps: int) -> None:
        """Subtract steps for work that visits no node. Raises OverBudget."""
        self.steps_left -= steps
        if self.steps_left < self._next_check:
            self._check_limits()

    def charge_copy(self, length: int) -> None:
        """Count the copying of `length` items, or one pass over them."""
        self.charge_steps(length >> _COPY_STEP_BITS)

    def charge_text(self, value: Any, times: int = 1) -> None:
        """Count the reading of a text."""
        if isinstance(value, str) and (steps := len(value) >> _READ_STEP_BITS):
            self.charge_steps(steps * times)

    def charge_nested_value(self, value: Any) -> None:
        """Count the reading of a value and of all values nested in it. A part that occurs twice counts twice."""
        pending_values = [value]
        while pending_values:
            part = pending_values.pop()
            if isinstance(part, dict | list):
                self.charge_steps(1 + len(part))
                pending_values.extend(part.values() if isinstance(part, dict) else part)
            else:
                self.charge_text(part)

    def charge_made_text(self, length: int) -> None:
        """Count a text that a function is about to make."""
        self.charge_steps(length >> _MAKE_STEP_BITS)

    def charge_json_text(self, value: Any) -> None:
        """Count the JSON text of a value that a function is about to make."""
        most = self.steps_left << _MAKE_STEP_BITS
        self.charge_made_text(most - _subtract_size(value, most))

    def visit(self, node: Any, value: Any) -> Any:
        """Evaluate a node, which costs one step. Raises OverBudget."""
        self.steps_left -= 1
        if self.steps_left < self._next_check:
            self._check_limits()
        return _VISITS[node["type"]](self, node, value)

    def visit_comparator(self, node: Any, value: Any) -> Any:
        """Evaluate a comparison. It costs as much as reading the left side."""
        left, right = (self.visit(child, value) for child in node["children"])
        if isinstance(left, dict | list) and type(left) is type(right):
            self.charge_nested_value(left)
        else:
            self.charge_text(left)
        is_about_order = node["value"] not in self._EQUALITY_OPS
        if is_about_order and not (_is_orderable(left) and _is_orderable(right)):
            return None
        return self.COMPARATOR_FUNC[node["value"]](left, right)

    def visit_flatten(self, node: Any, value: Any) -> Any:
        """Evaluate `[]`, which copies the items of each list."""
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.charge_copy(sum(len(item) if isinstance(item, list) else 1 for item in base))
        return [part for item in base for part in (item if isinstance(item, list) else (item,))]

    def visit_slice(self, node: Any, value: Any) -> Any:
        """Evaluate a slice, which copies the items that it selects."""
        if not isinstance(value, list):
            return None
        selected = slice(*node["children"])
        self.charge_copy(len(range(*selected.indices(len(value)))))
        return value[selected]

    def _check_limits(self) -> None:
        if self.steps_left < 0:
            raise OverBudget
        now = time.thread_time()
        if self._started is None:
            self._started = now
        elif now - self._started > MAX_SECONDS:
            raise OverBudget
        self._next_check = max(self.steps_left - _CLOCK_INTERVAL, 0)


def _is_orderable(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, Number) and not isinstance(value, bool))


_Function = TypeVar("_Function", bound=Callable[..., Any])


def _accepts_types(*types: Any) -> Callable[[_Function], _Function]:
    """Decorate a function of expressions with the types of its arguments, by the library's untyped decorator."""
    return cast("Callable[[_Function], _Function]", signature(*types))


class _BudgetedFunctions(Functions):  # type: ignore[misc]
    """The library's functions with a budget: the cost of the arguments is counted before a function is called."""

    def __init__(self, interpreter: _BudgetedInterpreter) -> None:
        self._interpreter = interpreter

    def call_function(self, function_name: str, resolved_args: list[Any]) -> Any:
        """Call a function. The arguments are not validated yet while they are counted."""
        for argument in resolved_args:
            if isinstance(argument, dict | list):
                self._interpreter.charge_copy(len(argument))
            else:
                self._interpreter.charge_text(argument)
        charge = _CHARGES.get(function_name)
        if charge is not None:
            charge(self._interpreter, resolved_args)
        return super().call_function(function_name, resolved_args)

    # A value of any kind: what is not text is returned as it is, as by the functions of a mapping.
    @_accepts_types({"types": []})
    def _func_lower(self, value: Any) -> Any:
        return _call_on_text("lower", value)

    @_accepts_types({"types": []})
    def _func_upper(self, value: Any) -> Any:
        return _call_on_text("upper", value)

    @_accepts_types({"types": []})
    def _func_trim(self, value: Any) -> Any:
        return _call_on_text("trim", value)

    @_accepts_types({"types": []})
    def _func_md5(self, value: Any) -> Any:
        return _call_on_text("md5", value)

    @_accepts_types({"types": []})
    def _func_sha256(self, value: Any) -> Any:
        return _call_on_text("sha256", value)

    @_accepts_types({"types": []})
    def _func_first_email(self, value: Any) -> Any:
        return find_first_email(value)

    @_accepts_types({"types": []})
    def _func_items(self, value: Any) -> Any:
        return list_items(value)

    @_accepts_types({"types": ["array", "null"]}, {"types": ["array", "null"], "variadic": True})
    def _func_zip(self, *lists: Any) -> Any:
        return None if None in lists else zip_lists(list(lists))

    @_accepts_types({"types": ["array", "null"]}, {"types": ["array", "null"]})
    def _func_difference(self, items: Any, others: Any) -> Any:
        return subtract_list(items, others)

    @_accepts_types({"types": ["string", "null"]})
    def _func_from_json(self, text: Any) -> Any:
        return read_json(text)

    @_accepts_types({"types": ["string", "null"]})
    def _func_from_base64(self, text: Any) -> Any:
        return decode_base64(text)

    @_accepts_types({"types": ["string", "null"]}, {"types": ["string"]})
    def _func_split(self, text: Any, separator: str) -> Any:
        return split_text(text, separator)

    @_accepts_types({"types": ["string", "null"]}, {"types": ["string"]}, {"types": ["string"]})
    def _func_replace(self, text: Any, old: str, new: str) -> Any:
        return replace_text(text, old, new)

    @_accepts_types({"types": [], "variadic": True})
    def _func_date(self, *arguments: Any) -> Any:
        if len(arguments) > 2:
            raise UnexpectedValueType("date() takes one or two arguments")
        return format_date(*arguments)

    @_accepts_types({"types": ["string"]}, {"types": []})
    def _func_linked(self, entity_type: str, value: Any) -> Any:
        if self._interpreter.find_linked is None:
            raise UnexpectedValueType("linked() is known to the fields of a mapping only")
        return self._interpreter.find_linked(entity_type, value)

    def _create_key_func(self, expref: Any, allowed_types: list[str], function_name: str) -> Any:
        find_key = super()._create_key_func(expref, allowed_types, function_name)

        def find_counted_key(item: Any) -> Any:
            key = find_key(item)
            # A list of 10,000 items is sorted with 14 comparisons for each.
            self._interpreter.charge_text(key, times=14)
            return key

        return find_counted_key


def _call_on_text(name: str, value: Any) -> Any:
    return apply_to_text(TEXT_FUNCTIONS[name])(value)


def _charge_object_fields(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    # A new object for each member.
    interpreter.charge_steps(sum(len(part) for part in arguments if isinstance(part, dict)))


def _charge_zip(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    lists = [part for part in arguments if isinstance(part, list)]
    shortest = min(map(len, lists), default=0)
    # A new list for each group.
    interpreter.charge_steps(shortest + (shortest * len(lists) >> _COPY_STEP_BITS))


def _charge_nested_values(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    # Each value is read as a whole, and copied into a form that can be compared.
    interpreter.charge_nested_value(arguments)


def _charge_list_items(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    interpreter.charge_steps(sum(len(part) for part in arguments if isinstance(part, list)))


def _charge_to_string(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    for argument in arguments:
        if not isinstance(argument, str):
            interpreter.charge_json_text(argument)


def _charge_join(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    texts = [text for part in arguments if isinstance(part, list) for text in part if isinstance(text, str)]
    separators_size = sum(_text_size(part) for part in arguments if isinstance(part, str))
    interpreter.charge_made_text(separators_size * len(texts) + sum(map(_text_size, texts)))


def _charge_text_change(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    interpreter.charge_made_text(sum(_text_size(part) for part in arguments if isinstance(part, str)))


def _charge_parts(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    # A text of JSON, or one that is split, has at most one value for every two characters.
    interpreter.charge_copy(sum(len(part) for part in arguments if isinstance(part, str)))


def _charge_replace(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    if len(arguments) == 3 and all(isinstance(part, str) for part in arguments) and arguments[1]:
        text, old, new = arguments
        interpreter.charge_made_text(_text_size(text) + text.count(old) * _text_size(new))


def _charge_contains(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    interpreter.charge_nested_value(arguments[:1])


def _charge_order(interpreter: _BudgetedInterpreter, arguments: list[Any]) -> None:
    for items in arguments:
        for item in items if isinstance(items, list) else ():
            interpreter.charge_text(item, times=len(items).bit_length())


_Charge = Callable[[_BudgetedInterpreter, list[Any]], None]
_CHARGES: Mapping[str, _Charge] = {
    "to_string": _charge_to_string,
    "join": _charge_join,
    "reverse": _charge_text_change,
    "lower": _charge_text_change,
    "upper": _charge_text_change,
    "trim": _charge_text_change,
    "md5": _charge_text_change,
    "sha256": _charge_text_change,
    "from_base64": _charge_text_change,
    "from_json": _charge_parts,
    "split": _charge_parts,
    "replace": _charge_replace,
    "items": _charge_object_fields,
    "zip": _charge_zip,
    "difference": _charge_nested_values,
    "first_email": _charge_list_items,
    "linked": _charge_list_items,
    "contains": _charge_contains,
    "sort": _charge_order,
    "max": _charge_order,
    "min": _charge_order,
}
_OPTIONS = Options(custom_functions=Functions())
# The library looks a method up by name, and does so again for each interpreter.
_VISITS: Mapping[str, Callable[[_BudgetedInterpreter, Any, Any], Any]] = {
    name.removeprefix("visit_"): getattr(_BudgetedInterpreter, name)
    for name in dir(_BudgetedInterpreter)
    if name.startswith("visit_")
}
