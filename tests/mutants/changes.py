"""What changed in this checkout since a commit, and which broken variants that concerns."""

import subprocess

from tests.mutants.mutation import ROOT, VARIANTS, Mutation, parse_mutations, variants


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
    """Return the broken variants whose row, module or tests changed since a commit.

    All of them if this clone does not have the commit.
    """
    files = changed_files(since)
    if files is None:
        return variants()
    earlier = _variants_at(since)
    return [variant for variant in variants() if variant not in earlier or _concerned_files(variant) & files]


def _concerned_files(variant: Mutation) -> set[str]:
    return {variant.path, *(test.partition("::")[0] for test in variant.tests)}


def _variants_at(commit: str) -> set[Mutation]:
    folder = str(VARIANTS.relative_to(ROOT))
    names = run_git("ls-tree", "--name-only", commit, f"{folder}/").splitlines()
    return {
        variant
        for name in names
        if name.endswith(".toml")
        for variant in parse_mutations(run_git("show", f"{commit}:{name}"))
    }
