"""A grid on which some participants lie: honest work in, crafted replies out.

Everybody computes honestly first, liars too (those who poison their data do so in their own client,
see `poisoned_app`). Before the strategy sees the replies to training messages, those of the
liars are replaced; all other messages and replies pass unchanged.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import numpy as np
from flwr.app import Message, MessageType, RecordDict
from flwr.app.message.message import make_message
from flwr.serverapp import Grid
from flwr.supercore.run import Run
from numpy.typing import NDArray

from simulations.attacks.attack import Attack, ReplyAttack, UpdateAttack, craft_round
from simulations.attacks.reply_update import SentModel
from simulations.attacks.round_view import AggregateRule, Memory, RoundView
from simulations.records import copy_message, copy_metadata, copy_once

__all__ = ["AttackedGrid", "is_training", "round_of"]

_SALT = 0xA77AC4
_N_EXAMPLES = "num-examples"

_Update: TypeAlias = NDArray[np.float32]


def is_training(message: Message) -> bool:
    """Whether a message asks for training."""
    kind, _, _ = message.metadata.message_type.partition(".")
    return kind == str(MessageType.TRAIN)


class _Place(NamedTuple):
    """Which round a training message belongs to, as far as it says."""

    episode: object
    number: int | None


def round_of(content: RecordDict) -> int | None:
    """The number of the round that a training message names, as Flower's strategies do."""
    return _place_of(content).number


def _place_of(content: RecordDict) -> _Place:
    entries: dict[str, Any] = {}
    for record in content.config_records.values():
        entries |= record
    number = entries.get("server-round")
    return _Place(entries.get("episode"), number if isinstance(number, int) else None)


class _Sent(NamedTuple):
    """A training message, and its content when it was sent."""

    message: Message
    content: RecordDict


class _Asked(NamedTuple):
    """Whom a training message went to (-1: to nobody known), and the model in it."""

    who: int
    model: SentModel


@dataclass(eq=False)
class _Round:
    """The training messages that belong together, and their replies by message id."""

    key: tuple[object, object]
    number: int
    vector: NDArray[np.float32]
    previous: NDArray[np.float32] | None
    memory: Memory
    asked: dict[str, _Asked] = field(default_factory=dict)
    honest: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    held: dict[str, Message] = field(default_factory=dict)
    ready: dict[str, list[Message]] = field(default_factory=dict)
    waiting: dict[str, None] = field(default_factory=dict)
    n_delivered: int = 0

    @property
    def is_over(self) -> bool:
        return self.n_delivered == len(self.asked)

    def honest_updates(self, n_params: int) -> dict[int, NDArray[np.float32]]:
        """By participant, in their order; of another length is only what answers nothing here."""
        ordered = sorted(self.honest.items())
        return {who: update for who, update in ordered if len(update) == n_params}


class AttackedGrid(Grid):
    """Wraps an open grid; participants are numbered as their nodes come in it.

    Replies to training messages of one round (the same `server-round` and `episode` in a config
    record; without a round's number, of one push) belong together. What the liars send follows
    from all of the round's honest replies that could be read, in the order of participants: not
    from who was faster, nor from the number of workers. An attack's memory lasts for an episode.

    A liar's reply that is an error, or cannot be read, stays what it is. Metrics stay those that
    the liar computed, except for the number of examples if the attack lies about it.

    With `push_messages` and `pull_messages` a liar's reply is there when all others of its round
    are; with `send_and_receive` at the latest when the timeout is over.

    Parameters
    ----------
    grid : Grid
        Open.
    attack : Attack
    attackers : collection of int
        Numbers of the participants that lie, such as of `choose_attackers`.
    seed : int
    aggregate : callable or None
        The defence, if the adversary knows it.

    Raises
    ------
    ValueError
        If an attacker is not a participant.
    """

    def __init__(
        self,
        grid: Grid,
        attack: Attack,
        attackers: Collection[int],
        *,
        seed: int = 0,
        aggregate: AggregateRule | None = None,
    ) -> None:
        self._grid = grid
        self._attack = attack
        self._numbers = {node: number for number, node in enumerate(grid.get_node_ids())}
        self._attackers = frozenset(attackers)
        strangers = self._attackers - set(self._numbers.values())
        if strangers:
            raise ValueError(
                f"attacker {min(strangers)} is none of the {len(self._numbers)} participants."
            )
        self._seed = seed
        self._aggregate = aggregate
        self._latest: _Round | None = None
        self._memory: Memory = {}
        self._round_of: dict[str, _Round] = {}
        self._n_pushes = 0

    def set_run(self, run: Run) -> None:
        """See the wrapped grid."""
        self._grid.set_run(run)

    @property
    def run(self) -> Run:
        """See the wrapped grid."""
        return self._grid.run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """See the wrapped grid."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """See the wrapped grid."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages and return their ids in the same order."""
        seen: list[_Sent] = []
        ids = list(self._grid.push_messages(self._watched(messages, seen)))
        self._note(seen)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Replies that are there; each only once."""
        wanted = list(message_ids)
        rounds = self._rounds(wanted)
        ids = [i for i in wanted if i not in self._round_of]
        ids += [i for round_ in rounds for i in round_.waiting]
        others = self._receive(self._grid.pull_messages(ids))
        for round_ in rounds:
            if not round_.waiting:
                self._attack_round(round_)
        return others + self._deliver(wanted)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and return the replies; see the wrapped grid."""
        seen: list[_Sent] = []
        watched = self._watched(messages, seen)
        replies = list(self._grid.send_and_receive(watched, timeout=timeout))
        self._note(seen)
        others = self._receive(replies)
        ids = [sent.message.metadata.message_id for sent in seen]
        for round_ in self._rounds(ids):
            self._attack_round(round_)
        return others + self._deliver(ids)

    # --- what is sent ---------------------------------------------------------------------------

    def _watched(self, messages: Iterable[Message], seen: list[_Sent]) -> Iterable[Message]:
        """The messages; those for training are remembered as they are when they are sent.

        A list stays a list: a grid may rely on nobody changing it meanwhile.
        """
        if not isinstance(messages, list | tuple):
            return _watched_one_by_one(messages, seen)
        copies: dict[int, RecordDict] = {}
        training = [message for message in messages if is_training(message)]
        seen += [_Sent(message, copy_once(message.content, copies)) for message in training]
        return messages

    def _note(self, seen: Sequence[_Sent]) -> None:
        """Sort training messages, which have their ids now, into rounds."""
        self._n_pushes += 1
        models: dict[int, SentModel] = {}
        for message, content in seen:
            model = models.get(id(content))
            if model is None:
                model = models[id(content)] = SentModel.of(content)
            round_ = self._round_for(_place_of(content), model)
            message_id = message.metadata.message_id
            who = self._numbers.get(message.metadata.dst_node_id, -1)
            round_.asked[message_id] = _Asked(who, model)
            round_.waiting[message_id] = None
            self._round_of[message_id] = round_

    def _round_for(self, place: _Place, model: SentModel) -> _Round:
        """The latest round, or a new one."""
        name = f"push {self._n_pushes}" if place.number is None else place.number
        key, before = (place.episode, name), self._latest
        if before is not None and before.key == key and not before.is_over:
            return before
        vector, previous, last_number = model.vector, None, 0
        if before is None or before.key[0] != place.episode:
            self._memory = {}
        else:
            last_number = before.number
            if before.vector.shape == vector.shape:
                previous = vector - before.vector
        number = last_number + 1 if place.number is None else place.number
        self._latest = _Round(key, number, vector, previous, self._memory)
        return self._latest

    # --- what comes back ------------------------------------------------------------------------

    def _rounds(self, message_ids: Iterable[str]) -> list[_Round]:
        """The rounds that some of these messages belong to and whose replies are due."""
        found = [self._round_of[i] for i in message_ids if i in self._round_of]
        return list(dict.fromkeys(found))

    def _receive(self, replies: Iterable[Message]) -> list[Message]:
        """Give replies to training messages to their rounds; return the others."""
        others = []
        for reply in replies:
            message_id = reply.metadata.reply_to_message_id
            round_ = self._round_of.get(message_id)
            if round_ is None:
                others.append(reply)
                continue
            round_.waiting.pop(message_id, None)
            who, model = round_.asked[message_id]
            if who in self._attackers:
                round_.held[message_id] = reply
                continue
            round_.ready[message_id] = [reply]
            update = _read(model, reply)
            if update is not None:
                round_.honest[who] = update
        return others

    def _deliver(self, message_ids: Sequence[str]) -> list[Message]:
        """Take what is ready of these, in the order of sending."""
        wanted = set(message_ids)
        delivered: list[Message] = []
        for round_ in self._rounds(message_ids):
            for message_id in [i for i in round_.asked if i in wanted and i in round_.ready]:
                delivered += round_.ready.pop(message_id)
                round_.n_delivered += 1
                del self._round_of[message_id]
        return delivered

    # --- what liars do to it --------------------------------------------------------------------

    def _attack_round(self, round_: _Round) -> None:
        """Turn the liars' honest replies that are there into what they send."""
        held, round_.held = round_.held, {}
        updates = self._crafted(round_, held)
        for message_id, reply in held.items():
            round_.ready[message_id] = [reply]
            if not self._attack.is_active(round_.number) or not reply.has_content():
                continue
            asked = round_.asked[message_id]
            if message_id in updates:
                content = asked.model.with_update(reply.content, updates[message_id])
                reply = make_message(copy_metadata(reply.metadata), content=content)
            if self._attack.claimed_examples is not None:
                reply = _claiming(reply, self._attack.claimed_examples)
            round_.ready[message_id] = self._tampered(round_, asked.who, reply)

    def _tampered(self, round_: _Round, who: int, reply: Message) -> list[Message]:
        """What arrives of a reply: the same, unless replies as a whole are attacked."""
        played = self._attack.played
        if not isinstance(played, ReplyAttack):
            return [reply]
        tampered = played.tamper(reply, self._generator(round_, 1 + who))
        return [tampered, *(copy_message(tampered) for _ in range(played.copies - 1))]

    def _crafted(self, round_: _Round, held: Mapping[str, Message]) -> dict[str, _Update]:
        """The liars' updates by message, of those whose own reply can be read."""
        if not isinstance(self._attack.played, UpdateAttack):
            return {}
        own: dict[str, _Update] = {}
        for message_id in sorted(held, key=lambda i: round_.asked[i].who):
            update = _read(round_.asked[message_id].model, held[message_id])
            if update is not None and len(update) == len(next(iter(own.values()), update)):
                own[message_id] = update
        if not own:
            return {}
        rows = np.stack(list(own.values()))
        honest = round_.honest_updates(rows.shape[1])
        view = RoundView(
            honest=np.stack(list(honest.values())) if honest else rows[:0],
            own=rows,
            vector=round_.vector,
            previous=round_.previous,
            round_number=round_.number,
            aggregate=self._aggregate,
            honest_ids=tuple(honest),
            memory=round_.memory,
        )
        crafted, self._memory = craft_round(self._attack, view, self._generator(round_, 0))
        return dict(zip(own, crafted, strict=True))

    def _generator(self, round_: _Round, what: int) -> np.random.Generator:
        """Of this round alone, so that a run that goes on after a break draws the same."""
        episode = crc32(repr(round_.key[0]).encode())
        return np.random.default_rng([_SALT, self._seed, episode, round_.number, what])


def _watched_one_by_one(messages: Iterable[Message], seen: list[_Sent]) -> Iterator[Message]:
    for message in messages:
        if is_training(message):
            seen.append(_Sent(message, copy_once(message.content, None)))
        yield message


def _read(model: SentModel, reply: Message) -> _Update | None:
    """The update in a reply; None if there is none, or it is not finite: nothing to learn from."""
    if not reply.has_content():
        return None
    try:
        update = model.update_of(reply.content)
    except ValueError:
        return None
    return update if np.isfinite(update).all() else None


def _claiming(reply: Message, n_examples: int) -> Message:
    """The reply with another number of examples, wherever it states one."""
    changed = copy_message(reply)
    for record in changed.content.metric_records.values():
        if _N_EXAMPLES in record:
            record[_N_EXAMPLES] = n_examples
    return changed
