"""What is refused before a run replaces the files of an earlier one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedtrade.components import build
from fedtrade.corrections import ClientCorrection, Correction, fed_prox, scaffold
from fedtrade.errors import ConfigurationError
from fedtrade.holdings import build_task
from fedtrade.settings import Settings
from fedtrade.tasks.task import Sample
from strategies.preconditions import check_strategy
from strategies.public_sample import PublicSample
from strategies.robust import RobustAggregation
from strategies.trust import trust_mode

Make = Callable[..., Settings]


class _Uncorrected:
    """A task as it was before corrections."""

    name = "old"

    def train(self, vector: np.ndarray, sample: Sample, shared: Any) -> Any: ...


class _Lenient(_Uncorrected):
    def train(self, vector: np.ndarray, sample: Sample, shared: Any, **options: Any) -> Any: ...


def _check(settings: Settings, n: int = 4, task: Any = None, **options: Any) -> None:
    strategy = RobustAggregation(**options)
    check_strategy(strategy, settings, task or build_task(settings), n)


def test_a_root_needs_a_public_sample(tiny: Make) -> None:
    _check(tiny(), rule="fltrust")
    without = tiny("evaluation.public_bars=0")
    _check(without, rule="median")
    with pytest.raises(ConfigurationError, match=r"evaluation\.public_bars=0\. Set it"):
        _check(without, rule="fltrust")


@pytest.mark.parametrize("correction", [fed_prox(), scaffold()])
def test_a_task_that_takes_no_correction_works_until_one_is_asked_for(
    tiny: Make, correction: ClientCorrection
) -> None:
    _check(tiny(), task=_Uncorrected())
    _check(tiny(), task=_Lenient(), client_correction=correction)
    with pytest.raises(ConfigurationError, match="the task old cannot correct its training"):
        _check(tiny(), task=_Uncorrected(), client_correction=correction)


@pytest.mark.parametrize("mode", ["masked", "encrypted"])
def test_private_participants_know_a_correction_by_their_settings(tiny: Make, mode: str) -> None:
    """They refuse one that a strategy makes in its code alone."""
    strategy = RobustAggregation(client_correction=fed_prox())
    _check(tiny(), client_correction=fed_prox())
    for named in ("strategy=fedprox", "strategy=scaffold"):
        settings = tiny(f"aggregation={mode}", named)
        check_strategy(strategy, settings, build_task(settings), 4)
    unnamed = tiny(f"aggregation={mode}")
    with pytest.raises(
        ConfigurationError, match=rf"aggregation={mode} .* such as strategy\.client_correction\._t"
    ):
        check_strategy(strategy, unnamed, build_task(unnamed), 4)
    _check(unnamed)


def test_a_bound_that_the_participants_break_is_told_with_its_numbers(tiny: Make) -> None:
    """Krum needs 2f + 3 = 5 for one liar of five, and five of ten are asked with a half."""
    options: dict[str, Any] = {"rule": "krum", "byzantine_share": 0.2}
    _check(tiny(), n=5, **options)
    _check(tiny(), n=10, fraction_train=0.5, **options)
    with pytest.raises(ConfigurationError, match=r"with 4 of 4 participants .*krum.*f=1"):
        _check(tiny(), n=4, rule="krum", n_byzantine=1)
    with pytest.raises(ConfigurationError, match=r"with 6 of 12 .*f=2.*fraction_train"):
        _check(tiny(), n=12, rule="krum", n_byzantine=2, fraction_train=0.5)
    with pytest.raises(ConfigurationError, match="least_replies=5 cannot be reached: 4 of 4"):
        _check(tiny(), least_replies=5)


@pytest.mark.parametrize(
    ("overrides", "options", "message"),
    [
        ([], {"rule": "krum", "byzantine_share": 0.2}, "5 replies of 10, and strategy.rule .* 7: "),
        (
            ["aggregation=masked", "aggregation.dropout_share=0.1"],
            {},
            "5 replies of 10, and with aggregation.dropout_share the sum needs 9: .* to 0.9 or",
        ),
        (
            ["aggregation=encrypted", "aggregation.min_contributors=6"],
            {},
            "5 replies of 10, and aggregation.min_contributors needs 6: raise the quorum to 0.6",
        ),
    ],
)
def test_a_quorum_closes_no_round_too_early(
    tiny: Make, overrides: list[str], options: dict[str, Any], message: str
) -> None:
    """Krum needs 2f + 3 = 7 for two liars."""
    shared = (*overrides, "federation.n_participants=10")
    settings = tiny(*shared, "federation.quorum=0.5")
    strategy = RobustAggregation(**options)
    strategy.trust_mode = trust_mode(settings.aggregation, brought="")
    with pytest.raises(ConfigurationError, match=message):
        check_strategy(strategy, settings, build_task(settings), 10)
    enough = tiny(*shared, "federation.quorum=0.9")
    check_strategy(strategy, enough, build_task(settings), 10)
    check_strategy(strategy, tiny(*shared), build_task(settings), 10)


def test_a_refused_run_leaves_what_was_there(tiny: Make) -> None:
    settings = tiny("evaluation.public_bars=0", "strategy=robust", "strategy.rule=fltrust")
    out = Path(settings.out)
    out.mkdir()
    (out / "results.json").write_text("old", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="public_bars=0"):
        build(settings.runtime, "runtime", settings=settings)
    assert (out / "results.json").read_text(encoding="utf-8") == "old"


# --- the public sample --------------------------------------------------------------------------


@pytest.fixture
def public(tiny: Make) -> PublicSample:
    settings = tiny()
    origin = np.datetime64("2000-05-01", "s")
    found = PublicSample.of(settings, build_task(settings), origin)
    assert found is not None
    return found


def test_the_public_sample_is_the_first_bars_of_all_assets(
    public: PublicSample, tiny: Make
) -> None:
    assert (public.sample.panel.n_bars, public.sample.panel.n_assets) == (60, 4)
    assert public.sample.n_train == 60
    early = np.datetime64("2000-01-20", "s")
    settings = tiny()
    cut = PublicSample(settings, build_task(settings), early).sample
    assert cut.panel.bars[-1] <= early
    assert PublicSample.of(tiny("evaluation.public_bars=0"), build_task(settings), early) is None


def test_the_root_is_trained_like_a_participant(public: PublicSample, tiny: Make) -> None:
    """With the federation's moments and the sample's own nowcast."""
    task = build_task(tiny())
    vector = task.initial(0)
    learned = {"moments": public.sums["moments"] * 2.0}
    shared = {"nowcast": public.sums["nowcast"], **learned}
    plain = task.train(vector, public.sample, shared)
    found = public.update(vector, learned=learned, asked=ClientCorrection())
    np.testing.assert_array_equal(found, plain.update)
    assert found.any()

    pulled = public.update(vector, learned=learned, asked=fed_prox(proximal=5.0))
    expected = task.train(vector, public.sample, shared, correction=Correction(5.0))
    np.testing.assert_array_equal(pulled, expected.update)
    assert np.linalg.norm(pulled) < np.linalg.norm(found)

    both = public.update(vector, learned=learned, asked=scaffold())
    assert plain.gradient is not None
    np.testing.assert_array_equal(both, np.concatenate([plain.update, plain.gradient]))
