"""A server that makes up what it has opened, with all that members signed at hand: it gets nothing.

It knows the public key and each member's ciphertexts and signatures; in the last tests it has even
the secret key.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fedtrade.errors import ProtocolError, ReplayError, SignatureError
from fedtrade.secure.encrypted import Contribution, Spares
from fedtrade.secure.encrypted.channels import SUMS
from fedtrade.secure.encrypted.ckks import DEGREE, UNIT
from fedtrade.secure.encrypted.paillier import Paillier
from fedtrade.secure.subject import NO_SUBJECT
from tests.secure.encrypted.parties import SCHEMES, Consortium
from tests.secure.encrypted.parties import consortium as new_consortium

SIZE = 20
FIVE = [1] * 5
REFUSED = (
    "the ciphertexts are not the sum of the 5 contributions that the server names, or somebody has "
    "sent garbage: nothing is opened."
)

SPARES = Spares()

Forge = Callable[[Consortium, list[Contribution]], list[bytes]]

each_scheme = pytest.mark.parametrize(("name", "weighted"), SCHEMES)


def consortium(name: str, weighted: bool, **others: Any) -> Consortium:
    """With a child that is kept from test to test."""
    return new_consortium(name, weighted, spares=SPARES, **others)


def _counted(members: Consortium, chunks: Sequence[bytes], more: int) -> list[bytes]:
    """The same with so much more in the counting slots."""
    scheme: Any = members.scheme
    if isinstance(scheme, Paillier):
        key = scheme.public_key(members.holder.public)
        numbers = [scheme.load(key, chunk) * (1 + key.n * more) % key.nsquare for chunk in chunks]
        return [scheme.dump(number) for number in numbers]
    context = scheme.context(members.holder.public, is_secret=False)
    found = []
    for chunk in chunks:
        vector = scheme.load(context, chunk)
        if scheme.is_exact:
            vector.add_([more] + [0] * (DEGREE - 1))
        else:
            vector.add_([more * scheme.bound * UNIT] + [0.0] * scheme.entries)
        found.append(vector.serialize())
    return found


def _single(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """One member's own, with the count that all would have."""
    return _counted(members, made[0].chunks, 4)


def _weighed(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """Five times one member's, which counts as it should."""
    return members.total(made[:1], [5])


def _all_but_weighed(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """All are in it, and one nearly alone: the count of 1005 is then lowered."""
    return _counted(members, members.total(made, [1001, 1, 1, 1, 1]), -1000)


def _left_out(members: Consortium, made: list[Contribution]) -> list[bytes]:
    return _counted(members, members.total(made[1:], [1] * 4), 1)


def _doubled(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """One is left out for another who is in it twice."""
    return members.total(made[1:], [2, 1, 1, 1])


def _made_up(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """Nobody's at all, under the public key."""
    fresh = members.scheme.encryptor(members.holder.public).encrypt(np.zeros(SIZE, np.int64))
    return _counted(members, fresh, 4)


def _older(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """The honest sum of the session before, named as this one's."""
    return members.total(members.contributions(0), FIVE)


def _one_older(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """One member's is that of the session before."""
    return members.total([members.contributions(0)[0], *made[1:]], FIVE)


def _other_kind(members: Consortium, made: list[Contribution]) -> list[bytes]:
    """Contributed to a sum of another kind, under the same keys."""
    return members.total(members.contributions(1, SUMS), FIVE)


FORGERIES: list[Forge] = [
    *(_single, _weighed, _all_but_weighed, _left_out, _doubled, _made_up, _older, _one_older),
    _other_kind,
]


@each_scheme
@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__.strip("_"))
def test_nothing_but_the_named_sum_is_opened(name: str, weighted: bool, forge: Forge) -> None:
    """The error says the same whatever was tried, and the session is spent."""
    members = consortium(name, weighted)
    made = members.contributions(1)
    signed = [each.signed for each in made]
    with pytest.raises(ProtocolError) as caught:
        members.holder.decrypt(1, SIZE, forge(members, made), signed)
    assert str(caught.value) == REFUSED
    with pytest.raises(ReplayError):
        members.holder.decrypt(1, SIZE, members.total(made, FIVE), signed)
    later = members.contributions(2)
    total = members.total(later, FIVE)
    found = members.holder.decrypt(2, SIZE, total, [each.signed for each in later])
    assert name == "ckks" or (found == members.values.sum(axis=0)).all()


@each_scheme
def test_a_list_of_others_opens_nothing(name: str, weighted: bool) -> None:
    """The sum of three, named as that of three others, all of whom have signed."""
    members = consortium(name, weighted)
    made = members.contributions(0)
    signed = [each.signed for each in made]
    with pytest.raises(ProtocolError, match="not the sum of the 3 contributions"):
        members.holder.decrypt(0, SIZE, members.total(made[:3], [1] * 3), signed[1:4])


@pytest.mark.parametrize("name", ["bfv", "ckks", "paillier"])
def test_weights_are_those_that_are_named(name: str) -> None:
    """Other ones with the same sum open nothing."""
    members = consortium(name, True)
    made = members.contributions(0)
    signed, total = [each.signed for each in made], members.total(made, [9, 2, 2, 2, 5])
    with pytest.raises(ProtocolError, match="not the sum of the 5 contributions"):
        members.holder.decrypt(0, SIZE, total, signed, [4] * 5)


def test_each_chunk_is_bound() -> None:
    """A sum of which one chunk alone is a single member's."""
    members = consortium("ckks", False, size=9000)
    made = members.contributions(0)
    total, single = members.total(made, FIVE), _single(members, made)
    with pytest.raises(ProtocolError, match="not the sum of the 5"):
        members.holder.decrypt(
            0, 9000, [total[0], single[1], total[2]], [each.signed for each in made]
        )


def test_who_has_no_pad_key_has_no_part() -> None:
    members = consortium("bfv", False)
    del members.holder._pad_publics[2]
    made = members.contributions(0)
    with pytest.raises(SignatureError, match="member 2 has no pad key"):
        members.holder.decrypt(0, SIZE, members.total(made, FIVE), [each.signed for each in made])


def test_a_sum_of_enough_is_opened_whoever_is_left_out() -> None:
    """As if the others had been silent: that much a server can have, once a session."""
    members = consortium("bfv", False)
    made = members.contributions(0)
    named = [0, 1, 4]
    total = members.total([made[k] for k in named], [1] * 3)
    found = members.holder.decrypt(0, SIZE, total, [made[k].signed for k in named])
    assert (found == members.values[named].sum(axis=0)).all()


# --- what is seen before pads come off, and of a forgery ----------------------------------------


def _is_uniform(residues: Any, modulus: int, n_parts: int = 64) -> bool:
    """By a chi-square test over equal parts of the ring, with a false alarm in a million."""
    places = [int(each) % modulus * n_parts // modulus for each in residues]
    return bool(stats.chisquare(np.bincount(places, minlength=n_parts)).pvalue > 1e-6)


def _decrypted(members: Consortium, chunks: list[bytes], size: int, pads: Any = ()) -> Any:
    secret: Any = members.holder.state["secret"]
    return members.scheme.decryptor(secret).decrypt(chunks, size, pads)


@pytest.mark.parametrize(
    ("name", "weighted", "size"),
    [("bfv", False, 8191), ("bfv", True, 8191), ("paillier", True, 48)],
)
def test_a_sum_is_uniform_before_its_pads_come_off(name: str, weighted: bool, size: int) -> None:
    """Although everybody's values are all the same; those of one member are, too."""
    members = consortium(name, weighted, size=size)
    members.values[:] = 7
    made = members.contributions(0)
    parts = 64 if name == "bfv" else 8
    for chunks in (members.total(made, FIVE), list(made[0].chunks)):
        covered = _decrypted(members, chunks, size)
        assert _is_uniform(covered.values, members.scheme.modulus, parts)
        assert (np.abs(covered.counts) > 1000).all()


@pytest.mark.parametrize(
    ("name", "weighted", "size"),
    [("bfv", False, 8191), ("bfv", True, 8191), ("paillier", True, 48)],
)
@pytest.mark.parametrize("forge", [_single, _weighed, _doubled, _one_older])
def test_a_forgery_is_uniform_once_the_named_pads_are_off(
    name: str, weighted: bool, size: int, forge: Forge
) -> None:
    """What the key holder sees of it, and keeps to itself."""
    members = consortium(name, weighted, size=size)
    members.values[:] = 7
    chunks = forge(members, members.contributions(1))
    pads = members.holder._pads(1, "training", NO_SUBJECT, dict.fromkeys(range(5), 1), len(chunks))
    found = _decrypted(members, chunks, size, pads)
    assert _is_uniform(found.values, members.scheme.modulus, 64 if name == "bfv" else 8)
    honest = _decrypted(members, members.total(members.contributions(1), FIVE), size, pads)
    assert (honest.values == 35).all()


@pytest.mark.parametrize("is_forged", [False, True])
def test_ciphertexts_of_ckks_are_uniform_under_their_pads(is_forged: bool) -> None:
    """c0 + c1 s modulo the prime, at the points of its number-theoretic transform."""
    members = consortium("ckks", False, size=4095)
    members.values[:] = 7
    made = members.contributions(1)
    scheme: Any = members.scheme
    context = scheme.context(members.holder.state["secret"], is_secret=True)
    (chunk,) = _doubled(members, made) if is_forged else members.total(made, FIVE)
    vector = scheme.load(context, chunk)
    if is_forged:
        (pad,) = members.holder._pads(1, "training", NO_SUBJECT, dict.fromkeys(range(5), 1), 1)
        vector.sub_(scheme.pad_vector(context, pad))
    ciphertext, key = vector.ciphertext()[0], context.secret_key().data.data()
    prime = scheme.primes[0]
    residues = [(ciphertext[i] + ciphertext[DEGREE + i] * key[i]) % prime for i in range(DEGREE)]
    assert _is_uniform(residues, prime)


def test_not_even_the_secret_key_opens_one_members_values() -> None:
    """The server takes off the encryption, spares the counts, and has one member's slots opened.

    The key holder cannot tell, and what it opens is noise.
    """
    size = 8000
    members = consortium("bfv", False, size=size)
    members.values[:] = 7
    made, scheme = members.contributions(0), members.scheme
    own: Any = scheme
    context = own.context(members.holder.state["secret"], is_secret=True)
    covered = [np.array(own.load(context, each.chunks[0]).decrypt()) for each in made]
    half = scheme.modulus // 2
    wanted = sum(each.astype(object) for each in covered)
    wanted[1 : 1 + size] = covered[0][1 : 1 + size]
    centred = (wanted + half) % scheme.modulus - half
    vector = own.load(context, made[0].chunks[0])
    vector.add_(((centred - covered[0] + half) % scheme.modulus - half).astype(int).tolist())
    found = members.holder.decrypt(0, size, [vector.serialize()], [each.signed for each in made])
    assert not (found == 7).any()
    assert _is_uniform(found, scheme.modulus)
