"""Small runs of the benchmark: every subject is measured, on the same definition."""

from typing import Any

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError
from simulations.bench import robust
from simulations.bench.byzfl_peer import byzfl_module
from simulations.bench.robust_cases import RULES, ours, peers


@pytest.mark.slow
def test_all_subjects_of_a_case_are_measured() -> None:
    records = robust.run(
        shapes=((20, 300),), cases=["krum", "nnm"], large=(64, 300), growth=(100, 200), n_repeats=1
    )
    found = {(r.case, r.subject, r.metric): r.value for r in records}
    assert found["krum-20x300", "flwr", "duration"] > 0.0
    speedup = found["krum-20x300", "fedtrade", "speedup_vs:flwr"]
    ratio = found["krum-20x300", "flwr", "duration"] / found["krum-20x300", "fedtrade", "duration"]
    assert speedup == pytest.approx(ratio)
    assert found["krum-20x300", "fedtrade", "speedup"] <= speedup
    assert found["nnm-20x300", "numpy-sgemm", "duration"] > 0.0
    assert ("nnm-20x300", "fedtrade", "extra_copies") in found
    assert ("krum-500x100-200", "fedtrade", "growth_exponent") in found
    assert found["multi_krum-sketch256-64x300", "fedtrade", "duration"] > 0.0
    assert ("trimmed_mean-64x300", "fedtrade", "peak_rss_beyond_input") in found


@pytest.mark.parametrize("case", [case for case in RULES if "krum" not in case])
def test_peers_compute_the_same(case: str) -> None:
    """Up to rounding; ByzFL's geometric median stops early, its Krum is defined otherwise."""
    if byzfl_module("aggregators.aggregators") is None:
        pytest.skip("byzfl is not installed")
    updates = np.random.default_rng(0).standard_normal((15, 40), dtype=np.float32)
    own = ours(case, updates, 3)()
    found = peers(case, updates, 3)
    assert {"byzfl-numpy", "byzfl-torch"} <= set(found)
    tolerance = 0.05 if case == "geometric_median" else 1e-4
    for name, run in found.items():
        np.testing.assert_allclose(np.asarray(run()), own, atol=tolerance, err_msg=name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": 3}, r"is \[n_clients, n_params\], .* got 3\.$"),
        ({"shapes": [[20, 0]]}, r"got \[20, 0\]"),
        ({"large": [10]}, r"got \[10\]"),
        ({"shapes": [[2, 5]]}, "of 2 clients needs at least 3 of them"),
        ({"byzantine_share": 0.5}, r"byzantine_share must be in \[0, 0.5\), got 0.5"),
        ({"byzantine_share": "some"}, "got 'some'"),
        ({"cases": ["crum"]}, "there is no case 'crum'; choose from krum, multi_krum"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        robust.run(**options)
