"""Scores of volatility forecasts, bar by bar; smaller is better, zero is perfect.

NaN where an argument is missing or not positive (a bar without movement has no logarithm): leave
such bars out for every model alike.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def qlike(realised_variance: ArrayLike, forecast_variance: ArrayLike) -> NDArray[np.float64]:
    """`x - log x - 1` with x the realised over the forecast variance; arguments broadcast.

    Patton (2011), "Volatility forecast comparison using imperfect volatility proxies", Journal
    of Econometrics 160(1), in the form that is zero at a perfect forecast. Its ranking of
    forecasts survives noise in an unbiased proxy, and it does not depend on units.
    """
    ratio = _positive(realised_variance) / _positive(forecast_variance)
    return np.asarray(ratio - np.log(ratio) - 1.0, dtype=np.float64)


def log_squared_error(realised: ArrayLike, forecast: ArrayLike) -> NDArray[np.float64]:
    """Squared difference of the logarithms; arguments broadcast.

    Give volatilities for the metric `log_mse`; variances would give four times as much.
    """
    error = np.log(_positive(realised)) - np.log(_positive(forecast))
    return np.asarray(np.square(error), dtype=np.float64)


def _positive(values: ArrayLike) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return np.where(array > 0.0, array, np.nan)
