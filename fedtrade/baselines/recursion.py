"""The recursion of first order by which variances follow squared returns.

`y_t = decay y_{t-1} + x_t` for all t at once, by doubling: after the k-th step each y_t holds the
last 2^k of the inputs (Hillis and Steele 1986, https://doi.org/10.1145/7902.7903). Filters and
solvers of SciPy would give the same, and take longer to load than a participant's whole answer.
"""

import numpy as np

from fedtrade.baselines.forecast import FloatArray


def first_order(inputs: FloatArray, decay: float, start: FloatArray | float) -> FloatArray:
    """Solve `y_t = decay y_{t-1} + x_t` down each column, with `y_{-1} = start`.

    Parameters
    ----------
    inputs : ndarray of shape (n,) or (n, n_columns)
        The `x_t`. What follows a NaN in its column is NaN.
    decay : float
    start : float or ndarray of shape (n_columns,)

    Returns
    -------
    ndarray of the shape of `inputs`
    """
    found = np.array(inputs, dtype=np.float64)
    if not found.size:
        return found
    found[0] += decay * start
    reach, factor = 1, float(decay)
    while reach < len(found):
        found[reach:] += factor * found[:-reach]
        reach, factor = 2 * reach, factor * factor
    return found
