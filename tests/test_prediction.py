from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conf import compose
from fedtrade.baselines import ewma_t6
from fedtrade.errors import CheckpointError, ConfigurationError, DataError
from fedtrade.holdings import build_task
from fedtrade.market import Panel
from fedtrade.model_file import write_model
from fedtrade.prediction import predict_file, print_prediction, write_prediction
from fedtrade.tasks import Model, Sample

Market = Callable[..., Panel]


def write_prices(panel: Panel, path: Path) -> Path:
    table = pd.DataFrame(panel.close, columns=list(panel.assets))
    table.insert(0, "date", panel.bars.astype("datetime64[D]"))
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def untrained(task_name: str, panel: Panel, path: Path) -> Path:
    """A model file of the untrained vector with the sums that the panel gives."""
    settings = compose([f"task={task_name}"])
    task = build_task(settings)
    sample = Sample.take(panel, calendar=panel.bars, origin=panel.bars[-1])
    shared: dict[str, np.ndarray] = {}
    for name in task.sums:
        shared[name] = task.finish_sum(name, task.local_sum(name, sample, shared))
    model = Model(task.initial(0), {name: shared[name] for name in task.learned})
    write_model(path, model, settings, int(panel.bars[-1].astype(np.int64)), "1D")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_untrained_risk_model_forecasts_the_ewma_tail(
    market: Market, tmp_path: Path, suffix: str
) -> None:
    """An independent forecast of the bar after the last one."""
    panel = market().tail(120)
    found = predict_file(
        untrained("risk", panel, tmp_path / "m.safetensors"),
        write_prices(panel, tmp_path / f"prices{suffix}"),
    )
    assert {f.asset for f in found.forecasts} == set(panel.assets)
    levels = (0.05, 0.025, 0.01)
    for column, asset in enumerate(panel.assets):
        history = np.append(panel.returns()[:, column], np.nan)
        expected = ewma_t6(history, len(history) - 1, levels)
        for quantity, values in (("var", expected.var), ("es", expected.es)):
            ours = [f.value for f in found.forecasts if (f.asset, f.quantity) == (asset, quantity)]
            assert ours == pytest.approx(values[0].tolist(), rel=1e-5)


@pytest.mark.parametrize(
    ("task", "quantities"), [("volatility", {"volatility"}), ("signal", {"score", "position"})]
)
def test_every_task_forecasts(
    market: Market,
    tmp_path: Path,
    task: str,
    quantities: set[str],
    capsys: pytest.CaptureFixture,
) -> None:
    panel = market().tail(150)
    prices = write_prices(panel, tmp_path / "prices.csv")
    found = predict_file(untrained(task, panel, tmp_path / "m.safetensors"), prices)
    assert {f.quantity for f in found.forecasts} == quantities
    assert np.isfinite([f.value for f in found.forecasts]).all()
    print_prediction(found)
    shown = capsys.readouterr().out
    assert panel.assets[0] in shown
    assert shown.startswith("Forecasts after ")
    assert ("[% of capital]" in " ".join(shown.split())) == (task == "signal")
    assert ("[%]" in shown) == (task == "volatility")
    write_prediction(found, tmp_path / "f.json")
    assert pd.read_json(tmp_path / "f.json").shape[0] == len(found.forecasts)


def test_an_asset_with_too_few_bars_is_left_out(
    market: Market, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    panel = market().tail(120)
    close = panel.close.copy()
    close[:-10, 0] = np.nan
    short = Panel(panel.bars, panel.assets, close)
    model = untrained("risk", panel, tmp_path / "m.safetensors")
    found = predict_file(model, write_prices(short, tmp_path / "prices.csv"))
    assert panel.assets[0] not in {f.asset for f in found.forecasts}
    assert f"{panel.assets[0]} is left out: it has 10 bars" in caplog.text


def test_prices_that_are_too_short_are_refused(market: Market, tmp_path: Path) -> None:
    model = untrained("risk", market().tail(120), tmp_path / "m.safetensors")
    prices = write_prices(market().tail(30), tmp_path / "prices.csv")
    with pytest.raises(DataError, match="40 bars"):
        predict_file(model, prices)


def test_the_market_may_come_from_another_file(market: Market, tmp_path: Path) -> None:
    """One asset's forecast under everybody's nowcast is that within everybody's file."""
    panel = market().tail(120)
    model = untrained("risk", panel, tmp_path / "m.safetensors")
    everyone = write_prices(panel, tmp_path / "all.csv")
    alone = write_prices(panel.select(panel.assets[:1]), tmp_path / "one.csv")
    together = [f for f in predict_file(model, everyone).forecasts if f.asset == panel.assets[0]]
    assert predict_file(model, alone, everyone).forecasts == together


def test_options_say_how_to_read_the_prices(market: Market, tmp_path: Path) -> None:
    panel = market().tail(120)
    model = untrained("risk", panel, tmp_path / "m.safetensors")
    table = pd.DataFrame(panel.close, columns=list(panel.assets))
    table.insert(0, "date", panel.bars.astype("datetime64[D]"))
    table.to_csv(tmp_path / "p.csv", sep="\t", decimal=",", index=False)
    found = predict_file(model, tmp_path / "p.csv", options={"decimal": ","})
    assert found == predict_file(model, write_prices(panel, tmp_path / "plain.csv"))
    with pytest.raises(ConfigurationError, match=r"data\.nope is not an option"):
        predict_file(model, tmp_path / "p.csv", options={"nope": 1})
    one = predict_file(model, tmp_path / "plain.csv", tmp_path / "plain.csv", {"assets": ["A01"]})
    assert one.forecasts == [f for f in found.forecasts if f.asset == "A01"]


def test_prices_unlike_those_of_training_are_warned_of(
    market: Market, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    panel = market().tail(120)
    model = untrained("risk", panel, tmp_path / "m.safetensors")
    predict_file(model, write_prices(panel, tmp_path / "p.csv"))
    assert caplog.text == ""
    weekly = Panel(
        panel.bars[0] + np.arange(50) * np.timedelta64(7, "D"),
        panel.assets,
        panel.close[:50],
    )
    predict_file(model, write_prices(weekly, tmp_path / "weekly.csv"))
    assert "have bars of 1W, but the model was trained on bars of 1D" in caplog.text
    assert "have 50 bars, but in training everybody had 60 or more" in caplog.text


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model at .*none\.safetensors"):
        predict_file(tmp_path / "none.safetensors", tmp_path / "prices.csv")
