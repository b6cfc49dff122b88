"""The process-wide generators of Python and NumPy, from which Flower draws.

Its strategies sample participants with `random.sample` and its differential privacy adds noise of
`numpy.random.normal`; neither takes a generator, so a reproducible run has to seed these.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

__all__ = ["global_seed"]


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Seed both generators inside the block and restore their states afterwards."""
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
