"""Draw mutations at random from all places of the product at which one of a few operators applies."""

import ast
import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutation import ROOT, Mutation

PACKAGES = (
    *("config_schema", "database", "audit", "webhooks", "logins", "connectors", "sync", "exports", "console"),
    *("integration_hub", "devtools"),
)
LEFT_OUT = ("/migrations/", "/devtools/", "/__init__.py")

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}


def draw(count: int, seed: int) -> list[Mutation]:
    """Return `count` mutations, sorted by module and line. The same seed and product give the same ones."""
    places = [mutation for path in product_modules() for mutation in _mutations(path)]
    chosen = random.Random(seed).sample(places, min(count, len(places)))
    chosen.sort(key=lambda mutation: (mutation.path, mutation.line or 0))
    return [_named(mutation, number) for number, mutation in enumerate(chosen, 1)]


def product_modules() -> list[str]:
    """Return the paths of the tracked modules in which mutations are drawn."""
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "*.py"], capture_output=True, text=True, check=True
    ).stdout.split()
    return [
        path
        for path in tracked
        if path.split("/")[0] in PACKAGES and not any(part in f"/{path}" for part in LEFT_OUT)
    ]


def to_toml(mutations: list[Mutation]) -> str:
    """Return the list as `mutation.drawn_mutations` reads it."""
    return "\n".join(
        "[[mutation]]\n"
        + "".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
            for name in ("name", "path", "line", "old", "new", "lost")
            if (value := getattr(mutation, name)) not in (None, "")
        )
        for mutation in mutations
    )


def _named(mutation: Mutation, number: int) -> Mutation:
    return Mutation(f"m{number:03}", mutation.path, mutation.old, mutation.new, mutation.line)


def _mutations(path: str) -> Iterator[Mutation]:
    text = (ROOT / path).read_text()
    lines = text.splitlines()
    for node, replacement in _replacements(ast.parse(text), lines):
        old = lines[node.lineno - 1]
        # The parser counts columns in bytes.
        head, tail = old.encode()[: node.col_offset].decode(), old.encode()[node.end_col_offset :].decode()
        new = head + replacement + tail
        if new != old:
            yield Mutation("", path, old + "\n", new + "\n", node.lineno)


def _replacements(tree: ast.Module, lines: list[str]) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield each node of one line that an operator applies to, and its replacement."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in function.body:
                for node in _own_nodes(statement):
                    if isinstance(node, ast.expr | ast.stmt) and node.lineno == node.end_lineno:
                        for replacement in _operators(node, lines):
                            yield node, replacement


def _own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes below a statement without annotations, texts and the bodies of functions within it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.JoinedStr):
        return
    yield node
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _own_nodes(child)


def _operators(node: ast.expr | ast.stmt, lines: list[str]) -> Iterator[str]:
    match node:
        case ast.Compare(left=left, ops=[operator], comparators=[right]):
            yield f"{_text(left, lines)} {COMPARISONS[type(operator)]} {_text(right, lines)}"
        case ast.BoolOp(op=ast.And(), values=[first, *others]):
            yield f"({_text(first, lines)} or {' and '.join(_text(value, lines) for value in others)})"
        case ast.BoolOp(op=ast.Or(), values=[first, *others]):
            yield f"({_text(first, lines)} and ({' or '.join(_text(value, lines) for value in others)}))"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield f"bool({_text(operand, lines)})"
        case ast.Constant(value=bool(value)):
            yield str(not value)
        case ast.Constant(value=int(value)):
            yield str(value + 1)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            yield f"{_text(left, lines)} - {_text(right, lines)}"
        case ast.IfExp(test=test, body=body, orelse=orelse):
            yield f"({_text(orelse, lines)} if {_text(test, lines)} else {_text(body, lines)})"
        case ast.Return(value=ast.expr() as value) if not _is_constant(value):
            yield "return None"
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign():
            yield "pass"


def _is_constant(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant)


def _text(node: ast.expr, lines: list[str]) -> str:
    return lines[node.lineno - 1].encode()[node.col_offset : node.end_col_offset].decode()


def write(path: Path, mutations: list[Mutation]) -> None:
    """Write the list of mutations."""
    path.write_text(to_toml(mutations))
