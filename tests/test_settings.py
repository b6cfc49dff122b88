from collections.abc import Callable
from typing import Any

import pytest

from conf import compose
from fedtrade.errors import ConfigurationError
from fedtrade.settings import Federation, Settings

Make = Callable[..., Settings]


def _changed(settings: Settings, key: str, value: Any) -> dict[str, Any]:
    """Plain values with one of them changed; `...` removes it."""
    values = settings.to_mapping()
    *path, last = key.split(".")
    part = values
    for name in path:
        part = part[name]
    if value is ...:
        del part[last]
    else:
        part[last] = value
    return values


@pytest.mark.parametrize("override", ["seed=3", "task.shrinkage=.inf", "task.levels=[0.1]"])
def test_settings_survive_json(tiny: Make, override: str) -> None:
    """Infinity included; one line, as run configs want it."""
    settings = tiny(override)
    text = settings.to_json()
    assert "\n" not in text
    assert Settings.from_json(text) == settings
    assert Settings.from_mapping(settings.to_mapping()) == settings


def test_settings_of_before_there_was_privacy_are_read(tiny: Make) -> None:
    settings = tiny()
    assert Settings.from_mapping(_changed(settings, "privacy", ...)) == settings


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sed", 1, "sed=1: extra inputs are not permitted"),
        ("federation.round", 1, "federation.round=1: extra inputs are not permitted"),
        ("seed", ..., "seed: field required"),
        ("federation.rounds", ..., "federation.rounds: field required"),
        ("task._target_", ..., "task._target_: field required"),
        ("seed", "many", "seed='many': input should be a valid integer"),
        ("federation.rounds", 2.5, "federation.rounds=2.5: input should be a valid integer"),
        ("evaluation.pooled", "maybe", "evaluation.pooled='maybe': input should be a valid bool"),
        ("federation.rounds", -1, "federation.rounds=-1: input should be greater than or equal to"),
        ("federation.n_participants", 0, "federation.n_participants=0: input should be greater"),
        ("evaluation.bootstrap_resamples", 9, "evaluation.bootstrap_resamples=9: input should be"),
        ("federation.reply_timeout_s", 0, "federation.reply_timeout_s=0: input should be greater"),
        ("federation.quorum", 1.5, "federation.quorum=1.5: input should be less than or equal"),
        ("federation.quorum", 0, "federation.quorum=0: input should be greater than 0"),
        ("federation.join_timeout_s", -1, "federation.join_timeout_s=-1: input should be greater"),
        ("progress", "loud", "progress='loud': input should be 'auto', 'plain' or 'none'"),
        ("federation.setting", "warm", "federation.setting='warm': input should be 'same_history'"),
        ("task", "risk", "task='risk': input should be a valid dictionary"),
        ("task._target_", "risk", "task._target_='risk': string should match pattern"),
        ("task._target_", "os; system.x", "task._target_='os; system.x': string should match"),
    ],
)
def test_each_wrong_key_is_named_with_its_value(
    tiny: Make, key: str, value: Any, message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_mapping(_changed(tiny(), key, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_wrong_keys_are_all_named(tiny: Make) -> None:
    values = _changed(tiny(), "seed", -1) | {"out": 3}
    with pytest.raises(ConfigurationError, match=r"seed=-1: .*; out=3: .*\.$"):
        Settings.from_mapping(values)


@pytest.mark.parametrize("text", ["{", "nothing", "[1]", "3"])
def test_something_else_than_settings_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"not valid JSON|valid dictionary"):
        Settings.from_json(text)


@pytest.mark.parametrize(
    ("quorum", "n_asked", "n_needed"), [(None, 7, 7), (1.0, 7, 7), (0.5, 7, 4), (0.7, 10, 7)]
)
def test_a_quorum_is_rounded_up(
    tiny: Make, quorum: float | None, n_asked: int, n_needed: int
) -> None:
    federation = tiny().federation.model_copy(update={"quorum": quorum})
    assert federation.n_quorum(n_asked) == n_needed


def test_an_empty_attack_is_none(tiny: Make) -> None:
    assert Settings.from_mapping(_changed(tiny(), "attack", {})).attack is None


# --- who knows how much -------------------------------------------------------------------------


def _federation(**options: Any) -> Federation:
    given = {
        "n_participants": 5,
        "setting": "cold_start",
        "history_bars": 60,
        "incumbent_bars": 1000,
        "rounds": 1,
    }
    return Federation.model_validate(given | options)


def test_halves_swap_in_a_cold_start() -> None:
    """Of five the first three are newcomers in the first fold, the other two in the second."""
    federation = _federation()
    assert federation.n_folds == 2
    for fold, newcomers in ((0, [0, 1, 2]), (1, [3, 4])):
        found = [number for number in range(5) if federation.is_newcomer(number, 5, fold)]
        assert found == newcomers
        assert [k for k in range(5) if federation.is_scored(k, 5, fold)] == newcomers
        assert federation.n_scored(5, fold) == len(newcomers)
        histories = [federation.history_of(number, 5, fold) for number in range(5)]
        assert histories == [60 if number in newcomers else 1000 for number in range(5)]


def test_nobody_is_a_newcomer_to_the_final_model() -> None:
    assert [_federation().history_of(number, 5, -1) for number in range(5)] == [1000] * 5


def test_nobody_is_a_newcomer_with_the_same_history() -> None:
    federation = _federation(setting="same_history", incumbent_bars=None)
    assert (federation.n_folds, federation.longest_history_bars) == (1, 60)
    assert all(federation.is_scored(number, 5, 0) for number in range(5))
    assert {federation.history_of(number, 5, 0) for number in range(5)} == {60}


@pytest.mark.parametrize("incumbent_bars", [None, 60, 59])
def test_incumbents_must_know_more(tiny: Make, incumbent_bars: int | None) -> None:
    values = tiny().to_mapping()
    values["federation"] |= {"setting": "cold_start", "incumbent_bars": incumbent_bars}
    with pytest.raises(ConfigurationError, match=f"federation: incumbent_bars={incumbent_bars} mu"):
        Settings.from_mapping(values)


def test_one_participant_has_nobody_to_join(tiny: Make) -> None:
    values = tiny().to_mapping()
    values["federation"] |= {"setting": "cold_start", "incumbent_bars": 100, "n_participants": 1}
    with pytest.raises(ConfigurationError, match="n_participants=1 leaves nobody to join"):
        Settings.from_mapping(values)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], "by_participant"),
        (["aggregation=masked"], "summed"),
        (["aggregation=encrypted"], "summed"),
        (["evaluation.scores=summed"], "summed"),
        (["aggregation=masked", "evaluation.scores=by_participant"], "by_participant"),
    ],
)
def test_scores_are_seen_as_far_as_the_trust_mode_allows(
    tiny: Make, overrides: list[str], expected: str
) -> None:
    assert tiny(*overrides).scores == expected


@pytest.mark.parametrize(
    ("overrides", "least"),
    [
        ([], 2),
        (["federation.least_holders=1"], 1),
        (["aggregation=masked", "federation.least_holders=1"], 3),
        (["aggregation=encrypted", "aggregation.min_contributors=5"], 5),
        (["aggregation=masked", "federation.least_holders=4"], 4),
    ],
)
def test_no_bar_counts_whose_sum_is_of_too_few(overrides: list[str], least: int) -> None:
    assert compose(overrides).least_holders == least
