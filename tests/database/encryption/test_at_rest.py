"""Encryption at rest, for the hub and for one subject: values open with their key only, unchanged only, and no nonce
repeats.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from database.encryption import subject_cipher
from database.encryption.at_rest import CannotDecrypt, decrypt, encrypt, encrypt_again
from database.encryption.subject_cipher import COMPRESSED, VERSION, SubjectEncryptor
from tests.support.hub import new_sealing_key
from tests.support.rows import each_row

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

OLD, NEW = new_sealing_key(), new_sealing_key()
KEY, OTHER = os.urandom(32), os.urandom(32)


def encrypt_for_subject(plain: bytes) -> bytes:
    return SubjectEncryptor(KEY).encrypt(plain)


def decrypt_for_subject(sealed: bytes, key: bytes = KEY) -> bytes:
    return subject_cipher.decrypt(key, sealed)


Pair = tuple[Callable[[bytes], bytes], Callable[[bytes], bytes]]
BOTH: list[Pair] = [(encrypt, decrypt), (encrypt_for_subject, decrypt_for_subject)]
# One value that is compressed, and any.
VALUES = st.binary(max_size=2_000) | st.just(b'{"respond":"result"}' * 9)


@pytest.mark.promise("T30", "I15")
@given(st.sampled_from(BOTH), VALUES, st.data())
def test_a_value_can_be_decrypted_until_a_bit_is_changed(
    pair: Pair, plain: bytes, data: st.DataObject
) -> None:
    seal, unseal = pair
    sealed = bytearray(seal(plain))
    assert unseal(bytes(sealed)) == plain
    place = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(CannotDecrypt):
        unseal(bytes(sealed))


@each_row([(*pair, length) for pair in BOTH for length in (0, 1, 4, 5, 16, 17, 29, 32, 33, 44)])
def test_a_truncated_value_is_rejected(
    seal: Callable[[bytes], bytes], unseal: Callable[[bytes], bytes], length: int
) -> None:
    with pytest.raises(CannotDecrypt):
        unseal(seal(b"")[:length])


@each_row([0, 1, 3, 0x80, 0xFF])
def test_a_value_of_another_version_is_rejected(version: int) -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(bytes([version]) + encrypt(b"personal")[1:])


def test_the_first_key_encrypts_and_every_key_decrypts() -> None:
    with override_settings(SEALING_KEYS=[OLD]):
        sealed = encrypt(b"personal")
    with override_settings(SEALING_KEYS=[NEW]), pytest.raises(CannotDecrypt):
        decrypt(sealed)
    with override_settings(SEALING_KEYS=[NEW, OLD]):
        assert decrypt(sealed) == b"personal"
        renewed = encrypt_again(sealed)
    with override_settings(SEALING_KEYS=[NEW]):
        assert decrypt(renewed) == b"personal"


@pytest.mark.promise("I15")
def test_the_key_of_another_subject_and_that_of_the_hub_are_rejected() -> None:
    with pytest.raises(CannotDecrypt):
        decrypt_for_subject(encrypt_for_subject(b"personal"), OTHER)
    with pytest.raises(CannotDecrypt):
        decrypt_for_subject(encrypt(b"of no subject"))


def test_a_document_is_compressed_and_an_incompressible_value_is_not() -> None:
    document = b'{"headers":{"content-type":"application/json"},"body":"a"}'
    sealed = encrypt_for_subject(document)
    assert sealed.startswith(COMPRESSED)
    assert len(sealed) < len(document) + 45
    random = os.urandom(1000)
    sealed = encrypt_for_subject(random)
    assert sealed.startswith(VERSION)
    assert len(sealed) == len(random) + 45
    # The version is authenticated.
    with pytest.raises(CannotDecrypt):
        decrypt_for_subject(VERSION + encrypt_for_subject(b"a" * 1000)[1:])


def test_no_two_values_have_the_same_nonce_under_one_salt() -> None:
    sealers = [SubjectEncryptor(KEY) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        of_hub = list(threads.map(lambda _: encrypt(b"same"), range(1_000)))
        of_subject = list(threads.map(lambda number: sealers[number % 8].encrypt(b"same"), range(1_000)))
    # Version, name of the key of the hub, salt and nonce.
    assert len({sealed[:33] for sealed in of_hub}) == len({sealed[:29] for sealed in of_subject}) == 1_000


def test_a_forked_process_encrypts_with_its_own_salt() -> None:
    encrypt(b"parent")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, encrypt(b"child"))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        theirs = file.read()
    assert decrypt(theirs) == b"child"
    assert theirs[:21] != encrypt(b"parent")[:21]
