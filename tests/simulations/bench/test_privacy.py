import pytest

from fedtrade.errors import ConfigurationError
from simulations.bench import (
    privacy,
    privacy_accounting,
    privacy_ledger,
    privacy_noise,
    privacy_training,
    privacy_update,
)


def test_accountants_are_compared_and_calibration_is_measured() -> None:
    records = privacy_accounting.run(
        grid=[(1.0, 4.0, 10, 1e-5)], epsilons=(2.0,), sampling=(1.0,), n_steps=5
    )
    found = {(r.case, r.metric): r.value for r in records}
    case = "accountants q=1.0 sigma=4.0 T=10 delta=1e-05"
    assert found[case, "epsilon_pld"] == pytest.approx(3.34, abs=0.006)
    assert found[case, "rdp_over_pld"] == pytest.approx(3.62 / 3.34, abs=0.01)
    for name in ("pld", "prv", "rdp"):
        reached = found[f"calibration epsilon=2.0 q=1.0 T=5 {name}", "reached_over_target"]
        assert reached is not None
        assert 0.99 <= reached <= 1.0


def test_noise_is_timed_beside_opendp() -> None:
    records = privacy_noise.run(n_params=20, n_repeats=3)
    found = {(r.case, r.subject, r.metric): r.value for r in records}
    assert len(found) == 12
    assert all(value is not None and value > 0.0 for value in found.values())
    assert ("clip and noise, 20 numbers, Gaussian", "opendp", "median") in found
    assert ("an update of 20 numbers, its part of the noise", "opendp", "median") in found


def test_an_update_is_timed_beside_flower_in_each_trust_mode() -> None:
    records = privacy_update.run(n_params=20, n_participants=4, n_repeats=2)
    found = {(r.case, r.subject, r.metric): r.value for r in records}
    for mode in ("plain", "masked", "encrypted"):
        case = f"clip and noise of an update of 20 numbers, {mode}"
        ours, theirs = (found[case, name, "a participant"] for name in ("fedtrade", "flwr"))
        assert ours is not None
        assert theirs is not None
        assert min(ours, theirs) > 0.0
        assert found[case, "fedtrade", "over flwr"] == pytest.approx(ours / theirs)
    with pytest.raises(ConfigurationError, match="n_participants=2 at least 3"):
        privacy_update.run(n_participants=2)


def test_operations_of_a_ledger_and_many_budgets_are_timed() -> None:
    records = privacy_ledger.run(n_operations=20, n_participants=3)
    found = {(r.case, r.metric): r.value for r in records}
    for kind in ("rounds", "mixture"):
        whole = found[f"operation, {kind}", "mean"]
        longest = found[f"operation, {kind}", "longest"]
        assert whole is not None
        assert longest is not None
        assert 0.0 < whole <= longest
        for part in ("allocate", "consume", "release"):
            assert found[f"{part}, {kind}", "median"]
    assert ("budgets of 3", "median") in found
    with pytest.raises(ConfigurationError, match="n_operations=3 must be at least 20"):
        privacy_ledger.run(n_operations=3)


def test_private_training_is_timed_beside_plain() -> None:
    records = privacy_training.run(n_steps=(2,), n_bars=80, n_assets=1, n_repeats=2)
    found = {(r.subject, r.metric): r.value for r in records}
    for subject in ("day", "label", "label, floating-point noise"):
        ratio = found[subject, "median"] / found["plain", "median"]
        assert found[subject, "over plain"] == pytest.approx(ratio)
    with pytest.raises(ConfigurationError, match="n_bars=20 at least 60"):
        privacy_training.run(n_bars=20)


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="n_repeats=1"):
        privacy_noise.run(n_repeats=1)
    with pytest.raises(
        ConfigurationError, match="'speed' is none of accounting, noise, update, training, ledger"
    ):
        privacy.run(parts=["speed"])
