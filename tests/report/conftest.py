"""A realistic run of the risk task: ten participants, eight episodes, made from a seed."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fedtrade.report.privacy import Traffic, privacy_record
from fedtrade.report.results import Results, parse_results
from fedtrade.secure import MaskedAggregation
from fedtrade.secure.parameters import GraphParameters
from fedtrade.secure.statement import masked_statement

BASELINES = {
    # arm: (1 % pinball in bp, gain of federated, half-width of its interval)
    "ewma_t6": (6.75, 0.030, 0.012),
    "har_mix_t6": (6.66, 0.016, 0.011),
    "fhs": (7.55, 0.133, 0.035),
    "gjr_garch_t": (7.88, 0.169, 0.041),
    "local_default": (6.83, 0.041, 0.014),
    "local_tuned": (6.74, 0.028, 0.010),
    "local_nowcast": (6.62, 0.0105, 0.013),
    "frozen_nowcast": (6.56, 0.002, 0.006),
}
LEVELS = {0.01: 1.0, 0.025: 1.9, 0.05: 3.1}


def risk_content(n_participants: int = 10, n_episodes: int = 8, seed: int = 0) -> dict[str, Any]:
    """The content of results.json as a run would write it."""
    rng = np.random.default_rng(seed)
    return {
        "schema_version": 1,
        "fedtrade_version": "0.1.0",
        "created": "2026-01-15T09:30:00+00:00",
        "task": "risk",
        "scores": "by_participant",
        "settings": {
            "seed": 0,
            "task": {"name": "risk", "levels": [0.01, 0.025, 0.05], "history_days": 60},
            "data": {"_target_": "fedtrade.market.sources.sp500"},
            "strategy": {"n_rounds": 10, "local_steps": 10},
            "evaluation": {"test_bars": 261, "embargo_bars": 0},
            "out": "outputs/demo",
        },
        "verdict": "10 of 10 newcomers are better off: 1 % VaR pinball -2.8 % against their own "
        "tuned model (t = 4.9), -1.6 % against HAR-mix-t6 (t = 2.9).",
        "notes": [
            "A frozen public model with the market nowcast comes within 0.2 %: most of the gain "
            "is the nowcast."
        ],
        "headline": {
            "metric": "pinball",
            "level": 0.01,
            "unit": "bp",
            "scale": 1e4,
            "lower_is_better": True,
            "relative": True,
        },
        "episodes": [
            {
                "episode": i,
                "fold": i % 2,
                "origin": f"{2001 + 2 * i}-03-02",
                "test_end": f"{2002 + 2 * i}-03-20",
                "n_participants": n_participants,
                "n_scored": n_participants // 2,
            }
            for i in range(n_episodes)
        ],
        "rounds": [
            {
                "episode": i,
                "round": r,
                "n_replies": n_participants - (i == 2 and r == 4),
                "n_failures": int(i == 2 and r == 4),
                "loss": 1.1 + 0.3 * np.exp(-r / 3) + 0.04 * rng.normal() / r + 0.02 * i,
                "update_norm": 0.5 / r,
                "seconds": 0.21,
            }
            for i in range(n_episodes)
            for r in range(1, 11)
        ],
        "failures": [
            {
                "episode": 2,
                "round": 4,
                "participant": "7",
                "reason": "the update holds values that are not finite",
                "party": "",
            }
        ],
        "metrics": list(_metrics(n_participants, rng)),
        "series": {"daily": _daily(rng), "path": _path(rng)},
        "privacy": _privacy(n_episodes),
    }


def _privacy(n_episodes: int) -> dict[str, Any]:
    """A masked run of ten; bytes are round numbers."""
    graph = GraphParameters(10, 9, threshold=7, most_colluders=2, committee=10, quorum=7)
    statement = masked_statement(MaskedAggregation(), 10, graph)
    times = {"joining": 1, "sum": 2 * n_episodes, "training": 10 * n_episodes, "run": 1}
    traffic = [
        Traffic(
            party="participants",
            kind=kind,
            n_times=n_times,
            n_exchanges=3 * n_times,
            mean_bytes_down=5_000 * n_times,
            most_bytes_down=6_000 * n_times,
            mean_bytes_up=7_000 * n_times,
            most_bytes_up=8_000 * n_times,
        )
        for kind, n_times in times.items()
    ]
    return privacy_record(statement, traffic).model_dump(mode="json")


def _metrics(n_participants: int, rng: np.random.Generator) -> Any:
    scores = {arm: score for arm, (score, _, _) in BASELINES.items()}
    for arm, score in (scores | {"federated": 6.55, "pooled": 6.53}).items():
        for level, factor in LEVELS.items():
            values = {
                "pinball": score * factor * 1e-4,
                "fz0": -3.6 + score / 10 + factor / 5,
                "hit_rate": level * (1 + 0.03 * (score - 6.5)),
                "kupiec_p": float(rng.uniform()),
                "christoffersen_p": float(rng.uniform()),
                "acerbi_szekely_z2": -0.1 * (score - 6.5),
            }
            for name, value in values.items():
                yield _record(arm, name, level, "all", value)
        for k in range(n_participants):
            yield _record(arm, "pinball", 0.01, str(k), score * 1e-4 * rng.uniform(0.8, 1.2))
    for arm, (_, gain, half) in BASELINES.items():
        own = rng.normal(gain, 0.008, size=n_participants)
        for name, value in {
            "gain": gain,
            "gain_low": gain - half,
            "gain_high": gain + half,
            "t": 2 * gain / half,
            "share_better": float(np.mean(own > 0)),
            "worst_gain": float(own.min()),
        }.items():
            yield _record("federated", f"{name}_vs:{arm}", 0.01, "all", value)
        for k, value in enumerate(own):
            yield _record("federated", f"gain_vs:{arm}", 0.01, str(k), float(value))


def _record(arm: str, name: str, level: float | None, who: str, value: float) -> dict[str, Any]:
    return {"arm": arm, "metric": name, "level": level, "participant": who, "value": value}


def _daily(rng: np.random.Generator) -> dict[str, Any]:
    bars = np.arange("2001-03-05", "2009-03-20", dtype="datetime64[D]")
    bars = bars[np.is_busday(bars)]
    common = 6e-4 * rng.gamma(0.6, 1.6, size=len(bars))
    return {
        "bars": [str(bar) for bar in bars],
        "har_mix_t6": list(common * (1 + 0.016)),
        "local_tuned": list(common * (1.02 + 0.1 * rng.normal(size=len(bars)))),
        "federated": list(common * (1 + 0.12 * rng.normal(size=len(bars)))),
    }


def _path(rng: np.random.Generator) -> dict[str, Any]:
    bars = np.arange("2007-06-01", "2009-06-01", dtype="datetime64[D]")
    bars = bars[np.is_busday(bars)]
    volatility = 0.012 + 0.028 * np.exp(-(((np.arange(len(bars)) - 360) / 70.0) ** 2))
    returns = volatility * rng.standard_t(6, size=len(bars)) * 0.82
    var = -2.6 * volatility * np.exp(0.08 * rng.normal(size=len(bars)))
    return {
        "participant": "3",
        "asset": "AAPL",
        "bars": [str(bar) for bar in bars],
        "return": list(returns),
        "var": list(var),
        "es": list(1.25 * var),
        "level": 0.01,
    }


def signal_content() -> dict[str, Any]:
    """A run of the signal task: gains are differences; buying and holding is far ahead."""
    net_returns = {
        "buy_and_hold": 4.5e-4,
        "reversal": 1.0e-4,
        "local_tuned": -0.2e-4,
        "federated": 0.5e-4,
    }
    metrics = []
    for arm, value in net_returns.items():
        for cost in (0.0, 1.0, 5.0, 10.0):
            charged = value - (cost - 5.0) * 1e-6
            metrics.append(_record(arm, "net_return", cost, "all", charged))
            metrics += [
                _record(arm, name, cost, "all", 0.3 - 0.01 * cost)
                for name in ("net_sharpe", "psr", "dsr", "max_drawdown")
            ]
        metrics += [_record(arm, name, None, "all", 0.012) for name in ("rank_ic", "turnover")]
        if arm == "federated":
            continue
        gain = net_returns["federated"] - value
        for name, number in {
            "gain": gain,
            "gain_low": gain - 2e-4,
            "gain_high": gain + 2e-4,
            "t": 1.5,
            "share_better": 0.5,
            "worst_gain": gain - 1e-4,
        }.items():
            metrics.append(_record("federated", f"{name}_vs:{arm}", None, "all", number))
        for k, shift in enumerate((-1e-4, 1e-4)):
            metrics.append(_record("federated", f"gain_vs:{arm}", None, str(k), gain + shift))
    days = [f"2001-03-0{day}" for day in range(1, 6)]
    return risk_content(n_participants=1, n_episodes=1) | {
        "task": "signal",
        "headline": {
            "metric": "net_return",
            "level": 5.0,
            "unit": "bp/day",
            "scale": 1e4,
            "lower_is_better": False,
            "relative": False,
        },
        "metrics": metrics,
        "series": {"daily": {"bars": days} | {arm: [v] * 5 for arm, v in net_returns.items()}},
    }


@pytest.fixture(scope="session")
def signal() -> Results:
    return parse_results(signal_content())


@pytest.fixture(scope="session")
def results() -> Results:
    return parse_results(risk_content())


@pytest.fixture
def content() -> dict[str, Any]:
    return risk_content(n_participants=3, n_episodes=2)


@pytest.fixture(scope="session")
def make_content() -> Callable[..., dict[str, Any]]:
    return risk_content


def summed_content(content: dict[str, Any]) -> dict[str, Any]:
    """The same run where scores were only seen summed; in 61 % of cases federated is better."""
    metrics = [m for m in content["metrics"] if m["participant"] == "all"]
    cases = [
        m | {"metric": m["metric"].replace("share_better", "share_of_episodes_better")}
        for m in metrics
        if m["metric"].startswith("share_better_vs:")
    ]
    hidden = ("share_better_vs:", "worst_gain_vs:")
    metrics = [m for m in metrics if not m["metric"].startswith(hidden)]
    metrics += [case | {"value": 0.61} for case in cases]
    series = content["series"] | {"path": None}
    verdict = f"10 newcomers, scored as a sum:{content['verdict'].split(':')[1]}"
    changed = {"scores": "summed", "verdict": verdict, "metrics": metrics, "series": series}
    return content | changed


@pytest.fixture(scope="session")
def summed() -> Results:
    return parse_results(summed_content(risk_content()))
