"""What the key holder opens, and all that it does not."""

import numpy as np
import pytest

from fedtrade.errors import (
    ConfigurationError,
    ProtocolError,
    ReplayError,
    SignatureError,
    ThresholdError,
)
from fedtrade.secure.encrypted import Contribution, SignedDigest, contribute
from fedtrade.secure.encrypted.child import Limits
from fedtrade.secure.encrypted.ckks import CKKS, flooding_deviation
from fedtrade.secure.encrypted.key_holder import MOST_OPENED
from fedtrade.secure.layout import Layout, Segment
from fedtrade.secure.masked.keys import IdentityKey
from tests.secure.encrypted.mutations import mutations
from tests.secure.encrypted.parties import RUN, SCHEMES, Consortium, consortium

SIZE = 20


def _signed(contributions: list[Contribution]) -> list[SignedDigest]:
    return [contribution.signed for contribution in contributions]


def _five(session: int = 0) -> tuple[Consortium, list[SignedDigest], list[bytes]]:
    """A consortium of five without weights, what they signed, and their sum."""
    members = consortium("bfv", False)
    made = members.contributions(session)
    return members, _signed(made), members.total(made, [1] * 5)


@pytest.mark.parametrize(("name", "weighted"), SCHEMES)
def test_a_layout_takes_what_is_opened(name: str, weighted: bool) -> None:
    """Even where all members send as much as they may, and noise comes on top."""
    members = consortium(name, weighted)
    scheme, weight = members.scheme, 1000 if weighted else 1
    layout = Layout([Segment("x", SIZE, 4.0, 0.5)], scheme.layout_members, modulus=scheme.modulus)
    values = np.full(SIZE, 4.0)
    values[::2] = -1.25
    members.values = np.tile(layout.encode({"x": values}), (5, 1))
    made, weights = members.contributions(0), [weight] * 5
    total = members.holder.decrypt(
        0, SIZE, members.total(made, weights), _signed(made), weights if weighted else None
    )
    found = layout.decode(total)["x"] / (5 * weight)
    atol = 0.01 if name == "ckks" else 0.0
    np.testing.assert_allclose(found, values, rtol=0.0, atol=atol)


@pytest.mark.parametrize(("name", "weighted"), SCHEMES)
def test_a_sum_is_opened(name: str, weighted: bool) -> None:
    """Exactly, or with the noise that floods."""
    members = consortium(name, weighted)
    made, weights = members.contributions(0), [1000, 900, 998, 777, 999] if weighted else [1] * 5
    total, named = members.total(made, weights), weights if weighted else None
    found = members.holder.decrypt(0, SIZE, total, _signed(made), named)
    assert found.dtype == np.int64
    error = found - np.array(weights) @ members.values
    if not isinstance(members.scheme, CKKS):
        assert not error.any()
        return
    deviation = flooding_deviation(members.scheme, 5, MOST_OPENED, 30)
    assert 0.4 * deviation < np.sqrt(np.mean(error.astype(np.float64) ** 2)) < 1.8 * deviation


def test_flooding_differs_each_time() -> None:
    members = consortium("ckks", False)
    state = members.holder.state
    made = members.contributions(0)
    total = members.total(made, [1] * 5)
    first = members.holder.decrypt(0, SIZE, total, _signed(made))
    again = members.resumed(state).decrypt(0, SIZE, total, _signed(made))
    inside = np.abs(members.values.sum(axis=0)) < 0.9 * 2**61
    assert inside.sum() > 10
    assert (first != again)[inside].all()
    assert np.abs([first, again]).max() < members.scheme.modulus // 2


def test_one_sum_a_session_in_order() -> None:
    members, signed, total = _five()
    members.holder.decrypt(0, SIZE, total, signed)
    with pytest.raises(ReplayError, match=r"session 0 is asked for, and session 0 was opened"):
        members.holder.decrypt(0, SIZE, total, signed)
    later = members.contributions(7)
    members.holder.decrypt(7, SIZE, members.total(later, [1] * 5), _signed(later))
    made = members.contributions(6)
    with pytest.raises(ReplayError, match=r"session 6 is asked for, and session 7 was opened"):
        members.holder.decrypt(6, SIZE, members.total(made, [1] * 5), _signed(made))


def test_another_process_goes_on() -> None:
    """With the same keys, and remembering what was opened."""
    members, signed, total = _five()
    before = members.holder.state
    members.holder.decrypt(0, SIZE, total, signed)
    assert before["next_session"] == 0
    resumed = members.resumed()
    assert resumed.public == members.holder.public
    with pytest.raises(ReplayError):
        resumed.decrypt(0, SIZE, total, signed)
    made = members.contributions(1)
    found = resumed.decrypt(1, SIZE, members.total(made, [1] * 5), _signed(made))
    assert (found == members.values.sum(axis=0)).all()
    for kind in (int, str, bytes):
        assert any(isinstance(value, kind) for value in resumed.state.values())


def test_the_state_of_another_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"keys are for .*bfv.* needs .*ckks"):
        consortium("ckks", False).resumed(consortium("bfv", False).holder.state)


def test_few_are_not_opened() -> None:
    """Neither one nor two with min_contributors=3, nor more than the parameters are for."""
    members, signed, _ = _five()
    made = members.contributions(0)
    for n in (0, 1, 2):
        total = members.total(made[: max(n, 1)], [1] * max(n, 1))
        with pytest.raises(ThresholdError, match=f"{n} members have contributed"):
            members.holder.decrypt(0, SIZE, total, signed[:n])
    with pytest.raises(ThresholdError, match="6 members have contributed; 5 may"):
        members.holder.decrypt(0, SIZE, total, [*signed, signed[0]])


@pytest.mark.parametrize(("name", "weighted"), [("bfv", False), ("ckks", False)])
def test_a_sum_of_fewer_than_claimed_shows(name: str, weighted: bool) -> None:
    """One member's ciphertext, said to be the sum of five."""
    members = consortium(name, weighted)
    made = members.contributions(0)
    with pytest.raises(ProtocolError, match="not the sum of the 5 contributions that"):
        members.holder.decrypt(0, SIZE, members.total(made[:1], [1]), _signed(made))
    # The attempt has cost the session: there is no second try with another sum.
    with pytest.raises(ReplayError):
        members.holder.decrypt(0, SIZE, members.total(made, [1] * 5), _signed(made))


def test_every_chunk_counts() -> None:
    """A server that puts a single member's chunk in one place only."""
    members = consortium("paillier", True, size=40)
    made = members.contributions(0)
    total = members.total(made, [500] * 5)
    assert len(total) == 3
    mixed = [total[0], members.total(made[:1], [500])[1], total[2]]
    with pytest.raises(ProtocolError, match="not the sum of the 5 contributions that"):
        members.holder.decrypt(0, 40, mixed, _signed(made), [500] * 5)


def test_no_weight_dominates() -> None:
    """1000 of 1004 is nearly one member's own vector."""
    members = consortium("bfv", True)
    made = members.contributions(0)
    weights = [1000, 1, 1, 1, 1]
    total = members.total(made, weights)
    with pytest.raises(
        ThresholdError, match=r"weight of 1000 is more than 1/3 of all weight, 1004"
    ):
        members.holder.decrypt(0, SIZE, total, _signed(made), weights)
    for wrong in ([0, 1, 1, 1, 1], [1, 1], [1001] * 5, [-1] * 5):
        with pytest.raises(ProtocolError, match="5 weights from 1 to 1000"):
            members.holder.decrypt(0, SIZE, total, _signed(made), wrong)


def test_weights_are_as_claimed() -> None:
    members = consortium("bfv", True)
    made = members.contributions(0)
    total = members.total(made, [900, 1, 1, 1, 1])
    with pytest.raises(ProtocolError, match="not the sum of the 5 contributions that"):
        members.holder.decrypt(0, SIZE, total, _signed(made), [1] * 5)


def test_nobody_is_invented() -> None:
    """Each contribution is signed by its member, for this session and run, and counts once."""
    members, signed, total = _five(session=2)
    encryptor, stranger = members.scheme.encryptor(members.holder.public), IdentityKey.generate()
    rest = members.values[0], bytes(32)
    foreign = contribute(encryptor, stranger, RUN, 2, 4, *rest).signed
    unknown = contribute(encryptor, stranger, RUN, 2, 99, *rest).signed
    other_run = contribute(encryptor, members.identities[4], bytes(32), 2, 4, *rest).signed
    older = contribute(encryptor, members.identities[4], RUN, 1, 4, *rest).signed
    for wrong in (foreign, other_run, older):
        with pytest.raises(SignatureError, match="not that of member 4"):
            members.holder.decrypt(2, SIZE, total, [*signed[:4], wrong])
    with pytest.raises(SignatureError, match="member 99 is unknown"):
        members.holder.decrypt(2, SIZE, total, [*signed[:4], unknown])
    with pytest.raises(ProtocolError, match="member 3 is named twice"):
        members.holder.decrypt(2, SIZE, total, [*signed[:4], signed[3]])
    # None of this has cost the session.
    found = members.holder.decrypt(2, SIZE, total, signed)
    assert (found == members.values.sum(axis=0)).all()


def test_malformed_sums_are_refused() -> None:
    members, signed, total = _five()
    for wrong in ([], total * 2, [b""], [total[0][:-1]], [bytes(len(total[0]))], [bytes(1 << 22)]):
        with pytest.raises(ProtocolError):
            members.holder.decrypt(0, SIZE, wrong, signed)
    with pytest.raises(ProtocolError, match="a sum of 0 values has 0 ciphertexts, got 1"):
        members.holder.decrypt(0, 0, total, signed)


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("bfv", 8),
        ("ckks", 8),
        pytest.param("bfv", 80, marks=pytest.mark.slow),
        pytest.param("ckks", 80, marks=pytest.mark.slow),
    ],
)
def test_mutated_sums_do_no_harm(name: str, n: int) -> None:
    """Whatever gets past the headers counts wrongly, as nearly every slot is random then."""
    members = consortium(name, False)
    refused = 0
    made = [members.contributions(session) for session in range(2)]
    total = members.total(made[0], [1] * 5)
    for mutant in mutations(total[0], n, 5):
        holder = members.resumed()
        try:
            holder.decrypt(0, SIZE, [mutant], _signed(made[0]))
        except ProtocolError:
            refused += 1
    assert refused >= 0.9 * n - 1
    found = members.holder.decrypt(1, SIZE, members.total(made[1], [1] * 5), _signed(made[1]))
    assert found.shape == (SIZE,)


@pytest.mark.parametrize("name", ["ckks", "bfv", "paillier"])
def test_keys_of_approximate_schemes_wear_out(name: str) -> None:
    """Flooding reckons with so many decryptions; exact sums tell nothing of the key."""
    members = consortium(name, False)
    holder = members.resumed(most_opened=1)
    made = members.contributions(0), members.contributions(1)
    holder.decrypt(0, SIZE, members.total(made[0], [1] * 5), _signed(made[0]))
    if name != "ckks":
        total = holder.decrypt(1, SIZE, members.total(made[1], [1] * 5), _signed(made[1]))
        assert (total == members.values.sum(axis=0)).all()
        return
    with pytest.raises(ThresholdError, match="opened 1 of the 1 ciphertexts"):
        holder.decrypt(1, SIZE, members.total(made[1], [1] * 5), _signed(made[1]))


def test_a_child_that_dies_costs_a_session_only() -> None:
    members, signed, total = _five()
    holder = members.resumed(limits=Limits(timeout_s=0.001))
    with pytest.raises(ProtocolError, match="died over them"):
        holder.decrypt(0, SIZE, total, signed)
    with pytest.raises(ReplayError):
        holder.decrypt(0, SIZE, total, signed)
