import numpy as np
import pytest

from fedtrade.corrections import (
    ClientCorrection,
    Correction,
    fed_prox,
    next_variate,
    scaffold,
    variate_shift,
)


def _row(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_the_two_corrections_and_both_together() -> None:
    assert fed_prox(proximal=0.3) == ClientCorrection(0.3, uses_variates=False)
    assert scaffold() == ClientCorrection(0.0, uses_variates=True)
    assert scaffold(proximal=0.3) == ClientCorrection(0.3, uses_variates=True)
    assert (fed_prox().n_parts, scaffold().n_parts) == (1, 2)


@pytest.mark.parametrize("proximal", [-0.1, float("nan"), float("inf")])
def test_an_impossible_pull_is_refused(proximal: float) -> None:
    for make in (Correction, fed_prox, scaffold):
        with pytest.raises(ValueError, match=f"proximal must be .* got {proximal}"):
            make(proximal=proximal)  # type: ignore[operator]


def test_a_shift_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="shift must be finite"):
        Correction(shift=_row(1.0, np.nan))


def test_the_shift_is_the_difference_of_the_variates() -> None:
    found = variate_shift(_row(1, 2), _row(3, 0))
    assert found is not None
    assert found.tolist() == [-2.0, 2.0]
    assert variate_shift(_row(1, 2), None) is None
    assert variate_shift(_row(0, 0), _row(3, 0)) is None


def test_the_variate_moves_by_the_share_that_was_heard() -> None:
    assert next_variate(_row(1, 4), _row(3, 0), 0.25).tolist() == [1.5, 3.0]
    assert next_variate(_row(1, 4), _row(3, 0), 1.0).tolist() == [3.0, 0.0]
    assert next_variate(_row(1, 4), _row(3, 0), 0.0).tolist() == [1.0, 4.0]


def test_an_error_in_the_variate_dies_out_when_all_are_heard() -> None:
    """In the paper's sum of changes it would stay for ever."""
    own = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    found = next_variate(_row(1e3, -1e3, 0), own.mean(axis=0), 1.0)
    np.testing.assert_allclose(found, own.mean(axis=0), atol=1e-3)
