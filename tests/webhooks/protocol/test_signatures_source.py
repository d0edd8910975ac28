"""The source text of the verification: what it compares, and that it never returns early."""

import ast
import inspect

import pytest

from webhooks.protocol import hmac_rule, hmac_signatures, signatures, verification_result
from webhooks.protocol.tokens import jwt_signatures

pytestmark = pytest.mark.pure

MODULES = (signatures, verification_result, hmac_rule, hmac_signatures)

# Every comparison in the modules. None has an operand that was made from a secret or is a signature that was
# given: a new one is read with that question before it is written here.
COMPARISONS = {
    "scheme == 'none'",
    "scheme == 'standard-webhooks'",
    "scheme == 'jwt'",
    "scheme == 'body-secret'",
    "scheme in _HMAC_RULES",
    "scheme in _STATIC_SCHEMES",
    "f'{name}-signature' in headers",
    "word.lower() != scheme",
    "unit not in _UNITS",
    "unit == RFC_3339",
    "abs(now - signed_at) > window",
    *("METHOD in rule.signed", "URL in rule.signed", "FIELDS in rule.signed"),
    *("rule.algorithm not in ALGORITHMS", "rule.encoding not in ENCODINGS"),
    *("rule.time_header is not None", "rule.id_header is not None"),
    *("rule.signature is not None", "rule.separator is not None"),
    *("encoding == 'hex'", "encoding == 'base64url'"),
    *("member is None", "len(values) != 1", "member_name == name"),
    *("part not in PLACEHOLDERS", "part in webhook_id", "part in PLACEHOLDERS"),
    # Of the address, whose query the settings fix.
    *("query != rule.query.encode()", "part == URL", "(URL, ID) in pairwise(self.signed)"),
    "FIELDS in self.signed",
    # Of the places where an id begins and ends.
    *("ID in rule.signed", "ID in self.signed", "(ID, content) in pairwise(self.signed)", "part in values"),
    *("before[-1] not in PLACEHOLDERS", "before[-1] != part"),
    "text.find(separator) != text.rfind(separator)",
    # Of the settings.
    *("values[_QUERY] is not None", "URL not in signed"),
    *(
        "1 <= len(value) <= MAX_PARTS",
        "sum((signed.count(part) for part in _CONTENTS)) != 1",
        "signed.count(part) > 1",
    ),
    *("part in signed", "part not in signed", "place is None", "place is not None"),
    *("header is not None", "values[member_setting] is None", "values[_SECRET] == 'base64'"),
}
# Methods that compare in other words: only with text that we or the settings of the source fix.
TEXT_COMPARISONS = {
    "_WEBHOOK_ID.fullmatch(webhook_id)",
    "_ID.fullmatch(webhook_id)",
    "_LITERAL.fullmatch(part)",
    "pattern.fullmatch(number)",
    "entry.startswith('v1a,')",
    "entry.startswith('v1,')",
    "item.startswith(rule.prefix)",
    "item.removeprefix(rule.prefix)",
    "item.partition('=')",
    "text.split(separator, MAX_SIGNATURES)",
    "rule.signed.index(ID)",
    *("self.signed.index(ID)", "text.find(separator)", "text.rfind(separator)"),
    "require_header(headers, 'authorization').partition(' ')",
    "signature_list.split(' ', MAX_SIGNATURES)",
    # Of the address, and of what is signed after it.
    *("values[URL].partition(b'?')", "text.startswith(b'/')", "following.startswith('/')"),
    # Of the settings, and of the secret's own notation.
    *("signed.count(part)", "secret.removeprefix(BASE64_SECRET_PREFIX)"),
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
    tree = ast.parse("\n".join(inspect.getsource(module) for module in MODULES))
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
