import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedtrade.evaluation.trading import backtest


def test_hand_computed() -> None:
    """Long at bar 0 earns bar 1; turning short costs twice; the last decision earns nothing."""
    result = backtest(
        positions_at_close=[1.0, -1.0, 0.0, 5.0],
        returns=[np.nan, 0.02, 0.03, -0.04],
        cost_bps=[0.0, 10.0],
    )
    np.testing.assert_allclose(result.gross, [0.02, -0.03, 0.0])
    np.testing.assert_allclose(result.turnover, [1.0, 2.0, 1.0])
    np.testing.assert_allclose(result.net[:, 0], result.gross)
    np.testing.assert_allclose(result.net[:, 1], [0.019, -0.032, -0.001])


def test_assets_add_up() -> None:
    """Half long, half short: turnover 1 on entry, none while held."""
    positions = np.tile([0.5, -0.5], (3, 1))
    returns = np.array([[0.0, 0.0], [0.04, 0.02], [0.01, 0.05]])
    result = backtest(positions, returns, 5.0)
    np.testing.assert_allclose(result.gross, [0.01, -0.02])
    np.testing.assert_allclose(result.turnover, [1.0, 0.0])
    np.testing.assert_allclose(result.net, [[0.0095], [-0.02]])


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_agrees_with_a_loop(n: int, n_assets: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    positions, returns = rng.standard_normal((2, n, n_assets))
    result = backtest(positions, returns, [3.0])
    held = np.zeros(n_assets)
    for t in range(n - 1):
        traded = sum(abs(positions[t, k] - held[k]) for k in range(n_assets))
        earned = sum(positions[t, k] * returns[t + 1, k] for k in range(n_assets))
        assert result.turnover[t] == pytest.approx(traded)
        assert result.net[t, 0] == pytest.approx(earned - traded * 3e-4)
        held = positions[t]


@settings(deadline=None)
@given(st.integers(3, 12), st.data())
def test_nothing_later_changes_an_earlier_result(n: int, data: st.DataObject) -> None:
    """Row i is fixed by positions up to bar i and returns up to bar i + 1."""
    cut = data.draw(st.integers(1, n - 1))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    positions, returns = rng.standard_normal((2, n, 2))
    before = backtest(positions, returns, 1.0)
    positions[cut:], returns[cut + 1 :] = 7.0, 7.0
    after = backtest(positions, returns, 1.0)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old[:cut], new[:cut])


def test_perfect_foresight_needs_the_next_return() -> None:
    """The sign of the next bar always wins; the sign of the present bar earns no such thing."""
    returns = 0.01 * np.random.default_rng(0).standard_normal(500)
    foresight = np.append(np.sign(returns[1:]), 0.0)
    assert (backtest(foresight, returns, 0.0).gross > 0.0).all()
    assert abs(backtest(np.sign(returns), returns, 0.0).gross.mean()) < 0.001


def test_returns_may_be_missing_only_where_nothing_is_held() -> None:
    positions, returns = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 0.0], [np.nan, 0.1]])
    assert backtest(positions, returns, 0.0).gross == pytest.approx(0.1)
    with pytest.raises(ValueError, match="asset 1 is held at bar 0 but has no return at bar 1"):
        backtest(positions, returns[:, ::-1], 0.0)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="position of asset 0 at bar 1 is nan"):
        backtest([0.0, np.nan, 0.0], [0.0, 0.0, 0.0], 0.0)
    with pytest.raises(ValueError, match="cost_bps must be zero or more"):
        backtest([0.0, 0.0], [0.0, 0.0], -1.0)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        backtest([0.0, 0.0], [0.0, 0.0, 0.0], 0.0)
