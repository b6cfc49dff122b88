from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedtrade.report import plots
from fedtrade.report.comparisons import comparisons, participant_gains
from fedtrade.report.results import ForecastPath, Headline, Results, Round, parse_results
from fedtrade.report.theme import style, to_svg


@pytest.fixture
def axes() -> Iterator[Axes]:
    with style():
        yield Figure().add_subplot()


def labels(axes: Axes) -> list[str]:
    return [label.get_text() for label in axes.get_yticklabels()]


def test_gains_are_sorted_and_hollow_where_undecided(axes: Axes, results: Results) -> None:
    plots.draw_gains(axes, comparisons(results))
    assert labels(axes)[0] == "Frozen + nowcast"
    assert labels(axes)[-1] == "GJR-GARCH-t"
    whiskers = {line.get_ydata()[0]: line.get_xdata() for line in axes.lines[1::2]}
    np.testing.assert_allclose(whiskers[0], [-0.4, 0.8])
    hollow = [line.get_markerfacecolor() == "#ffffff" for line in axes.lines[2::2]]
    assert hollow == [True, True] + [False] * 6


def test_the_worst_participant_is_named(axes: Axes, results: Results) -> None:
    gains = participant_gains(results, "local_nowcast")
    plots.draw_gain_bars(axes, gains, results.headline)
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, [100 * gain for gain in gains.values()])
    assert labels(axes) == list(gains)
    assert axes.texts[0].get_text() == "worst \u22122.0\u00a0%"


def test_gains_that_are_differences_are_drawn_in_their_unit(axes: Axes, signal: Results) -> None:
    plots.draw_gains(axes, [c for c in comparisons(signal) if c.against == "reversal"])
    np.testing.assert_allclose(axes.lines[1].get_xdata(), [-2.5, 1.5])
    assert axes.texts[0].get_text() == "\u22120.50\u00a0bp/day"
    assert axes.get_xlabel() == "gain, bp/day (federated better \u2192)"
    assert axes.xaxis.get_major_formatter()(0.5) == "0.5"


def test_bars_that_are_differences_are_drawn_in_their_unit(axes: Axes, signal: Results) -> None:
    plots.draw_gain_bars(axes, participant_gains(signal, "reversal"), signal.headline)
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [-1.5, 0.5])
    assert axes.get_xlabel() == "gain, bp/day"
    assert axes.texts[0].get_text() == "worst \u22121.50\u00a0bp/day"


def test_a_histogram_of_differences_is_drawn_in_their_unit(axes: Axes, signal: Results) -> None:
    gains = {str(k): k * 1e-4 for k in range(-1, 3)}
    plots.draw_gain_histogram(axes, gains, signal.headline)
    assert axes.patches[0].get_x() == pytest.approx(-1.0)
    worst = "worst: participant -1, \u22121.00\u00a0bp/day"
    assert axes.get_xlabel() == f"gain, bp/day ({worst})"


def test_a_sum_of_daily_scores_is_not_per_day(axes: Axes, signal: Results) -> None:
    plots.draw_score_difference(axes, signal, "reversal")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [-0.5, -1.0, -1.5, -2.0, -2.5])
    assert axes.get_ylabel() == "Net return, bp"


def test_the_histogram_counts_everyone_and_splits_at_zero(axes: Axes) -> None:
    gains = {str(k): g for k, g in enumerate(np.linspace(-0.01, 0.03, 400))}
    plots.draw_gain_histogram(axes, gains, Headline(metric="pinball"))
    counts = [(bar.get_x(), bar.get_height()) for bar in axes.patches]
    assert sum(height for _, height in counts) == 400
    assert min(abs(x) for x, _ in counts) < 1e-9
    assert "worst: participant 0, \u22121.0\u00a0%" in axes.get_xlabel()


def test_equal_gains_make_a_histogram(axes: Axes) -> None:
    plots.draw_gain_histogram(axes, {str(k): 0.0 for k in range(50)}, Headline(metric="pinball"))
    assert sum(bar.get_height() for bar in axes.patches) == 50


def test_breaches_are_counted_and_marked(axes: Axes) -> None:
    content: dict[str, Any] = {
        "participant": "3",
        "asset": "A$B$C",
        "bars": ["2001-01-01", "2001-01-02", "2001-01-03", "2001-01-04"],
        "return": [0.01, -0.05, None, -0.02],
        "var": [-0.02, -0.03, -0.03, -0.02],
        "es": [-0.03, -0.04, None, -0.03],
        "level": 0.025,
    }
    plots.draw_path(axes, ForecastPath(**content))
    assert axes.get_title("left") == "A$B$C (participant 3): 1 breach in 3 bars, 33.3 %"
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), [-5.0])
    assert axes.lines[0].get_label() == "2.5 % VaR"


def test_lines_break_between_test_periods(axes: Axes) -> None:
    bars = ["2001-01-01", "2001-01-02", "2001-01-03", "2003-01-01", "2003-01-02"]
    values = [-0.01] * 5
    path = ForecastPath(
        participant="0", asset="A", bars=bars, returns=values, var=values, es=values, level=0.01
    )
    plots.draw_path(axes, path)
    drawn = np.asarray(axes.lines[0].get_ydata(), dtype=float)
    np.testing.assert_allclose(drawn, [-1, -1, -1, np.nan, -1, -1])


def test_the_mean_loss_is_over_complete_episodes(axes: Axes) -> None:
    rounds = [
        Round(episode=e, round=r, n_replies=1, loss=loss)
        for e, r, loss in [(0, 1, 4.0), (0, 2, 2.0), (1, 1, 6.0), (1, 2, 4.0), (2, 1, 100.0)]
    ]
    plots.draw_rounds(axes, rounds)
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), [5.0, 3.0])
    assert len(axes.lines) == 4


@pytest.mark.parametrize(("lower_is_better", "expected"), [(True, 3.0), (False, -3.0)])
def test_the_difference_rises_while_federated_is_better(
    axes: Axes, content: dict[str, Any], lower_is_better: bool, expected: float
) -> None:
    bars = ["2001-01-01", "2001-01-02", "2001-01-03"]
    scores = {"federated": [1e-4, 2e-4, 3e-4], "ewma_t6": [3e-4, 3e-4, None]}
    content["series"]["daily"] = {"bars": bars, **scores}
    content["headline"]["lower_is_better"] = lower_is_better
    plots.draw_score_difference(axes, parse_results(content), "ewma_t6")
    np.testing.assert_allclose(axes.lines[0].get_ydata()[-1], expected)


def test_test_periods_far_apart_are_drawn_side_by_side(axes: Axes, content: dict[str, Any]) -> None:
    bars = ["2001-01-01", "2001-01-02", "2001-01-03", "2021-06-01", "2021-06-02"]
    scores = {"federated": [1e-4] * 5, "ewma_t6": [2e-4] * 5}
    content["series"]["daily"] = {"bars": bars, **scores}
    plots.draw_score_difference(axes, parse_results(content), "ewma_t6")
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0, 1, 2, 3, 4])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1, 2, 3, 4, 5])
    np.testing.assert_allclose(axes.get_xticks(), [0, 3])
    assert [t.get_text() for t in axes.get_xticklabels()] == ["2001-01", "2021-06"]


def test_many_test_periods_are_not_all_named(axes: Axes, content: dict[str, Any]) -> None:
    bars = [f"{year}-01-0{day}" for year in range(1980, 2008) for day in (1, 2, 3)]
    content["series"]["daily"] = {"bars": bars, "federated": [1.0] * 84, "fhs": [1.0] * 84}
    plots.draw_score_difference(axes, parse_results(content), "fhs")
    np.testing.assert_allclose(axes.get_xticks(), np.arange(0, 84, 12))


def test_missing_daily_scores_are_named(axes: Axes, results: Results) -> None:
    with pytest.raises(ValueError, match="no daily scores of federated and fhs"):
        plots.draw_score_difference(axes, results, "fhs")


def test_the_picture_is_a_png(results: Results, tmp_path: Path) -> None:
    plots.picture(results, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_picture_of_one_part(content: dict[str, Any], tmp_path: Path) -> None:
    path = content["series"].pop("path")
    plots.picture(parse_results(content), tmp_path / "gains.png")
    content["metrics"], content["series"]["path"] = [], path
    plots.picture(parse_results(content), tmp_path / "path.png")
    assert (tmp_path / "gains.png").exists()
    content["series"]["path"] = None
    with pytest.raises(ValueError, match="neither"):
        plots.picture(parse_results(content), tmp_path / "nothing.png")


def test_panels_are_the_own_model_and_the_hardest_baseline(
    results: Results, make_content: Callable[..., dict[str, Any]]
) -> None:
    assert plots.opponents(results) == ("local_tuned", "har_mix_t6")
    content = make_content(n_participants=2)
    content["metrics"] = [r for r in content["metrics"] if r["participant"] == "all"]
    assert plots.opponents(parse_results(content)) == ()


def test_drawing_leaves_the_global_settings_alone() -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    to_svg(lambda figure: figure.add_subplot().set_title("#1b2430"), width=2, height=2, name="x")
    assert dict(mpl.rcParams) == before


def test_only_styles_become_variables() -> None:
    svg = to_svg(
        lambda figure: figure.add_subplot().set_title("fill #1b2430"), width=2, height=2, name="x"
    )
    assert ">fill #1b2430</text>" in svg
    assert "fill: var(--ink)" in svg
    assert svg.startswith("<svg ")
    assert "<style" not in svg
