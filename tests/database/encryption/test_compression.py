"""Compressed data are restored exactly, and never exceed their stated length."""

import hashlib
import zlib
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from database.encryption.compression import DICTIONARY, compress, decompress
from tests.support.rows import each_row

pytestmark = pytest.mark.pure

# Stored once and for ever: what a version of the hub compressed, every later one must read.
STORED = bytes.fromhex("0000003a835630a106206064023416e21758498fb3f0af0500")


@given(st.binary(max_size=3000) | st.text(max_size=1000).map(str.encode))
def test_compressed_data_are_restored(plain: bytes) -> None:
    packed = compress(plain)
    assert packed is None or (len(packed) < len(plain) and decompress(packed) == plain)


def test_the_dictionary_is_part_of_the_format() -> None:
    assert (
        hashlib.sha256(DICTIONARY).hexdigest()
        == "af3251806fa626ea5511e02c0536f5e238cdf9205b781e05620f3e56aea13bf8"
    )
    assert decompress(STORED) == b'{"id":"U0000024","entityType":"USER","eventType":"UPDATE"}'


@each_row([0, 999, 1001, 10**6])
def test_a_wrong_length_is_refused(length: int) -> None:
    packed = compress(b"a" * 1000)
    assert packed is not None
    with pytest.raises(ValueError, match="not the declared one"):
        decompress(length.to_bytes(4, "big") + packed[4:])


def test_decompression_stops_at_the_stated_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library is asked for one byte more than the stated length, and not for what a bomb unpacks to."""
    asked: list[int] = []
    real = zlib.decompressobj

    def watched(*arguments: Any) -> Any:
        unpacker = real(*arguments)

        def decompress(packed: bytes, most: int) -> bytes:
            asked.append(most)
            return unpacker.decompress(packed, most)

        return SimpleNamespace(decompress=decompress, eof=False)

    bomb = compress(b"a" * 10_000_000)
    assert bomb is not None
    assert len(bomb) < 50_000
    monkeypatch.setattr(zlib, "decompressobj", watched)
    with pytest.raises(ValueError, match="not the declared one"):
        decompress((10).to_bytes(4, "big") + bomb[4:])
    assert asked == [11]


@each_row([b"", b"abc", b"\x00\x00\x00\x09", b"\x00\x00\x00\x09\xff\xff\xff\xff"])
def test_uncompressed_data_are_refused(packed: bytes) -> None:
    with pytest.raises(ValueError, match=r"compressed|not the declared one"):
        decompress(packed)
