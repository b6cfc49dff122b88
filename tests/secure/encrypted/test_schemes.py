"""Every scheme against Python's integers, and what it takes to read a ciphertext."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.errors import ConfigurationError, ProtocolError, RangeError
from fedtrade.secure.encrypted.bfv import bfv
from fedtrade.secure.encrypted.ckks import CKKS
from fedtrade.secure.encrypted.paillier import Paillier, pack, unpack
from fedtrade.secure.encrypted.scheme import MAX_WEIGHT
from fedtrade.secure.encrypted.schemes import scheme_for, scheme_from
from tests.secure.encrypted.parties import SCHEMES, draw, scheme_and_keys, settings, tolerance

each_scheme = pytest.mark.parametrize(("name", "weighted"), SCHEMES)


@each_scheme
def test_the_sum_is_that_of_the_integers(name: str, weighted: bool) -> None:
    """Over several chunks, at the ends of the range, and from a partial sum on."""
    scheme, keys = scheme_and_keys(name, weighted)
    n, size = 6, 2 * scheme.entries + 3
    values = draw(scheme, n, size)
    weights = [1, MAX_WEIGHT, 7, 500, 999, 2] if weighted else [1] * n
    encryptor, accumulator = scheme.encryptor(keys.public), scheme.accumulator(keys.public)
    for row, weight in zip(values[:3], weights[:3], strict=True):
        accumulator.add(encryptor.encrypt(row), weight)
    partial, accumulator = accumulator.total(), scheme.accumulator(keys.public)
    accumulator.restore(partial)
    for row, weight in zip(values[3:], weights[3:], strict=True):
        chunks = encryptor.encrypt(row)
        for chunk in chunks:
            scheme.check_fresh(chunk)
        accumulator.add(chunks, weight)
    total = accumulator.total()
    for chunk in total:
        scheme.check_sum(chunk)
    found = scheme.decryptor(keys.secret).decrypt(total, size)
    columns = zip(*values.tolist(), strict=True)
    expected = [sum(w * v for w, v in zip(weights, c, strict=True)) for c in columns]
    errors = [abs(a - b) for a, b in zip(found.values.tolist(), expected, strict=True)]
    assert max(errors) <= tolerance(scheme, n)
    assert scheme.is_exact == (tolerance(scheme, n) == 0.0)
    np.testing.assert_allclose(found.counts, sum(weights), atol=1e-3)
    assert found.counts.shape == (3,)


@each_scheme
def test_all_members_at_the_bound_do_not_wrap(name: str, weighted: bool) -> None:
    scheme, keys = scheme_and_keys(name, weighted)
    weight = MAX_WEIGHT if weighted else 1
    values = np.array([scheme.bound, -scheme.bound])
    accumulator = scheme.accumulator(keys.public)
    for _ in range(scheme.n_members):
        accumulator.add(scheme.encryptor(keys.public).encrypt(values), weight)
    found = scheme.decryptor(keys.secret).decrypt(accumulator.total(), 2)
    expected = values * scheme.n_members * weight
    assert abs(found.values - expected).max() <= tolerance(scheme, scheme.n_members)
    assert scheme.layout_members >= scheme.n_members * weight
    assert scheme.n_members * weight * scheme.bound < scheme.modulus / 2


@each_scheme
def test_beyond_the_bound_is_refused(name: str, weighted: bool) -> None:
    scheme, keys = scheme_and_keys(name, weighted)
    encryptor = scheme.encryptor(keys.public)
    with pytest.raises(RangeError, match=f"{-scheme.bound - 1} is beyond {scheme.bound}"):
        encryptor.encrypt(np.array([0, -scheme.bound - 1]))
    with pytest.raises(ValueError, match="shape"):
        encryptor.encrypt(np.zeros((2, 2), dtype=np.int64))


@each_scheme
def test_nothing_is_read_without_the_secret_key(name: str, weighted: bool) -> None:
    """The server has the public key only; neither that nor another secret key opens a sum."""
    scheme, keys = scheme_and_keys(name, weighted)
    values = draw(scheme, 1, 20)[0]
    chunks = scheme.encryptor(keys.public).encrypt(values)
    accumulator = scheme.accumulator(keys.public)
    accumulator.add(chunks, 1)
    total = accumulator.total()
    with pytest.raises(ProtocolError, match=r"secret key|is not secret"):
        scheme.decryptor(keys.public)
    try:
        other = scheme.decryptor(scheme.generate().secret).decrypt(total, 20)
    except ProtocolError:  # a Paillier ciphertext may be none under another key
        return
    assert abs(other.values - values).max() > scheme.bound / 10


@each_scheme
def test_the_same_values_look_different_each_time(name: str, weighted: bool) -> None:
    scheme, keys = scheme_and_keys(name, weighted)
    encryptor = scheme.encryptor(keys.public)
    first, second = (encryptor.encrypt(np.ones(3, dtype=np.int64))[0] for _ in range(2))
    n = min(len(first), len(second))
    ours, theirs = (np.frombuffer(chunk[:n], dtype=np.uint8) for chunk in (first, second))
    assert (ours == theirs).mean() < 0.2


@each_scheme
def test_keys_are_checked(name: str, weighted: bool) -> None:
    scheme, keys = scheme_and_keys(name, weighted)
    for wrong in (b"", b"key", keys.public[:-1], b"\0" * len(keys.public), bytes(1 << 21)):
        with pytest.raises(ProtocolError):
            scheme.accumulator(wrong)
    if name != "paillier":
        with pytest.raises(ProtocolError, match="is not public"):
            scheme.encryptor(keys.secret[: 1 << 18] if len(keys.secret) > 1 << 18 else keys.secret)


def test_a_key_of_other_parameters_is_refused() -> None:
    weighted = scheme_and_keys("bfv", True)[1]
    with pytest.raises(ProtocolError, match="are agreed"):
        scheme_from({"scheme": "bfv", "n_members": 900, "weighted": 1}).encryptor(weighted.public)
    with pytest.raises(ProtocolError, match="are agreed"):
        CKKS(10, True).encryptor(weighted.public)


@each_scheme
def test_fields_rebuild_a_scheme(name: str, weighted: bool) -> None:
    scheme = scheme_and_keys(name, weighted)[0]
    again = scheme_from(scheme.fields())
    assert again == scheme
    assert again.modulus == scheme.modulus


def test_security_is_that_of_the_tables() -> None:
    """At degree 8192 the standard allows 218 bits for 128 bits of security."""
    for name, weighted in SCHEMES[:4]:
        security = scheme_and_keys(name, weighted)[0].security
        assert security.bits == 128
        assert "8192" in security.statement
        assert "standard" in security.source
    assert Paillier(5, False, 3072).security.bits == 128
    assert Paillier(5, False, 2048).security.bits == 112


def test_bfv_takes_the_cheapest_primes_that_do() -> None:
    assert bfv(1000, weighted=False).prime_bits == (60, 60)
    assert bfv(1000, weighted=False).modulus > 2**44
    assert bfv(1000, weighted=True).prime_bits == (40, 40, 40)
    assert bfv(1000, weighted=False, least_modulus=2**57).modulus >= 2**57
    for scheme in (bfv(1000, weighted=False), bfv(7, weighted=True)):
        assert scheme.modulus % 16384 == 1
    with pytest.raises(ConfigurationError, match="1000 members need a plain modulus of at least"):
        bfv(1000, weighted=False, least_modulus=2**60)


@pytest.mark.parametrize("weighted", [False, True])
def test_bfv_has_noise_budget_left(weighted: bool) -> None:
    """SEAL's own measure after as many additions of the largest weight as are promised."""
    import tenseal.sealapi as sealapi

    scheme = bfv(100, weighted=weighted)
    keys = scheme.generate()
    accumulator, weight = scheme.accumulator(keys.public), MAX_WEIGHT if weighted else 1
    encryptor = scheme.encryptor(keys.public)
    for row in draw(scheme, 100, 10):
        accumulator.add(encryptor.encrypt(row), weight)
    secret = scheme.context(keys.secret, is_secret=True)
    vector = scheme.load(secret, accumulator.total()[0])
    decryptor = sealapi.Decryptor(secret.seal_context().data, secret.secret_key().data)
    assert decryptor.invariant_noise_budget(vector.ciphertext()[0]) >= 1


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_of_ckks_is_as_stated(weighted: bool) -> None:
    """Measured over 4095 slots, from the sum of 30 contributions."""
    scheme = CKKS(1000, weighted)
    keys = scheme.generate()
    values = draw(scheme, 30, scheme.entries)
    weights = np.arange(970, 1000) if weighted else np.ones(30, dtype=np.int64)
    accumulator, encryptor = scheme.accumulator(keys.public), scheme.encryptor(keys.public)
    for row, weight in zip(values, weights.tolist(), strict=True):
        accumulator.add(encryptor.encrypt(row), weight)
    found = scheme.decryptor(keys.secret).decrypt(accumulator.total(), scheme.entries).values
    error = (found - weights @ values).astype(np.float64)
    if weighted:  # what is left is the rounding of float64
        assert error.std() < scheme.error(30)
    else:
        assert error.std() == pytest.approx(scheme.error(30), rel=0.1)
    assert abs(error).max() < 1e-5 * scheme.bound * weights.min()


@given(
    st.lists(st.integers(-(2**20), 2**20 - 1), min_size=1, max_size=30), st.sampled_from([21, 40])
)
def test_packing_is_reversible(values: list[int], bits: int) -> None:
    packed = pack(np.array(values), bits)
    assert unpack(packed, bits, len(values)) == values
    assert packed == sum(v * 2 ** (bits * i) for i, v in enumerate(values))


def test_paillier_fits_its_entries() -> None:
    """3072 bits hold 49 entries of 62 bits, one of which counts."""
    scheme = Paillier(1000, False, 3072)
    assert (scheme.entry_bits, scheme.entries) == (62, 48)
    assert Paillier(1000, False, 3072, 2**40).entries == 75
    with pytest.raises(ConfigurationError, match="62 bits"):
        Paillier(1000, False, 3072, 2**63)
    with pytest.raises(ConfigurationError, match="multiple of 8"):
        Paillier(1000, False, 3073)


@pytest.mark.parametrize(
    ("name", "library", "remedy"),
    [("paillier", "phe", r"fedtrade\[paillier\]"), ("bfv", "tenseal", "install tenseal")],
)
def test_a_missing_library_is_named(
    name: str, library: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (library, f"{library}.sealapi"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=remedy):
        scheme_for(settings(name, False), 5)


def test_unusable_parameters_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="n_members=0"):
        scheme_for(settings("bfv", False), 0)
    with pytest.raises(ConfigurationError, match="'rsa' is none of"):
        scheme_from({"scheme": "rsa", "n_members": 3, "weighted": 0})
