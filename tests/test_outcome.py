import math

import numpy as np
import pytest

from fedtrade.errors import CheckpointError
from fedtrade.outcome import EpisodeOutcome, Failure, RoundLog, from_bytes, to_bytes
from fedtrade.summed_scores import SummedScores
from fedtrade.tasks.task import Evaluation, ForecastPath, Model
from fedtrade.wire import EpisodeRecord

BARS = np.array(["2000-01-03", "2000-01-04"], "datetime64[s]")


def make_outcome() -> EpisodeOutcome:
    """An outcome with something in each field, values that text would round among them."""
    rng = np.random.default_rng(0)
    path = ForecastPath("A B/ü", 0.01, BARS, *rng.normal(size=(3, 2)))
    return EpisodeOutcome(
        episode=EpisodeRecord(2, 1, 946_857_600, 946_944_000, 0),
        n_participants=3,
        shared={"nowcast": np.array([[np.nan, 0.1]]), "moments": rng.normal(size=(3, 2))},
        models={
            "federated": Model(rng.normal(size=5).astype(np.float32), {"moments": np.ones(2)}),
            "pooled": Model(np.zeros(5, dtype=np.float32)),
        },
        rounds=[RoundLog(1, 3, 0, 0.1 + 0.2, 1e-300, 0.5), RoundLog(2, 0, 3, math.nan, 0.0, 0.1)],
        failures=[Failure(0, 2, "it said 'no'"), Failure(-1, 1, "ü\n\0")],
        evaluations={
            0: Evaluation(("a", "b"), BARS, rng.normal(size=(2, 4)), rng.normal(size=(1, 2, 2))),
            12: Evaluation(("a",), BARS, np.ones((1, 4)), np.full((1, 1, 2), np.nan), path),
        },
        strategy_state={"rule/history": rng.normal(size=(2, 3)), "variate": np.ones(2, np.float32)},
        is_finished=True,
    )


def test_everything_comes_back_bit_for_bit() -> None:
    outcome = make_outcome()
    found = from_bytes(to_bytes(outcome))
    assert (found.episode, found.n_participants) == (outcome.episode, 3)
    assert found.is_finished
    assert repr(found.rounds) == repr(outcome.rounds)  # NaN does not equal itself
    assert found.failures == outcome.failures
    for name, values in outcome.shared.items():
        assert found.shared[name].tobytes() == values.tobytes()
    assert list(found.strategy_state) == list(outcome.strategy_state)
    for name, values in outcome.strategy_state.items():
        assert found.strategy_state[name].tobytes() == values.tobytes()
        assert found.strategy_state[name].dtype == values.dtype
    assert list(found.models) == list(outcome.models)
    for arm, model in outcome.models.items():
        assert found.models[arm].vector.tobytes() == model.vector.tobytes()
        assert found.models[arm].learned.keys() == model.learned.keys()
    assert list(found.evaluations) == [0, 12]
    for number, evaluation in outcome.evaluations.items():
        other = found.evaluations[number]
        assert other.arms == evaluation.arms
        assert other.bars.dtype == evaluation.bars.dtype
        for name in ("bars", "totals", "daily"):
            assert getattr(other, name).tobytes() == getattr(evaluation, name).tobytes()
    kept, path = found.evaluations[12].path, outcome.evaluations[12].path
    assert kept is not None
    assert path is not None
    assert (kept.asset, kept.level) == (path.asset, path.level)
    np.testing.assert_array_equal(kept.var, path.var)
    assert found.evaluations[0].path is None


def test_a_sum_of_scores_comes_back_bit_for_bit() -> None:
    rng = np.random.default_rng(1)
    counts = rng.integers(0, 3, size=(1, 2, 2))
    summed = SummedScores(
        ("a", "ü"),
        BARS,
        3,
        rng.normal(size=(2, 4)),
        rng.normal(size=(1, 2, 2)),
        counts,
        np.array([0, 2]),
        np.array([0, 3]),
    )
    outcome = EpisodeOutcome(EpisodeRecord(0, 0, 0, 1, 0), 3, summed=summed, is_finished=True)
    found = from_bytes(to_bytes(outcome)).summed
    assert found is not None
    assert (found.arms, found.n_scored) == (("a", "ü"), 3)
    for name in ("bars", "totals", "daily", "n_known", "n_better", "n_compared"):
        before, after = getattr(summed, name), getattr(found, name)
        assert (after.dtype, after.tobytes()) == (before.dtype, before.tobytes())


def test_a_new_outcome_comes_back_empty() -> None:
    found = from_bytes(to_bytes(EpisodeOutcome(EpisodeRecord(0, 0, 0, 1, 0), 2)))
    assert (found.shared, found.models, found.rounds, found.evaluations) == ({}, {}, [], {})
    assert found.summed is None
    assert not found.is_finished


@pytest.mark.parametrize("data", [b"", b"nonsense", b"PK\x03\x04", b'{"json": 1}'])
def test_something_else_is_refused(data: bytes) -> None:
    with pytest.raises(CheckpointError, match=r"a checkpoint is damaged .*resume=false"):
        from_bytes(data)


def test_a_file_of_arrays_that_is_no_outcome_is_refused(tmp_path) -> None:
    np.savez(tmp_path / "x.npz", a=np.ones(2))
    with pytest.raises(CheckpointError, match="'meta'"):
        from_bytes((tmp_path / "x.npz").read_bytes())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_cut_short_is_refused(share: float) -> None:
    data = to_bytes(make_outcome())
    with pytest.raises(CheckpointError, match="damaged"):
        from_bytes(data[: int(share * len(data))])


@pytest.mark.filterwarnings("ignore")  # whatever numpy thinks of a damaged header
def test_a_changed_byte_is_noticed_or_harmless() -> None:
    """Wherever it is: a sentence, or the same numbers as before; never another exception."""
    data = to_bytes(make_outcome())
    vector = make_outcome().models["federated"].vector
    rng = np.random.default_rng(0)
    n_noticed = 0
    for position in rng.choice(len(data), 400, replace=False):
        changed = bytearray(data)
        changed[position] ^= int(rng.integers(1, 256))
        try:
            found = from_bytes(bytes(changed))
        except CheckpointError:
            n_noticed += 1
        else:
            np.testing.assert_array_equal(found.models["federated"].vector, vector)
    assert n_noticed > 200
