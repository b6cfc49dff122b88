"""Work through blocks of columns with one thread a core."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["each_part", "n_cores"]

PARALLEL_FROM = 1 << 20
"""Elements from which threads are worth their start."""

T = TypeVar("T")


def n_cores() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every platform
        return os.cpu_count() or 1


def each_part(n_columns: int, n_elements: int, work: Callable[[slice], T]) -> list[T]:
    """Call `work` on as many equal parts of the columns as there are cores; results in order.

    Meanwhile linear algebra keeps to the thread that calls it: many products of flat blocks at a
    time are faster than one product at a time on all cores. `work` must leave the interpreter
    (NumPy does) for this to help, and may not call `each_part`.

    Parameters
    ----------
    n_elements : int
        Of all that is worked on; little is done in the caller's thread.
    """
    n_parts = min(n_cores(), n_columns) if n_elements >= PARALLEL_FROM else 1
    parts = _parts(n_columns, n_parts)
    if n_parts == 1:
        return [work(part) for part in parts]
    with _single_threaded_products():
        others = [_pool().submit(work, part) for part in parts[1:]]
        return [work(parts[0]), *(other.result() for other in others)]


def _parts(n_columns: int, n_parts: int) -> Sequence[slice]:
    cuts = [n_columns * k // n_parts for k in range(n_parts + 1)]
    return [slice(*cut) for cut in pairwise(cuts)]


@contextmanager
def _single_threaded_products() -> Iterator[None]:
    with _controller().limit(limits=1, user_api="blas"):
        yield


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, n_cores() - 1), thread_name_prefix="fedtrade-robust")


if hasattr(os, "register_at_fork"):  # threads do not survive a fork
    os.register_at_fork(after_in_child=_pool.cache_clear)


@cache
def _controller() -> ThreadpoolController:
    """Finding the libraries takes milliseconds."""
    return ThreadpoolController()
