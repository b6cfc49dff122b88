"""Who learns what when sums have noise: no more than is sent, and the promise."""

from collections.abc import Iterable
from typing import Any

import pytest

from fedtrade.privacy import ParticipantLevel
from fedtrade.privacy.participant import NoisyVectors, ReleasePlan, adders
from fedtrade.privacy.participant.statement import with_noise
from fedtrade.privacy.settings import AdaptiveClip
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.statement import (
    KEY_HOLDER,
    REFUSALS,
    SERVER,
    PrivacyStatement,
    encrypted_statement,
    masked_statement,
    plain_statement,
)

GRAPH = GraphParameters(10, degree=9, threshold=7, most_colluders=2, committee=10, quorum=7)
MODES: dict[str, tuple[Any, PrivacyStatement]] = {
    "plain": (PlainAggregation(), plain_statement(PlainAggregation())),
    "masked": (MaskedAggregation(), masked_statement(MaskedAggregation(), 10, GRAPH)),
    "encrypted": (EncryptedAggregation(), encrypted_statement(EncryptedAggregation(), 10)),
}


def _stated(mode: str, n_sums: int = 0, **level: Any) -> PrivacyStatement:
    settings, statement = MODES[mode]
    plan = ReleasePlan(ParticipantLevel(**level), 3, 5, n_sums)
    return with_noise(statement, NoisyVectors(plan, adders(settings, 10)))


def _learns(statement: PrivacyStatement, party: str) -> list[str]:
    return [what for who, what in statement.learns if who == party]


def _starting(found: Iterable[str], start: str) -> list[str]:
    return [what for what in found if what.startswith(start)]


@pytest.mark.parametrize("mode", MODES)
def test_nobody_learns_what_is_not_sent(mode: str) -> None:
    """Neither loss nor number of examples leaves, and everybody counts alike."""
    for _, what in _stated(mode).learns:
        assert "losses" not in what
        assert "examples" not in what
        assert "weights" not in what
        assert "had to clip" not in what


def test_a_server_in_plain_sees_each_clipped_update() -> None:
    found = _learns(_stated("plain"), SERVER)
    assert found[0] == "each participant's clipped update in each round"
    assert "each participant's part of each federated sum" in found


def test_only_the_key_holder_sees_sums_without_noise() -> None:
    found = _stated("encrypted", n_sums=2)
    (seen,) = _starting(_learns(found, SERVER), "the sum of")
    (opened,) = _starting(_learns(found, KEY_HOLDER), "the sum of")
    assert seen == "the sum of the clipped updates of each round, with noise"
    assert opened.endswith("each round, which it opens and adds the noise to")
    (total,) = _starting(_learns(found, SERVER), "the total of each federated sum")
    (exact,) = _starting(_learns(found, KEY_HOLDER), "the total of each federated sum")
    assert total.endswith("with noise")
    assert "noise" not in exact


@pytest.mark.parametrize("mode", ["masked", "encrypted"])
def test_the_count_of_an_adaptive_clip_is_told(mode: str) -> None:
    found = _stated(mode, adaptive=AdaptiveClip(count_noise=4.0))
    (seen,) = _starting(_learns(found, SERVER), "the sum of")
    assert "how many were within the clip, with noise" in seen


@pytest.mark.parametrize("mode", ["masked", "encrypted"])
def test_that_somebody_cannot_compute_is_told_of_what_has_no_noise(mode: str) -> None:
    (without,) = _starting(_learns(MODES[mode][1], SERVER), REFUSALS)
    assert without.endswith("yes or no, once for each round, sum and evaluation")
    found = _stated(mode, n_sums=2)
    (beside,) = _starting(_learns(found, SERVER), REFUSALS)
    assert beside.endswith("yes or no, once for each sum and evaluation")
    (left_out,) = [each for each in found.broken_by if each.startswith("Outside of the promise")]
    assert "whether it can compute its part of a federated sum" in left_out


def test_the_promise_has_its_numbers() -> None:
    values = {name: value for name, value, _ in _stated("masked").parameters}
    assert 7.9 < float(values["epsilon"]) <= 8.0
    assert float(values["model_epsilon"]) < float(values["epsilon"])
    assert values["delta"] == 1e-5
    assert values["covers"] == "its updates"
    covered = {name: value for name, value, _ in _stated("masked", n_sums=2).parameters}
    assert covered["covers"] == "its updates and its parts of federated sums"
