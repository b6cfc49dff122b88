"""What all tests share: one thread, quick and repeatable properties, a small made-up market."""

import os
from collections.abc import Callable
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import settings

from conf import compose
from fedtrade.market.panel import Panel
from fedtrade.settings import Settings

torch.set_num_threads(1)

# The same examples each time: a failure can be repeated, and a pass is not luck.
settings.register_profile("local", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("ci", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("ci" if os.environ.get("CI") else "local")

Market = Callable[..., Panel]
FIRST_BAR = np.datetime64("2000-01-03", "s")


def make_market(n_bars: int = 320, n_assets: int = 6, seed: int = 0) -> Panel:
    """Daily prices whose returns share a factor and a volatility that clusters.

    The factor follows a GARCH(1, 1) with Student-t shocks; each asset adds noise of its own scale
    that the factor's volatility moves along.
    """
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(6.0, n_bars) / np.sqrt(1.5)
    variance, factor = 1e-4, np.empty(n_bars)
    volatility = np.empty(n_bars)
    for t, shock in enumerate(shocks):
        volatility[t] = np.sqrt(variance)
        factor[t] = volatility[t] * shock
        variance = 1e-4 * 0.05 + 0.12 * factor[t] ** 2 + 0.83 * variance
    own = rng.standard_t(5.0, (n_bars, n_assets)) * rng.uniform(0.5, 1.5, n_assets)
    returns = 0.7 * factor[:, None] + 0.5 * volatility[:, None] * own
    close = 100.0 * np.cumprod(1.0 + np.clip(returns, -0.5, 0.5), axis=0)
    bars = FIRST_BAR + np.arange(n_bars) * np.timedelta64(1, "D")
    return Panel(bars, tuple(f"A{k:02d}" for k in range(n_assets)), close)


@pytest.fixture(scope="session")
def market() -> Market:
    """Makes a panel of (n_bars, n_assets, seed)."""
    return make_market


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Makes settings of a run of a second or two, on a made-up market in a file of one's own.

    Takes Hydra overrides; `out` is always a fresh folder.
    """
    folder = tmp_path_factory.mktemp("tiny")
    panel = make_market(n_bars=180, n_assets=4)
    frame = pd.DataFrame(panel.close, columns=list(panel.assets))
    frame.insert(0, "date", panel.bars)
    frame.to_csv(folder / "prices.csv", index=False)
    base = (
        "data=csv",
        f"data.path={folder / 'prices.csv'}",
        "federation=same_history",
        "federation.n_participants=4",
        "federation.history_bars=60",
        "federation.rounds=2",
        "evaluation.n_origins=2",
        "evaluation.test_bars=25",
        "evaluation.public_bars=60",
        "evaluation.bootstrap_resamples=100",
        "task.alone_steps=5",
        "task.local_steps=3",
        "progress=none",
    )

    @cache
    def composed(overrides: tuple[str, ...]) -> Settings:
        return compose([*base, *overrides])

    def make(*overrides: str) -> Settings:
        out = tmp_path_factory.mktemp("out") / "run"
        return composed(overrides).model_copy(update={"out": str(out)})

    return make
