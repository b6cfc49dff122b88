import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.clientapp import ClientApp

from fedtrade.errors import ConfigurationError
from simulations.arena.cell import Cell, _combine, _strategy, run_cell
from simulations.arena.launch import plan_of
from simulations.arena.settings import ArenaSettings
from simulations.grid import InProcessGrid
from strategies.replies import LocalResult

Tiny = Callable[..., ArenaSettings]


def _cells(tiny: Tiny, *overrides: str) -> dict[tuple[str, str], Cell]:
    return {(cell.rule, cell.attack): cell for cell in plan_of(tiny(*overrides))}


def _accuracies(tiny: Tiny, *overrides: str) -> dict[tuple[str, str], float | None]:
    cells = _cells(tiny, *overrides)
    return {name: run_cell(cell).metrics["accuracy"] for name, cell in cells.items()}


def test_a_cell_gives_the_same_each_time(tiny: Tiny) -> None:
    cells = _cells(tiny)
    first, again = (run_cell(cells["median", "sign_flip"]).metrics for _ in range(2))
    assert first == again


def test_plain_averaging_without_an_attack_is_its_own_reference(tiny: Tiny) -> None:
    metrics = run_cell(_cells(tiny)["mean", "none"]).metrics
    assert metrics["accuracy"] == metrics["clean_accuracy"]
    assert metrics["accuracy_change"] == 0.0


def test_references_are_those_of_the_cells_own_problem(tiny: Tiny) -> None:
    """Many problems come and go in a process; each cell is compared with its own."""
    for seed in (0, 1, 2, 3, 4, 0):
        cells = _cells(tiny, f"seeds=[{seed}]", "rules=[mean]", "attacks=[none]")
        metrics = run_cell(cells["mean", "none"]).metrics
        assert metrics["accuracy"] == metrics["clean_accuracy"]


def test_an_attack_breaks_the_mean_and_not_the_median(tiny: Tiny) -> None:
    found = _accuracies(
        tiny, "problem.digits.rounds=30", "attacks=['sybils(factor=50,claimed_examples=null)']"
    )
    attack = "sybils(factor=50,claimed_examples=null)"
    mean, median = found["mean", attack], found["median", attack]
    assert mean is not None
    assert median is not None
    assert mean < 0.5 < 0.8 < median


def test_an_optimised_attack_knows_the_rule(tiny: Tiny) -> None:
    """It hurts the rule that it knows more than the same attack without that knowledge."""
    rounds = ("problem.digits.rounds=20", "rules=[mean]")
    known = _accuracies(tiny, *rounds, "attacks=[ipm_optimised]")["mean", "ipm_optimised"]
    fixed = _accuracies(tiny, *rounds, "attacks=[ipm]")["mean", "ipm"]
    assert known is not None
    assert fixed is not None
    assert known < fixed


def test_replies_that_are_refused_cost_their_senders_alone(tiny: Tiny) -> None:
    """Liars that send NaN are as good as absent for a mean of the others."""
    settings = ("problem.digits.rounds=20", "rules=[mean]", "attacks=[not_finite]")
    metrics = run_cell(_cells(tiny, *settings)["mean", "not_finite"]).metrics
    assert metrics["accuracy"] == metrics["lost_accuracy"]


def test_a_rule_that_cannot_bear_so_many_liars_refuses(tiny: Tiny) -> None:
    """Krum needs n >= 2f + 3: five workers of whom two lie are too few."""
    cell = _cells(tiny, "rules=[krum]", "shares=[0.4]")["krum", "sign_flip"]
    result = run_cell(cell)
    assert result.refusal is not None
    assert "n >= 2f + 3" in result.refusal
    assert result.metrics == {}


def test_a_rule_may_be_told_to_expect_another_share(tiny: Tiny) -> None:
    cell = _cells(tiny, "rules=[krum]", "shares=[0.2]", "assumed_share=0.4")["krum", "sign_flip"]
    assert "f=2" in (run_cell(cell).refusal or "")


def test_a_rule_of_ones_own(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets updates and weights, and is not told how many lie."""
    module = ModuleType("a_rule_of_ones_own")
    module.nothing = lambda updates, weights: np.zeros_like(updates[0])  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    own = f"{{name: ours, _target_: {module.__name__}.nothing}}"
    metrics = run_cell(_cells(tiny, f"rules=[{own}]")["ours", "sign_flip"]).metrics
    assert metrics["accuracy"] == pytest.approx(0.1, abs=0.01)  # the untrained model says 0


def test_data_attacks_reach_the_training(tiny: Tiny) -> None:
    found = _accuracies(tiny, "rules=[mean]", "attacks=[none,label_flip]", "shares=[0.4]")
    assert found["mean", "label_flip"] != found["mean", "none"]


def test_what_is_no_attack_is_refused(tiny: Tiny) -> None:
    odd = "{name: odd, _target_: simulations.attacks.RoundView}"
    cell = _cells(tiny, f"attacks=[{odd}]")["mean", "odd"]
    with pytest.raises(ConfigurationError, match="attack odd"):
        run_cell(cell)


def test_keys_tell_cells_apart_and_survive_json(tiny: Tiny) -> None:
    cells = [*_cells(tiny).values(), *_cells(tiny, "problem.digits.learning_rate=0.2").values()]
    keys = [cell.key for cell in cells]
    assert len(set(keys)) == len(cells) == 8
    read = [Cell.model_validate_json(cell.model_dump_json(by_alias=True)) for cell in cells]
    assert [cell.key for cell in read] == keys


def test_no_metric_is_stored_as_nan(tiny: Tiny) -> None:
    metrics = run_cell(_cells(tiny)["mean", "none"]).metrics
    assert all(value is None or np.isfinite(value) for value in metrics.values())


# --- groups -------------------------------------------------------------------------------------


def _grouped(tiny: Tiny, *overrides: str) -> dict[tuple[str, int | None], Cell]:
    cells = plan_of(tiny("problem.digits.n_participants=10", *overrides))
    return {(cell.rule, cell.group_size): cell for cell in cells if cell.attack != "none"}


def test_means_of_groups_are_another_cell(tiny: Tiny) -> None:
    cells = _grouped(tiny, "group_sizes=[null,2,3]", "shares=[0.1]", "rules=[median]")
    assert set(cells) == {("median", None), ("median", 2), ("median", 3)}
    assert len({cell.key for cell in cells.values()}) == 3
    found = {size: run_cell(cell).metrics["accuracy"] for (_, size), cell in cells.items()}
    assert len(set(found.values())) > 1
    assert "median, groups of 3 against sign_flip, 10 %" in cells["median", 3].title
    assert "median against sign_flip" in cells["median", None].title


def test_the_mean_of_groups_of_one_size_is_the_mean(tiny: Tiny) -> None:
    """The references are those of participants' own updates, whatever a cell sees."""
    cells = _grouped(tiny, "group_sizes=[null,5]", "rules=[mean]", "shares=[0.1]")
    first, second = (run_cell(cell).metrics for cell in cells.values())
    assert first["clean_accuracy"] == second["clean_accuracy"]
    assert first["accuracy"] == pytest.approx(second["accuracy"], abs=0.03)


def test_liars_that_can_spoil_too_many_groups_are_a_refusal(tiny: Tiny) -> None:
    """Two liars of ten spoil two of three groups, and the median needs three good ones."""
    cells = _grouped(tiny, "group_sizes=[2,3]", "rules=[median]")
    assert run_cell(cells["median", 2]).refusal is None
    refusal = run_cell(cells["median", 3]).refusal
    assert refusal is not None
    assert "group_size=3 makes floor(10 / 3) = 3 groups" in refusal


def test_a_rule_that_remembers_participants_is_refused_with_groups(tiny: Tiny) -> None:
    cells = _grouped(tiny, "group_sizes=[null,2]", "rules=[foolsgold]")
    assert run_cell(cells["foolsgold", None]).refusal is None
    assert "remembers each participant's" in str(run_cell(cells["foolsgold", 2]).refusal)


def test_the_adversary_knows_what_the_rule_makes_of_groups(tiny: Tiny) -> None:
    """It tries factors on the means of the very groups of the round."""
    (cell,) = _grouped(tiny, "group_sizes=[2]", "rules=[median]", "shares=[0.1]").values()
    strategy = _strategy(cell, cell.strategy, rule="median", n_byzantine=1, seed=0)
    rng = np.random.default_rng(0)
    with InProcessGrid(ClientApp(), 10) as grid:
        nodes = sorted(grid.get_node_ids())
        arrays = ArrayRecord({"vector": Array(np.zeros(4, np.float32))})
        strategy.configure_train(1, arrays, ConfigRecord({"episode": 0}), grid)
        updates = rng.normal(size=(10, 4)).astype(np.float32)
        found = _combine(strategy, nodes, updates)
        results = [LocalResult(*row, 1, 0.0) for row in zip(nodes, updates, strict=True)]
        rows = strategy.trust_mode.rows(results, strategy._asked().request)
    means = [np.mean([updates[nodes.index(n)] for n in row.nodes], axis=0) for row in rows]
    assert [len(row.nodes) for row in rows] == [2] * 5
    np.testing.assert_allclose(found, np.median(means, axis=0), rtol=1e-5)
    assert np.abs(found - np.median(updates, axis=0)).max() > 0.01
