from typing import Any

import pytest

from conf import compose
from fedtrade.report.comparisons import SUMMED_SCORES
from fedtrade.report.results import Episode, Headline, Metric, Results, parse_results
from fedtrade.report.verdict import verdict
from fedtrade.settings import Settings

PINBALL = Headline(metric="pinball", level=0.01, unit="bp", scale=1e4)
QLIKE = Headline(metric="qlike", level=5.0)
NET_RETURN = Headline(
    metric="net_return", level=5.0, unit="bp/day", scale=1e4, lower_is_better=False, relative=False
)


def results_of(
    gains: dict[str, tuple[float, float, float, float | None]],
    each: list[float],
    headline: Headline = PINBALL,
    failures: list[dict[str, Any]] | None = None,
) -> Results:
    """`gains`: arm -> (gain, low, high, t); `each`: gains of the participants over every arm.

    Scores get better in the order of the arms, so that the last one is the hardest.
    """
    sign = 1.0 if headline.lower_is_better else -1.0
    names = ("gain_vs", "gain_low_vs", "gain_high_vs", "t_vs")
    metrics: list[dict[str, Any]] = [
        {"arm": "federated", "metric": headline.metric, "level": headline.level, "value": 1e-3}
    ]
    for k, (arm, values) in enumerate(gains.items()):
        score = 2e-3 - sign * k * 1e-4
        metrics.append(
            {"arm": arm, "metric": headline.metric, "level": headline.level, "value": score}
        )
        metrics += [
            {"arm": "federated", "metric": f"{name}:{arm}", "value": value}
            for name, value in zip(names, values, strict=True)
        ]
        metrics += [
            {"arm": "federated", "metric": f"gain_vs:{arm}", "participant": str(n), "value": gain}
            for n, gain in enumerate(each)
        ]
    return parse_results(
        {
            "fedtrade_version": "0",
            "created": "2026-01-01",
            "task": "risk",
            "verdict": "",
            "headline": {
                "metric": headline.metric,
                "level": headline.level,
                "unit": headline.unit,
                "scale": headline.scale,
                "lower_is_better": headline.lower_is_better,
                "relative": headline.relative,
            },
            "failures": failures or [],
            "metrics": metrics,
        }
    )


@pytest.fixture(scope="module")
def cold_start() -> Settings:
    return compose()


@pytest.fixture(scope="module")
def same_history() -> Settings:
    return compose(["federation=same_history"])


def said(results: Results, settings: Settings, n_participants: int | None = None) -> str:
    """The verdict where so many take part, by default those that were scored."""
    n_all = n_participants or max(len(results.participants), 1)
    federation = settings.federation.model_copy(update={"n_participants": n_all})
    return verdict(results, settings.model_copy(update={"federation": federation}))[0]


def notes(results: Results, settings: Settings) -> tuple[str, ...]:
    return verdict(results, settings)[1]


CLEAR = {"local_tuned": (0.031, 0.02, 0.04, 4.9), "ewma_t6": (0.030, 0.01, 0.05, 3.2)}


def test_everybody_is_better_off(cold_start: Settings) -> None:
    results = results_of(CLEAR, [0.01] * 10)
    assert said(results, cold_start) == (
        "10 of 10 newcomers are better off: 1 % VaR pinball -3.1 % against their own tuned model "
        "(t = 4.9), -3.0 % against EWMA-t6 (t = 3.2)."
    )
    assert notes(results, cold_start) == ()


def test_everybody_is_worse_off_reads_so(same_history: Settings) -> None:
    worse = {arm: (-g, -high, -low, -(t or 0)) for arm, (g, low, high, t) in CLEAR.items()}
    assert said(results_of(worse, [-0.01] * 10), same_history) == (
        "10 of 10 participants are worse off: 1 % VaR pinball +3.1 % against their own tuned model "
        "(worse, t = -4.9), +3.0 % against EWMA-t6 (worse, t = -3.2)."
    )


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        ([0.1, 0.1, -0.1], "2 of 3 newcomers are better off, 1 worse off: "),
        ([0.1, -0.1, -0.1], "1 of 3 newcomers is better off, 2 worse off: "),
        ([0.1, 0.0, 0.0], "1 of 3 newcomers is better off: "),
        ([0.0, 0.0, -0.1], "1 of 3 newcomers is worse off, none better off: "),
        ([0.0, 0.0], "0 of 2 newcomers are better or worse off: "),
    ],
)
def test_who_is_better_off_and_who_is_not(
    each: list[float], expected: str, cold_start: Settings
) -> None:
    assert said(results_of(CLEAR, each), cold_start).startswith(expected)


@pytest.mark.parametrize(
    ("each", "expected"),
    [
        (
            [0.1] * 9,
            "9 of 9 newcomers scored are better off, 1 of 10 could not be scored: ",
        ),
        (
            [0.1] * 7 + [-0.1] * 2,
            "7 of 9 newcomers scored are better off, 2 worse off, 1 of 10 could not be scored: ",
        ),
        (
            [-0.1] * 8,
            "8 of 8 newcomers scored are worse off, 2 of 10 could not be scored: ",
        ),
        (
            [-0.1, 0.0],
            "1 of 2 newcomers scored is worse off, none better off, 8 of 10 could not be scored: ",
        ),
        (
            [0.0],
            "0 of 1 newcomer scored are better or worse off, 9 of 10 could not be scored: ",
        ),
    ],
)
def test_who_could_not_be_scored_is_counted(
    each: list[float], expected: str, cold_start: Settings
) -> None:
    assert said(results_of(CLEAR, each), cold_start, 10).startswith(expected)


def test_one_participant_federates_nothing(same_history: Settings) -> None:
    assert said(results_of(CLEAR, [0.1]), same_history) == (
        "1 participant: nothing was federated; 1 % VaR pinball -3.1 % against its own tuned model "
        "(t = 4.9), -3.0 % against EWMA-t6 (t = 3.2)."
    )


@pytest.mark.parametrize(
    ("n_there", "expected"),
    [
        ((1, 1), "1 of 10 participants took part: nothing was federated; "),
        ((1, 2), "1 of 1 participant scored is better off, 9 of 10 could not be scored: "),
    ],
)
def test_who_took_part_is_of_the_episodes(
    n_there: tuple[int, int], expected: str, same_history: Settings
) -> None:
    episodes = tuple(
        Episode(episode=k, origin="2001-03-02", test_end="2002-03-20", n_participants=n)
        for k, n in enumerate(n_there)
    )
    results = results_of(CLEAR, [0.1]).model_copy(update={"episodes": episodes})
    assert said(results, same_history, 10).startswith(expected)


def test_an_interval_around_zero_is_within_chance(cold_start: Settings) -> None:
    """Also where the mean gain looks large, and without a t of a single origin."""
    results = results_of(
        {"local_tuned": (0.05, -0.01, 0.1, None), "fhs": (-0.0001, -0.02, 0.02, 0.1)}, [0.05] * 4
    )
    text = said(results, cold_start)
    assert "-5.0 % against their own tuned model (within chance)" in text
    assert "0.0 % against FHS (within chance, t = 0.1)" in text
    assert notes(results, cold_start) == (
        "Against their own tuned model and FHS the 95 % interval of the gain holds zero: this run "
        "does not show a difference.",
    )


def test_a_profit_rises_and_a_difference_keeps_its_unit(same_history: Settings) -> None:
    results = results_of(
        {"local_tuned": (0.0002, 1e-4, 3e-4, 2.5), "momentum": (-1e-4, -2e-4, -5e-5, -2.1)},
        [0.1, -0.1],
        NET_RETURN,
    )
    assert said(results, same_history) == (
        "1 of 2 participants is better off, 1 worse off: net return at 5 bp cost +2.00 bp/day "
        "against their own tuned model (t = 2.5), -1.00 bp/day against Momentum (worse, t = -2.1)."
    )


def test_the_own_model_is_named_once_where_it_is_the_hardest(cold_start: Settings) -> None:
    text = said(results_of({"local_tuned": (0.03, 0.01, 0.05, 3.0)}, [0.1]), cold_start)
    assert text.count("against") == 1


def test_a_horizon_is_set_off_by_commas(cold_start: Settings) -> None:
    results = results_of({"local_tuned": (0.03, 0.01, 0.05, 3.0)}, [0.1, 0.1], QLIKE)
    assert ": QLIKE, 5 bars ahead, -3.0 % against their own" in said(results, cold_start)


def test_another_federated_arm_that_is_better_is_noted(cold_start: Settings) -> None:
    gains = {
        "local_tuned": (0.031, 0.02, 0.04, 4.9),
        "federated_private": (0.02, 0.01, 0.03, 2.0),
        "federated_exact": (-0.05, -0.08, -0.02, -2.0),
        "pooled": (-0.06, -0.08, -0.02, -2.0),
    }
    results = results_of(gains, [0.1], QLIKE)
    assert notes(results, cold_start) == (
        "Federated (exact) does better than the federated network in QLIKE, 5 bars ahead: 0.0018 "
        "against 0.0010 (gain of the network -5.0 %, 95 % interval -8.0 to -2.0 %).",
    )


def test_another_federated_arm_within_chance_is_called_so(same_history: Settings) -> None:
    gains = {
        "local_tuned": (1e-4, 5e-5, 2e-4, 2.5),
        "federated_exact": (-2e-4, -5e-4, 1e-4, -1.0),
    }
    (note,) = notes(results_of(gains, [0.1], NET_RETURN), same_history)
    assert note == (
        "Federated (exact) does better than the federated network in net return at 5 bp cost: "
        "+21.00 against +10.00 bp/day (gain of the network -2.00 bp/day, 95 % interval -5.00 to "
        "+1.00 bp/day, within chance)."
    )


def test_failures_are_noted(cold_start: Settings) -> None:
    failure = {"episode": 2, "round": 4, "participant": "7", "reason": "the update is not finite."}
    assert notes(results_of(CLEAR, [0.1], failures=[failure]), cold_start) == (
        "1 reply was missing or refused, the first from participant 7 in round 4 of episode 3: "
        "the update is not finite.",
    )


def test_without_another_arm_there_is_nothing_to_compare(cold_start: Settings) -> None:
    assert said(results_of({}, []), cold_start).startswith("Nothing to compare: ")


@pytest.mark.parametrize(("gain", "is_noted"), [(0.003, True), (-0.02, True), (0.02, False)])
def test_a_control_that_does_as_well_is_noted(
    cold_start: Settings, gain: float, is_noted: bool
) -> None:
    """The interval is 0.01 to either side."""
    control = (gain, gain - 0.01, gain + 0.01, 1.0)
    results = results_of({**CLEAR, "frozen_nowcast": control}, [0.01] * 10)
    said_so = any(
        "than the control Frozen + nowcast" in note for note in notes(results, cold_start)
    )
    assert said_so == is_noted


# --- scores that are only seen summed -----------------------------------------------------------


def summed(n_scored: tuple[int, ...], share: float | None = 0.6) -> Results:
    """A cold start of ten, two folds an origin, of whom so many are scored in each episode."""
    results = results_of(CLEAR, [])
    episodes = tuple(
        Episode(
            episode=k,
            fold=k % 2,
            origin=f"200{k // 2}-03-02",
            test_end=f"200{k // 2}-05-20",
            n_participants=10,
            n_scored=n,
        )
        for k, n in enumerate(n_scored)
    )
    name = "share_of_episodes_better_vs:local_tuned"
    cases = () if share is None else (Metric(arm="federated", metric=name, value=share),)
    return Results.model_validate(
        {
            **results.model_dump(),
            "scores": "summed",
            "episodes": episodes,
            "metrics": (*results.metrics, *cases),
        }
    )


def test_a_sum_of_scores_counts_nobody(cold_start: Settings) -> None:
    results = summed((5, 5, 5, 5))
    assert said(results, cold_start, 10) == (
        "10 newcomers, scored as a sum: 1 % VaR pinball -3.1 % against their own tuned model "
        "(t = 4.9), -3.0 % against EWMA-t6 (t = 3.2)."
    )
    assert notes(results, cold_start) == (
        f"{SUMMED_SCORES} Of all cases, one participant in one test period, 60 % are better off "
        "than with their own tuned model.",
    )


def test_scores_that_a_sum_lacks_are_counted(cold_start: Settings) -> None:
    assert said(summed((5, 4, 5, 3)), cold_start, 10).startswith(
        "10 newcomers, scored as a sum of 17 of 20 scores: "
    )


def test_where_no_case_can_be_told_the_note_is_shorter(same_history: Settings) -> None:
    assert notes(summed((10, 10), share=None), same_history)[0] == SUMMED_SCORES
