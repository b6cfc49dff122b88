"""What the server sees: uniform words, and keys that are good for one sum."""

import numpy as np
import pytest
from scipy.stats import chi2, ks_2samp

from fedtrade.errors import SignatureError
from fedtrade.secure.masked import CohortSum
from fedtrade.secure.masked.keys import KEY_BYTES, AgreementKey
from fedtrade.secure.masked.masks import add_masks, pair_key, self_key
from fedtrade.secure.subject import NO_SUBJECT
from tests.secure.masked.driver import RUN, Play, settings, words

SIZE = 60_000
N = 4
LEAST_P = 1e-6
"""So rarely does a test on true randomness fail."""


def _uploads(vectors: np.ndarray, adversary: str = "malicious") -> list[np.ndarray]:
    play = Play(len(vectors), settings(adversary=adversary, dropout_share=0.0))
    play.until("upload", vectors=vectors)
    return [play.sent[0, "upload", number] for number in range(len(vectors))]


def _p_uniform(counts: np.ndarray) -> float:
    expected = counts.sum() / len(counts)
    statistic = ((counts - expected) ** 2 / expected).sum()
    return float(chi2.sf(statistic, len(counts) - 1))


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@pytest.mark.parametrize("value", [0, 1, "largest"])
def test_masked_words_are_uniform(dtype: type, value: int | str) -> None:
    """Each byte's values by chi-square, also of the most regular vectors."""
    filler = np.iinfo(dtype).max if value == "largest" else int(value)
    for upload in _uploads(np.full((N, SIZE), filler, dtype=dtype)):
        digits = upload.view(np.uint8).reshape(SIZE, -1)
        for place in range(digits.shape[1]):
            assert _p_uniform(np.bincount(digits[:, place], minlength=256)) > LEAST_P


def test_the_test_of_uniformity_can_fail() -> None:
    words_ = np.arange(SIZE, dtype=np.uint32)
    assert _p_uniform(np.bincount(words_.view(np.uint8)[3::4], minlength=256)) < LEAST_P


def test_masked_words_do_not_depend_on_the_update() -> None:
    """The same distribution for two updates, and no correlation with either."""
    rng = np.random.default_rng(0)
    one = np.zeros((N, SIZE), dtype=np.uint32)
    other = rng.integers(0, 100, (N, SIZE), dtype=np.uint32)
    first, second = _uploads(one), _uploads(other)
    for number in range(N):
        assert ks_2samp(first[number], second[number]).pvalue > LEAST_P
        centred = second[number].astype(np.float64) / 2**32 - 0.5
        signal = other[number] - other[number].mean()
        z = (centred * signal).sum() / np.sqrt((signal**2).sum() / 12)
        assert abs(z) < 5.5


def test_the_same_update_twice_gives_unrelated_words() -> None:
    """In two sums of one run: their difference is uniform as well."""
    vectors = np.zeros((N, SIZE), dtype=np.uint32)
    play = Play(N, settings(dropout_share=0.0))
    for session in (0, 1):
        play.until("upload", session, vectors=vectors)
    for number in range(N):
        difference = play.sent[1, "upload", number] - play.sent[0, "upload", number]
        counts = np.bincount(difference.view(np.uint8)[3::4], minlength=256)
        assert _p_uniform(counts) > LEAST_P


def test_all_but_one_neighbour_do_not_unmask() -> None:
    """Who knows the own mask and every common mask but one still sees uniform words."""
    secrets: dict[int, tuple[bytes, bytes]] = {}
    vectors = np.zeros((N, SIZE), dtype=np.uint32)
    play = Play(N, settings(dropout_share=0.0))
    play.until("share")
    client = play.client(0)
    memory = client._sessions[0]
    near = client._own_cohort(memory).neighbours(0).tolist()
    for place, number in enumerate(near):
        public = memory.mask_keys[KEY_BYTES * place : KEY_BYTES * (place + 1)]
        secrets[number] = memory.mask_secret, public
    self_seed = memory.self_seed
    play.stage("upload", vectors=vectors)
    seen = play.sent[0, "upload", 0].copy()
    add_masks(seen, [(self_key(self_seed, RUN, 0, 0, NO_SUBJECT), False)])
    for number in near[:-1]:
        _take_off(seen, *secrets[number], 0, number)
    assert _p_uniform(np.bincount(seen.view(np.uint8)[3::4], minlength=256)) > LEAST_P
    _take_off(seen, *secrets[near[-1]], 0, near[-1])
    assert not seen.any()


def _take_off(seen: np.ndarray, secret: bytes, public: bytes, session: int, neighbour: int) -> None:
    """Take member 0's common mask with a neighbour off, which it added as the smaller number."""
    common = AgreementKey(secret).agree(public, owner=neighbour)
    add_masks(seen, [(pair_key(common, RUN, session, 0, neighbour, NO_SUBJECT), False)])


def test_what_is_revealed_of_a_dropout_is_worth_one_sum() -> None:
    """Member 0 sends words in sums 0, 1 and 2; those of sum 1 come too late.

    The server then learns the private key of its masks of sum 1. With it and everything else that
    it was sent it takes the masks off nothing in the sums before and after. (With the seed of the
    own mask, which no honest neighbour gives it now, it would see the words of sum 1: the attempt
    is one that can succeed.)
    """
    n, size = 6, 3000
    vectors = [words(n, size, seed=s) for s in range(3)]
    play = Play(n, settings(dropout_share=0.2))
    revealed, seeds, publics, words_ = {}, {}, {}, {}
    for session in range(3):
        play.until("share", session)
        memory = play.client(0)._sessions[session]
        near = play.client(0)._own_cohort(memory).neighbours(0).tolist()
        revealed[session], seeds[session] = memory.mask_secret, memory.self_seed
        publics[session] = {
            number: memory.mask_keys[KEY_BYTES * place : KEY_BYTES * (place + 1)]
            for place, number in enumerate(near)
        }
        play.server.participants(session)
        fields = play.server.participants(session)
        words_[session] = play.act(0, lambda c, s=session, f=fields: c.upload(s, f, vectors[s][0]))
        if session != 1:
            play.server.uploaded(session, 0, words_[session])
        play.stage("upload", session, vectors=vectors[session], gone=[0])
        play.stage("check", session)
        play.stage("unmask", session)
        (found,) = play.server.sums(session)
        assert isinstance(found, CohortSum)
        assert (0 in found.members) == (session != 1)

    cohort = play.server._session(1).cohorts[0]
    place = cohort.place(0)
    assert cohort._given.secrets(np.array([place]), cohort._fits)[place] == revealed[1]
    assert len({*revealed.values(), *seeds.values()}) == 6

    def attempt(session: int, key_of: int, seed_of: int) -> np.ndarray:
        seen = words_[session].copy()
        add_masks(seen, [(self_key(seeds[seed_of], RUN, session, 0, NO_SUBJECT), False)])
        for number, public in publics[session].items():
            _take_off(seen, revealed[key_of], public, session, number)
        return seen

    assert (attempt(1, 1, 1) == vectors[1][0]).all()
    for session in (0, 2):
        # The server knows the own masks of sums 0 and 2, as it does of every survivor.
        seen = attempt(session, 1, session)
        assert (seen == vectors[session][0]).sum() <= 1
        difference = seen - vectors[session][0]
        assert _p_uniform(np.bincount(difference.view(np.uint8)[3::4] >> 4, minlength=16)) > LEAST_P
    assert (attempt(1, 1, 0) == vectors[1][0]).sum() <= 1


def test_a_member_keeps_no_secret_longer_than_it_needs() -> None:
    play = Play(N, settings(dropout_share=0.0))
    play.until("share")
    memory = play.client(0)._sessions[0]
    secrets = [memory.mask_secret, memory.self_seed]
    assert not memory.channel_secret
    play.stage("upload", vectors=words(N))
    kept = b"".join(v for v in play.states[0].values() if isinstance(v, bytes))
    assert all(secret not in kept for secret in secrets)
    play.stage("check")
    play.stage("unmask")
    assert play.client(0).sessions == ()
    assert set(play.states[0]) == {"last-pledge"}


def test_two_runs_share_nothing() -> None:
    """What members of one run signed is refused in another."""
    play = Play(N, settings())
    answer = play.act(1, lambda c: c.pledge(0))
    other = Play(N, settings())
    other.server._run = RUN[::-1]
    with pytest.raises(SignatureError):
        other.server.pledged(0, 1, answer)
