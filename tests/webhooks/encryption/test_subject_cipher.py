"""Encryption for one subject: values open with its key only, and no nonce repeats."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import each_row
from webhooks.encryption.at_rest import CannotDecrypt
from webhooks.encryption.at_rest import encrypt as seal_of_hub
from webhooks.encryption.subject_cipher import COMPRESSED, VERSION, SubjectEncryptor, decrypt

pytestmark = [pytest.mark.pure, pytest.mark.concurrent]

KEY, OTHER = os.urandom(32), os.urandom(32)
HEAD = slice(0, 29)  # version, salt and nonce


@given(st.text(max_size=300))
def test_a_compressed_document_can_be_decrypted(text: str) -> None:
    plain = b'{"headers":{"content-type":"application/json"},"body":"' + text.encode() + b'"}'
    sealed = SubjectEncryptor(KEY).encrypt(plain)
    assert sealed.startswith(COMPRESSED)
    assert len(sealed) < len(plain) + 45
    assert decrypt(KEY, sealed) == plain


def test_an_incompressible_value_is_encrypted_unchanged() -> None:
    plain = os.urandom(1000)
    sealed = SubjectEncryptor(KEY).encrypt(plain)
    assert sealed.startswith(VERSION)
    assert len(sealed) == len(plain) + 45
    assert decrypt(KEY, sealed) == plain


def test_the_version_is_authenticated() -> None:
    sealed = SubjectEncryptor(KEY).encrypt(b"a" * 1000)
    with pytest.raises(CannotDecrypt):
        decrypt(KEY, VERSION + sealed[1:])


@given(st.binary(max_size=60) | st.just(b'{"respond":"result"}' * 9), st.data())
def test_a_changed_bit_is_rejected(plain: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SubjectEncryptor(KEY).encrypt(plain))
    place = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[place // 8] ^= 1 << place % 8
    with pytest.raises(CannotDecrypt):
        decrypt(KEY, bytes(sealed))


@each_row([0, 1, 16, 17, 29, 44])
def test_a_truncated_value_is_rejected(length: int) -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(KEY, SubjectEncryptor(KEY).encrypt(b"")[:length])


def test_the_key_of_another_subject_and_that_of_the_hub_are_rejected() -> None:
    with pytest.raises(CannotDecrypt):
        decrypt(OTHER, SubjectEncryptor(KEY).encrypt(b"personal"))
    with pytest.raises(CannotDecrypt):
        decrypt(KEY, seal_of_hub(b"of no subject"))


def test_no_two_values_have_the_same_salt_and_nonce() -> None:
    sealers = [SubjectEncryptor(KEY) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        sealed = list(threads.map(lambda number: sealers[number % 8].encrypt(b"same"), range(1_000)))
    assert len({ciphertext[HEAD] for ciphertext in sealed}) == 1_000
