from collections import Counter
from collections.abc import Callable
from math import exp, nan

import numpy as np
import pytest

from fedtrade.errors import AccountingError, PrivacyError
from fedtrade.privacy import BoundedRange, Pure, spent
from fedtrade.privacy.mechanisms import (
    AboveThreshold,
    exponential,
    quantile,
    report_noisy_max,
)
from tests.privacy.mechanisms.frequencies import assert_frequencies

N_DRAWS = 1_000


def test_the_exponential_mechanism_has_its_probabilities() -> None:
    """Totals 1, 2 and 3 at clip 2 and epsilon 2: proportional to e, e^2 and e^3."""
    scores = np.array([[0.5, 1.0, 2.0], [0.5, 1.0, 1.0]])
    draws = Counter(exponential(scores, clip=2.0, epsilon=2.0).value for _ in range(N_DRAWS))
    total = exp(1.0) + exp(2.0) + exp(3.0)
    expected = {place: exp(place + 1.0) / total for place in range(3)}
    assert_frequencies(draws, expected, N_DRAWS)


def test_report_noisy_max_has_its_probabilities() -> None:
    """Of two with exponential noise, the worse wins with half of exp(-epsilon gap / clip)."""
    scores = np.array([[0.5, 1.0], [0.5, 1.0]])
    draws = Counter(report_noisy_max(scores, clip=1.0, epsilon=1.0).value for _ in range(N_DRAWS))
    assert_frequencies(draws, {0: exp(-1.0) / 2.0, 1: 1.0 - exp(-1.0) / 2.0}, N_DRAWS)


def test_one_unit_has_one_clip_of_say() -> None:
    """A unit that shouts a million is outvoted by three."""
    scores = [[1e6, 0.0], [0.0, 1.0], [0.0, 1.0], [-1e6, 1.0]]
    assert exponential(scores, clip=1.0, epsilon=50.0).value == 1
    assert report_noisy_max(scores, clip=1.0, epsilon=50.0).value == 1


def test_choices_cost_their_epsilon() -> None:
    assert exponential([[0.0, 1.0]], clip=1.0, epsilon=0.5).event == BoundedRange(0.5)
    assert report_noisy_max([[0.0, 1.0]], clip=1.0, epsilon=0.5).event == Pure(0.5)


def test_above_threshold_has_its_probability() -> None:
    """At clip 1 and epsilon 1, noise of 4 on a sum that is 3 short and of 2 on the threshold.

    The difference of Laplace noise of the scales a and b exceeds t with a probability of
    (a^2 exp(-t / a) - b^2 exp(-t / b)) / (2 (a^2 - b^2)).
    """
    chance = (16.0 * exp(-3.0 / 4.0) - 4.0 * exp(-3.0 / 2.0)) / 24.0
    rows = np.ones(5)
    answers = (AboveThreshold(8.0, clip=1.0, epsilon=1.0).ask(rows) for _ in range(N_DRAWS))
    assert_frequencies(Counter(answers), {True: chance}, N_DRAWS)


def test_above_threshold_answers_until_the_first_yes_for_one_epsilon() -> None:
    svt = AboveThreshold(10.0, clip=1.0, epsilon=20.0)
    assert [svt.ask(np.ones(n)) for n in (0, 2, 1, 2, 30)] == [False, False, False, False, True]
    with pytest.raises(PrivacyError, match="start anew"):
        svt.ask(np.ones(1))
    assert spent([svt.event], 1e-9, "sum") == 20.0


def test_above_threshold_clips_each_unit() -> None:
    assert not AboveThreshold(10.0, clip=1.0, epsilon=20.0).ask([1e9, -5.0])


def test_above_threshold_is_about_one_number() -> None:
    with pytest.raises(PrivacyError, match="about one number, not 2"):
        AboveThreshold(1.0, clip=1.0, epsilon=1.0).ask([[1.0, 2.0]])
    with pytest.raises(PrivacyError, match="threshold=nan"):
        AboveThreshold(nan, clip=1.0, epsilon=1.0)
    with pytest.raises(PrivacyError, match="too large"):
        AboveThreshold(1e30, clip=1.0, epsilon=1.0)


def test_a_quantile_is_a_candidate_near_it() -> None:
    values = np.arange(1_000) / 10.0
    found = quantile(values, 0.25, np.arange(0.0, 101.0, 5.0), epsilon=5.0)
    assert found.value == 25.0
    assert isinstance(found.event, Pure)
    assert 4.999 < found.event.epsilon <= 5.0


def test_a_quantile_of_little_is_any_candidate() -> None:
    """With three candidates of the same score, each has the same chance."""
    draws = Counter(quantile([], 0.5, [1.0, 2.0, 4.0], epsilon=1.0).value for _ in range(N_DRAWS))
    assert_frequencies(draws, dict.fromkeys([1.0, 2.0, 4.0], 1 / 3), N_DRAWS)


@pytest.mark.parametrize(
    ("values", "share", "candidates", "message"),
    [
        ([nan], 0.5, [1.0], "values"),
        ([1.0], 1.5, [1.0], "share=1.5"),
        ([1.0], 0.5, [], "finite"),
        ([1.0], 0.5, [2.0, 1.0], "rise"),
        ([1.0], 0.5, [nan, 1.0], "finite"),
    ],
)
def test_a_quantile_out_of_range_is_refused(
    values: list[float], share: float, candidates: list[float], message: str
) -> None:
    with pytest.raises(PrivacyError, match=message):
        quantile(values, share, candidates, epsilon=1.0)


@pytest.mark.parametrize("epsilon", [0.0, -1.0, nan])
def test_an_epsilon_that_is_no_promise_is_refused(epsilon: float) -> None:
    with pytest.raises(AccountingError, match="epsilon="):
        exponential([[1.0]], clip=1.0, epsilon=epsilon)
    with pytest.raises(AccountingError, match="epsilon="):
        report_noisy_max([[1.0]], clip=1.0, epsilon=epsilon)
    with pytest.raises(AccountingError, match="epsilon="):
        quantile([1.0], 0.5, [1.0], epsilon=epsilon)
    with pytest.raises(AccountingError, match="epsilon="):
        AboveThreshold(1.0, clip=1.0, epsilon=epsilon)


@pytest.mark.parametrize("mechanism", [exponential, report_noisy_max])
def test_a_choice_without_options_is_refused(mechanism: Callable[..., object]) -> None:
    with pytest.raises(PrivacyError, match="no option to choose"):
        mechanism(np.ones((2, 0)), clip=1.0, epsilon=1.0)
    with pytest.raises(PrivacyError, match="no option to choose"):
        mechanism(np.ones((0, 0)), clip=1.0, epsilon=1.0)
