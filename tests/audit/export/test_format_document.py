"""docs/audit-format.md: its worked examples are true, and its tables are what the exporter and the verifiers do."""

import json
import re
from hashlib import sha256
from pathlib import Path

import pytest

from audit.export import verify
from devtools.format_tables import rewrite_tables
from exports.bundle.shipped import check_rows
from tests.support.audit.vectors.published import FILES, read_folder

pytestmark = pytest.mark.pure

ROOT = Path(__file__).resolve().parents[3]
TEXT = (ROOT / "docs" / "audit-format.md").read_text("utf-8")
# An indented JSON text, broken into lines, and the sentence after it, up to the next table or heading.
EXAMPLES = re.findall(r"\n\n((?:    [^\n]+\n)+)\n((?:[^\n#|][^\n]*\n)+)", TEXT)
JSON_EXAMPLES = [
    (re.sub(r"\n?    ", "", block).strip(), words)
    for block, words in EXAMPLES
    if block.startswith('    {"') and not block.startswith('    {"keys"')
]


def hexadecimal(*parts: bytes) -> str:
    return sha256(b"".join(parts)).hexdigest()


def test_every_example_is_in_the_vector_that_it_names() -> None:
    assert len(JSON_EXAMPLES) == 7
    for example, words in JSON_EXAMPLES:
        name = re.search(r"`good/([a-z-]+)`", words)
        assert name, words
        contents = read_folder(f"good/{name[1]}/export").values()
        assert any(example.encode() in content for content in contents), (name[1], example)


def test_the_hashes_of_the_examples_are_right() -> None:
    for example, words in JSON_EXAMPLES:
        record = verify.parse_canonical_json(example.encode())
        if "public" in record:
            assert f"`{hexadecimal(bytes.fromhex(record['public']))[:32]}`" in words
        elif "action" in record:
            leaf = hexadecimal(b"\0hub-audit-1", example.encode())
            assert f"`{leaf}`" in words
        elif "packed" in record:
            leaves = [bytes.fromhex(text) for text in re.findall(r"`([0-9a-f]{64})`", words)[:2]]
            assert record["root"] == hexadecimal(b"\1", *leaves)
            assert record["ids"] == hexadecimal(bytes.fromhex(record["packed"]))
            segment_hash = hexadecimal(b"\0hub-segment-1", verify.signed_text("segment", record))
            assert f"`{segment_hash}`" in words


def test_the_signatures_of_the_examples_are_valid() -> None:
    keys = json.loads(FILES["good/whole/export/keys.json"])["keys"]
    public = {key["key"]: bytes.fromhex(key["public"]) for key in keys}
    kinds = {"public": "key", "packed": "segment", "head": "checkpoint", "kind": "manifest"}
    checked = set()
    for example, _ in JSON_EXAMPLES:
        record = json.loads(example)
        for field, kind in kinds.items():
            if field in record:
                message = b"\0".join((b"hub-signature-1", kind.encode(), verify.signed_text(kind, record)))
                key = verify.PublicKey(public[record["key"]], "")
                assert key.has_signed(bytes.fromhex(record["signature"]), message)
                checked.add(kind)
    assert checked == set(kinds.values())


def test_the_table_has_the_codes_of_the_verifier() -> None:
    source = Path(verify.__file__).read_text("utf-8")
    codes = set(re.findall(r'add_fault\(\s*"([a-z-]+)"', source))
    codes |= set(re.findall(r'yield "([a-z-]+)", f"stream', source))
    codes |= {verify.SpecialFile.code, "unreadable"}
    listed = re.findall(r"^\| `([a-z-]+)` \| (?:[0-9, ]+|all) \|", TEXT, re.MULTILINE)
    assert set(listed) == codes


def test_the_tables_of_columns_and_digests_are_what_make_docs_writes() -> None:
    """Holds that the page describes the columns of today's exports, and says of each what it is compared with."""
    assert TEXT.count("<!-- made by `make docs`:") == 6
    assert rewrite_tables(TEXT) == TEXT, "run `make docs`"
    marked = "".join(re.findall(r"<!-- made by.*?<!-- end -->", TEXT, re.DOTALL))
    assert [line for line in marked.splitlines() if line.endswith("|  |")] == []


def test_the_signed_fields_are_those_of_the_verifier() -> None:
    sections = dict(re.findall(r"^### (\w+)[^\n]*\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL))
    for kind, fields in verify.SIGNED_FIELDS.items():
        rows = re.findall(r"^\| (`.+?`) \| [^|]+ \| yes \|", sections[kind.capitalize()], re.MULTILINE)
        signed = re.findall(r"`(\w+)`", " ".join(rows))
        assert [name for name in signed if name != "pruned"] == fields, kind


def test_the_fields_and_states_that_the_row_checker_reads_are_documented() -> None:
    bold = re.findall(r"^\| \*\*`(\w+)`\*\* \|", TEXT, re.MULTILINE)
    assert sorted(bold) == sorted(check_rows.METADATA_FIELDS)
    states = re.search(r"the state is the first of this list that a delivery has: ([^.]+)\.", TEXT)
    assert states
    assert tuple(re.findall(r"`(\w+)`", states[1])) == check_rows.STATES
    opened = re.search(r"The \*open\* states are ([^.]+)\.", TEXT)
    assert opened
    assert tuple(re.findall(r"`(\w+)`", opened[1])) == check_rows.OPEN
