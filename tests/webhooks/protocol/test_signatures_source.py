"""The source text of the verification: what it compares, and that it never returns early."""

import ast
import inspect

import pytest

from webhooks.protocol import signatures

pytestmark = pytest.mark.pure

# Every comparison in the module. None has an operand that was made from a secret or is a signature that was
# given: a new one is read with that question before it is written here.
COMPARISONS = {
    "scheme == 'none'",
    "scheme == 'standard-webhooks'",
    "scheme == 'body-hmac'",
    "scheme == 'timestamped-hmac'",
    "scheme in _STATIC_SCHEMES",
    "options['unit'] not in _UNITS",
    "name == options['time']",
    "name == options['signature']",
    "len(times) != 1",
    "f'{name}-signature' in headers",
    "abs(now - signed_at) > TIMESTAMP_TOLERANCE",
    "algorithm not in _ALGORITHMS",
    "encode is None",
    "options['encoding'] == 'hex'",
    "word.lower() != scheme",
}
# Methods that compare in other words: only with text that we or the settings of the source fix.
TEXT_COMPARISONS = {
    "_WEBHOOK_ID.fullmatch(webhook_id)",
    "pattern.fullmatch(number)",
    "_require_header(headers, options['header']).split(',', MAX_SIGNATURES)",
    "part.strip(' ').partition('=')",
    "entry.startswith('v1a,')",
    "entry.startswith('v1,')",
    "signature.startswith(options['prefix'])",
    "signature.removeprefix(options['prefix'])",
    "_require_header(headers, 'authorization').partition(' ')",
    "_require_header(headers, f'{spelling}-signature').split(' ', MAX_SIGNATURES)",
}
COMPARING = {
    *("startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition", "split", "rsplit"),
    *(
        "find",
        "rfind",
        "index",
        "rindex",
        "count",
        "replace",
        "match",
        "fullmatch",
        "search",
        "sub",
        "findall",
    ),
    *("__eq__", "__ne__", "__contains__", "eq", "ne", "contains", "issubset", "intersection", "remove"),
}


def sources(tree, kind):
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kind)]


def test_compare_digest_is_the_only_comparison_of_signatures():
    tree = ast.parse(inspect.getsource(signatures))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    by_method = [
        node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr in COMPARING
    ]
    assert set(sources(tree, ast.Compare)) == COMPARISONS
    assert {ast.unparse(node) for node in by_method} == TEXT_COMPARISONS
    assert sources(tree, (ast.Match, ast.Set, ast.SetComp, ast.DictComp)) == []
    assert [ast.unparse(node) for node in calls if "compare_digest" in ast.unparse(node.func)] == [
        "hmac.compare_digest(right, text)"
    ]


def test_every_secret_is_compared_with_every_signature_without_an_early_exit():
    (matching,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(signatures)))
        if isinstance(node, ast.FunctionDef) and "compare_digest" in ast.unparse(node)
    )
    loops = [node for node in ast.walk(matching) if isinstance(node, (ast.For, ast.While, ast.comprehension))]
    (compared,) = (node for node in ast.walk(matching) if isinstance(node, ast.ListComp))
    assert loops == compared.generators
    assert [ast.unparse(loop.iter) for loop in loops] == ["expected", "offered"]
    assert [ast.unparse(condition) for condition in loops[-1].ifs] == ["hmac.compare_digest(right, text)"]
