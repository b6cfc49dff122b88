"""What private modes have in common: what is refused at the start, and what a total must be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.clientapp import ClientApp

from fedtrade.components import factory
from fedtrade.errors import ConfigurationError, FedtradeError, ProtocolError, RangeError
from fedtrade.secure import MaskedAggregation, PlainAggregation
from fedtrade.secure.payload import TrainingMean
from fedtrade.settings import Settings
from simulations.grid import InProcessGrid
from strategies.robust import RobustAggregation
from strategies.trust import trust_mode
from strategies.trust.masked import Masked
from strategies.trust.private import read_identity, read_round

Make = Callable[..., Settings]


def _check(n: int, given: dict[str, Any], **options: Any) -> None:
    strategy = RobustAggregation(**options)
    strategy.trust_mode = trust_mode(MaskedAggregation.from_mapping(given), brought="")
    strategy.check(n)


def _refused(n: int, given: dict[str, Any], **options: Any) -> str:
    with pytest.raises(FedtradeError) as caught:
        _check(n, given, **options)
    return str(caught.value)


# --- at the start -------------------------------------------------------------------------------


def test_the_mean_of_all_is_opened_as_it_is() -> None:
    for n in (5, 20, 100, 1000):
        _check(n, {})
        _check(n, {"adversary": "semi_honest"}, weights="examples")


def test_too_few_participants_are_refused() -> None:
    said = _refused(4, {"min_contributors": 5})
    assert "aggregation.min_contributors=5 cannot be reached by 4 participants" in said
    assert "invite more, or lower it" in said


def test_all_are_asked_in_each_round() -> None:
    said = _refused(10, {}, fraction_train=0.5)
    assert "strategy.fraction_train asks 5 of 10 participants" in said
    assert "set strategy.fraction_train=1, or aggregation=plain" in said


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"rule": "median", "byzantine_share": 0.1}, "strategy.rule=median cannot tell 2 liars"),
        ({"rule": "krum"}, "strategy.rule=krum cannot tell 0 liars"),
        ({"rule": "trimmed_mean", "n_byzantine": 1}, "cannot tell 1 liars"),
    ],
)
def test_a_rule_that_compares_rows_needs_groups(options: dict[str, Any], found: str) -> None:
    said = _refused(20, {}, **options)
    assert found in said
    assert "aggregation.group_size" in said
    assert "aggregation=plain" in said
    _check(20, {"group_size": 4}, **options)


def test_a_rule_that_remembers_participants_is_refused_with_groups() -> None:
    assert "strategy.rule=foolsgold remembers each participant's updates" in _refused(
        20, {"group_size": 4}, rule="foolsgold"
    )


@pytest.mark.parametrize(
    ("n", "size", "share", "numbers"),
    [
        # G = 5 groups bear f = 2 where a majority is needed; G = 4 do not.
        (20, 5, 0.1, "floor(20 / 5) = 4 groups, of which ceil(0.1 * 20) = 2 may be bad"),
        (100, 5, 0.1, "floor(100 / 5) = 20 groups, of which ceil(0.1 * 100) = 10 may be bad"),
        (100, 10, 0.05, "floor(100 / 10) = 10 groups, of which ceil(0.05 * 100) = 5 may be bad"),
        (13, 4, 0.1, "floor(13 / 4) = 3 groups, of which ceil(0.1538 * 13) = 2 may be bad"),
    ],
)
def test_groups_outside_the_bound_are_refused(
    n: int, size: int, share: float, numbers: str
) -> None:
    said = _refused(n, {"group_size": size}, rule="median", byzantine_share=share)
    assert numbers in said
    assert "the rule needs" in said


def test_a_group_is_at_least_what_may_be_opened() -> None:
    with pytest.raises(FedtradeError, match="group_size=2 must be at least min_contributors=3"):
        MaskedAggregation.from_mapping({"group_size": 2})


@pytest.mark.parametrize(
    ("n", "given"),
    [
        (20, {"colluding_share": 0.9}),
        (20, {"dropout_share": 0.7}),
        (20, {"colluding_share": 0.4, "dropout_share": 0.4}),
        (3, {}),
        (200, {"colluding_share": 0.9, "adversary": "malicious"}),
    ],
)
def test_shares_and_numbers_for_which_there_is_no_graph_are_refused(
    n: int, given: dict[str, Any]
) -> None:
    said = _refused(n, given)
    assert f"no graph of {n} members bears C=" in said
    assert "Have more members, or lower one of the shares" in said


@pytest.mark.parametrize(
    ("given", "options"),
    [
        ({"sum_bound": 1e12}, {}),
        ({"sum_resolution": 1e-13, "sum_bound": 1e9}, {}),
        ({"clip": 1e12, "clip_resolution": 1e-8}, {}),
        ({"max_examples": 10**15}, {"weights": "examples"}),
    ],
)
def test_bounds_with_which_sums_could_wrap_are_refused(
    given: dict[str, Any], options: dict[str, Any]
) -> None:
    said = _refused(100, given, **options)
    assert "sums of 100 members with bound=" in said
    assert "could wrap" in said
    assert "must be below modulus / 2" in said


def test_numbers_of_examples_bind_those_alone_who_count_by_them() -> None:
    _check(100, {"max_examples": 10**15}, weights="equal")


def test_ten_thousand_participants_need_a_coarser_sum() -> None:
    assert "could wrap" in _refused(10_000, {})
    _check(10_000, {"sum_bound": 1e5})


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        (["federation.n_participants=2"], "min_contributors=3 cannot be reached by 2"),
        (["strategy.fraction_train=0.5"], "needs all of them in each sum"),
        (["strategy=robust", "strategy.rule=median"], "cannot tell"),
        (["aggregation.colluding_share=0.9"], "no graph of 4 members"),
        (["aggregation.sum_bound=1e14"], "could wrap"),
    ],
)
def test_a_run_is_refused_before_it_replaces_anything(
    tiny: Make, overrides: list[str], found: str
) -> None:
    settings = tiny("aggregation=masked", *overrides)
    kept = Path(settings.out) / "results.json"
    kept.parent.mkdir()
    kept.write_text("old")
    with pytest.raises(FedtradeError, match=found):
        factory(settings.runtime, "runtime", settings=settings)()
    assert kept.read_text() == "old"


# --- totals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("update", "loss", "found"),
    [
        ([0.0, 4.1], 0.0, "mean update of the sum is 4.1, and everybody's is clipped to 4"),
        ([-5.0], 0.0, "mean update of the sum is 5"),
        ([0.0], -102.0, "mean loss of the sum is 102, and everybody's is clipped to 100"),
    ],
)
def test_a_mean_beyond_what_members_clip_to_is_refused(
    update: list[float], loss: float, found: str
) -> None:
    """So much can only come of a weight that somebody made up."""
    mode = Masked(MaskedAggregation(), brought="")
    with pytest.raises(RangeError, match=found):
        mode._check_mean(TrainingMean(np.float32(update), 3.0, loss, 0))
    mode._check_mean(TrainingMean(np.float32([4.0, -4.0]), 3.0, 100.0, 0))


# --- what replies say ---------------------------------------------------------------------------


def _reply(records: dict[str, Any]) -> Message:
    with InProcessGrid(ClientApp(), 1) as grid:
        (node,) = grid.get_node_ids()
        message = Message(RecordDict(), node, "train", group_id="0/1")
        message.metadata.__dict__["_message_id"] = "1"
        return Message(RecordDict(records), reply_to=message)


@pytest.mark.parametrize("key", [None, b"", bytes(31), bytes(33), "x" * 32, 7, [bytes(32)]])
def test_an_identity_is_32_bytes(key: Any) -> None:
    record = ConfigRecord({} if key is None else {"identity": key})
    with pytest.raises(ProtocolError, match="no public identity key of 32 bytes"):
        read_identity(_reply({"secure.greeting": record}))
    right = ConfigRecord({"identity": bytes(32)})
    assert read_identity(_reply({"secure.greeting": right})) == bytes(32)


def test_a_contribution_says_its_sum_and_shape() -> None:
    right = ConfigRecord({"session": 3, "shape": [2, 5]})
    assert read_round(_reply({"secure.round": right}), 3, "0/1") == (2, 5)
    with pytest.raises(ProtocolError, match="the reply is to round '0/1', and this is '0/2'"):
        read_round(_reply({"secure.round": right}), 3, "0/2")
    with pytest.raises(ProtocolError, match="the reply is to sum 3, and this is 4"):
        read_round(_reply({"secure.round": right}), 4, "0/1")


@pytest.mark.parametrize("shape", [[0], [-1], [1.0], [True], "12", 3, [2] * 9, [1 << 30]])
def test_absurd_shapes_are_refused(shape: Any) -> None:
    record = ConfigRecord({"session": 3, "shape": shape})
    with pytest.raises(ProtocolError, match="shape"):
        read_round(_reply({"secure.round": record}), 3, "0/1")


# --- which mode ---------------------------------------------------------------------------------


def test_settings_choose_the_mode() -> None:
    assert trust_mode(PlainAggregation(), brought="").shows_each
    assert not trust_mode(PlainAggregation(group_size=2), brought="").shows_each
    assert trust_mode(MaskedAggregation(), brought="").name == "masked"
    assert not trust_mode(MaskedAggregation(), brought="").shows_each


def test_liars_are_counted_up_in_groups_and_spoil_one_each() -> None:
    assert Masked(MaskedAggregation(), brought="").n_liars(0.1, 25) == 2
    grouped = Masked(MaskedAggregation(group_size=5), brought="")
    assert grouped.n_liars(0.1, 25) == 3
    assert (grouped.n_rows(25), grouped.n_rows(29)) == (5, 5)
    assert grouped.n_liar_rows(7, 25) == 5
    with pytest.raises(ConfigurationError):
        grouped.check_rule(RobustAggregation(rule="median")._rule, 25, 3)
