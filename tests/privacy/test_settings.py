"""Settings of differential privacy."""

from typing import Any

import pytest
from pydantic import ValidationError

from fedtrade.privacy import AdaptiveClip, ParticipantLevel, Privacy, RecordLevel


@pytest.mark.parametrize("level", [RecordLevel, ParticipantLevel])
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epsilon", 0.0),
        ("epsilon", -1.0),
        ("epsilon", float("inf")),
        ("epsilon", float("nan")),
        ("delta", 0.0),
        ("delta", 0.1),
        ("delta", 1.0),
        ("delta", float("nan")),
        ("clip", 0.0),
        ("clip", -0.1),
    ],
)
def test_what_promises_nothing_is_refused(level: Any, key: str, value: float) -> None:
    with pytest.raises(ValidationError, match=key):
        level(**{key: value})


def test_clipping_can_follow_a_quantile() -> None:
    level = ParticipantLevel.from_mapping({"adaptive": {"target_quantile": 0.7}})
    assert level.adaptive == AdaptiveClip(target_quantile=0.7)


@pytest.mark.parametrize(
    ("delta", "n_participants", "message"),
    [
        (1e-3, 1000, r"delta=0.001 must be below 1 / 1000 .*; take 0.0001"),
        (0.05, 20, r"must be below 1 / 20 .*; take 0.001"),
        (1e-5, 1, "hides one among several"),
    ],
)
def test_a_delta_that_gives_somebody_away_is_refused(
    delta: float, n_participants: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Privacy(participant=ParticipantLevel(delta=delta)).check_population(n_participants)


def test_a_delta_at_which_a_day_could_be_published_is_refused() -> None:
    """One in 250 days may not be given away outright; a little less may."""
    with pytest.raises(ValueError, match=r"delta=0.004 must be below 1 / 250 \(days"):
        Privacy(record=RecordLevel(delta=0.004)).check_history(250)
    Privacy(record=RecordLevel(delta=0.0039)).check_history(250)
    Privacy(participant=ParticipantLevel(delta=0.05)).check_history(250)


def test_without_noise_any_population_will_do() -> None:
    Privacy().check_population(1)
    Privacy(record=RecordLevel()).check_population(1)
