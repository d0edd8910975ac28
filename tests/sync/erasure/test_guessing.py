"""Erased people cannot be found by guessing (promise I19): not from the database without the external keys.

The guesser knows the whole space of ids, everything that the database still holds, and how the hub makes pseudonyms.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator

import pytest

from database.encryption.at_rest import decrypt
from sync.erasure.erase import run_erasure
from sync.models import Route
from tests.support.builders.erasure import InventedPerson, confirmed_erasure, read_all_cells, store_people
from tests.support.hub import Hub
from webhooks.models import Pepper
from webhooks.models.subject_key_store import pseudonym

SPACE = 2_000
_HEX = re.compile(rb"~?((?:[0-9a-f]{2}){8,64})\Z")


def named(number: int) -> str:
    return f"U{number:06}"


def person(number: int) -> InventedPerson:
    return InventedPerson(named(number), f"Qvist{number}", f"zx{number}@example.com")


def kept() -> set[bytes]:
    """Everything that may be a hash of something: values of every table, words in texts, all of them also from hexadecimal."""
    found: set[bytes] = set()
    for _, value in read_all_cells():
        found.add(value)
        for word in re.findall(rb"[0-9a-f]{16,}", value):
            found |= {word, bytes.fromhex(word[: len(word) // 2 * 2].decode())}
        match = _HEX.match(value)
        if match:
            found.add(bytes.fromhex(match[1].decode()))
    return found


def texts(source: int, entity_id: str) -> Iterator[bytes]:
    """Return what the hub hashes of an id, and similar texts that an attacker would try."""
    plain = entity_id.encode()
    parts = [str(source).encode(), b"USER", plain]
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    yield from (b"hub-pseudonym-1" + framed, plain, b"|".join(parts))


def find_matches(ids: Iterable[str], source: int, secrets: list[bytes], remains: set[bytes]) -> set[str]:
    """Return the ids with a hash, plain or keyed, whole or cut to 16 bytes, among the remaining values."""
    hits = set()
    for entity_id in ids:
        for text in texts(source, entity_id):
            digests = [hashlib.sha256(text).digest(), *(hmac.digest(key, text, "sha256") for key in secrets)]
            if any(digest in remains or digest[:16] in remains for digest in digests):
                hits.add(entity_id)
    return hits


@pytest.mark.promise("I19")
def test_guesses_find_no_erased_person(hub: Hub) -> None:
    erased_person, stays = person(SPACE // 3), person(SPACE // 2)
    store_people([erased_person, stays])
    source = Route.objects.get(entity_type="USER", source__slug="aurora").source_id
    pepper = decrypt(bytes(Pepper.objects.get().encrypted))
    name = pseudonym(source, "USER", erased_person.entity_id)
    assert run_erasure(confirmed_erasure(erased_person))
    remains = kept()
    assert bytes.fromhex(name) in remains, "the erasure is on record by the pseudonym"
    assert pepper not in remains, "what is not sealed is not in the database"
    around = {erased_person.entity_id, stays.entity_id}
    everybody = [named(number) for number in range(SPACE)]
    assert find_matches(everybody, source, [pepper], remains) == around, "with the pepper one guess is enough"
    assert find_matches(around, source, sorted(remains), remains) == set(), "no value that remains is the key"
    assert find_matches(everybody, source, [b""], remains) == set()
    bare = hashlib.sha256(next(texts(source, erased_person.entity_id))).digest()
    assert find_matches(around, source, [], remains | {bare}) == {erased_person.entity_id}, (
        "a bare hash would be found"
    )
