"""The verifier's own Ed25519: the published vectors, and the same results as a library."""

from random import Random

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.export.verify import ORDER, PublicKey

pytestmark = pytest.mark.pure

SEED = 20261128

# RFC 8032, section 7.1: public key, message, signature (tests 1, 2, 3 and SHA(abc))
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.mark.parametrize("vector", VECTORS)
def test_the_published_vectors(vector: tuple[str, str, str]) -> None:
    public, message, signature = map(bytes.fromhex, vector)
    key = PublicKey(public, "")
    assert key.has_signed(signature, message)
    assert not key.has_signed(signature, message + b"x")


def library(public: bytes, signature: bytes, message: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


@pytest.mark.nightly
def test_it_agrees_with_a_library_on_good_and_bad_signatures() -> None:
    print("seed", SEED)
    generator, good = Random(SEED), 0
    for _ in range(150):
        private = Ed25519PrivateKey.from_private_bytes(generator.randbytes(32))
        public, message = (
            private.public_key().public_bytes_raw(),
            generator.randbytes(generator.randrange(100)),
        )
        signature = private.sign(message)
        assert PublicKey(public, "").has_signed(signature, message)
        part = generator.randrange(3)
        parts = [bytearray(public), bytearray(signature), bytearray(message or b"x")]
        place = generator.randrange(len(parts[part]))
        parts[part][place] ^= 1 << generator.randrange(8)
        changed = [bytes(part) for part in parts]
        verdict = PublicKey(changed[0], "").has_signed(changed[1], changed[2])
        assert verdict == library(changed[0], changed[1], changed[2])
        good += verdict
    assert good == 0


def test_a_signature_that_was_shifted_by_the_order_is_refused() -> None:
    public, message, signature = map(bytes.fromhex, VECTORS[1])
    scalar = int.from_bytes(signature[32:], "little") + ORDER
    shifted = signature[:32] + scalar.to_bytes(32, "little")
    assert not PublicKey(public, "").has_signed(shifted, message)
    assert not library(public, shifted, message)


@pytest.mark.parametrize(
    "public", ["ff" * 32, "00" * 31, "02" + "00" * 31, "ee" + "ff" * 30 + "7f", "01" + "00" * 30 + "80", ""]
)
def test_an_invalid_point_is_no_key(public: str) -> None:
    signature = bytes.fromhex(VECTORS[0][2])
    assert not PublicKey(bytes.fromhex(public), "").has_signed(signature, b"")
    assert not library(bytes.fromhex(public), signature, b"")
