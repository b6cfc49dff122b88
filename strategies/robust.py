"""Robust aggregation of updates, as a Flower Message-API strategy.

Participants send the difference between their vector and the global one. The strategy screens
their replies, aggregates the updates by a rule, lets a server optimiser make a step of that, and
adds it to the global vector. With the mean weighted by examples and no optimiser this is federated
averaging: McMahan et al. (2017), algorithm 1, https://arxiv.org/abs/1602.05629.
"""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from logging import INFO, WARNING
from typing import Any, Literal, TypeVar

import numpy as np
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid
from flwr.supercore import log
from numpy.typing import NDArray

from fedtrade.components import as_component, build
from fedtrade.corrections import ClientCorrection, next_variate, variate_scale
from fedtrade.errors import ConfigurationError
from fedtrade.optimisers import OptimiserState, ServerOptimiser, fed_avg
from fedtrade.privacy.participant import next_clip
from fedtrade.robust import Aggregation, Rule, RuleState
from fedtrade.robust.screening import capped_weights, trimmed_average
from fedtrade.wire import ARRAYS, CLIP, CONFIG, PROXIMAL, VARIATE, VARIATE_AT, VECTOR, split_prefix
from strategies.replies import LocalResult, refused
from strategies.round_rule import UserFunction, round_rule
from strategies.round_strategy import RoundReport, RoundStrategy
from strategies.trust import Row, Rows, TrainingRequest

__all__ = ["RobustAggregation", "RoundReport"]

ROOT = "root"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Round:
    """A round that was asked for."""

    episode: int
    number: int
    vector: NDArray[np.float32]
    request: TrainingRequest
    n_eligible: int
    grid: Grid

    @property
    def asked(self) -> tuple[int, ...]:
        """The nodes."""
        return self.request.nodes


@dataclass(frozen=True, slots=True)
class _Memory:
    """What is remembered from one round of an episode to the next.

    Attributes
    ----------
    rule : RuleState or None
    optimiser : OptimiserState or None
    variate, variate_at : float32 of shape (n_params,), or None before any was heard
        The server's control variate, and the vector at which those heard last took theirs.
    clip : float or None
    """

    rule: RuleState | None = None
    optimiser: OptimiserState | None = None
    variate: NDArray[np.float32] | None = None
    variate_at: NDArray[np.float32] | None = None
    clip: float | None = None


class RobustAggregation(RoundStrategy):
    """Aggregate updates by any rule, and step by any server optimiser.

    Parameters
    ----------
    rule : str, mapping or callable
        See `strategies.round_rule.round_rule`. Under control variates a row is a participant's
        update with its variate behind it, see `fedtrade.corrections.variate_scale`.
    n_byzantine : int or None
        Liars among the nodes that are asked in a round; None leaves it to `byzantine_share`.
    byzantine_share : float
        Share of the liars, in [0, 0.5); of the nodes *asked* and rounded down, since honest nodes
        that drop out leave the liars where they are.
    weights : {"equal", "examples"}
        Whether participants count alike or by the examples that they claim to have.
    max_weight_ratio : float
        The most that a participant weighs, in medians of the round's numbers of examples; at least
        1. Nobody can check how many examples another one has, and without a bound a single lie is
        the whole mean. In a cold start incumbents have about 25 times the examples of a newcomer,
        so that 50 leaves honest replies alone.
    max_norm_ratio : float
        The largest norm of an update that is believed, in medians of the round's; at least 1.
    least_replies : int or None
        With fewer usable replies a round is skipped; the rule's own bound holds besides.
    fraction_train : float
        Share of the nodes that train in a round, in (0, 1]; at least one.
    server_optimiser : ServerOptimiser, mapping or None
        What is made of the aggregate, or its settings; None adds it as it is.
    client_correction : ClientCorrection, mapping or None
        What is asked of local training, or its settings.
    seed : int
        Of the choice of nodes and of the rule; not negative.

    Raises
    ------
    ValueError
        If an argument lies outside of its range, or the rule does not go with the others.
    """

    def __init__(
        self,
        *,
        rule: str | Mapping[str, Any] | UserFunction | Rule = "mean",
        n_byzantine: int | None = None,
        byzantine_share: float = 0.0,
        weights: Literal["equal", "examples"] = "equal",
        max_weight_ratio: float = 50.0,
        max_norm_ratio: float = 100.0,
        least_replies: int | None = None,
        fraction_train: float = 1.0,
        server_optimiser: ServerOptimiser | Mapping[str, Any] | None = None,
        client_correction: ClientCorrection | Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        _check("fraction_train", fraction_train, lambda x: 0.0 < x <= 1.0, "in (0, 1]")
        _check("max_weight_ratio", max_weight_ratio, lambda x: x >= 1.0, "at least 1")
        _check("max_norm_ratio", max_norm_ratio, lambda x: x >= 1.0, "at least 1")
        _check("byzantine_share", byzantine_share, lambda x: 0.0 <= x < 0.5, "in [0, 0.5)")
        if n_byzantine is not None:
            _check_whole("n_byzantine", n_byzantine, 0)
        if least_replies is not None:
            _check_whole("least_replies", least_replies, 1)
        _check("weights", weights, lambda x: x in ("equal", "examples"), "'equal' or 'examples'")
        _check_whole("seed", seed, 0)
        self._rule = round_rule(rule)
        if weights == "examples" and not self._rule.uses_weights:
            raise ValueError(
                f"weights='examples' is not for rule={self._rule.name!r}: use 'equal'."
            )
        if unknown := sorted(self._rule.needs_anchors - {ROOT}):
            raise ValueError(
                f"rule={self._rule.name!r} needs the anchor {unknown[0]!r}, which a server has not."
            )
        if n_byzantine or byzantine_share:
            self._rule.least_clients(n_byzantine or 1)  # refuses what withstands no liar at all
        self._n_byzantine = n_byzantine
        self._byzantine_share = byzantine_share
        self._weights_by = weights
        self._max_weight_ratio = max_weight_ratio
        self._max_norm_ratio = max_norm_ratio
        self._least_replies = least_replies or 1
        self._fraction_train = fraction_train
        optimiser = fed_avg() if server_optimiser is None else server_optimiser
        self._optimiser = _built(optimiser, ServerOptimiser, "server_optimiser")
        correction = ClientCorrection() if client_correction is None else client_correction
        self.client_correction = _built(correction, ClientCorrection, "client_correction")
        self.needs_root = ROOT in self._rule.needs_anchors
        self._seed = seed
        self._round: _Round | None = None
        self._memory = _Memory()
        self._asked_before: NDArray[np.float32] | None = None

    # --- memory ---------------------------------------------------------------------------------

    def state_arrays(self) -> dict[str, NDArray[Any]]:
        """The rule's state, the optimiser's and the server's control variate, by name."""
        memory = self._memory
        arrays: dict[str, NDArray[Any]] = {}
        if memory.rule is not None:
            arrays |= {f"rule/{name}": values for name, values in memory.rule.to_arrays().items()}
        for name, values in (memory.optimiser or {}).items():
            arrays[f"optimiser/{name}"] = values
        if memory.variate is not None:
            arrays[VARIATE] = memory.variate
        if memory.clip is not None:
            arrays[CLIP] = np.array([memory.clip])
        at = memory.variate_at
        if self.trust_mode.name == "plain" and self._round is not None:
            at = self._round.vector  # whoever was asked remembers it, heard or not
        if self.client_correction.uses_variates and at is not None:
            arrays[VARIATE_AT] = at
        return arrays

    def restore(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Remember what `state_arrays` gave; of an empty mapping, begin anew."""
        rule, optimiser = split_prefix(arrays, "rule/"), split_prefix(arrays, "optimiser/")
        self._memory = _Memory(
            RuleState.from_arrays(rule) if rule else None,
            optimiser or None,
            arrays.get(VARIATE),
            arrays.get(VARIATE_AT),
            float(arrays[CLIP][0]) if CLIP in arrays else None,
        )
        self._round, self._asked_before = None, arrays.get(VARIATE_AT)

    # --- asking ---------------------------------------------------------------------------------

    def check(self, n_nodes: int) -> None:
        """Refuse a rule that cannot withstand so many liars among the nodes of a round.

        Raises
        ------
        ConfigurationError
            Naming the numbers.
        """
        n_asked = self._n_chosen(n_nodes)
        self._check_noise()
        if not self.trust_mode.shows_each and getattr(self._rule, "uses_history", False):
            raise ConfigurationError(
                f"strategy.rule={self._rule.name} remembers each participant's updates, and "
                f"aggregation={self.trust_mode.name} shows sums of several: take another rule, or "
                "aggregation=plain."
            )
        try:
            self.trust_mode.check(self._rule, n_asked, self._n_liars(n_asked), n_nodes)
        except ValueError as error:
            raise ConfigurationError(
                f"strategy.rule with {n_asked} of {n_nodes} participants asked in a round: "
                f"{str(error).rstrip('.')}. Lower strategy.byzantine_share (or n_byzantine), raise "
                "strategy.fraction_train, or take another rule."
            ) from error
        self.trust_mode.check_values(n_nodes, by_examples=self._weights_by == "examples")
        if n_asked < self._least_replies:
            raise ConfigurationError(
                f"strategy.least_replies={self._least_replies} cannot be reached: {n_asked} of "
                f"{n_nodes} participants are asked in a round."
            )

    def _check_noise(self) -> None:
        """Refuse what noise on a sum of updates does not go with.

        Raises
        ------
        ConfigurationError
        """
        if self.trust_mode.noise is None:
            return
        wrong = (
            (self._rule.name != "mean", f"strategy.rule={self._rule.name}", "strategy.rule=mean"),
            (self._weights_by != "equal", "strategy.weights=examples", "strategy.weights=equal"),
            (
                self.client_correction.uses_variates,
                "control variates of strategy.client_correction",
                "strategy=federated_averaging",
            ),
            (
                bool(self._byzantine_share or self._n_byzantine),
                "strategy.byzantine_share (or n_byzantine)",
                "strategy.byzantine_share=0",
            ),
        )
        if found := [(what, remedy) for is_wrong, what, remedy in wrong if is_wrong]:
            whats, remedies = zip(*found, strict=True)
            raise ConfigurationError(
                f"{' and '.join(whats)} cannot go with privacy.participant, under which one sum of "
                "clipped updates with noise is all that is seen of a round, and everybody counts "
                f"alike: set {' '.join(remedies)}."
            )

    def n_needed(self, n_nodes: int) -> tuple[int, int]:
        """Of so many nodes, how many are asked in a round, and the fewest replies that it needs."""
        n_asked = self._n_chosen(n_nodes)
        n_rows = (
            self._rule.least_clients(self._n_liars(n_asked)) if self.trust_mode.shows_each else 1
        )
        return n_asked, max(n_rows, self._least_replies)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Send the global vector, and whatever else is in `arrays`, to a sample of the nodes."""
        vector = arrays[VECTOR].numpy().astype(np.float32)
        episode = config.get("episode", 0)
        eligible = nodes = sorted(self._eligible(grid))
        n_chosen = self._n_chosen(len(nodes))
        if n_chosen < len(nodes):
            draw = random.Random(f"{self._seed}/{episode!r}/{server_round}")
            nodes = sorted(draw.sample(nodes, n_chosen))
        number = episode if isinstance(episode, int) else 0
        request = TrainingRequest(
            nodes=tuple(nodes),
            group_id=f"{number}/{server_round}",
            n_params=len(vector),
            n_parts=self.client_correction.n_parts,
            by_examples=self._weights_by == "examples",
            max_norm_ratio=self._max_norm_ratio,
            ttl_s=self.reply_timeout_s,
            draw=(self._seed, number, server_round),
            clip=self._clip(),
        )
        variate_at = self._variate_at()
        self._round = _Round(number, server_round, vector, request, len(eligible), grid)
        config["server-round"] = server_round
        if request.clip is not None:
            config[CLIP] = request.clip
        if self.client_correction.proximal:
            config[PROXIMAL] = self.client_correction.proximal
        if self.client_correction.uses_variates:
            arrays[VARIATE] = Array(self._variate(len(vector)))
            if variate_at is not None:
                arrays[VARIATE_AT] = Array(variate_at)
        content = RecordDict({ARRAYS: arrays, CONFIG: config})
        return self.trust_mode.ask_training(content, request)

    def _variate_at(self) -> NDArray[np.float32] | None:
        """The vector at which participants take their variates, if they need to be told.

        Those in the clear remember them, unless the run was interrupted: then it is what they were
        asked about last. In private modes they remember none, as a variate could be of a model that
        was sent to one of them alone: there it is what the server's variate is of. A round that was
        skipped has changed nothing of that, and before any was heard there is nothing to tell.
        """
        if self.trust_mode.name != "plain":
            return self._memory.variate_at
        before, self._asked_before = self._asked_before, None
        return before

    def _eligible(self, grid: Grid) -> set[int]:
        connected = set(grid.get_node_ids())
        return connected if self.nodes is None else connected & set(self.nodes)

    def _n_chosen(self, n_nodes: int) -> int:
        return max(1, round(self._fraction_train * n_nodes))

    def _n_liars(self, n_asked: int) -> int:
        if self._n_byzantine is not None:
            return self._n_byzantine
        return self.trust_mode.n_liars(self._byzantine_share, n_asked)

    def _n_left(self, n_results: int, n_broken: int) -> int:
        """Liars' rows that the rule must withstand among the usable ones.

        As many as are expected of all asked. Only where the rows are too few for that, those
        count as found whose answer was broken; else liars could stop a round by sending garbage.
        """
        most = self._most_liar_rows()
        fewest = max(0, most - n_broken)
        n = most
        while n > fewest and n_results < self._rule.least_clients(n):
            n -= 1
        return n

    def _most_liar_rows(self) -> int:
        n_asked = len(self._asked().asked)
        return self.trust_mode.n_liar_rows(self._n_liars(n_asked), n_asked)

    def _clip(self) -> float | None:
        """Largest norm of an update, if there is noise on their sum."""
        noise = self.trust_mode.noise
        if noise is None:
            return None
        return noise.plan.level.clip if self._memory.clip is None else self._memory.clip

    def _next_clip(self, share_within: float | None) -> float | None:
        """The clip of the next round, if it follows the updates' norms."""
        clip, noise = self._clip(), self.trust_mode.noise
        if noise is None or clip is None or share_within is None:
            return None
        assert noise.plan.level.adaptive is not None  # nobody asked for the share otherwise
        return next_clip(clip, share_within, noise.plan.level.adaptive)

    def _variate(self, n_params: int) -> NDArray[np.float32]:
        known = self._memory.variate
        return np.zeros(n_params, dtype=np.float32) if known is None else known

    # --- aggregating ----------------------------------------------------------------------------

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the server's step to the global vector.

        Where there are too few usable replies for the rule, or what comes out is not finite, the
        round is skipped: the vector and all memory stay as they are and nothing is returned.
        """
        asked = self._asked()
        found = self.trust_mode.read_training(asked.grid, replies, asked.request)
        for node, reason in found.refusals:
            party = self.names.get(node) or f"node {node}"
            fields = refused(party, server_round, reason)
            log(WARNING, "round %s: %s: %s", server_round, party, reason, extra=fields)
        rows = found.rows
        n_byzantine = self._n_left(len(rows), found.n_broken)
        least = self._rule.least_clients(n_byzantine)
        if not rows or len(rows) < least or found.n_replies < self._least_replies:
            return self._skip(found, found.problem or self._shortage(found, least, n_byzantine))
        try:
            aggregation = self.combine(
                np.stack([row.update for row in rows]),
                weights=self._weights(rows),
                nodes=[row.nodes[0] for row in rows],
                n_byzantine=n_byzantine,
            )
            memory, step = self._step(aggregation, found.n_replies)
        except (ValueError, ArithmeticError) as error:
            return self._skip(found, f"{self._rule.name} cannot be applied: {error}")
        with np.errstate(over="ignore", invalid="ignore"):
            vector = asked.vector + step
        if not all(np.isfinite(values).all() for values in (vector, aggregation.update)):
            return self._skip(found, "the aggregate is not finite")
        self._memory = replace(memory, clip=self._next_clip(found.share_within))
        loss = self._loss(rows)
        norm = float(np.linalg.norm(step.astype(np.float64)))
        shares = {
            node: share / len(row.nodes)
            for row, share in zip(rows, aggregation.weights.tolist(), strict=False)
            for node in row.nodes
        }
        refusals = tuple(found.refusals)
        self.last_round = RoundReport(found.n_replies, refusals, loss, norm, shares)
        return ArrayRecord({VECTOR: Array(vector)}), MetricRecord(
            {"loss": loss, "update-norm": norm}
        )

    def combine(
        self,
        updates: NDArray[np.float32],
        *,
        weights: NDArray[np.float64] | None = None,
        nodes: Sequence[int] | None = None,
        n_byzantine: int | None = None,
    ) -> Aggregation:
        """What the rule makes of updates in the present round; nothing is remembered of it.

        Parameters
        ----------
        updates : float32 of shape (n_clients, n_params), or 2 * n_params with control variates
        nodes : sequence of int or None
            Who sent them; None for the nodes asked, of which there must then be as many.
        n_byzantine : int or None
            Liars among them; None for as many as are expected of the nodes asked.

        Raises
        ------
        ValueError
            As the rule.
        """
        asked = self._asked()
        n_params = len(asked.vector)
        scale = variate_scale(updates, n_params) if self.client_correction.uses_variates else 1.0
        anchors = None
        if self.needs_root:
            anchors = {ROOT: _scaled(self._root(asked.vector), n_params, scale)}
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._rule(
                _scaled(updates, n_params, scale),
                weights=weights,
                n_byzantine=self._most_liar_rows() if n_byzantine is None else n_byzantine,
                state=_scaled_state(self._memory.rule, n_params, scale),
                rng=np.random.default_rng([self._seed, asked.episode, asked.number]),
                anchors=anchors,
                client_ids=[_signed(node) for node in (asked.asked if nodes is None else nodes)],
            )
        return Aggregation(
            _scaled(found.update, n_params, 1.0 / scale),
            lambda: found.weights,
            _scaled_state(found.state, n_params, 1.0 / scale),
        )

    def rehearse(self, updates: NDArray[np.float32], nodes: Sequence[int]) -> Aggregation:
        """What would come of these nodes' updates in the present round, whatever they weigh.

        As `combine`, but of the rows that the trust mode makes of the updates.

        Raises
        ------
        ValueError
            As the rule.
        """
        results = [
            LocalResult(node, update, 1, 0.0) for node, update in zip(nodes, updates, strict=True)
        ]
        rows = self.trust_mode.rows(results, self._asked().request)
        return self.combine(
            np.stack([row.update for row in rows]), nodes=[row.nodes[0] for row in rows]
        )

    def _step(
        self, aggregation: Aggregation, n_results: int
    ) -> tuple[_Memory, NDArray[np.float32]]:
        """What is remembered for the next round, and what is added to the vector (n_params,)."""
        asked = self._asked()
        n_params = len(asked.vector)
        update, state = aggregation.update[:n_params], self._memory.optimiser
        variate = variate_at = None
        with np.errstate(over="ignore", invalid="ignore"):
            step, state = self._optimiser.apply(
                update, self._optimiser.init(n_params) if state is None else state
            )
            if self.client_correction.uses_variates:
                share = n_results / asked.n_eligible
                heard = aggregation.update[n_params:]
                variate = next_variate(self._variate(n_params), heard, share)
                variate_at = asked.vector
        return _Memory(aggregation.state, state, variate, variate_at), step

    def _asked(self) -> _Round:
        if self._round is None:
            raise RuntimeError("aggregate_train was called before configure_train.")
        return self._round

    def _root(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.root_update is None:
            raise ConfigurationError(
                f"strategy.rule={self._rule.name} compares updates with one of trusted data: set "
                "the strategy's root_update, or evaluation.public_bars in a run of fedtrade."
            )
        return np.asarray(self.root_update(vector), dtype=np.float32)

    def _weights(self, rows: Sequence[Row]) -> NDArray[np.float64] | None:
        """Numbers of examples up to the largest one that is believed; None if all count alike."""
        if self._weights_by == "equal":
            return None
        n_examples = np.array([row.n_examples for row in rows], dtype=np.float64)
        return capped_weights(n_examples, self._max_weight_ratio)

    def _loss(self, rows: Sequence[Row]) -> float:
        """The mean of the reported losses, without as many extremes as there may be liars."""
        if not rows:
            return float("nan")
        losses = np.array([row.loss for row in rows])
        weights = self._weights(rows)
        return trimmed_average(
            losses, np.ones(len(rows)) if weights is None else weights, self._most_liar_rows()
        )

    def _shortage(self, found: Rows, least: int, n_byzantine: int) -> str:
        needed = max(least, self._least_replies) if self.trust_mode.shows_each else least
        return (
            f"{found.n_replies} usable replies of {len(self._asked().asked)} nodes asked, and "
            f"{self._rule.name} needs {needed} to withstand {n_byzantine} liars"
        )

    def _skip(self, found: Rows, reason: str) -> tuple[None, None]:
        number = self._asked().number
        fields = {"event": "round-skipped", "round": number, "reason": reason}
        log(WARNING, "round %s: %s; the model is kept.", number, reason, extra=fields)
        loss, refusals = self._loss(found.rows), tuple(found.refusals)
        self.last_round = RoundReport(found.n_replies, refusals, loss, 0.0, skipped=reason)
        return None, None

    def summary(self) -> None:
        """Log the strategy's settings."""
        log(
            INFO,
            "\t└──> Robust aggregation of updates by %s: fraction %.2f, weights %s",
            self._rule.name,
            self._fraction_train,
            self._weights_by,
        )


def _scaled(rows: NDArray[np.float32], n_params: int, scale: float) -> NDArray[np.float32]:
    """Rows (..., n) with what is behind the first `n_params` columns scaled."""
    if scale == 1.0:
        return rows
    scaled = rows.copy()
    scaled[..., n_params:] *= np.float32(scale)
    return scaled


def _scaled_state(state: RuleState | None, n_params: int, scale: float) -> RuleState | None:
    """A rule's state with its rows scaled as `_scaled` does."""
    if state is None or scale == 1.0:
        return state
    rows = (state.previous, state.history)
    previous, history = (None if r is None else _scaled(r, n_params, scale) for r in rows)
    return replace(state, previous=previous, history=history)


def _signed(node: int) -> int:
    """A node's id, of 64 bits without a sign, as a number that an int64 holds."""
    return node - 2**64 if node >= 2**63 else node


def _built(value: T | Mapping[str, Any], kind: type[T], name: str) -> T:
    """The value itself, or what the settings of one give.

    Raises
    ------
    ConfigurationError
        If that is something else.
    """
    made: Any = value
    if isinstance(value, Mapping):
        made = build(as_component(value, f"strategy.{name}"), f"strategy.{name}")
    if not isinstance(made, kind):
        raise ConfigurationError(f"strategy.{name} must be a {kind.__name__}, got {made!r}.")
    return made


def _check_whole(name: str, value: Any, least: int) -> None:
    _check(
        name,
        value,
        lambda x: isinstance(x, int | np.integer) and bool(x >= least),
        f"a whole number from {least}",
    )


def _check(name: str, value: Any, is_inside: Callable[[Any], bool], range_text: str) -> None:
    """Raise a ValueError unless the value is inside; what cannot be compared is not."""
    try:
        is_fit = is_inside(value)
    except TypeError:
        is_fit = False
    if not is_fit:
        raise ValueError(f"{name} must be {range_text}, got {value!r}.")
