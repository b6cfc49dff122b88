"""The recursion of first order by which variances follow squared returns.

`y_t = decay y_{t-1} + x_t` for all t at once is a system of equations with two diagonals, which
LAPACK solves from the first line to the last (Golub and Van Loan 2013, Matrix Computations,
section 4.3). A filter of `scipy.signal` would give the same; that module takes longer to load than
a participant's answer takes.
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
    if not inputs.size:
        return inputs.copy()
    from scipy.linalg.lapack import dtbtrs

    known = inputs.copy()
    known[0] += decay * start
    diagonals = np.empty((2, len(known)))  # the upper one is 1 everywhere and never read
    diagonals[1] = -decay
    solved, _ = dtbtrs(diagonals, known, uplo="L", diag="U")
    return np.asarray(solved, dtype=np.float64).reshape(inputs.shape)
