"""What a member of encrypted sums refuses a server that lies to it, and that it goes on then."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message

from fedtrade.secure.agreement import NAME_BYTES, agreed_run, agreed_settings
from fedtrade.secure.encrypted.channels import TRAINING, channels
from fedtrade.secure.encrypted.contribution import sign_key
from fedtrade.secure.encrypted.scheme import Scheme
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.wire import PROTOCOL_VERSION, pack_roster, unpack_roster
from fedtrade.settings import Settings
from fedtrade.wire import DESCRIBE, SECURE
from simulations.grid import InProcessGrid
from strategies.replies import plain_reason
from strategies.trust import Plain
from tests.strategies.trust.encrypted import ALL, HOLDER, Make, N, encrypted
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
RUN = bytes(NAME_BYTES)


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


def _sent(federation: Federation, number: int, stage: str) -> Message:
    """The last message to a node that asked for a stage."""
    node = node_of(federation.grid.grid, number)
    found = [m for messages in federation.grid.asked for m in messages if stage in stages_of(m)]
    return [m for m in found if m.metadata.dst_node_id == node][-1]


def _rewritten(grid: InProcessGrid, settings: Settings, rewrite: Rewrite) -> Federation:
    """A federation whose messages are rewritten from the first one on."""
    lying = MeddledGrid(grid)
    lying.rewrite = rewrite
    return Federation(lying, settings)


def _refused(settings: Settings, rewrite: Rewrite, number: int = 1, **options: Any) -> str:
    """Why a member has no part in a run, in which all others learn."""
    with _grid(settings, **options) as grid:
        federation = _rewritten(grid, settings, rewrite)
        ((node, reason),) = federation.members.refusals
        assert node == node_of(grid, number)
        federation.prepare().round()
        assert federation.heard == ALL - {number}
    return reason


def _rewriting(stage: str, **fields: Any) -> Rewrite:
    """Changes what member 1 is asked."""

    def rewrite(number: int, message: Message) -> Message:
        is_meant = number == 1 and f"secure.{stage}" in message.content.config_records
        return with_fields(message, stage, **fields) if is_meant else message

    return rewrite


# --- contributions ------------------------------------------------------------------------------


def test_nobody_gives_an_update_in_the_clear(joined: Federation) -> None:
    mode, joined.strategy.trust_mode = joined.strategy.trust_mode, Plain()
    report = joined.round()
    assert report.skipped
    assert len(report.refusals) == N
    assert all("contribution in the clear" in reason for _, reason in report.refusals)
    summed = joined.add_up()
    assert summed.total is None
    assert all("contribution in the clear" in reason for _, reason in summed.refusals)
    joined.strategy.trust_mode = mode
    assert joined.round().n_replies == N


def test_nobody_contributes_twice(joined: Federation) -> None:
    """Neither to one round, nor to one sum by another name, nor to an older sum."""
    joined.round()
    grid, message = joined.grid.grid, _sent(joined, 1, "train")
    assert "a second contribution is asked for to train" in _reason(
        answers(grid, with_fields(message, "round", session=3))
    )
    for session in (2, 1, 0, -1):
        other = with_fields(message, "round", session=session)
        other.content["config"] = ConfigRecord({**other.content["config"], "server-round": 17})
        reason = _reason(answers(grid, other))
        assert reason == f"sum {session} is asked for, and sum 2 was contributed to."
    assert joined.round().refusals == ()


@pytest.mark.parametrize("session", [None, True, 3.0, b"3"])
def test_a_sum_is_known_by_a_number(joined: Federation, session: Any) -> None:
    joined.grid.rewrite = _rewriting("round", session=session)
    report = joined.round()
    ((number, reason),) = joined.participants(report).items()
    assert (number, reason) == (1, f"sum {session!r} is asked for, and sum 1 was contributed to.")


@pytest.mark.parametrize("fields", [{"n-members": 0}, {"n-members": "5"}, {"by-examples": 1}])
def test_a_round_is_described(joined: Federation, fields: Mapping[str, Any]) -> None:
    joined.grid.rewrite = _rewriting("round", **fields)
    assert joined.participants(joined.round()) == {
        1: "the server does not say how many members the sum has."
    }


def test_before_there_are_keys_there_is_no_contribution(joined: Federation) -> None:
    joined.round()
    message = _sent(joined, 1, "train")
    with _grid(joined.settings) as grid:
        for number in (1, HOLDER):
            asked = Message(
                message.content, node_of(grid, number), message.metadata.message_type, ttl=60.0
            )
            reason = _reason(answers(grid, asked))
            if number == 1:
                assert reason == "the server asks for a contribution before it gave any keys."


# --- keys ---------------------------------------------------------------------------------------


def test_keys_are_taken_once(joined: Federation) -> None:
    """Under another key the server could read what comes."""
    grid, message = joined.grid.grid, _sent(joined, 1, "key")
    assert "takes the key holder's keys once" in _reason(answers(grid, with_fields(message, "key")))
    assert joined.round().refusals == ()


@pytest.mark.parametrize("records", [{}, {"secure.key": {}}, {"secure.roster": {}}])
def test_there_is_nothing_else_to_answer(settings: Settings, records: Mapping[str, Any]) -> None:
    with _grid(settings) as grid:
        reply = answers(grid, message_to(grid, 1, SECURE, records))
        assert "takes the key holder's keys once, and nothing else" in _reason(reply)


def test_swapped_keys_are_refused(settings: Settings) -> None:
    """By their signature, whether made for this scheme or another, or no keys at all."""
    aggregation: Any = settings.aggregation
    ckks = channels(aggregation.model_copy(update={"scheme": "ckks"}), N)[TRAINING]
    own = channels(aggregation, N)[TRAINING].generate().public
    for public, said in (
        (own, "a signature is not that of member 5"),
        (ckks.generate().public, "a signature is not that of member 5"),
        (b"garbage", "a signature is not that of member 5"),
        (b"", "a public key has 0 bytes"),
        (bytes(1 << 22), "a public key has 4194304 bytes"),
        (None, "gives no signed public key for training"),
        ("text", "gives no signed public key for training"),
    ):
        assert said in _refused(settings, _rewriting("key", **{"training-public": public}))


def test_swapped_pad_keys_are_refused(settings: Settings) -> None:
    """With one of its own in the key holder's place the server would know the pads."""
    for pad, said in (
        (AgreementKey().public_bytes, "a signature is not that of member 5"),
        (bytes(32), "the public key of member 5 is no key"),
        (b"short", "the pad key of 5 has 5 bytes, and 32 are expected"),
        (None, "gives no signed public key for training"),
        ("text", "gives no signed public key for training"),
    ):
        assert said in _refused(settings, _rewriting("key", **{"training-pad": pad}))


def test_a_key_that_another_has_signed_is_refused(settings: Settings, tmp_path: Path) -> None:
    """Where the members know the key holder's identity, the server cannot take its place."""
    keys = {number: IdentityKey.generate() for number in range(N + 1)}
    for number, key in keys.items():
        (tmp_path / f"{number}.key").write_bytes(key.private_bytes)
    known = tmp_path / "known.json"
    known.write_text(json.dumps({n: key.public_bytes.hex() for n, key in keys.items()}))
    aggregation: Any = settings.aggregation.model_copy(update={"identities": str(known)})
    configs = {number: {"identity-key": str(tmp_path / f"{number}.key")} for number in keys}
    scheme, server = channels(aggregation, N)[TRAINING], IdentityKey.generate()
    public = scheme.generate().public

    told = settings.model_copy(update={"aggregation": aggregation})
    for signer, listed, holder, said in (
        (server, {HOLDER: server.public_bytes}, HOLDER, "a public key for participant 5 that"),
        (server, {9: server.public_bytes}, 9, "a public key for participant 9 that"),
        # A participant that works together with the server is not the key holder that they know.
        (keys[2], {}, 2, "says that 2 holds the key; the key holder is the last, 5"),
    ):
        rewrite = _replacing(told, scheme, public, signer, listed, holder)
        assert said in _refused(told, rewrite, node_configs=configs)
    # Without a file it is only known that there is one key holder, and that it is nobody else.
    rewrite = _replacing(settings, scheme, public, server, {HOLDER: server.public_bytes}, HOLDER)
    with _grid(settings) as grid:
        assert _rewritten(grid, settings, rewrite).members.refusals == ()


def _replacing(
    settings: Settings,
    scheme: Scheme,
    public: bytes,
    signer: IdentityKey,
    listed: Mapping[int, bytes],
    holder: int,
) -> Rewrite:
    """Gives member 1 another key, signed by somebody who is listed as the key holder."""
    run: list[Any] = []

    def rewrite(number: int, message: Message) -> Message:
        records = message.content.config_records
        if "secure.greeting" in records:
            named: Any = records["secure.greeting"]["run"]
            own: Any = settings.aggregation
            run.append(agreed_run(named, own, brought=settings.digest()))
        if number != 1 or "secure.key" not in records:
            return message
        roster = {**unpack_roster(records["secure.roster"]), **listed}
        pad = AgreementKey().public_bytes
        signature = sign_key(signer, run[0], scheme, public, pad)
        changes: dict[str, Any] = {"holder": holder}
        for kind in ("training", "sums"):
            changes |= {
                f"{kind}-public": public,
                f"{kind}-pad": pad,
                f"{kind}-signature": signature,
            }
        changed = with_fields(message, "key", **changes)
        changed.content["secure.roster"] = ConfigRecord({**pack_roster(roster)})
        return changed

    return rewrite


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"n-members": 4}, "a signature is not that of member 5"),
        ({"n-members": 2}, "there are 2 members and lists 5, and min_contributors=3"),
        ({"n-members": 6}, "there are 6 members and lists 5, and min_contributors=3"),
        ({"n-members": -1}, "there are -1 members and lists 5"),
        ({"n-members": True}, "does not say how many members there are"),
        ({"n-members": None}, "does not say how many members there are"),
        ({"holder": None}, "does not say how many members there are, and who holds the key"),
        ({"holder": 1}, "says that 1 holds the key; the key holder is the last, 5"),
        ({"holder": 2}, "says that 2 holds the key; the key holder is the last, 5"),
        ({"holder": 6}, "says that 6 holds the key; the key holder is the last, 5"),
    ],
)
def test_whose_keys_they_are_must_be_said(
    settings: Settings, fields: Mapping[str, Any], said: str
) -> None:
    assert said in _refused(settings, _rewriting("key", **fields))


def test_nobody_is_member_and_key_holder(settings: Settings) -> None:
    """Neither this participant, nor another with the key holder's identity."""

    def rewriting(**changed: Any) -> Rewrite:
        def rewrite(number: int, message: Message) -> Message:
            if number != 1 or "secure.key" not in message.content.config_records:
                return message
            roster = unpack_roster(message.content.config_records["secure.roster"])
            for to, taken in changed["roster"].items():
                if taken is None:
                    del roster[to]
                else:
                    roster[to] = roster[taken]
            changes = with_fields(message, "key", **changed["key"])
            changes.content["secure.roster"] = ConfigRecord({**pack_roster(roster)})
            return changes

        return rewrite

    assert "lists one key for two parties" in _refused(
        settings, rewriting(roster={2: HOLDER}, key={})
    )
    assert "another public key for participant 1 than its own" in _refused(
        settings, rewriting(roster={1: 2}, key={})
    )
    only = {2: None, 3: None, 4: None, 5: None}
    assert "the server says that there are 5 members and lists 1" in _refused(
        settings, rewriting(roster=only, key={"holder": 1})
    )


@pytest.mark.parametrize(
    "roster",
    [{}, {"numbers": b"123", "keys": b""}, {"numbers": bytes(8), "keys": bytes(64)}, {"keys": 7}],
)
def test_a_malformed_roster_is_refused(settings: Settings, roster: Mapping[str, Any]) -> None:
    def rewrite(number: int, message: Message) -> Message:
        if number == 1 and "secure.roster" in message.content.config_records:
            message.content["secure.roster"] = ConfigRecord(dict(roster))
        return message

    assert "roster" in _refused(settings, rewrite)


# --- the greeting -------------------------------------------------------------------------------


def _greeting(own: Settings, /, **fields: Any) -> dict[str, dict[str, Any]]:
    aggregation: Any = own.aggregation
    told = {
        "version": PROTOCOL_VERSION,
        "run": RUN,
        "settings": agreed_settings(aggregation),
        **fields,
    }
    return {"secure.greeting": {name: value for name, value in told.items() if value is not None}}


def test_no_run_is_begun_anew_among_others(joined: Federation) -> None:
    """A server could otherwise take the key holder's place in the middle of a run."""
    grid = joined.grid.grid
    for number in (1, HOLDER):
        records = _greeting(joined.settings)
        reply = answers(grid, message_to(grid, number, DESCRIBE, records))
        assert "greets again in the middle of a run" in _reason(reply)
    assert joined.round().refusals == ()


def test_before_there_are_keys_a_greeting_can_be_repeated(settings: Settings) -> None:
    with _grid(settings) as grid:
        first, second = (
            answers(grid, message_to(grid, 1, DESCRIBE, _greeting(settings))) for _ in range(2)
        )
        assert first.content["secure.greeting"] == second.content["secure.greeting"]
        assert Federation(grid, settings).prepare().round().refusals == ()


@pytest.mark.parametrize("number", [1, HOLDER])
@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"version": 1},
            f"version 1 of private sums, and this participant version {PROTOCOL_VERSION}",
        ),
        ({"version": None}, "speaks version None of private sums"),
        ({"run": None}, "does not say which run this is"),
        ({"settings": None}, "does not say which settings"),
        ({"settings": 7}, "does not say which settings"),
        ({"settings": "{"}, "does not say which settings"),
        ({"settings": "[]"}, "does not say which settings"),
        ({"settings": "[" * 5000}, "does not say which settings"),
        ({"settings": "x" * 20_000}, "does not say which settings"),
    ],
)
def test_what_a_greeting_must_say(
    settings: Settings, number: int, fields: Mapping[str, Any], said: str
) -> None:
    with _grid(settings) as grid:
        records = _greeting(settings, **fields)
        assert said in _reason(answers(grid, message_to(grid, number, DESCRIBE, records)))


@pytest.mark.parametrize(
    "other",
    ["scheme=ckks", "clip=2.0", "min_contributors=4", "max_examples=9", "sum_resolution=1e-8"],
)
@pytest.mark.parametrize("number", [1, HOLDER])
def test_one_with_other_settings_has_no_part(
    make: Make, settings: Settings, number: int, other: str
) -> None:
    """Its numbers would stand in other steps, and nobody would see it in the sum."""
    name, value = other.split("=")
    aggregation: Any = encrypted(make, f"aggregation.{other}").aggregation
    with _grid(settings) as grid:
        records = _greeting(settings, settings=agreed_settings(aggregation))
        said = _reason(answers(grid, message_to(grid, number, DESCRIBE, records)))
    assert f"aggregation.{name}=" in said
    assert "Give all parties the same" in said
    assert (f"'{value}' at the server" if name == "scheme" else f"={value}") not in said.split(
        " here and "
    )[0]


def test_a_run_whose_server_has_other_settings_does_not_begin(
    make: Make, settings: Settings
) -> None:
    other = encrypted(make, "aggregation.clip=2.0")
    with _grid(settings) as grid, pytest.raises(Exception, match="no participant") as caught:
        Federation(grid, other)
    assert "aggregation.clip=4.0 here and 2.0 at the server" in str(caught.value)


def test_paths_are_each_partys_own(make: Make) -> None:
    with_file: Any = encrypted(make, "aggregation.identities=/nowhere.json").aggregation
    without: Any = encrypted(make).aggregation
    assert agreed_settings(with_file) == agreed_settings(without)


def test_other_modes_are_refused(make: Make, settings: Settings) -> None:
    """The server adds up under encryption, and the participants mask or send plain numbers."""
    for aggregation in ("plain", "masked"):
        own = make(f"aggregation={aggregation}")
        with _grid(own) as grid, pytest.raises(Exception, match=r"key holder|participant"):
            Federation(grid, settings)


def test_entries_beyond_the_bound_are_clipped_before_they_are_encrypted(make: Make) -> None:
    """With a small clip no coordinate of the mean is larger."""
    settings = encrypted(make, "aggregation.clip=1e-3")
    with _grid(settings) as grid:
        federation = Federation(grid, settings).prepare()
        before = federation.vector
        federation.round()
        assert np.abs(federation.vector - before).max() <= 1.001e-3
