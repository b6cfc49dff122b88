"""Bounds that several rules share: how many clients it takes when some lie."""

__all__ = ["any_minority", "at_least_two"]


def at_least_two(n_clients: int) -> int:
    """With fewer than two rows there is nothing to compare."""
    return max(n_clients, 2)


def any_minority(n_byzantine: int) -> int:
    """The bound n >= 2f + 1: those who lie are a minority."""
    return at_least_two(2 * n_byzantine + 1)
