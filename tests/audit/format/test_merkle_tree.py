"""Merkle trees: the published roots, every proof of every small tree, and invalid proofs."""

import hashlib
import random

import pytest

from audit.format.hashes import node_hash
from audit.format.merkle_tree import (
    TreeFrontier,
    consistency_proof,
    frontier_at,
    inclusion_proof,
    is_consistent,
    merkle_root,
    root_from_inclusion,
    subtree_hash_of,
    tree_root,
)

pytestmark = pytest.mark.pure

SIZES = [1, 2, 3, 7, 8, 1000, 1001]

# https://github.com/google/certificate-transparency: the reference tree and its roots from 0 leaves to 8
PUBLISHED = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(size: int) -> list[bytes]:
    return [hashlib.sha256(b"\x00%d" % number).digest() for number in range(size)]


def test_the_published_roots() -> None:
    published = [hashlib.sha256(b"\x00" + bytes.fromhex(leaf)).digest() for leaf in PUBLISHED]
    frontier = TreeFrontier()
    for size, root in enumerate(ROOTS):
        assert merkle_root(published[:size]).hex() == frontier.root_hash().hex() == root
        for leaf in published[size : size + 1]:
            frontier.add_leaf(leaf)


@pytest.mark.parametrize("size", SIZES)
def test_every_leaf_is_proved_and_no_other_place_or_leaf_is(size: int) -> None:
    rows, perfect = leaves(size), subtree_hash_of(leaves(size))
    root = tree_root(perfect, size)
    places = range(size) if size < 100 else [0, 1, 511, 512, 998, size - 1]
    for index in places:
        proof = inclusion_proof(perfect, index, size)
        assert root_from_inclusion(rows[index], index, size, proof) == root
        assert root_from_inclusion(rows[index - 1], index, size, proof) != root or size == 1
        for other in {index - 1, index + 1, index ^ 2, size}:
            assert root_from_inclusion(rows[index], other, size, proof) != root


@pytest.mark.parametrize("size", SIZES)
def test_a_proof_that_is_too_short_too_long_or_on_the_wrong_side_proves_nothing(size: int) -> None:
    perfect = subtree_hash_of(leaves(size))
    root, generator = tree_root(perfect, size), random.Random(7)
    for index in {0, size // 2, size - 1}:
        leaf, proof = leaves(size)[index], inclusion_proof(perfect, index, size)
        wrong = [proof[:-1], proof[1:], [], [*proof, root], [leaf, *proof]] if proof else [[root], [leaf]]
        wrong += [[*proof[:at], generator.randbytes(32), *proof[at + 1 :]] for at in range(len(proof))]
        wrong += [proof[::-1]] if len(proof) > 1 else []
        assert [path for path in wrong if root_from_inclusion(leaf, index, size, path) == root] == []


def test_a_node_does_not_pass_for_a_leaf() -> None:
    """Without prefixes the tree over two nodes would have the root of the tree over their four leaves."""
    rows = leaves(4)
    nodes = [node_hash(rows[0], rows[1]), node_hash(rows[2], rows[3])]
    assert merkle_root(nodes) == merkle_root(rows), (
        "hashes alone do not tell: the count and the leaf's prefix do"
    )
    as_bodies = [
        hashlib.sha256(b"\x00hub-audit-1" + left + right).digest()
        for left, right in zip(rows[::2], rows[1::2], strict=True)
    ]
    assert merkle_root(as_bodies) != merkle_root(rows)


def test_equal_leaves_are_distinguished_by_their_positions() -> None:
    rows = [leaves(1)[0]] * 5
    perfect = subtree_hash_of(rows)
    assert merkle_root(rows) != merkle_root(rows[:4])
    assert merkle_root(rows) != merkle_root([*rows, rows[0]])
    for index in range(5):
        assert root_from_inclusion(rows[0], index, 5, inclusion_proof(perfect, index, 5)) == merkle_root(rows)


@pytest.mark.parametrize("new", [1, 2, 3, 4, 7, 8, 13])
def test_every_smaller_tree_is_the_beginning_of_a_larger_one_and_no_other_is(new: int) -> None:
    rows, perfect = leaves(new), subtree_hash_of(leaves(new))
    for old in range(1, new + 1):
        proof = consistency_proof(perfect, old, new)
        ends = (old, merkle_root(rows[:old]), new, merkle_root(rows))
        assert is_consistent(*ends, proof)
        assert not is_consistent(
            old, merkle_root([*rows[: old - 1], bytes(32)]), new, merkle_root(rows), proof
        )
        assert not is_consistent(old, merkle_root(rows[:old]), new, merkle_root([*rows, bytes(32)]), proof)
        assert not is_consistent(*ends, [*proof, bytes(32)])
        assert not proof or not is_consistent(*ends, proof[:-1])
    assert not is_consistent(0, merkle_root([]), new, merkle_root(rows), [])
    assert not is_consistent(new + 1, merkle_root(rows), new, merkle_root(rows), [])


def test_the_frontier_gives_the_perfect_subtrees_that_each_leaf_completes() -> None:
    rows, frontier = leaves(70), TreeFrontier()
    perfect = subtree_hash_of(rows)
    for size, leaf in enumerate(rows, start=1):
        completed = frontier.add_leaf(leaf)
        assert completed == [perfect(height, (size >> height) - 1) for height in range(1, len(completed) + 1)]
        assert size % (1 << len(completed)) == 0
        assert size % (2 << len(completed))
        assert frontier.root_hash() == tree_root(perfect, size)
        assert frontier_at(perfect, size).peaks == frontier.peaks


def test_a_frontier_has_as_many_hashes_as_its_size_has_subtrees() -> None:
    with pytest.raises(ValueError, match="3 leaves has 2"):
        TreeFrontier(3, [bytes(32)])
