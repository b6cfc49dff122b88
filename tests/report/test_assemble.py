"""Two participants, a few bars, numbers that can be redone in the head."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from conf import compose
from fedtrade.evaluation import mean_t
from fedtrade.outcome import EpisodeOutcome, Failure, RoundLog
from fedtrade.report.assemble import assemble
from fedtrade.report.results import Results, metric
from fedtrade.settings import Settings
from fedtrade.summed_scores import read_score_total, score_part
from fedtrade.tasks.task import Evaluation, ForecastPath, Headline, Score
from fedtrade.wire import EpisodeRecord

DAY = 86_400
LOSS = Headline("pinball", 0.01, unit="bp", scale=1e4)
PROFIT = Headline("net_return", 5.0, lower_is_better=False, relative=False)


class FakeTask:
    """One total, the sum of the headline score; its metrics are that total and the daily mean."""

    name = "fake"
    totals = ("score",)
    daily = ("score",)

    def __init__(self, headline: Headline = LOSS) -> None:
        self.headline = headline

    def scores(self, totals: Any, daily: Any) -> Sequence[Score]:
        return [Score("total", None, totals[0]), Score("mean", 0.5, float(np.nanmean(daily[0])))]

    def notes(self, daily: Any) -> tuple[str, ...]:
        return (f"{' and '.join(daily)} were tried",)


def day(number: int) -> int:
    return number * DAY


def evaluation(first_day: int, scores: Mapping[str, Sequence[float]]) -> Evaluation:
    """The daily score of each arm, on consecutive days from `first_day` after 1970-01-01."""
    daily = np.array(list(scores.values()), dtype=np.float64)
    bars = np.datetime64("1970-01-01", "s") + np.arange(
        first_day, first_day + daily.shape[1]
    ) * np.timedelta64(DAY, "s")
    totals = np.nansum(daily, axis=1)[:, None]
    return Evaluation(tuple(scores), bars, totals, daily[None])


def episode(
    number: int, fold: int, origin: int, evaluations: Mapping[int, Evaluation]
) -> EpisodeOutcome:
    return EpisodeOutcome(
        EpisodeRecord(number, fold, day(origin), day(origin + 2), 0),
        2,
        rounds=[RoundLog(1, 2, 0, 0.5, 0.1, 0.01)],
        evaluations=dict(evaluations),
        is_finished=True,
    )


@pytest.fixture(scope="module")
def settings() -> Settings:
    return compose(["evaluation.bootstrap_resamples=100"])


def run(
    settings: Settings, outcomes: Sequence[EpisodeOutcome], headline: Headline = LOSS
) -> Results:
    task: Any = FakeTask(headline)
    return assemble(settings, task, outcomes)


def gain(results: Results, kind: str, who: str = "all") -> float | None:
    return metric(results, "federated", f"{kind}:local_tuned", None, who)


@pytest.fixture(scope="module")
def cold_start(settings: Settings) -> Results:
    """Origins at day 0 and 2; in fold 0 participant 0 is scored, in fold 1 participant 1."""
    return run(
        settings,
        [
            episode(0, 0, 0, {0: evaluation(1, {"local_tuned": [4, 4], "federated": [2, 4]})}),
            episode(1, 1, 0, {1: evaluation(1, {"local_tuned": [2, 2], "federated": [3, 3]})}),
            episode(2, 0, 2, {0: evaluation(3, {"local_tuned": [4, 4], "federated": [3, 3]})}),
            episode(3, 1, 2, {1: evaluation(3, {"local_tuned": [2, 2], "federated": [1, 3]})}),
            episode(4, -1, 4, {}),
        ],
    )


def test_the_daily_score_is_the_mean_over_participants(cold_start: Results) -> None:
    daily = cold_start.series.daily
    assert daily is not None
    assert daily.scores == {"local_tuned": (3, 3, 3, 3), "federated": (2.5, 3.5, 2, 3)}
    assert [bar[:10] for bar in daily.bars] == [f"1970-01-0{n}" for n in (2, 3, 4, 5)]


def test_gains_are_relative_and_over_all_origins(cold_start: Results) -> None:
    """All: 1 - 11 / 12. Participant 0: 1 - 12 / 16. Participant 1: 1 - 10 / 8."""
    assert gain(cold_start, "gain_vs") == pytest.approx(1 / 12)
    assert gain(cold_start, "gain_vs", "0") == pytest.approx(0.25)
    assert gain(cold_start, "gain_vs", "1") == pytest.approx(-0.25)
    assert gain(cold_start, "share_better_vs") == 0.5
    assert gain(cold_start, "worst_gain_vs") == pytest.approx(-0.25)
    low, high = gain(cold_start, "gain_low_vs"), gain(cold_start, "gain_high_vs")
    assert low is not None
    assert high is not None
    assert low < 1 / 12 < high


def test_what_the_task_says_comes_first(cold_start: Results) -> None:
    assert cold_start.notes[0] == "local_tuned and federated were tried"


def test_t_is_over_origins(cold_start: Results) -> None:
    """Differences by day 0.5, -0.5, 1, 0; by origin 0 and 0.5: mean 0.25, standard error 0.25."""
    assert gain(cold_start, "t_vs") == pytest.approx(1.0)


def test_totals_add_over_episodes_and_participants(cold_start: Results) -> None:
    assert metric(cold_start, "federated", "total", None, "0") == 12
    assert metric(cold_start, "federated", "total", None, "1") == 10
    assert metric(cold_start, "federated", "total", None) == 22
    assert metric(cold_start, "federated", "mean", 0.5, "1") == 2.5
    assert metric(cold_start, "federated", "mean", 0.5) == 2.75


def test_the_final_model_is_no_episode_of_the_results(cold_start: Results) -> None:
    assert [(e.episode, e.fold) for e in cold_start.episodes] == [(0, 0), (1, 1), (2, 0), (3, 1)]
    assert [r.episode for r in cold_start.rounds] == [0, 1, 2, 3]


def test_near_origins_get_a_hac_variance(settings: Settings) -> None:
    rng = np.random.default_rng(0)
    differences = np.cumsum(rng.normal(1.0, 1.0, size=40))
    outcomes = [
        episode(k, 0, k, {0: evaluation(k + 1, {"local_tuned": [100.0 + d], "federated": [100.0]})})
        for k, d in enumerate(differences)
    ]
    t_of = {}
    for test_bars in (59, 60):
        near = settings.evaluation.model_copy(update={"test_bars": test_bars})
        results = run(settings.model_copy(update={"evaluation": near}), outcomes)
        t_of[test_bars] = gain(results, "t_vs")
    assert t_of[59] == pytest.approx(mean_t(differences))
    assert t_of[60] == pytest.approx(mean_t(differences, lags=0))
    assert t_of[59] != pytest.approx(t_of[60], rel=0.1)


def test_one_origin_has_no_t(settings: Settings) -> None:
    outcome = episode(0, 0, 0, {0: evaluation(1, {"local_tuned": [4, 4], "federated": [2, 4]})})
    assert gain(run(settings, [outcome]), "t_vs") is None


def test_a_profit_is_compared_by_difference(settings: Settings) -> None:
    outcome = episode(
        0,
        0,
        0,
        {
            0: evaluation(1, {"local_tuned": [1, -1], "federated": [2, 0]}),
            1: evaluation(1, {"local_tuned": [1, 1], "federated": [0, 1]}),
        },
    )
    results = run(settings, [outcome], PROFIT)
    assert gain(results, "gain_vs", "0") == pytest.approx(1.0)
    assert gain(results, "gain_vs", "1") == pytest.approx(-0.5)
    assert gain(results, "gain_vs") == pytest.approx(0.25)
    assert gain(results, "worst_gain_vs") == pytest.approx(-0.5)


def test_a_loss_that_is_compared_by_difference_is_better_when_smaller(settings: Settings) -> None:
    headline = Headline("fz0", 0.01, relative=False)
    outcome = episode(0, 0, 0, {0: evaluation(1, {"local_tuned": [-2, -2], "federated": [-3, -4]})})
    results = run(settings, [outcome], headline)
    assert gain(results, "gain_vs") == pytest.approx(1.5)
    assert gain(results, "gain_vs", "0") == pytest.approx(1.5)


def test_a_missing_bar_is_left_out_of_both_arms(settings: Settings) -> None:
    nan = np.nan
    outcome = episode(
        0,
        0,
        0,
        {
            0: evaluation(1, {"local_tuned": [nan, 4], "federated": [9, 2]}),
            1: evaluation(1, {"local_tuned": [nan, 4], "federated": [9, 3]}),
        },
    )
    results = run(settings, [outcome])
    assert gain(results, "gain_vs") == pytest.approx(1 - 2.5 / 4)
    assert gain(results, "gain_vs", "0") == pytest.approx(0.5)
    daily = results.series.daily
    assert daily is not None
    assert daily.scores["local_tuned"] == (None, 4)


def test_a_participant_without_any_known_bar_is_null_and_not_counted(settings: Settings) -> None:
    nan = np.nan
    for headline in (LOSS, PROFIT._replace(lower_is_better=True)):
        outcome = episode(
            0,
            0,
            0,
            {
                0: evaluation(1, {"local_tuned": [4, 4], "federated": [2, 2]}),
                1: evaluation(1, {"local_tuned": [nan, nan], "federated": [2, 2]}),
            },
        )
        outcome.evaluations[1].daily[0, 0] = nan
        task: Any = FakeTask(headline)
        task.scores = lambda totals, daily: [Score("total", None, totals[0])]
        results = assemble(settings, task, [outcome])
        assert gain(results, "gain_vs", "1") is None
        assert gain(results, "share_better_vs") == 1.0


def test_an_arm_that_one_participant_lacks_is_left_out_for_all(settings: Settings) -> None:
    outcome = episode(
        0,
        0,
        0,
        {
            0: evaluation(1, {"fhs": [9, 9], "local_tuned": [4, 4], "federated": [2, 2]}),
            1: evaluation(1, {"federated": [2, 4], "local_tuned": [3, 3]}),
        },
    )
    results = run(settings, [outcome])
    assert results.arms == ("local_tuned", "federated")
    assert gain(results, "gain_vs", "1") == pytest.approx(0.0)


def test_a_participant_that_failed_once_counts_where_it_was_scored(settings: Settings) -> None:
    both = {"local_tuned": [4.0, 4.0], "federated": [2.0, 2.0]}
    first = episode(0, 0, 0, {0: evaluation(1, both), 1: evaluation(1, both)})
    second = episode(1, 0, 2, {0: evaluation(3, both)})
    second.failures += [Failure(0, 1, "early"), Failure(1, 1, "late"), Failure(-1, 1, "at the end")]
    results = run(settings, [first, second])
    assert metric(results, "federated", "total", None, "1") == 4
    found = [(f.episode, f.round, f.participant, f.reason) for f in results.failures]
    assert found == [(1, 0, "1", "early"), (1, 1, "1", "late"), (1, 2, "1", "at the end")]


def test_without_a_federated_arm_nothing_is_compared(settings: Settings) -> None:
    results = run(settings, [episode(0, 0, 0, {0: evaluation(1, {"local_tuned": [4, 4]})})])
    assert results.verdict.startswith("Nothing to compare")
    assert not any(":" in m.metric for m in results.metrics)


def test_the_path_is_that_of_the_first_participant_of_the_last_episode(settings: Settings) -> None:
    scored = evaluation(1, {"federated": [1, 2]})
    values = np.array([-0.01, 0.02])
    shown = ForecastPath("AAPL", 0.01, scored.bars, values, values - 0.1, values - 0.2)
    with_path = Evaluation(scored.arms, scored.bars, scored.totals, scored.daily, shown)
    path = run(settings, [episode(0, 0, 0, {1: with_path})]).series.path
    assert path is not None
    assert (path.participant, path.asset, path.level) == ("1", "AAPL", 0.01)
    assert path.var == tuple(values - 0.1)


def test_a_task_may_add_notes_of_its_own(settings: Settings) -> None:
    task: Any = FakeTask()
    task.notes = lambda daily: (f"federated: {float(np.mean(daily['federated']))}",)
    outcome = episode(0, 0, 0, {0: evaluation(1, {"federated": [1, 2]})})
    assert assemble(settings, task, [outcome]).notes == ("federated: 1.5",)


@pytest.mark.parametrize(
    ("overrides", "is_noted"),
    [(["strategy=robust"], True), ([], False), (["strategy=robust", "federation=small"], False)],
)
def test_equal_weights_in_a_cold_start_are_noted(overrides: list[str], is_noted: bool) -> None:
    found = run(compose(overrides), [episode(0, 0, 0, {0: evaluation(1, {"federated": [1, 2]})})])
    assert any("count alike" in note for note in found.notes) == is_noted


def test_nothing_scored_is_refused(settings: Settings) -> None:
    with pytest.raises(ValueError, match="no episode was scored"):
        run(settings, [episode(0, -1, 0, {})])


# --- scores that are only seen summed -----------------------------------------------------------


def summed(task: Any, outcome: EpisodeOutcome) -> EpisodeOutcome:
    """The same episode as it is known where only the sum of its evaluations is."""
    evaluations = outcome.evaluations.values()
    if not evaluations:
        return outcome
    arms = next(iter(evaluations)).arms
    bars = np.unique(np.concatenate([e.bars for e in evaluations]))
    total = np.sum([score_part(e, task, bars) for e in evaluations], axis=0)
    scores = read_score_total(
        total, task, arms=arms, models=(), bars=bars, n_least=1, n_most=len(evaluations)
    )
    return replace(outcome, evaluations={}, summed=scores)


def random_episodes(n_participants: int = 5, n_origins: int = 3) -> list[EpisodeOutcome]:
    """A cold start: even participants are scored in one fold, odd ones in the other."""
    rng = np.random.default_rng(0)
    outcomes = []
    for number in range(2 * n_origins):
        origin, fold = 10 * (number // 2), number % 2
        scored = {}
        for k in range(fold, n_participants, 2):
            daily = rng.uniform(1.0, 3.0, size=(3, int(rng.integers(6, 9))))
            daily[:, rng.random(daily.shape[1]) < 0.2] = np.nan
            daily[:, 0] = 1.0
            rows = dict(zip(("fhs", "local_tuned", "federated"), daily.tolist(), strict=True))
            scored[k] = evaluation(origin + 1, rows)
        outcomes.append(episode(number, fold, origin, scored))
    return [*outcomes, episode(2 * n_origins, -1, 10 * n_origins, {})]


@pytest.mark.parametrize("headline", [LOSS, PROFIT])
def test_a_sum_of_scores_says_the_same_of_everybody(settings: Settings, headline: Headline) -> None:
    task: Any = FakeTask(headline)
    outcomes = random_episodes()
    apart = assemble(settings, task, outcomes)
    together = assemble(settings, task, [summed(task, outcome) for outcome in outcomes])
    assert (apart.scores, together.scores) == ("by_participant", "summed")
    assert together.participants == ()
    hidden = ("share_better_vs", "worst_gain_vs")
    for key, value in apart.index.items():
        if key[3] == "all" and not key[1].startswith(hidden):
            assert together.index[key] == pytest.approx(value, rel=1e-12), key
    extra = {name for _, name, _, _ in together.index.keys() - apart.index.keys()}
    assert extra == {f"share_of_episodes_better_vs:{arm}" for arm in ("fhs", "local_tuned")}
    assert apart.series.daily is not None
    assert together.series.daily is not None
    assert together.series.daily.bars == apart.series.daily.bars
    for arm, scores in apart.series.daily.scores.items():
        assert together.series.daily.scores[arm] == pytest.approx(scores, rel=1e-12)
    assert together.episodes == apart.episodes
    assert [e.n_scored for e in together.episodes] == [3, 2] * 3


def test_cases_are_participants_in_single_episodes(settings: Settings) -> None:
    """Participant 0 is better off in its first episode alone, 1 in both: 3 cases of 4."""
    task: Any = FakeTask()
    outcomes = [
        episode(0, 0, 0, {0: evaluation(1, {"local_tuned": [4, 4], "federated": [2, 4]})}),
        episode(1, 1, 0, {1: evaluation(1, {"local_tuned": [4, 2], "federated": [3, 2]})}),
        episode(2, 0, 2, {0: evaluation(3, {"local_tuned": [4, 4], "federated": [9, 9]})}),
        episode(3, 1, 2, {1: evaluation(3, {"local_tuned": [2, 2], "federated": [1, 2]})}),
    ]
    results = assemble(settings, task, [summed(task, outcome) for outcome in outcomes])
    assert gain(results, "share_of_episodes_better_vs") == 0.75
    assert gain(results, "share_better_vs") is None
    assert gain(run(settings, outcomes), "share_of_episodes_better_vs") is None


def test_scores_in_the_clear_are_noted_where_updates_are_not(settings: Settings) -> None:
    outcome = episode(0, 0, 0, {0: evaluation(1, {"local_tuned": [4, 4], "federated": [2, 4]})})
    shown = compose(["aggregation=masked", "evaluation.scores=by_participant"])
    for run_settings, is_noted in ((settings, False), (shown, True)):
        said = "in the clear (evaluation.scores=by_participant), in spite of aggregation=masked"
        assert any(said in note for note in run(run_settings, [outcome]).notes) == is_noted
