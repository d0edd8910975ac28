"""What changed in this checkout since a commit, and which broken variants that concerns."""

import ast
import functools
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.mutation import ROOT, VARIANTS, Mutation, StaleMutation, parse_mutations, variants


def run_git(*arguments: str) -> str:
    """Return what git prints in this checkout. Raises CalledProcessError."""
    return subprocess.run(
        ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()


def changed_files(since: str) -> set[str] | None:
    """Return the files that changed since a commit, None if this clone does not have it."""
    known = subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", f"{since}^{{commit}}"], check=False)
    return None if known.returncode else set(run_git("diff", "--name-only", since, "HEAD").splitlines())


def changed_variants(since: str) -> list[Mutation]:
    """Return the broken variants of which the row, the function that they break, or a test changed since a commit.

    All of them if this clone does not have the commit. What changed around them may keep a test from failing too: that
    shows in `make nightly`, which tries all.
    """
    files = changed_files(since)
    if files is None:
        return variants()
    earlier = _variants_at(since)

    @functools.cache
    def before(path: str) -> str:
        return run_git("show", f"{since}:{path}") + "\n"

    def is_concerned(variant: Mutation) -> bool:
        return any(
            changed_part(variant, path, before(path), (ROOT / path).read_text())
            for path in _named_files(variant) & files
        )

    return [variant for variant in variants() if variant not in earlier or is_concerned(variant)]


def _named_files(variant: Mutation) -> set[str]:
    return {variant.path, *(test.partition("::")[0] for test in variant.tests)}


def changed_part(variant: Mutation, path: str, before: str, after: str) -> bool:
    """Return True if two texts of a file differ in the function that a variant breaks, or in a test that it names."""
    if not path.endswith(".py"):
        return before != after
    if path == variant.path:
        old, new = (_part_at(text, variant.line_number(text)) for text in (before, after))
        if old != new:
            return True
    names = {test.partition("::")[2].partition("[")[0] for test in variant.tests if test.startswith(path)}
    return any(not name or _test_named(before, name) != _test_named(after, name) for name in names)


def _part_at(text: str, line: int) -> str:
    """Return the source of the innermost function around a line, or else of the statement of the module."""
    around = [part for part in _parts(text) if part[0] <= line <= part[1]]
    first, last = max(around, default=(line, line))
    return "\n".join(text.split("\n")[first - 1 : last])


def stale_reasons(variant: Mutation) -> list[str]:
    """Return why a variant cannot be tried: its module no longer has the text, or a file no longer has a test."""
    reasons = []
    try:
        variant.apply((ROOT / variant.path).read_text())
    except StaleMutation as error:
        reasons.append(str(error))
    for test in variant.tests:
        path, _, name = test.partition("[")[0].partition("::")
        file = ROOT / path
        if not file.exists() or (name and name not in _functions(file)):
            reasons.append(f"{variant.name}: there is no test {test}")
    return reasons


@functools.cache
def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def _parts(text: str) -> Iterator[tuple[int, int]]:
    """Yield the first and the last line of each statement of the module, and of each function."""
    tree = ast.parse(text)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in (*tree.body, *functions):
        decorators = getattr(node, "decorator_list", [])
        yield min([node.lineno, *(one.lineno for one in decorators)]), node.end_lineno or node.lineno


def _test_named(text: str, name: str) -> str | None:
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _part_at(text, node.lineno)
    return None


def _variants_at(commit: str) -> set[Mutation]:
    folder = str(VARIANTS.relative_to(ROOT))
    names = run_git("ls-tree", "--name-only", commit, f"{folder}/").splitlines()
    return {
        variant
        for name in names
        if name.endswith(".toml")
        for variant in parse_mutations(run_git("show", f"{commit}:{name}"))
    }
