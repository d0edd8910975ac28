"""Which tests hold which promise, read from the marks in the source of the tests. `python -m tests.promises` prints it."""

import ast
import dataclasses
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

TESTS = Path(__file__).parent
TABLE = TESTS / "promises.toml"
# A test with one of these marks is no part of `make test`.
OTHER_TIERS = {"submission", "nightly", "faults", "peers"}


@dataclasses.dataclass(frozen=True)
class PromiseTest:
    """A test that is marked with a promise."""

    promise: str
    node_id: str
    in_gate: bool


def promises() -> dict[str, dict[str, str]]:
    """Return the table of promises by id: what each says, and why no test of the gate holds it, if none does."""
    return tomllib.loads(TABLE.read_text())


def promise_tests() -> list[PromiseTest]:
    """Return the marked tests in the order of their files."""
    return [
        found
        for path in sorted(TESTS.rglob("test_*.py"))
        if "mark.promise(" in (text := path.read_text())
        for found in _marked_in(ast.parse(text), path.relative_to(TESTS.parent).as_posix())
    ]


def _marked_in(tree: ast.Module, path: str) -> Iterator[PromiseTest]:
    of_module = [mark for node in tree.body if isinstance(node, ast.Assign) for mark in _marks_assigned(node)]
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
            marks = [*of_module, *(mark for node in function.decorator_list for mark in _marks(node))]
            in_gate = not OTHER_TIERS & {name for name, _ in marks}
            for name, ids in marks:
                if name == "promise":
                    for promise in ids:
                        yield PromiseTest(promise, f"{path}::{function.name}", in_gate)


def _marks_assigned(node: ast.Assign) -> Iterator[tuple[str, list[str]]]:
    if any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in node.targets):
        values = node.value.elts if isinstance(node.value, ast.List | ast.Tuple) else [node.value]
        for value in values:
            yield from _marks(value)


def _marks(node: ast.expr) -> Iterator[tuple[str, list[str]]]:
    """Yield the name and the text arguments of a mark `pytest.mark.NAME` or `pytest.mark.NAME(...)`."""
    arguments = node.args if isinstance(node, ast.Call) else []
    mark = node.func if isinstance(node, ast.Call) else node
    if (
        isinstance(mark, ast.Attribute)
        and isinstance(mark.value, ast.Attribute)
        and mark.value.attr == "mark"
    ):
        yield (
            mark.attr,
            [str(ast.literal_eval(argument)) for argument in arguments if isinstance(argument, ast.Constant)],
        )


def format_table(found: Sequence[PromiseTest]) -> str:
    """Return each promise with its tests; those outside the gate are marked with a star."""
    lines = []
    for promise, row in promises().items():
        lines.append(f"{promise}: {row['says']}")
        lines += [f"    reason: {row['reason']}"] if "reason" in row else []
        lines += [
            f"    {' ' if test.in_gate else '*'} {test.node_id}" for test in found if test.promise == promise
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(format_table(promise_tests()))
