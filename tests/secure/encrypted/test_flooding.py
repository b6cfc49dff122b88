"""Approximate decryptions give the key away, and flooded ones do not."""

from typing import Any

import numpy as np
import pytest
import tenseal
import tenseal.sealapi as sealapi
from scipy import stats

from fedtrade.secure.encrypted.ckks import CKKS, DEGREE, UNIT, flooding_deviation
from fedtrade.secure.encrypted.flooding import gaussian

SLOTS, SCALE = DEGREE // 2, 2.0**40


def _words(holder: Any, start: int = 0) -> np.ndarray:
    """8192 residues as Python integers."""
    return np.array([holder[i] for i in range(start, start + DEGREE)], dtype=object)


def _recovered_key(scheme: CKKS, public: Any, secret: Any, deviation: float) -> np.ndarray:
    """The key from two decryptions, of which TenSEAL shows the real parts of the slots.

    With c0 + c1 s = p, and ' for X -> 1/X, real parts are the slots of (p + p') / 2. So
    c1 s + c1' s' = (p + p') - (c0 + c0'), and two ciphertexts make two equations for s and s' at
    each point of the number-theoretic transform; there ' reverses the order.
    """
    q, encoder = scheme.primes[0], sealapi.CKKSEncoder(public.seal_context().data)
    rng, sides, factors = np.random.default_rng(3), [], []
    for _ in range(2):
        vector = tenseal.ckks_vector(public, rng.uniform(-1e3, 1e3, SLOTS).tolist())
        seen = np.array(scheme.load(secret, vector.serialize()).decrypt())
        plain = sealapi.Plaintext()
        encoder.encode((2.0 * (seen + gaussian(SLOTS, deviation))).tolist(), SCALE, plain)
        ciphertext = vector.ciphertext()[0]
        c0, c1 = _words(ciphertext), _words(ciphertext, DEGREE)
        sides.append((_words(plain) - c0 - c0[::-1]) % q)
        factors.append(c1)
    (k, m), (a, b) = sides, factors
    determinant = (a * b[::-1] - b * a[::-1]) % q
    inverse = np.array([pow(int(d), -1, q) for d in determinant], dtype=object)
    return (k * b[::-1] - m * a[::-1]) * inverse % q


def test_two_decryptions_are_the_key_unless_flooded() -> None:
    """Li and Micciancio's attack recovers all of the key; with the noise it finds none of it."""
    scheme = CKKS(10, False)
    keys = scheme.generate()
    public = scheme.context(keys.public, is_secret=False)
    secret = scheme.context(keys.secret, is_secret=True)
    key = _words(secret.secret_key().data.data())
    assert (_recovered_key(scheme, public, secret, 0.0) == key).all()
    deviation = flooding_deviation(scheme, 1, 4096, 30) * UNIT
    assert not (_recovered_key(scheme, public, secret, deviation) == key).any()


def test_the_deviation_by_hand() -> None:
    """sqrt(12 * 3) = 6, 2^(4/2) = 4, and the norm is 64 slots' root times 1.5 errors."""
    scheme = CKKS(10, False)
    assert flooding_deviation(scheme, 5, 3, 4) == pytest.approx(24 * 64 * 1.5 * scheme.noise(5))


@pytest.mark.parametrize("weighted", [False, True])
def test_the_norm_is_a_bound(weighted: bool) -> None:
    """Of the errors of ten sums of two, at both ends of the range, and not a loose one."""
    scheme, weight = CKKS(2, weighted), 1000 if weighted else 1
    keys, values = scheme.generate(), np.full(scheme.entries, scheme.bound)
    values[::3] *= -1
    encryptor, decryptor = scheme.encryptor(keys.public), scheme.decryptor(keys.secret)
    for _ in range(10):
        accumulator = scheme.accumulator(keys.public)
        for _ in range(2):
            accumulator.add(encryptor.encrypt(values), weight)
        found = decryptor.decrypt(accumulator.total(), scheme.entries).values
        norm = np.linalg.norm((found - 2 * weight * values).astype(np.float64))
        assert 0.03 < norm / (1.5 * 64 * scheme.noise(2)) < 1.0


def test_the_noise_is_gaussian() -> None:
    """With a false alarm in a million."""
    noise = gaussian(20_000, 3.0)
    assert stats.kstest(noise / 3.0, "norm").pvalue > 1e-6
    assert not np.array_equal(noise, gaussian(20_000, 3.0))
