"""What a key holder refuses a server that asks for more than it may have."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from fedtrade.secure.encrypted import CiphertextSum, SignedDigest, contribute
from fedtrade.secure.encrypted.channels import TRAINING
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.wire import pack_roster, unpack_roster
from fedtrade.settings import Settings
from fedtrade.wire import DESCRIBE, SECURE
from simulations.grid import InProcessGrid
from strategies.replies import plain_reason
from tests.strategies.trust.encrypted import ALL, FIRST_ROUND, HOLDER, Make, N, encrypted
from tests.strategies.trust.federation import (
    Federation,
    MeddledGrid,
    Rewrite,
    answers,
    composer,
    message_to,
    node_of,
    stages_of,
    with_fields,
)

APP = "clients.client_app:app"


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, N)


@pytest.fixture(scope="module")
def settings(make: Make) -> Settings:
    return encrypted(make)


@contextmanager
def _grid(settings: Settings, **options: Any) -> Iterator[InProcessGrid]:
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(APP, N + 1, run_config=run_config, **options) as grid:
        yield grid


@pytest.fixture
def joined(settings: Settings) -> Iterator[Federation]:
    """A run in which the first round can begin."""
    with _grid(settings) as grid:
        yield Federation(grid, settings).prepare()


def _reason(reply: Message) -> str:
    assert reply.has_error()
    return plain_reason(str(reply.error.reason))


def _told(reply: Message) -> str:
    """Why the key holder opened nothing; it says so in order, so that its state is kept."""
    assert reply.has_content()
    assert not reply.content.array_records["arrays"]
    return str(reply.content.config_records["secure.decrypt"]["refused"])


def _rewritten(grid: InProcessGrid, settings: Settings, rewrite: Rewrite) -> Federation:
    lying = MeddledGrid(grid)
    lying.rewrite = rewrite
    return Federation(lying, settings)


class Uploads:
    """What the members sent for the last round, as a server that turns would keep it."""

    def __init__(self, federation: Federation) -> None:
        self.federation = federation
        self.sums: Any = federation.mode.sums  # type: ignore[attr-defined]
        self.chunks: dict[int, tuple[bytes, ...]] = {}
        self.signed: dict[int, SignedDigest] = {}
        federation.grid.fate = self._note

    def _note(self, number: int, stages: Mapping[str, int]) -> Any:
        return (lambda reply: self._keep(number, reply)) if "train" in stages else None

    def _keep(self, number: int, reply: Message) -> Message:
        record: Any = reply.content.config_records["secure.ciphertexts"]
        self.chunks[number] = tuple(record["chunks"])
        self.signed[number] = SignedDigest(number, record["digest"], record["signature"])
        return reply

    def sum_of(self, *numbers: int) -> list[bytes]:
        """The ciphertexts of some, added."""
        scheme, key = self.sums._schemes[TRAINING], self.sums._keys[TRAINING]
        size = len(self.federation.vector) + 3
        with CiphertextSum(scheme, key, size) as total:
            for number in numbers:
                total.add(number, self.chunks[number])
            return list(total.close().chunks)


def _names(signed: list[SignedDigest]) -> dict[str, Any]:
    return {
        "numbers": [each.number for each in signed],
        "digest": b"".join(each.digest for each in signed),
        "signature": b"".join(each.signature for each in signed),
    }


def _instead(
    settings: Settings, meddle: Callable[[Federation, Uploads, Message], Message]
) -> tuple[str, set[int]]:
    """Why the round in which the server asks the key holder for something else is skipped, and
    who was heard in the next one."""
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        uploads = Uploads(federation)

        def rewrite(number: int, message: Message) -> Message:
            is_meant = stages_of(message).get("decrypt") == FIRST_ROUND
            return meddle(federation, uploads, message) if is_meant else message

        federation.grid.rewrite = rewrite
        report = federation.round()
        assert report.refusals == ()
        said = report.skipped
        assert federation.round().skipped == ""
        return said, federation.heard


# --- sums ---------------------------------------------------------------------------------------


def test_a_single_contribution_is_not_opened(settings: Settings) -> None:
    """Neither as what it is, nor as the sum of all, which its count does not fit."""

    def alone(federation: Federation, uploads: Uploads, message: Message) -> Message:
        return with_fields(
            message, "decrypt", chunks=list(uploads.chunks[1]), **_names([uploads.signed[1]])
        )

    said, heard = _instead(settings, alone)
    assert said.startswith(
        "the key holder opens no sum: ThresholdError: 1 members have contributed"
    )
    assert heard == ALL

    def among_all(federation: Federation, uploads: Uploads, message: Message) -> Message:
        return with_fields(message, "decrypt", chunks=list(uploads.chunks[1]))

    said, heard = _instead(settings, among_all)
    assert (
        "opens no sum: ProtocolError: the ciphertexts are not the sum of the 5 contributions"
        in said
    )
    assert heard == ALL


def test_fewer_than_min_contributors_are_not_opened(settings: Settings) -> None:
    def two(federation: Federation, uploads: Uploads, message: Message) -> Message:
        signed = [uploads.signed[1], uploads.signed[2]]
        return with_fields(message, "decrypt", chunks=uploads.sum_of(1, 2), **_names(signed))

    said, _ = _instead(settings, two)
    assert "ThresholdError: 2 members have contributed; min_contributors=3" in said


def test_enough_of_them_are_opened(settings: Settings) -> None:
    """As if the others had been silent; what the server then has is such a sum, and no other."""
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        uploads = Uploads(federation)

        def rewrite(number: int, message: Message) -> Message:
            if stages_of(message).get("decrypt") != FIRST_ROUND:
                return message
            signed = [uploads.signed[k] for k in (1, 2, 4)]
            three = with_fields(
                message, "decrypt", chunks=uploads.sum_of(1, 2, 4), **_names(signed)
            )
            first = answers(grid, three)
            assert first.content["arrays"]["words"].numpy().shape == (len(federation.vector) + 3,)
            assert first.content["secure.decrypt"] == {"session": FIRST_ROUND}
            return message

        federation.grid.rewrite = rewrite
        said = federation.round().skipped
        assert "ReplayError: a sum of session 2 is asked for, and session 2 was opened" in said
        assert federation.round().skipped == ""


def test_a_sum_is_opened_once_and_no_older_one(joined: Federation) -> None:
    """Whatever kind it is said to be of."""
    joined.round()
    grid, message = joined.grid.grid, _sent(joined, "decrypt")
    for session in (2, 1, 0, -1):
        for kind in ("training", "sums"):
            again = with_fields(message, "decrypt", session=session, kind=kind)
            assert _told(answers(grid, again)) == (
                f"ReplayError: a sum of session {session} is asked for, and session 2 was opened; "
                "each is opened once, in order."
            )
    later = with_fields(message, "decrypt", session=3)
    assert "SignatureError: a signature is not that of member" in _told(answers(grid, later))
    assert joined.round().refusals == ()


def _sent(federation: Federation, stage: str, number: int = HOLDER) -> Message:
    """The last message to the key holder that asked for a stage."""
    node = node_of(federation.grid.grid, number)
    found = [m for messages in federation.grid.asked for m in messages if stage in stages_of(m)]
    return [m for m in found if m.metadata.dst_node_id == node][-1]


@pytest.mark.parametrize("scheme", ["ckks", "bfv"])
def test_a_session_belongs_to_all_kinds(make: Make, scheme: str) -> None:
    """Also where each kind has a key of its own."""
    settings = encrypted(make, f"aggregation.scheme={scheme}", "aggregation.weighted=true")
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        federation.round()
        message = with_fields(_sent(federation, "decrypt"), "decrypt", kind="sums")
        said = _told(answers(grid, message))
        assert "ReplayError: a sum of session 2 is asked for, and session 2 was opened" in said


def test_an_attempt_spends_the_session(settings: Settings) -> None:
    """Although it failed, and in the key holder's memory; what is refused unopened does not."""
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        uploads, tried = Uploads(federation), []

        def rewrite(number: int, message: Message) -> Message:
            if stages_of(message).get("decrypt") != FIRST_ROUND or tried:
                return message
            few = with_fields(message, "decrypt", **_names([uploads.signed[1]]))
            assert "ThresholdError" in _told(answers(grid, few))
            single = with_fields(message, "decrypt", chunks=list(uploads.chunks[1]))
            assert "not the sum of the 5 contributions" in _told(answers(grid, single))
            tried.append(number)
            return message

        federation.grid.rewrite = rewrite
        assert "ReplayError" in federation.round().skipped
        assert tried == [HOLDER]


def test_nobody_is_invented(settings: Settings) -> None:
    """Not by a stranger, not under another's number, not twice, not of another sum."""

    def stranger(federation: Federation, uploads: Uploads, number: int) -> SignedDigest:
        scheme, key = uploads.sums._schemes[TRAINING], uploads.sums._keys[TRAINING]
        values = np.zeros(len(federation.vector) + 3, np.int64)
        session = uploads.sums._session
        made = contribute(
            scheme.encryptor(key),
            IdentityKey.generate(),
            uploads.sums.run,
            session,
            number,
            values,
            bytes(32),
        )
        return made.signed

    wishes: list[tuple[Callable[[Federation, Uploads], list[SignedDigest]], str]] = [
        (lambda f, u: [u.signed[1], u.signed[2], stranger(f, u, 9)], "member 9 is unknown"),
        (lambda f, u: [u.signed[1], u.signed[2], stranger(f, u, HOLDER)], "member 5 is unknown"),
        (lambda f, u: [u.signed[1], u.signed[2], stranger(f, u, 3)], "not that of member 3"),
        (lambda f, u: [u.signed[1], u.signed[2], u.signed[2]], "member 2 is named twice"),
        (
            lambda f, u: [u.signed[1], u.signed[2], u.signed[2]._replace(number=3)],
            "not that of member 3",
        ),
        (
            lambda f, u: [*u.signed.values(), stranger(f, u, 7)],
            "6 members have contributed; 5 may",
        ),
        (lambda f, u: [], "0 members have contributed; min_contributors=3"),
    ]
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        uploads = Uploads(federation)
        for wish, said in wishes:

            def rewrite(number: int, message: Message) -> Message:
                if "decrypt" not in stages_of(message):
                    return message
                return with_fields(message, "decrypt", **_names(wish(federation, uploads)))  # noqa: B023

            federation.grid.rewrite = rewrite
            assert said in federation.round().skipped
        federation.grid.rewrite = lambda number, message: message
        assert federation.round().skipped == ""


def test_wishes_that_are_malformed_are_refused(joined: Federation) -> None:
    joined.round()
    grid, message = joined.grid.grid, _sent(joined, "decrypt")
    for fields in (
        {"session": None},
        {"session": True},
        {"session": 3.0},
        {"kind": 7},
        {"size": b"1"},
        {"numbers": None},
        {"numbers": b"\1\0\0\0"},
        {"numbers": [1.0, 2.0, 3.0, 4.0, 5.0]},
        {"numbers": [1, 2]},
        {"chunks": b"chunk"},
        {"chunks": ["chunk"]},
        {"digest": b""},
        {"digest": [bytes(32)]},
        {"signature": bytes(63)},
    ):
        reply = answers(grid, with_fields(message, "decrypt", **fields))
        assert _reason(reply) == "the server's wish to open a sum is malformed.", fields
    other = answers(grid, with_fields(message, "decrypt", kind="other"))
    assert _reason(other) == "there are no sums of the kind 'other'."
    assert joined.round().refusals == ()


def test_sums_that_are_malformed_are_refused(settings: Settings) -> None:
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        tried = []

        def rewrite(number: int, message: Message) -> Message:
            if stages_of(message).get("decrypt") != FIRST_ROUND:
                return message
            ((chunk,), size) = (message.content["secure.decrypt"][k] for k in ("chunks", "size"))
            for fields in (
                {"chunks": []},
                {"chunks": [chunk, chunk]},
                {"chunks": [b""]},
                {"chunks": [chunk[:-1]]},
                {"chunks": [bytes(len(chunk))]},
                {"chunks": [bytes(1 << 22)]},
                {"size": 0},
                {"size": -1},
                {"size": 2**60},
                {"size": size + 8191},
            ):
                said = _told(answers(grid, with_fields(message, "decrypt", **fields)))
                assert said.startswith("ProtocolError: "), said
                tried.append(said)
            return message

        federation.grid.rewrite = rewrite
        assert federation.round().skipped == ""  # none of them was opened
        assert len(tried) == 10


# --- its answers --------------------------------------------------------------------------------


def test_what_the_key_holder_answers_must_be_a_sum(settings: Settings) -> None:
    """The server names the key holder, and nobody else, as the one who is wrong."""
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        answer: list[Any] = []

        def fate(number: int, stages: Mapping[str, int]) -> Any:
            return answer[0] if "decrypt" in stages else None

        federation.grid.fate = fate
        modulus = federation.mode.sums._schemes[TRAINING].modulus  # type: ignore[attr-defined]
        for change, said in (
            (lambda words: words[:-1], "the key holder's answer is no sum of this size"),
            (lambda words: np.append(words, words), "the key holder's answer is no sum of this"),
            (lambda words: words.reshape(1, -1), "the key holder's answer is no sum of this size"),
            (lambda words: words.astype(np.float64), "the key holder's answer is no sum of this"),
            (lambda words: words.astype(np.int32), "the key holder's answer is no sum of this"),
            (lambda words: words * 0 + modulus, "the key holder's answer is not of the scheme's"),
            (
                lambda words: np.full_like(words, -(2**63)),
                "the key holder's answer is not of the scheme's ring",
            ),
            (lambda words: words * 0 + modulus // 3, "an entry of the total is"),
        ):
            answer[:] = [_changing(change)]
            before = federation.vector
            report = federation.round()
            assert said in report.skipped, report.skipped
            assert (report.refusals, federation.vector is before) == ((), True)
        for lie, said in (
            (_answering({"session": 0}), "the key holder's answer is to sum 0, and this is"),
            (_answering({}), "the key holder's answer is to sum None, and this is"),
            (_answering({"refused": "no\x1b[31m"}), "the key holder opens no sum: no [31m"),
        ):
            answer[:] = [lie]
            assert said in federation.round().skipped
        answer[:] = [None]
        assert federation.round().skipped == ""


def _changing(change: Callable[[Any], Any]) -> Callable[[Message], Message]:
    def lie(reply: Message) -> Message:
        arrays = reply.content.array_records["arrays"]
        arrays["words"] = type(arrays["words"])(change(arrays["words"].numpy()))
        return reply

    return lie


def _answering(fields: dict[str, Any]) -> Callable[[Message], Message]:
    def lie(reply: Message) -> Message:
        reply.content["secure.decrypt"] = ConfigRecord(fields)
        return reply

    return lie


# --- keys ---------------------------------------------------------------------------------------


def test_keys_are_made_once(joined: Federation) -> None:
    grid = joined.grid.grid
    reply = answers(grid, with_fields(_sent(joined, "key"), "key"))
    assert "keys are made once a run" in _reason(reply)
    assert joined.round().refusals == ()


@pytest.mark.parametrize("records", [{}, {"secure.roster": {}}, {"secure.round": {"session": 0}}])
def test_it_does_nothing_else(settings: Settings, records: Mapping[str, Any]) -> None:
    with _grid(settings) as grid:
        reply = answers(grid, message_to(grid, HOLDER, SECURE, records))
        assert "a key holder makes keys and opens sums" in _reason(reply)


def test_before_there_are_keys_nothing_is_opened(settings: Settings) -> None:
    with _grid(settings) as grid:
        reply = answers(grid, message_to(grid, HOLDER, SECURE, {"secure.decrypt": {"session": 0}}))
        assert _reason(reply) == "no keys were made in this run."


def test_before_the_greeting_there_are_no_keys(settings: Settings) -> None:
    records = {"secure.key": {"n-members": 5, "holder": 5}, "secure.roster": {"keys": b""}}
    with _grid(settings) as grid:
        reply = answers(grid, message_to(grid, HOLDER, SECURE, records))
        assert "the server skipped the greeting that begins a run" in _reason(reply)


def _wish(settings: Settings, rewrite: Callable[[Message], Message]) -> str:
    """Why a run does not begin."""

    def only_holder(number: int, message: Message) -> Message:
        is_meant = number == HOLDER and "secure.key" in message.content.config_records
        return rewrite(message) if is_meant else message

    with _grid(settings) as grid, pytest.raises(Exception, match="the key holder") as caught:
        _rewritten(grid, settings, only_holder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n-members": 2}, "there are 2 members and lists 5, and min_contributors=3"),
        ({"n-members": 6}, "there are 6 members and lists 5"),
        ({"n-members": 10**9}, "there are 1000000000 members and lists 5"),
        ({"n-members": True}, "does not say how many members there are"),
        ({"n-members": None}, "does not say how many members there are"),
        ({"holder": None}, "does not say how many members there are"),
        ({"holder": 1}, "says that 1 holds the key; the key holder is the last, 5"),
    ],
)
def test_for_whom_keys_are_made_must_be_said(
    settings: Settings, fields: Mapping[str, Any], said: str
) -> None:
    assert said in _wish(settings, lambda message: with_fields(message, "key", **fields))


def test_pad_keys_are_their_members_own(settings: Settings) -> None:
    """For a key that it put in a member's place the server would know the pads."""
    theirs = AgreementKey().public_bytes

    def swapping(message: Message) -> Message:
        pads: Any = message.content.config_records["secure.key"]["pads"]
        return with_fields(message, "key", pads=pads[:32] + theirs + pads[64:])

    assert "a signature is not that of member 1" in _wish(settings, swapping)
    for fields in ({"pads": None}, {"pads": bytes(159)}, {"pad-signature": b""}, {"pads": "text"}):
        said = _wish(settings, lambda message: with_fields(message, "key", **fields))  # noqa: B023
        assert "the server gives no signed pad keys of 5 members" in said


def test_a_sum_is_of_the_kind_that_was_contributed_to(settings: Settings) -> None:
    """Although one key opens both kinds."""

    def other(federation: Federation, uploads: Uploads, message: Message) -> Message:
        return with_fields(message, "decrypt", kind="sums")

    said, heard = _instead(settings, other)
    assert "ProtocolError: the ciphertexts are not the sum of the 5 contributions" in said
    assert heard == ALL


def test_members_are_not_swapped_in_a_sum(settings: Settings) -> None:
    """One is left out for another who is in it twice, or whose place a third takes."""

    def doubled(federation: Federation, uploads: Uploads, message: Message) -> Message:
        scheme, key = uploads.sums._schemes[TRAINING], uploads.sums._keys[TRAINING]
        accumulator = scheme.accumulator(key)
        for number, weight in ((1, 2), (2, 1), (3, 1), (4, 1)):
            accumulator.add(uploads.chunks[number], weight)
        return with_fields(message, "decrypt", chunks=accumulator.total())

    def third(federation: Federation, uploads: Uploads, message: Message) -> Message:
        signed = [uploads.signed[k] for k in (1, 2, 3)]
        return with_fields(message, "decrypt", chunks=uploads.sum_of(1, 2, 4), **_names(signed))

    for wish, n in ((doubled, 5), (third, 3)):
        said, heard = _instead(settings, wish)
        assert f"ProtocolError: the ciphertexts are not the sum of the {n} contributions" in said
        assert heard == ALL


def test_the_key_holder_is_no_member(settings: Settings) -> None:
    """Its key stands in the list once, and last."""

    def listing(change: Callable[[dict[int, bytes]], dict[int, bytes]]) -> Any:
        def rewrite(message: Message) -> Message:
            roster = unpack_roster(message.content.config_records["secure.roster"])
            message.content["secure.roster"] = ConfigRecord({**pack_roster(change(roster))})
            return message

        return rewrite

    for change, said in (
        (lambda r: {**r, 1: r[HOLDER]}, "lists the key holder's own key 2 times"),
        (lambda r: {**r, HOLDER: bytes(32)}, "lists the key holder's own key 0 times"),
        (lambda r: {**r, 1: r[2]}, "lists one key for two parties"),
        (lambda r: {**r, 6: bytes(32)}, "says that 5 holds the key; the key holder is the last, 6"),
        (
            lambda r: {number if number != 4 else 6: key for number, key in r.items()},
            "says that 5 holds the key; the key holder is the last, 6",
        ),
    ):
        assert said in _wish(settings, listing(change))


def test_keys_of_another_run_are_refused_by_the_server(settings: Settings) -> None:
    """Those that the key holder made are signed by it, for this run."""
    for change, said in (
        ({"training-public": b"x"}, "not that of member 5"),
        ({"training-public": b""}, "a public key has 0 bytes"),
        ({"training-public": None}, "the key holder sent no public key for training"),
        ({"training-pad": AgreementKey().public_bytes}, "not that of member 5"),
        ({"sums-pad": None}, "the key holder sent no public key for sums"),
        ({"sums-signature": bytes(64)}, "not that of member 5"),
        ({"sums-signature": None}, "the key holder sent no public key for sums"),
    ):

        def fate(number: int, stages: Mapping[str, int]) -> Any:
            return _changed(change) if "key" in stages and number == HOLDER else None  # noqa: B023

        with _grid(settings) as grid, pytest.raises(Exception, match=said):
            Federation(grid, settings, fate)


def _changed(fields: Mapping[str, Any]) -> Callable[[Message], Message]:
    def lie(reply: Message) -> Message:
        changed = {**reply.content.config_records["secure.key"], **fields}
        reply.content["secure.key"] = ConfigRecord(
            {name: value for name, value in changed.items() if value is not None}
        )
        return reply

    return lie


def test_a_key_holder_of_plain_runs_is_refused(make: Make) -> None:
    settings = make()
    with _grid(settings, node_configs={HOLDER: {"role": "key-holder"}}) as grid:
        reply = answers(grid, message_to(grid, HOLDER, DESCRIBE, {}))
        assert "the node is a key holder, and aggregation=plain has none" in _reason(reply)


def test_it_has_no_data_to_learn_from(joined: Federation) -> None:
    """A message of training to it is an error, and nothing else."""
    joined.round()
    message = _sent(joined, "train", number=1)
    grid = joined.grid.grid
    asked = Message(message.content, node_of(grid, HOLDER), message.metadata.message_type, ttl=60.0)
    assert answers(grid, asked).has_error()
    assert joined.round().refusals == ()
