"""Encryption at rest: values open with their key only, unchanged only, and no nonce repeats."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from tests.support.hub import new_sealing_key
from tests.support.rows import each_row
from webhooks.encryption.at_rest import CannotDecrypt, decrypt, encrypt, encrypt_again

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

OLD, NEW = new_sealing_key(), new_sealing_key()
HEAD = slice(0, 33)  # version, name of the key, salt and nonce


@given(st.binary(max_size=2000))
def test_encrypted_values_can_be_decrypted(plain: bytes) -> None:
    assert decrypt(encrypt(plain)) == plain


@pytest.mark.promise("T30", "I15")
@given(st.binary(max_size=50), st.data())
def test_a_changed_bit_is_rejected(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(encrypt(plain))
    place = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(CannotDecrypt):
        decrypt(bytes(sealed))


@each_row([0, 1, 4, 5, 32, 33, 48])
def test_a_truncated_value_is_rejected(length: int) -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(encrypt(b"")[:length])


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


@each_row([0, 1, 3, 0x80, 0xFF])
def test_a_value_of_another_version_is_rejected(version: int) -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(bytes([version]) + encrypt(b"personal")[1:])


def test_no_two_values_have_the_same_nonce_under_one_salt() -> None:
    with ThreadPoolExecutor(8) as threads:
        sealed = list(threads.map(lambda _: encrypt(b"same"), range(1_000)))
    assert len({ciphertext[HEAD] for ciphertext in sealed}) == 1_000


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
