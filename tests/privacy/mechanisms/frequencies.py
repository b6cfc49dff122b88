"""Whether draws have the probabilities they should, with a bounded rate of false alarms."""

from collections.abc import Mapping

from scipy.stats import binom

ALARM = 1e-9
"""Of one call."""


def assert_frequencies(
    counts: Mapping[object, int], probabilities: Mapping[object, float], n_draws: int
) -> None:
    """Each count lies within the exact binomial bounds of its probability (Bonferroni)."""
    each = ALARM / (2 * len(probabilities))
    for outcome, probability in probabilities.items():
        count = counts.get(outcome, 0)
        at_most = binom.cdf(count, n_draws, probability)
        at_least = binom.sf(count - 1, n_draws, probability)
        assert min(at_most, at_least) > each, (outcome, count / n_draws, probability)
