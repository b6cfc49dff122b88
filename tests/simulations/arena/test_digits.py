import numpy as np
import pytest

from fedtrade.tasks.task import Vector
from simulations.arena.digits import Digits, split
from simulations.arena.problem import Cast, Outcome, References
from simulations.attacks import Backdoor

LIARS = (1, 3)
RNG = np.random.default_rng


def _trained(problem: Digits, cast: Cast) -> Outcome:
    """Plain averaging, without messages."""
    (training,) = problem.trainings(cast)
    participants, vector = training.start({}), training.initial()
    for number in range(1, training.n_rounds + 1):
        updates = [participants.update(i, vector, number).update for i in cast.members]
        vector = (vector + np.mean(updates, axis=0)).astype(np.float32)
    return Outcome(cast, [vector])


def _scores(problem: Digits, outcome: Outcome, attack: Backdoor | None = None) -> dict[str, float]:
    return dict(problem.scores(outcome, References(outcome, outcome), attack))


@pytest.mark.parametrize("hidden", [(), (16,)], ids=["softmax", "network"])
def test_honest_workers_learn(hidden: tuple[int, ...]) -> None:
    """More than nine tenths of the digits that nobody trained on."""
    problem = Digits(heterogeneity="iid", seed=0, rounds=150, hidden=hidden)
    scores = _scores(problem, _trained(problem, Cast(25)))
    assert scores["accuracy"] > 0.9
    assert scores["worst_class_accuracy"] <= scores["accuracy"] == scores["clean_accuracy"]
    assert scores["accuracy_change"] == 0.0


@pytest.mark.parametrize("level", ["iid", "dirichlet", "sorted"])
def test_each_example_belongs_to_one_worker(level: str) -> None:
    labels = np.repeat(np.arange(10), 30)
    parts = split(labels, 7, level, RNG(0))  # type: ignore[arg-type]
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    assert all(len(part) for part in parts)


def test_sorted_workers_know_neighbouring_classes() -> None:
    """Ten workers of one class each, as there are as many examples of every class."""
    labels = RNG(1).permutation(np.repeat(np.arange(10), 6))
    parts = split(labels, 10, "sorted", RNG(0))
    assert [set(labels[part].tolist()) for part in parts] == [{k} for k in range(10)]


def test_dirichlet_shares_are_uneven_where_alpha_is_small() -> None:
    labels = np.repeat(np.arange(10), 100)

    def spread(alpha: float) -> float:
        parts = split(labels, 5, "dirichlet", RNG(0), alpha)
        return float(np.std([np.bincount(labels[p], minlength=10) for p in parts]))

    assert spread(0.05) > 2.0 * spread(100.0)


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="3 examples cannot be dealt to 4 workers"):
        split(np.zeros(3, dtype=np.int64), 4, "iid", RNG(0))


def _first_updates(problem: Digits, cast: Cast) -> list[Vector]:
    (training,) = problem.trainings(cast)
    participants = training.start({})
    return [participants.update(i, training.initial(), 1).update for i in cast.members]


def test_updates_are_float32_and_follow_from_the_seed() -> None:
    first, again, other = (
        _first_updates(Digits(heterogeneity="sorted", seed=seed, n_participants=5), Cast(5))
        for seed in (0, 0, 1)
    )
    assert {u.dtype for u in first} == {np.dtype(np.float32)}
    assert {u.shape for u in first} == {(650,)}
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_momentum_is_a_running_mean_of_gradients() -> None:
    """With beta = 0.5 and the same vector twice: m2 = m1 / 2 + g2 / 2, m1 = g1 / 2."""
    plain = Digits(heterogeneity="iid", seed=0, n_participants=2, momentum=0.0)
    heavy = Digits(heterogeneity="iid", seed=0, n_participants=2, momentum=0.5)
    updates = {}
    for name, problem in (("plain", plain), ("heavy", heavy)):
        (training,) = problem.trainings(Cast(2))
        participants = training.start({})
        updates[name] = [participants.update(0, training.initial(), k).update for k in (1, 2)]
    g1, g2 = updates["plain"]
    np.testing.assert_allclose(updates["heavy"][0], g1 / 2, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(updates["heavy"][1], g1 / 4 + g2 / 2, rtol=1e-4, atol=1e-7)


def test_a_poisoned_worker_trains_on_its_poisoned_examples() -> None:
    problem = Digits(heterogeneity="iid", seed=0, n_participants=4)
    cast = Cast(4, LIARS)
    (training,) = problem.trainings(cast)
    honest, bad = training.start({}), training.start({1: lambda x, y: (x, (y + 1) % 10)})
    start = training.initial()
    for worker in range(4):
        same = np.array_equal(
            honest.update(worker, start, 1).update, bad.update(worker, start, 1).update
        )
        assert same == (worker != 1)


def test_honest_workers_share_out_everything_and_liars_hold_no_part_of_it() -> None:
    """As in the paper: which examples an honest worker has depends on how many are honest."""
    problem = Digits(heterogeneity="sorted", seed=0, n_participants=5)
    (attacked,) = problem.trainings(Cast(5, LIARS))
    (absent,) = problem.trainings(Cast(5, LIARS, is_absent=True))
    assert set(attacked.shares) == {0, 1, 2, 3, 4}
    assert set(absent.shares) == {0, 2, 4}
    for worker in absent.shares:
        np.testing.assert_array_equal(absent.shares[worker].labels, attacked.shares[worker].labels)


def test_a_backdoor_is_scored_by_its_hits() -> None:
    problem = Digits(heterogeneity="iid", seed=0, n_participants=2, rounds=1)
    outcome = Outcome(Cast(2), [problem.trainings(Cast(2))[0].initial()])
    scores = _scores(problem, outcome, Backdoor())
    assert scores["backdoor_hit_rate"] == 1.0  # the untrained model says 0 to everything
    assert "backdoor_hit_rate" not in _scores(problem, outcome)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heterogeneity": "odd"}, "must be iid, dirichlet or sorted, got 'odd'"),
        ({"n_participants": 0}, "must be at least 1, got 0"),
        ({"momentum": 1.0}, r"momentum in \[0, 1\), got 0.1, 0.3, 1.0"),
        ({"learning_rate": 0.0}, "learning_rate and alpha must be positive"),
    ],
)
def test_options_out_of_range_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Digits(**{"heterogeneity": "iid", "seed": 0, **options})
