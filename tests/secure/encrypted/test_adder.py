"""The server's sum, whatever becomes of the process that adds."""

import os
import signal

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError, ProtocolError, ReplayError, ThresholdError
from fedtrade.secure.encrypted.adder import CiphertextSum, EncryptedSum
from fedtrade.secure.encrypted.child import Child, Limits
from fedtrade.secure.encrypted.key_holder import KeyHolder
from tests.secure.encrypted.parties import SCHEMES, draw, scheme_and_keys, tolerance

SIZE = 12


class Fatal(CiphertextSum):
    """The child dies over some members' contributions, each time that it is shown them.

    Attributes
    ----------
    at_once : set of int
        Members whose contribution is fatal when it comes.
    later : set of int
        Members whose contribution is fatal when it comes a second time.
    """

    at_once: frozenset[int] = frozenset()
    later: frozenset[int] = frozenset()
    shown: list[int]

    def _ask_to_add(self, child: Child, contribution) -> None:  # type: ignore[no-untyped-def]
        number = contribution.number
        if number in self.at_once or (number in self.later and number in self.shown):
            os.kill(child.pid, signal.SIGKILL)
        self.shown.append(number)
        super()._ask_to_add(child, contribution)


def _is_sum_of(found: EncryptedSum, values: np.ndarray, name: str, weighted: bool) -> bool:
    scheme, keys = scheme_and_keys(name, weighted, 100)
    opened = scheme.decryptor(keys.secret).decrypt(found.chunks, SIZE)
    expected = np.array(found.weights) @ values[list(found.numbers)]
    assert abs(opened.counts - sum(found.weights)).max() < 0.01
    return bool(abs(opened.values - expected).max() <= tolerance(scheme, len(values)))


@pytest.mark.parametrize(("name", "weighted"), SCHEMES)
def test_the_sum_of_those_who_came(name: str, weighted: bool) -> None:
    """In the order of arrival, across checkpoints."""
    scheme, keys = scheme_and_keys(name, weighted, 100)
    values, encryptor = draw(scheme, 8, SIZE), scheme.encryptor(keys.public)
    with CiphertextSum(scheme, keys.public, SIZE, checkpoint_every=3) as total:
        for number in (5, 0, 7, 3, 1, 2, 6):
            weight = 100 * number + 1 if weighted else 1
            total.add(number, encryptor.encrypt(values[number]), weight)
        found = total.close()
    assert found.numbers == (5, 0, 7, 3, 1, 2, 6)
    assert found.weights == ((501, 1, 701, 301, 101, 201, 601) if weighted else (1,) * 7)
    assert _is_sum_of(found, values, name, weighted)
    assert total.n_restarts == 0


@pytest.mark.parametrize(("at_once", "later"), [({4}, set()), ({6}, {5}), ({1, 9}, {0, 8})])
def test_whoever_brings_the_child_down_is_left_out(at_once: set[int], later: set[int]) -> None:
    """Some are fatal only when they are fed again, after another's fatal contribution."""
    scheme, keys = scheme_and_keys("bfv", False, 100)
    values, encryptor = draw(scheme, 10, SIZE), scheme.encryptor(keys.public)
    with Fatal(scheme, keys.public, SIZE, checkpoint_every=4) as total:
        total.at_once, total.later, total.shown = frozenset(at_once), frozenset(later), []
        for number in range(10):
            if number in at_once:
                with pytest.raises(ProtocolError, match=f"member {number}: .*died over them"):
                    total.add(number, encryptor.encrypt(values[number]))
            else:
                total.add(number, encryptor.encrypt(values[number]))
        found = total.close()
    blamed = set(total.rejected)
    assert at_once <= blamed <= at_once | later
    assert set(found.numbers) == set(range(10)) - blamed
    assert _is_sum_of(found, values, "bfv", False)


def test_a_child_that_is_killed_costs_nobody_a_place() -> None:
    """As by the system when memory runs out: between contributions, and before the end."""
    scheme, keys = scheme_and_keys("ckks", True, 100)
    values, encryptor = draw(scheme, 5, SIZE), scheme.encryptor(keys.public)
    with CiphertextSum(scheme, keys.public, SIZE, checkpoint_every=2) as total:
        for number in range(5):
            total.add(number, encryptor.encrypt(values[number]), 900)
            assert total._child is not None
            os.kill(total._child.pid, signal.SIGKILL)
        found = total.close()
    assert found.numbers == (0, 1, 2, 3, 4)
    assert total.rejected == {}
    assert total.n_restarts >= 5
    assert _is_sum_of(found, values, "ckks", True)


@pytest.mark.slow
def test_a_child_that_is_stopped_is_replaced() -> None:
    """It cannot even end itself."""
    scheme, keys = scheme_and_keys("bfv", False, 100)
    values, encryptor = draw(scheme, 2, SIZE), scheme.encryptor(keys.public)
    with CiphertextSum(scheme, keys.public, SIZE, limits=Limits(timeout_s=1.0)) as total:
        total.add(0, encryptor.encrypt(values[0]))
        assert total._child is not None
        os.kill(total._child.pid, signal.SIGSTOP)
        total.add(1, encryptor.encrypt(values[1]))
        assert _is_sum_of(total.close(), values, "bfv", False)
    assert total.n_restarts == 1


def test_what_cannot_be_added_is_refused() -> None:
    scheme, keys = scheme_and_keys("bfv", False, 3)
    encryptor = scheme.encryptor(keys.public)
    chunks = encryptor.encrypt(np.arange(SIZE))
    with CiphertextSum(scheme, keys.public, SIZE) as total:
        total.add(4, chunks)
        with pytest.raises(ReplayError, match="member 4 is in this sum already"):
            total.add(4, chunks)
        with pytest.raises(ProtocolError, match="member 5: 2 ciphertexts were sent; 1 are"):
            total.add(5, [*chunks, *chunks])
        with pytest.raises(ValueError, match="from 1 to 1, got weight=2"):
            total.add(6, chunks, 2)
        for wrong in (b"", chunks[0][:-1], bytes(1 << 20), chunks[0] + b"\0", b"\0" * 262144):
            with pytest.raises(ProtocolError, match="member 7: "):
                total.add(7, [wrong])
        assert set(total.rejected) == {5, 7}
        total.add(7, chunks)
        total.add(8, chunks)
        assert set(total.rejected) == {5}
        with pytest.raises(ThresholdError, match="its 3 contributions"):
            total.add(9, chunks)
        assert total.close().numbers == (4, 7, 8)


def test_the_ciphertext_of_another_key_is_none() -> None:
    """Of other parameters, that is: one under another key of the same cannot be told apart."""
    scheme, keys = scheme_and_keys("bfv", False, 100)
    other, other_keys = scheme_and_keys("ckks", False, 100)
    with CiphertextSum(scheme, keys.public, SIZE) as total, pytest.raises(ProtocolError):
        total.add(1, other.encryptor(other_keys.public).encrypt(np.arange(SIZE)))


def test_a_scale_inside_of_a_ciphertext_cannot_spoil_the_sum() -> None:
    """A first contribution of another scale would make one of which nobody else could be part."""
    scheme, keys = scheme_and_keys("ckks", False, 100)
    chunk = scheme.encryptor(keys.public).encrypt(np.arange(SIZE))[0]
    place = chunk.index(np.float64(2.0**40).tobytes())
    assert place < len(chunk) - 8
    forged = chunk[:place] + np.float64(2.0**41).tobytes() + chunk[place + 8 :]
    with CiphertextSum(scheme, keys.public, SIZE) as total:
        with pytest.raises(ProtocolError, match=r"member 1: the ciphertext is of other parameters"):
            total.add(1, [forged])
        total.add(2, [chunk])
        assert total.n_restarts == 0


def test_an_empty_sum_and_a_wrong_start_are_refused() -> None:
    scheme, keys = scheme_and_keys("bfv", False, 100)
    with CiphertextSum(scheme, keys.public, SIZE) as total, pytest.raises(ThresholdError):
        total.close()
    with pytest.raises(ProtocolError, match="a public key has 0 bytes"):
        CiphertextSum(scheme, b"", SIZE)
    with (
        CiphertextSum(scheme, keys.public, SIZE, limits=Limits(memory_bytes=1 << 26)) as total,
        pytest.raises(ConfigurationError, match=r"does not start .* 67108864 bytes"),
    ):
        total.add(1, scheme.encryptor(keys.public).encrypt(np.arange(SIZE)))


def test_the_server_has_nothing_to_decrypt_with() -> None:
    """Neither the public key, nor what the sum holds."""
    scheme, keys = scheme_and_keys("bfv", False, 100)
    context = scheme.context(keys.public, is_secret=False)
    vector = scheme.load(context, scheme.encryptor(keys.public).encrypt(np.arange(SIZE))[0])
    with pytest.raises(ValueError, match="doesn't hold a secret_key"):
        vector.decrypt()
    assert not context.has_secret_key()
    assert not hasattr(CiphertextSum, "decrypt")
    assert hasattr(KeyHolder, "decrypt")
