"""Members that lie in encrypted sums: each lie costs its sender, or at most a round."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message

from fedtrade.secure.encrypted import contribute
from fedtrade.secure.encrypted.channels import TRAINING
from fedtrade.secure.masked import IdentityKey
from tests.strategies.trust.encrypted import (
    ALL,
    Make,
    encrypted,
    federated,
)
from tests.strategies.trust.federation import Fate, Federation

LIAR = 3


class Liar:
    """Changes a member's reply to training, and signs what comes out with the member's own key."""

    def __init__(self, folder: Any) -> None:
        self.identity = IdentityKey.generate()
        self.path = folder / "liar.key"
        self.path.write_bytes(self.identity.private_bytes)
        self.lie: Callable[[Message], Any] | None = None
        self.seen: dict[int, Message] = {}
        self.run = b""

    @property
    def node_configs(self) -> dict[int, dict[str, str]]:
        return {LIAR: {"identity-key": str(self.path)}}

    def fate(self, number: int, stages: Mapping[str, int]) -> Any:
        if "train" not in stages:
            return None
        if number != LIAR or self.lie is None:
            return lambda reply: self.seen.setdefault(number, reply) and reply
        return self.lie

    def sends(self, chunks: list[bytes]) -> Callable[[Message], Message]:
        """Signed as its own contribution, whatever it is."""

        def lie(reply: Message) -> Message:
            class Fixed:
                def encrypt(self, values: Any, pad_key: bytes | None = None) -> list[bytes]:
                    return chunks

            session: Any = reply.content.config_records["secure.round"]["session"]
            made = contribute(
                Fixed(), self.identity, self.run, session, LIAR, np.zeros(1, np.int64), bytes(32)
            )
            reply.content["secure.ciphertexts"] = ConfigRecord(
                {
                    "chunks": list(made.chunks),
                    "digest": made.signed.digest,
                    "signature": made.signed.signature,
                }
            )
            return reply

        return lie

    def changes(self, record: str, **fields: Any) -> Callable[[Message], Message]:
        """Entries of a record; None leaves one out."""

        def lie(reply: Message) -> Message:
            changed = {**reply.content.config_records[record], **fields}
            kept = {name: value for name, value in changed.items() if value is not None}
            reply.content[record] = ConfigRecord(kept)
            return reply

        return lie


@pytest.fixture
def liar(tmp_path: Any) -> Liar:
    return Liar(tmp_path)


@contextmanager
def _with_liar(make: Make, liar: Liar, *overrides: str) -> Iterator[Federation]:
    settings = encrypted(make, *overrides)
    with federated(settings, liar.fate, node_configs=liar.node_configs) as federation:
        liar.run = federation.mode.sums.run  # type: ignore[attr-defined]
        federation.prepare().round()
        yield federation


def _chunk(message: Message) -> bytes:
    (chunk,) = message.content["secure.ciphertexts"]["chunks"]
    assert isinstance(chunk, bytes)
    return chunk


def test_bad_uploads_cost_their_sender_alone(five: Make, liar: Liar) -> None:
    with _with_liar(five, liar) as federation:
        good, n = _chunk(liar.seen[LIAR]), len(federation.vector)
        others = dict(liar.seen[2].content["secure.ciphertexts"])
        own = dict(liar.seen[LIAR].content["secure.ciphertexts"])
        flipped = bytearray(good)
        flipped[0] ^= 1
        cipher, shape = "secure.ciphertexts", "secure.round"
        lies: list[tuple[Callable[[Message], Any], str]] = [
            (liar.sends([b"garbage"]), "the ciphertext is not one of 8192 slots"),
            (liar.sends([b""]), "a ciphertext has 0 bytes"),
            (liar.sends([good[:-1]]), "declares .* bytes, and .* follow"),
            (liar.sends([good[: len(good) // 2]]), "declares .* bytes, and .* follow"),
            (liar.sends([good + b"\0"]), "declares .* bytes, and .* follow"),
            (liar.sends([bytes(1 << 22)]), "a ciphertext has 4194304 bytes"),
            (liar.sends([bytes(flipped)]), "the ciphertext is not one of 8192 slots"),
            (liar.sends([]), "0 ciphertexts were sent; 1 are expected"),
            (liar.sends([good, good]), "2 ciphertexts were sent; 1 are expected"),
            (liar.changes(cipher, chunks=[bytes(flipped)]), "the digest that it signed is not"),
            (liar.changes(cipher, **others), "a signature is not that of member 3"),
            (liar.changes(cipher, **own), "a signature is not that of member 3"),
            (liar.changes(cipher, digest=b"", signature=b""), "the digest that it signed is not"),
            (liar.changes(cipher, signature=bytes(64)), "a signature is not that of member 3"),
            (liar.changes(cipher, signature=b"12"), "a digest has 32 bytes and a signature 64"),
            (liar.changes(cipher, chunks=None), "its reply has no signed ciphertexts"),
            (liar.changes(cipher, chunks=good), "its reply has no signed ciphertexts"),
            (liar.changes(cipher, chunks=["x"]), "its reply has no signed ciphertexts"),
            (liar.changes(shape, shape=[n + 1]), f"the shape \\({n + 1},\\) and not \\({n},\\)"),
            (liar.changes(shape, shape=[n, 1]), f"the shape \\({n}, 1\\) and not \\({n},\\)"),
            (liar.changes(shape, shape=[1 << 40]), "the absurd shape"),
            (liar.changes(shape, shape=None), "does not say which shape its part has"),
            (liar.changes(shape, session=0), "the reply is to sum 0, and this is"),
            (_without(cipher), "its reply has no signed ciphertexts"),
            (_without("arrays"), "the reply has no 'arrays'"),
            (_with_arrays, "nobody asked for the arrays in its reply"),
        ]
        for lie, reason in lies:
            liar.lie = lie
            report = federation.round()
            ((number, said),) = federation.participants(report).items()
            assert number == LIAR
            assert re.search(reason, said), (said, reason)
            assert federation.heard == ALL - {LIAR}
        liar.lie = None
        assert federation.round().refusals == ()


def _without(name: str) -> Callable[[Message], Message]:
    def lie(reply: Message) -> Message:
        del reply.content[name]
        return reply

    return lie


def _with_arrays(reply: Message) -> Message:
    reply.content["arrays"] = ArrayRecord({"update": Array(np.zeros(3, np.float32))})
    return reply


def test_a_second_reply_is_refused_and_the_first_one_counts(five: Make, liar: Liar) -> None:
    with _with_liar(five, liar) as federation:
        liar.lie = lambda reply: [reply, reply]
        report = federation.round()
        assert federation.participants(report) == {LIAR: "the node answered more than once"}
        assert federation.heard == ALL


@pytest.mark.parametrize("n", [6, pytest.param(60, marks=pytest.mark.slow)])
def test_flipped_bits_cost_a_round_at_most(five: Make, liar: Liar, n: int) -> None:
    """What gets past SEAL makes the sum count wrongly, so that it is not opened."""
    rng = np.random.default_rng(0)
    with _with_liar(five, liar) as federation:
        for _ in range(n):
            flipped = bytearray(_chunk(liar.seen[LIAR]))
            flipped[int(rng.integers(len(flipped)))] ^= 1 << int(rng.integers(8))
            liar.lie = liar.sends([bytes(flipped)])
            before = federation.vector
            report = federation.round()
            if report.skipped:
                assert federation.vector is before
                assert "the key holder opens no sum" in report.skipped
                assert "not the sum of" in report.skipped
            else:
                assert set(federation.participants(report)) == {LIAR}
                assert federation.heard == ALL - {LIAR}
        liar.lie = None
        assert federation.round().refusals == ()
        assert federation.heard == ALL


def _moved(federation: Federation, reply: Message, offsets: list[int]) -> bytes:
    """The ciphertext of a reply, whose pad is on it, with integers added; the count comes first."""
    sums: Any = federation.mode.sums  # type: ignore[attr-defined]
    scheme = sums._schemes[TRAINING]
    vector = scheme.load(scheme.context(sums._keys[TRAINING], is_secret=False), _chunk(reply))
    vector.add_(offsets + [0] * (8192 - len(offsets)))
    chunk = vector.serialize()
    assert isinstance(chunk, bytes)
    return chunk


def test_values_out_of_range_cost_the_round_and_nobody_is_blamed(five: Make, liar: Liar) -> None:
    """Who of them lied cannot be seen in a sum; what is possible for one can be believed."""
    with _with_liar(five, liar) as federation:
        sums: Any = federation.mode.sums  # type: ignore[attr-defined]
        half, n = sums._schemes[TRAINING].modulus // 2, len(federation.vector)
        for offsets, reason in (
            ([0, half], "segment 'update': an entry of the total is"),
            ([0, 0, -half + 1], "segment 'update': an entry of the total is"),
            ([0] + [0] * n + [half // 2], "segment 'weight': an entry of the total is"),
            ([0] + [0] * n + [half], "nobody has an example to learn from"),
            ([1, 0], "the ciphertexts are not the sum of the 5 contributions"),
            ([-1, 0], "the ciphertexts are not the sum of the 5 contributions"),
            ([0] * 8191 + [1], "the ciphertexts are not the sum of the 5 contributions"),
        ):
            liar.lie = _moving(federation, liar, offsets)
            before = federation.vector
            report = federation.round()
            assert reason in report.skipped
            assert (report.refusals, federation.vector is before) == ((), True)
        liar.lie = None
        assert federation.round().refusals == ()


def _moving(federation: Federation, liar: Liar, offsets: list[int]) -> Callable[[Message], Any]:
    return lambda reply: liar.sends([_moved(federation, reply, offsets)])(reply)


def test_a_contribution_without_its_pad_costs_the_round(five: Make, liar: Liar) -> None:
    """Also one of another sum, whose pad was another."""
    with _with_liar(five, liar) as federation:
        sums: Any = federation.mode.sums  # type: ignore[attr-defined]
        encryptor = sums._schemes[TRAINING].encryptor(sums._keys[TRAINING])
        bare = encryptor.encrypt(np.zeros(len(federation.vector) + 3, np.int64))
        for chunks in (bare, [_chunk(liar.seen[LIAR])]):
            liar.lie = liar.sends(chunks)
            report = federation.round()
            assert "the ciphertexts are not the sum of the 5 contributions" in report.skipped
            assert report.refusals == ()
        liar.lie = None
        assert federation.round().skipped == ""


def test_a_part_of_another_shape_costs_its_sender_alone(five: Make, tmp_path: Path) -> None:
    """Parts of one sum may come in three shapes until it is known which is most members'.

    One that is only claimed, with ciphertexts that do not fit it, is none of these.
    """

    def claiming(shapes: dict[int, list[int]]) -> Fate:
        def fate(number: int, stages: Mapping[str, int]) -> Any:
            if number not in shapes or stages.get("round") != 0:
                return None
            return liar.changes("secure.round", shape=shapes[number])

        return fate

    liar = Liar(tmp_path)
    for shapes, said in (
        ({1: [1, 1]}, "its part has the shape (1, 1) and not"),
        ({1: [9000]}, "1 ciphertexts were sent; 2 are expected"),
        ({0: [9000], 1: [9001], 2: [9002], 3: [9003]}, "1 ciphertexts were sent; 2 are expected"),
    ):
        with federated(encrypted(five), claiming(shapes)) as federation:
            summed = federation.add_up()
            assert (summed.total is None) == (len(shapes) > 2)  # fewer than min_contributors
            assert len(summed.refusals) == len(shapes)
            assert all(said in reason for _, reason in summed.refusals)
