"""What a participant refuses a server that lies to it, and that it goes on afterwards."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from fedtrade.errors import FedtradeError, ThresholdError
from fedtrade.secure.agreement import agreed_settings
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.wire import PROTOCOL_VERSION, pack_roster, unpack_roster
from fedtrade.settings import Settings
from fedtrade.wire import DESCRIBE, SECURE, SUM
from simulations.grid import InProcessGrid
from strategies.replies import plain_reason
from strategies.trust import Plain
from tests.strategies.trust.federation import (
    STAGES,
    Federation,
    answers,
    composer,
    message_to,
    node_of,
    stages_of,
    with_fields,
)

Make = Callable[..., Settings]

APP = "clients.client_app:app"
N = 6
RUN = bytes(16)
FIRST_ROUND = 2


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, N)


@pytest.fixture(scope="module")
def settings(make: Make) -> Settings:
    return make("aggregation=masked", "strategy.weights=equal")


@contextmanager
def _grid(settings: Settings, **options: Any) -> Iterator[InProcessGrid]:
    run_config = {"settings": settings.to_json()}
    with InProcessGrid(APP, N, run_config=run_config, **options) as grid:
        yield grid


@pytest.fixture
def joined(settings: Settings) -> Iterator[Federation]:
    """A run in which the first round can begin."""
    with _grid(settings) as grid:
        yield Federation(grid, settings).prepare()


def _reason(reply: Message) -> str:
    assert reply.has_error()
    return plain_reason(str(reply.error.reason))


def _refused(reply: Message, stage: str) -> str:
    assert reply.has_content()
    return str(reply.content.config_records[f"secure.{stage}"]["refused"])


def _sent(federation: Federation, number: int, stage: str) -> Message:
    """The last message to a participant that asked for a stage."""
    node = node_of(federation.grid.grid, number)
    found = [m for messages in federation.grid.asked for m in messages if stage in stages_of(m)]
    return [m for m in found if m.metadata.dst_node_id == node][-1]


def _again(federation: Federation, message: Message, stage: str) -> Message:
    return answers(federation.grid.grid, with_fields(message, stage))


# --- contributions ------------------------------------------------------------------------------


def test_nobody_gives_an_update_in_the_clear(joined: Federation) -> None:
    mode = joined.strategy.trust_mode
    joined.strategy.trust_mode = Plain()
    report = joined.round()
    assert report.n_replies == 0
    assert report.skipped
    assert len(report.refusals) == N
    assert all("contribution in the clear" in reason for _, reason in report.refusals)
    summed = joined.add_up()
    assert summed.total is None
    assert all("contribution in the clear" in reason for _, reason in summed.refusals)
    joined.strategy.trust_mode = mode  # and the sum that was prepared is still to be had
    assert joined.round().n_replies == N


def test_who_is_to_be_in_the_sum_must_be_told(joined: Federation) -> None:
    def rewrite(number: int, message: Message) -> Message:
        if number == 1 and "train" in stages_of(message):
            del message.content["secure.upload"]
        return message

    joined.grid.rewrite = rewrite
    refusals = joined.participants(joined.round())
    assert refusals == {1: "the server does not say who is to be in the sum."}


@pytest.mark.parametrize("n_members", [0, -1, 2, 7, 10**12, True, "6", 6.0, [6], None])
def test_an_absurd_number_of_members_is_refused(joined: Federation, n_members: object) -> None:
    def rewrite(number: int, message: Message) -> Message:
        if number != 1 or "train" not in stages_of(message):
            return message
        return with_fields(message, "round", **{"n-members": n_members})

    joined.grid.rewrite = rewrite
    report = joined.round()
    assert report.n_replies == N - 1
    ((number, reason),) = joined.participants(report).items()
    assert number == 1
    assert "the server" in reason
    assert "members" in reason


def test_nobody_masks_two_vectors_with_the_same_masks(joined: Federation) -> None:
    """Their difference would be that of the vectors: the second one is refused, whatever it is."""
    joined.round()
    message = _sent(joined, 1, "upload")
    same = _again(joined, message, "upload")
    assert same.has_error()
    other = with_fields(message, "upload")
    vector = other.content["arrays"]["vector"].numpy() + np.float32(0.1)
    other.content["arrays"]["vector"] = type(other.content["arrays"]["vector"])(vector)
    assert answers(joined.grid.grid, other).has_error()
    for reply in (same, answers(joined.grid.grid, with_fields(message, "upload"))):
        assert "upload of sum 2: this member has no part in it" in _reason(reply)
    # Nor in the sum that is due, what was given in the one before.
    reply = answers(joined.grid.grid, with_fields(message, "upload", session=3))
    assert "a second contribution is asked for to train" in _reason(reply)
    # Under another name of the round the masks are still those of the sum that is over.
    other.content["config"]["server-round"] = 17
    assert "upload of sum 2: this member has no part in it" in _reason(
        answers(joined.grid.grid, other)
    )
    assert joined.round().refusals == ()


def test_an_update_is_uploaded_once_even_if_the_reply_is_lost(settings: Settings) -> None:
    """The server asks again for the same sum, before it is unmasked."""
    replies: list[Message] = []

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return "silent" if number == 1 and stages.get("train") == FIRST_ROUND else None

    with _grid(settings) as grid:
        federation = Federation(grid, settings, fate).prepare()

        def rewrite(number: int, message: Message) -> Message:
            if "check" in stages_of(message) and not replies:
                again = with_fields(_sent(federation, 1, "upload"), "upload")
                named = {**again.content["config"], "server-round": 17}
                again.content["config"] = ConfigRecord(named)
                replies.append(answers(grid, again))
            return message

        federation.grid.rewrite = rewrite
        report = federation.round()
    assert report.n_replies == N - 1
    assert len(replies) == 1
    assert "upload of sum 2 follows 'shared' and can be had once" in _reason(replies[0])


def test_a_federated_sum_is_not_had_twice_under_another_number(joined: Federation) -> None:
    message = _sent(joined, 1, "upload")
    assert message.metadata.message_type == SUM
    for number in (0, 1, 17):
        again = with_fields(message, "upload", session=2)  # the one that is due
        again.content["config"] = ConfigRecord({**again.content["config"], "server-round": number})
        reply = answers(joined.grid.grid, again)
        assert "a second contribution is asked for to query.sum" in _reason(reply)


# --- taking the masks off -----------------------------------------------------------------------


def test_the_masks_are_taken_off_once(joined: Federation) -> None:
    joined.round()
    reply = _again(joined, _sent(joined, 1, "unmask"), "unmask")
    assert "this member has no part in it, or has forgotten it" in _refused(reply, "unmask")
    assert joined.round().refusals == ()


@pytest.mark.parametrize("adversary", ["malicious", "semi_honest"])
def test_another_set_of_survivors_is_not_unmasked(make: Make, adversary: str) -> None:
    """Without the committee's signatures; a semi-honest server would not ask, and has one try."""
    settings = make("aggregation=masked", f"aggregation.adversary={adversary}")
    with _grid(settings) as grid:
        federation, said = Federation(grid, settings).prepare(), []

        def rewrite(number: int, message: Message) -> Message:
            if number != 1 or stages_of(message).get("unmask") != FIRST_ROUND:
                return message
            survivors = np.frombuffer(message.content["secure.unmask"]["survivors"], "<u4")
            fewer = survivors[survivors != 0].tobytes()
            first = answers(grid, with_fields(message, "unmask", survivors=fewer))
            if adversary == "malicious":
                assert "are not those that member 1 signed" in _refused(first, "unmask")
            else:
                assert "shares" in first.content["secure.unmask"]
            second = answers(grid, with_fields(message, "unmask"))
            assert ("refused" in second.content["secure.unmask"]) == (adversary != "malicious")
            said.append(number)
            return message

        federation.grid.rewrite = rewrite
        federation.round()
    assert said == [1]


def test_a_set_below_min_contributors_is_neither_signed_nor_unmasked(joined: Federation) -> None:
    found = []

    def rewrite(number: int, message: Message) -> Message:
        for stage in ("check", "unmask"):
            if number == 1 and stage in stages_of(message):
                few = np.array([0, 1], "<u4").tobytes()
                reply = answers(joined.grid.grid, with_fields(message, stage, survivors=few))
                found.append(_refused(reply, stage))
        return message

    joined.grid.rewrite = rewrite
    joined.round()
    assert found[0] == "2 members are left, and min_contributors=3."
    assert found[1] == "2 members are left, and min_contributors=3."


def test_the_committee_signs_one_set(joined: Federation) -> None:
    said = []

    def rewrite(number: int, message: Message) -> Message:
        if number == 1 and "check" in stages_of(message):
            few = np.arange(1, N, dtype="<u4").tobytes()
            first = answers(joined.grid.grid, with_fields(message, "check", survivors=few))
            assert len(first.content["secure.check"]["signature"]) == 64
            second = answers(joined.grid.grid, with_fields(message, "check"))
            said.append(_refused(second, "check"))
        return message

    joined.grid.rewrite = rewrite
    joined.round()
    assert said == ["this member has signed the survivors of sum 2 already."]


# --- keys ---------------------------------------------------------------------------------------


def test_the_list_of_keys_cannot_be_replaced(joined: Federation) -> None:
    roster = _roster(joined)
    swapped = {**roster, 3: IdentityKey.generate().public_bytes}
    grid = joined.grid.grid
    for other in (swapped, {**roster, 6: swapped[3]}, {k: roster[k] for k in (0, 1, 2)}):
        reply = answers(grid, message_to(grid, 1, SECURE, {"secure.roster": pack_roster(other)}))
        assert "wants to replace the participants' public keys" in _reason(reply)
    same = answers(grid, message_to(grid, 1, SECURE, {"secure.roster": pack_roster(roster)}))
    assert same.has_content()
    assert joined.round().refusals == ()


def _roster(federation: Federation) -> dict[int, bytes]:
    (message, *_) = [
        m
        for messages in federation.grid.asked
        for m in messages
        if "secure.roster" in m.content.config_records
    ]
    return unpack_roster(message.content.config_records["secure.roster"])


def test_the_own_key_must_stand_in_the_list(settings: Settings) -> None:
    def rewrite(number: int, message: Message) -> Message:
        if number != 1 or "secure.roster" not in message.content.config_records:
            return message
        roster = unpack_roster(message.content.config_records["secure.roster"])
        roster[1] = IdentityKey.generate().public_bytes
        return with_fields(message, "roster", **pack_roster(roster))

    with _grid(settings) as grid:
        federation = _rewritten(grid, settings, rewrite)
        refusals = dict(federation.members.refusals)
        assert "another public key for participant 1 than its own" in refusals[node_of(grid, 1)]
        federation.grid.rewrite = lambda number, message: message
        for name in federation.task.sums:  # the true list comes with the next messages
            federation.shared[name] = federation.task.finish_sum(
                name, federation.add_up(name).total
            )
        federation.round()
        assert federation.heard == set(range(N))


def _rewritten(grid: InProcessGrid, settings: Settings, rewrite: Any) -> Federation:
    """A federation whose messages are rewritten from the first one on."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        original = _sending()

        def send(self: Any, messages: Any, **options: Any) -> Any:
            self.rewrite = rewrite
            return original(self, messages, **options)

        monkeypatch.setattr("tests.strategies.trust.federation.MeddledGrid.send_and_receive", send)
        return Federation(grid, settings)


def _sending() -> Any:
    from tests.strategies.trust.federation import MeddledGrid

    return MeddledGrid.send_and_receive


def test_a_swapped_key_of_a_neighbour_is_found(joined: Federation) -> None:
    """It is not signed by its owner's identity; the one that finds it has no part in the sum."""

    def rewrite(number: int, message: Message) -> Message:
        if number != 1 or stages_of(message).get("share") != FIRST_ROUND + 1:
            return message
        adverts = bytearray(message.content["secure.share"]["adverts"])
        adverts[:32] = IdentityKey.generate().public_bytes
        return with_fields(message, "share", adverts=bytes(adverts))

    joined.grid.rewrite = rewrite
    refusals = joined.participants(joined.round())
    assert set(refusals) == {1}
    assert "share: it refuses: a signature is not that of member" in refusals[1]
    joined.round()
    assert joined.heard == set(range(N)) - {1}


# --- the greeting -------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_without_a_greeting_there_is_no_stage(settings: Settings, stage: str) -> None:
    with _grid(settings) as grid:
        asked = message_to(grid, 0, SECURE, {f"secure.{stage}": {"session": 0}})
        reply = answers(grid, asked)
        assert "the server skipped the greeting" in _reason(reply)


@pytest.mark.parametrize("run", [None, b"", bytes(15), bytes(17), "x" * 16])
def test_a_greeting_names_the_run(settings: Settings, run: Any) -> None:
    fields = {"version": PROTOCOL_VERSION, "settings": agreed_settings(settings.aggregation)}
    fields |= {} if run is None else {"run": run}
    records = {"secure.greeting": fields, "secure.pledge": {"session": 0}}
    with _grid(settings) as grid:
        reply = answers(grid, message_to(grid, 0, DESCRIBE, records))
        assert "run" in _reason(reply)


def test_no_run_is_begun_anew_among_others(joined: Federation) -> None:
    """A server that turns could otherwise put others of its own in the participants' places."""
    records = {
        "secure.greeting": {"version": PROTOCOL_VERSION, "run": RUN},
        "secure.pledge": {"session": 0},
    }
    grid = joined.grid.grid
    reply = answers(grid, message_to(grid, 1, DESCRIBE, records))
    assert "greets again in the middle of a run" in _reason(reply)
    assert joined.round().refusals == ()


def test_before_anybody_is_known_a_greeting_can_be_repeated(settings: Settings) -> None:
    """The identity stays, and what was pledged before is forgotten."""
    agreed = agreed_settings(settings.aggregation)
    greeting = {"version": PROTOCOL_VERSION, "run": RUN, "settings": agreed}
    records = {"secure.greeting": greeting, "secure.pledge": {"session": 0}}
    with _grid(settings) as grid:
        replies = [answers(grid, message_to(grid, 1, DESCRIBE, records)) for _ in range(2)]
        federation = Federation(grid, settings).prepare()
        assert federation.round().refusals == ()
    first, second = (reply.content.config_records for reply in replies)
    assert first["secure.greeting"] == second["secure.greeting"]
    assert first["secure.pledge"]["commitment"] != second["secure.pledge"]["commitment"]


def test_a_clip_of_its_own_would_spoil_the_sum(make: Make) -> None:
    """A member that writes its numbers in other steps is told so, and its fellows go on."""
    server = make("aggregation=masked")
    other = make("aggregation=masked", "aggregation.clip=2.0")
    with (
        _grid(other) as grid,
        pytest.raises(FedtradeError, match=r"aggregation.clip=2.0 here and 4.0 at the server"),
    ):
        Federation(grid, server)


def test_participants_with_other_settings_are_told(make: Make, settings: Settings) -> None:
    """Those of `plain` send no key, and the run does not begin."""
    with (
        _grid(make()) as grid,
        pytest.raises(ThresholdError, match="0 of 6 participants can join masked sums"),
    ):
        Federation(grid, settings)


# --- messages that are none ---------------------------------------------------------------------

GARBAGE: list[dict[str, Any]] = [
    {},
    {"survivors": b""},
    {"members": b"\0" * 3, "commitments": b""},
    {"members": np.arange(4, dtype="<u4").tobytes(), "commitments": b"x"},
    {"members": np.array([3, 1, 1], "<u4").tobytes(), "commitments": bytes(48)},
    {"members": 7, "commitments": "text"},
    {"participants": np.arange(100, dtype="<u4").tobytes()},
    {"survivors": np.arange(4, dtype="<u4").tobytes(), "ciphertexts": bytes(1 << 16)},
    {"survivors": [1, 2, 3], "ciphertexts": [b"a"], "signers": b"", "signatures": 1.5},
]


@pytest.mark.parametrize("stage", ["open", "share", "check", "unmask"])
def test_garbage_is_refused_and_forgotten(joined: Federation, stage: str) -> None:
    """Whatever the server says, the stages that it should have asked for are still to be had."""
    grid = joined.grid.grid
    for session in (0, 2, 3, 4, 5, 2**40):
        for fields in GARBAGE:
            records = {f"secure.{stage}": {"session": session, **fields}}
            reply = answers(grid, message_to(grid, 1, SECURE, records))
            assert len(_refused(reply, stage)) > 10
    assert [joined.round().refusals for _ in range(2)] == [(), ()]


@pytest.mark.parametrize("session", [-1, True, "2", 2.0, None, [2]])
def test_a_sum_is_named_by_a_number(joined: Federation, session: Any) -> None:
    fields = {} if session is None else {"session": session}
    grid = joined.grid.grid
    reply = answers(grid, message_to(grid, 1, SECURE, {"secure.pledge": fields}))
    assert "which is no number from 0" in _reason(reply)
    assert joined.round().refusals == ()


# --- long-term keys -----------------------------------------------------------------------------


def _keys(folder: Path) -> tuple[dict[int, dict[str, Any]], dict[str, str]]:
    """Node configurations with key files, and the public keys."""
    keys = [IdentityKey.from_private_bytes(bytes([k + 1]) * 32) for k in range(N)]
    for k, key in enumerate(keys):
        (folder / f"{k}.key").write_bytes(key.private_bytes)
    configs = {k: {"identity-key": str(folder / f"{k}.key")} for k in range(N)}
    return configs, {str(k): key.public_bytes.hex() for k, key in enumerate(keys)}


def test_keys_that_all_know_are_compared(make: Make, tmp_path: Path) -> None:
    configs, public = _keys(tmp_path)
    (tmp_path / "keys.json").write_text(json.dumps(public))
    settings = make("aggregation=masked", f"aggregation.identities={tmp_path / 'keys.json'}")
    with _grid(settings, node_configs=configs) as grid:
        federation = Federation(grid, settings).prepare()
        assert federation.round().refusals == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda keys: {**keys, "2": "11" * 32}, "a public key for participant 2 that"),
        (lambda keys: {k: v for k, v in keys.items() if k != "2"}, "for participant 2 that"),
        (lambda keys: {**keys, "2": "no key"}, "must be a JSON file of public keys"),
        (lambda keys: ["a", "b"], "must be a JSON file of public keys"),
        (None, "keys.json' cannot be read (No such file or directory); name the JSON file of"),
    ],
)
def test_a_wrong_or_missing_list_of_keys_stops_the_run(
    make: Make, tmp_path: Path, change: Any, reason: str
) -> None:
    """Nobody opens anything, and the reason is told by each."""
    configs, public = _keys(tmp_path)
    if change is not None:
        (tmp_path / "keys.json").write_text(json.dumps(change(public)))
    settings = make("aggregation=masked", f"aggregation.identities={tmp_path / 'keys.json'}")
    with _grid(settings, node_configs=configs) as grid:
        federation = Federation(grid, settings)
        assert all(reason in said for _, said in federation.members.refusals)
        assert len(federation.members.refusals) >= N - 1
        assert federation.add_up().total is None


@pytest.mark.parametrize("content", [None, b"", bytes(31), b"x" * 64])
def test_a_key_file_has_32_bytes(settings: Settings, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "my.key"
    if content is not None:
        path.write_bytes(content)
    with _grid(settings, node_configs={1: {"identity-key": str(path)}}) as grid:
        federation = Federation(grid, settings)
        ((node, reason),) = federation.members.refusals
        assert node == node_of(grid, 1)
        wrong = (
            "cannot be read (No such file" if content is None else "is no private key of 32 bytes"
        )
        assert f"identity-key='{path}', which {wrong}" in reason
        assert federation.prepare().round().n_replies == N - 1


def test_nobody_uses_the_key_of_another(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(bytes(range(32)))
    configs = {k: {"identity-key": str(tmp_path / "k")} for k in (1, 2)}
    with _grid(settings, node_configs=configs) as grid:
        federation = Federation(grid, settings)
        reasons = dict(federation.members.refusals)
        assert reasons == {node_of(grid, 2): "it sent the identity key of another participant"}
        assert federation.prepare().round().n_replies == N - 1
