"""The source text of the verification: secrets are compared in constant time, and never with an early exit."""

import ast
import inspect

import pytest

from webhooks.protocol import hmac_rule, hmac_signatures, signatures, verification_result
from webhooks.protocol.tokens import jwt_signatures

pytestmark = pytest.mark.pure

MODULES = (signatures, verification_result, hmac_rule, hmac_signatures)
# Names of what was made from a secret, or is a signature that was given.
CONFIDENTIAL = {
    "secret",
    "secrets",
    "expected",
    "right",
    "offered",
    "text",
    "key",
    "content",
    "signers",
    "item",
}


def sources(tree, kind):
    return [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, kind)]


@pytest.mark.promise("T3")
def test_compare_digest_is_the_only_comparison_of_signatures():
    tree = ast.parse("\n".join(inspect.getsource(module) for module in MODULES))
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    operands = [part for node in compared for part in (node.left, *node.comparators)]
    assert len(compared) > 30
    assert [
        ast.unparse(part) for part in operands if isinstance(part, ast.Name) and part.id in CONFIDENTIAL
    ] == []
    assert sources(tree, (ast.Match, ast.Set, ast.SetComp, ast.DictComp)) == []
    assert [call for call in sources(tree, ast.Call) if "compare_digest" in call.partition("(")[0]] == [
        "hmac.compare_digest(right, text)"
    ]


def test_every_secret_is_compared_with_every_signature_without_an_early_exit():
    (matching,) = (
        node
        for node in ast.walk(ast.parse(inspect.getsource(verification_result)))
        if isinstance(node, ast.FunctionDef) and "compare_digest" in ast.unparse(node)
    )
    loops = [node for node in ast.walk(matching) if isinstance(node, (ast.For, ast.While, ast.comprehension))]
    (compared,) = (node for node in ast.walk(matching) if isinstance(node, ast.ListComp))
    assert loops == compared.generators
    assert [ast.unparse(loop.iter) for loop in loops] == ["expected", "offered"]
    assert [ast.unparse(condition) for condition in loops[-1].ifs] == ["hmac.compare_digest(right, text)"]


def test_the_digest_in_a_token_is_compared_with_compare_digest_alone():
    tree = ast.parse(inspect.getsource(jwt_signatures))
    compared = [text for text in sources(tree, ast.Call) if text.startswith("hmac.compare_digest")]
    assert compared == [
        "hmac.compare_digest(ENCODINGS[encoding](hashlib.sha256(body).digest()), text.encode('ascii'))"
    ]
    assert not [text for text in sources(tree, ast.Compare) if "digest" in text and "is not None" not in text]
