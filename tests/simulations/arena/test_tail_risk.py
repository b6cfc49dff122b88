from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.evaluation import pinball
from fedtrade.market.panel import Panel
from simulations.arena.problem import Cast, Outcome, References
from simulations.arena.tail_risk import TailRisk
from simulations.attacks import Backdoor

N = 5
LIARS = (1,)
Make = Callable[..., TailRisk]


@pytest.fixture(scope="module")
def make(
    market: Callable[..., Panel], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., TailRisk]:
    """Makes the problem on a made-up market of five assets."""
    path = tmp_path_factory.mktemp("prices") / "prices.csv"
    panel = market(260, N)
    frame = pd.DataFrame(panel.close, columns=list(panel.assets))
    frame.insert(0, "date", panel.bars)
    frame.to_csv(path, index=False)

    def problem(level: str = "same_history", *overrides: str) -> TailRisk:
        return TailRisk(
            heterogeneity=level,
            seed=0,
            n_participants=N,
            n_resamples=100,
            overrides=[
                "data=csv",
                f"data.path={path}",
                "federation.history_bars=60",
                *(["federation.incumbent_bars=100"] if level == "cold_start" else []),
                "federation.rounds=2",
                "evaluation.n_origins=2",
                "evaluation.test_bars=40",
                "task.local_steps=3",
                *overrides,
            ],
        )

    return problem


def _trained(problem: TailRisk, cast: Cast, factor: float = 1.0) -> Outcome:
    vectors = []
    for training in problem.trainings(cast):
        participants, vector = training.start({}), training.initial()
        for number in range(1, training.n_rounds + 1):
            updates = [participants.update(i, vector, number).update for i in cast.members]
            vector = (vector + factor * np.mean(updates, axis=0)).astype(np.float32)
        vectors.append(vector)
    return Outcome(cast, vectors)


@pytest.mark.parametrize(("level", "n_trainings"), [("same_history", 2), ("cold_start", 4)])
def test_there_is_a_training_for_each_origin_and_fold(
    make: Make, level: str, n_trainings: int
) -> None:
    problem = make(level)
    trainings = problem.trainings(Cast(N))
    assert len(trainings) == n_trainings
    assert {training.initial().shape for training in trainings} == {(17,)}


@pytest.mark.parametrize("level", ["same_history", "cold_start"])
def test_updates_are_those_of_the_task(make: Make, level: str) -> None:
    """Computed for all at once, they equal what the task gives each participant alone."""
    training = make(level).trainings(Cast(N))[0]
    participants, vector = training.start({}), training.initial() + np.float32(0.05)
    for i in range(N):
        alone = training.task.train(vector, training.samples[i], training.shared)
        found = participants.update(i, vector, 1)
        np.testing.assert_allclose(found.update, alone.update, atol=2e-5)
        assert found.n_examples == alone.n_examples


def test_the_untrained_model_is_the_naive_one(make: Make) -> None:
    """Its improvement over EWMA-t6 is nothing, on each day."""
    for training in make().trainings(Cast(N)):
        model = training.daily(training.initial(), range(N))
        np.testing.assert_allclose(model, training.naive_daily(range(N)), rtol=1e-4)


def test_daily_losses_are_means_over_the_participants_asked_for(make: Make) -> None:
    training = make().trainings(Cast(N))[0]
    vector = training.initial()
    alone = [training.daily(vector, [i]) for i in (0, 3)]
    np.testing.assert_allclose(training.daily(vector, [0, 3]), np.mean(alone, axis=0))


def test_the_loss_is_that_of_an_evaluation(make: Make) -> None:
    """The same pinball loss as the task's own evaluation gives to the same forecasts."""
    training = make().trainings(Cast(N))[0]
    sample, vector = training.samples[2], training.initial() + np.float32(0.1)
    features, base, returns = training.task.scored_inputs(sample, training.shared)
    var = training.task.tail(vector, features, base).var[..., -1]
    expected = pinball(returns, var, 0.01).mean(axis=1)
    np.testing.assert_allclose(training.daily(vector, [2]), expected)


def test_scores_of_the_clean_model_keep_everything(make: Make) -> None:
    problem = make()
    clean = _trained(problem, Cast(N, LIARS, is_honest=True))
    lost = _trained(problem, Cast(N, LIARS, is_absent=True))
    scores = problem.scores(clean, References(clean, lost))
    assert scores["retention"] == pytest.approx(1.0)
    assert scores["improvement"] == pytest.approx(scores["clean_improvement"])
    losses = 1.0 - scores["pinball_bp"] / scores["naive_pinball_bp"]
    assert scores["improvement"] == pytest.approx(losses)
    kept = scores["lost_improvement"] / scores["clean_improvement"]
    assert scores["lost_retention"] == pytest.approx(kept)
    assert scores["worst_origin_improvement"] <= scores["improvement"]
    assert scores["improvement_low"] <= scores["improvement"] <= scores["improvement_high"]
    assert "backdoor_understatement" not in scores


def test_half_of_the_way_from_naive_to_clean_is_a_retention_of_its_own(make: Make) -> None:
    """Retention is the quotient of the two improvements."""
    problem = make()
    clean = _trained(problem, Cast(N, LIARS, is_honest=True))
    slow = _trained(problem, Cast(N, LIARS, is_honest=True), factor=0.3)
    scores = problem.scores(slow, References(clean, clean))
    ratio = scores["improvement"] / scores["clean_improvement"]
    assert scores["retention"] == pytest.approx(ratio)
    assert scores["retention"] != pytest.approx(1.0, abs=1e-3)
    assert scores["gain_vs_lost"] == pytest.approx(
        1.0 - (1.0 - scores["improvement"]) / (1.0 - scores["clean_improvement"])
    )


def test_absent_members_add_nothing_to_what_is_shared(make: Make) -> None:
    problem = make()
    everybody = problem.trainings(Cast(N, LIARS))[0]
    without = problem.trainings(Cast(N, LIARS, is_absent=True))[0]
    assert not np.array_equal(everybody.shared["nowcast"], without.shared["nowcast"])
    with pytest.raises(KeyError):
        without.start({}).update(1, without.initial(), 1)


def test_in_a_cold_start_newcomers_alone_are_scored(make: Make) -> None:
    """Of five participants three are newcomers in the first fold, the others in the second."""
    first, second = make("cold_start").trainings(Cast(N))[:2]
    vector = first.initial()
    assert first.daily(vector, [3, 4]) is None
    assert second.daily(vector, [0, 1, 2]) is None
    assert first.daily(vector, [0]) is not None


def test_nobody_to_score_is_an_error(make: Make) -> None:
    problem = make()
    cast = Cast(N, tuple(range(N)), is_honest=True)
    outcome = _trained(problem, cast)
    with pytest.raises(DataError, match="no honest participant could be scored"):
        problem.scores(outcome, References(outcome, outcome))


def test_a_backdoor_is_measured_against_the_clean_model(make: Make) -> None:
    """The clean model understates nothing; one that shrinks all risk by half does."""
    problem = make()
    clean = _trained(problem, Cast(N, LIARS, is_honest=True))
    same = problem.scores(clean, References(clean, clean), Backdoor())
    assert same["backdoor_understatement"] == pytest.approx(0.0, abs=1e-6)
    halved = []
    for vector in clean.vectors:
        small = vector.copy()
        small[0] -= np.log(2.0)  # the network's intercept is of the logarithm
        halved.append(small)
    scores = problem.scores(Outcome(clean.cast, halved), References(clean, clean), Backdoor())
    assert scores["backdoor_understatement"] == pytest.approx(0.5, abs=1e-3)


def test_a_poison_changes_its_own_participant_alone(make: Make) -> None:
    training = make().trainings(Cast(N, LIARS))[0]
    backdoor = partial(Backdoor(poisoned_share=1.0).poison, rng=np.random.default_rng(0))
    honest, bad = training.start({}), training.start({1: backdoor})
    start = training.initial()
    same = [
        np.allclose(honest.update(i, start, 1).update, bad.update(i, start, 1).update, atol=1e-6)
        for i in range(N)
    ]
    assert same == [True, False, True, True, True]


def test_the_server_has_a_root_of_its_own(make: Make) -> None:
    training = make("same_history", "evaluation.public_bars=80").trainings(Cast(N))[0]
    start = training.initial()
    root = training.start({}).root_update(start)
    assert root.shape == start.shape
    assert np.isfinite(root).all()
    assert root.any()


def test_settings_of_an_unknown_level_are_refused(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="there is no federation=odd; choose from"):
        make("odd")
