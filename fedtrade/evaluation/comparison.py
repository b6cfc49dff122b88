"""Is one model better than another? A t statistic and block-bootstrap intervals.

Scores of successive bars are dependent, hence the Newey-West variance and the stationary
bootstrap, which resamples blocks of geometric length.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

N_RESAMPLES = 1000
MIN_BARS_FOR_BLOCK_LENGTH = 10


class Interval(NamedTuple):
    """An estimate with its confidence interval, each of the shape of one bar."""

    estimate: FloatArray
    low: FloatArray
    high: FloatArray


def mean_t(x: ArrayLike, lags: int | None = None) -> float:
    """Student statistic of the mean of a series, robust to autocorrelation.

    The variance of the mean is Newey and West's (1987, Econometrica 55(3)) with Bartlett weights
    and the small-sample factor n / (n - 1), so that `lags=0` is the ordinary t statistic. NaN
    where the series has fewer than two values or no variance.

    Parameters
    ----------
    x : array of shape (n,)
        NaN values are left out.
    lags : int, optional
        Autocovariances to include, fewer than n. By default `floor(4 (n / 100)^(2/9))`, the rule
        of Newey and West (1994); give the overlap (horizon - 1) where labels overlap longer.
    """
    values = np.asarray(x, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"x must be one series of shape (n,), got shape {values.shape}.")
    values = values[~np.isnan(values)]
    n = values.size
    if n < 2:
        return float("nan")
    n_lags = min(int(4.0 * (n / 100.0) ** (2.0 / 9.0)), n - 1) if lags is None else lags
    if not 0 <= n_lags < n:
        raise ValueError(f"lags must be in [0, {n - 1}] for {n} values, got {lags}.")
    mean = values.mean()
    # A constant's deviations are rounding errors, not variance.
    if np.ptp(values) <= 1e-14 * abs(mean):
        return float("nan")
    error = values - mean
    long_run = error @ error
    for lag in range(1, n_lags + 1):
        long_run += 2.0 * (1.0 - lag / (n_lags + 1.0)) * (error[lag:] @ error[:-lag])
    return float(mean / np.sqrt(long_run / (n * (n - 1.0))))


def block_bootstrap_interval(
    x: ArrayLike,
    *,
    level: float = 0.95,
    block_length: int | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Percentile interval of the mean over bars by the stationary bootstrap.

    Politis and Romano (1994), Journal of the American Statistical Association 89(428).

    Parameters
    ----------
    x : array of shape (n,) or (n, n_series)
        All columns are resampled with the same bars, in one go. NaN entries are left out.
    level : float
        Confidence, e.g. 0.95.
    block_length : int, optional
        Mean length in bars. By default Politis and White's (2004, corrected 2009) estimate, the
        median over columns.
    seed : int
        The interval is a function of the data and this number.

    Returns
    -------
    Interval
        Entries of shape () or (n_series,); NaN for a column without any value.
    """
    values, shape = _columns(x)
    known = ~np.isnan(values)
    length = _block_length(values) if block_length is None else block_length
    filled = np.where(known, values, 0.0)
    resamples = np.array(
        [
            _ratio(weights @ filled, weights @ known)
            for weights in _resampling_weights(len(values), length, n_resamples, seed)
        ]
    )
    return _percentiles(_ratio(filled.sum(axis=0), known.sum(axis=0)), resamples, level, shape)


def relative_gain(score: ArrayLike, reference: ArrayLike) -> FloatArray:
    """Relative gain `1 - mean(score) / mean(reference)` over bars; positive is better.

    Parameters
    ----------
    score, reference : arrays of shape (n,) or (n, n_series)
        Scores of which smaller is better and zero is perfect (a ratio of others means nothing).
        A bar missing from either is left out of both.
    """
    (a, b), shape = _paired(score, reference)
    return (1.0 - _ratio(a.sum(axis=0), b.sum(axis=0))).reshape(shape)


def relative_gain_interval(
    score: ArrayLike,
    reference: ArrayLike,
    *,
    level: float = 0.95,
    block_length: int | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Interval of `relative_gain` by the stationary bootstrap, both scores resampled jointly.

    Arguments and result as in `block_bootstrap_interval`; the default block length is that of
    the gain's influence function, `(a_t - b_t mean(a) / mean(b)) / mean(b)`.
    """
    (a, b), shape = _paired(score, reference)
    ratio = _ratio(a.sum(axis=0), b.sum(axis=0))
    length = _block_length(a - b * ratio) if block_length is None else block_length
    resamples = np.array(
        [
            1.0 - _ratio(weights @ a, weights @ b)
            for weights in _resampling_weights(len(a), length, n_resamples, seed)
        ]
    )
    return _percentiles(1.0 - ratio, resamples, level, shape)


def _columns(x: ArrayLike) -> tuple[FloatArray, tuple[int, ...]]:
    values = np.asarray(x, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) == 0:
        raise ValueError(f"x must have shape (n,) or (n, n_series), n > 0; got {values.shape}.")
    return values.reshape(len(values), -1), values.shape[1:]


def _paired(
    score: ArrayLike, reference: ArrayLike
) -> tuple[tuple[FloatArray, FloatArray], tuple[int, ...]]:
    """Both scores as columns, zero where either is missing."""
    a, shape = _columns(score)
    b, reference_shape = _columns(reference)
    if a.shape != b.shape or shape != reference_shape:
        raise ValueError(
            f"score and reference must have one shape, got {np.shape(score)} and "
            f"{np.shape(reference)}."
        )
    known = ~(np.isnan(a) | np.isnan(b))
    return (np.where(known, a, 0.0), np.where(known, b, 0.0)), shape


def _ratio(numerator: ArrayLike, denominator: ArrayLike) -> FloatArray:
    """Quotient, NaN where the denominator is zero."""
    top, bottom = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom != 0.0)


def _block_length(columns: FloatArray) -> int:
    """Median over columns of the estimated block length, rounded up; 1 without an estimate."""
    if len(columns) < MIN_BARS_FOR_BLOCK_LENGTH:
        return 1
    from arch.bootstrap import optimal_block_length

    filled = np.where(np.isnan(columns), 0.0, columns)
    filled = filled[:, np.ptp(filled, axis=0) > 0.0]
    if filled.shape[1] == 0:
        return 1
    with np.errstate(divide="ignore", invalid="ignore"):
        lengths = optimal_block_length(filled)["stationary"].to_numpy()
    lengths = lengths[np.isfinite(lengths)]
    return max(int(np.ceil(np.median(lengths))), 1) if lengths.size else 1


def _resampling_weights(
    n: int, block_length: int, n_resamples: int, seed: int
) -> Iterator[FloatArray]:
    """How often each of n bars occurs in each resample."""
    from arch.bootstrap import StationaryBootstrap

    if block_length < 1:
        raise ValueError(f"block_length must be at least 1 bar, got {block_length}.")
    if n_resamples < 1:
        raise ValueError(f"n_resamples must be at least 1, got {n_resamples}.")
    bootstrap = StationaryBootstrap(block_length, np.empty(n), seed=np.random.default_rng(seed))
    for _ in range(n_resamples):
        yield np.bincount(bootstrap.update_indices(), minlength=n).astype(np.float64)


def _percentiles(
    estimate: FloatArray, resamples: FloatArray, level: float, shape: tuple[int, ...]
) -> Interval:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must be in (0, 1), got {level}.")
    low, high = np.quantile(resamples, [(1.0 - level) / 2.0, (1.0 + level) / 2.0], axis=0)
    return Interval(estimate.reshape(shape), low.reshape(shape), high.reshape(shape))
