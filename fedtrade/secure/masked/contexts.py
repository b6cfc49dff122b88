"""What each key, hash and signature is for, in bytes that no other purpose, run or sum shares."""

from functools import lru_cache
from typing import Final

from fedtrade.secure.agreement import RUN_BYTES

__all__ = ["context"]

DOMAIN: Final = b"fedtrade masked sum 2"
PURPOSE_BYTES: Final = 16


def context(purpose: str, run: bytes, session: int, *numbers: int) -> bytes:
    """A prefix of fixed length for each purpose.

    Parameters
    ----------
    purpose : str
        Of at most 16 characters.
    run : 32 bytes
    session : int
        The number of the sum in the run.
    *numbers : int
        Of members, in an order that matters.
    """
    return b"".join(
        [_prefix(purpose, run, session), *(number.to_bytes(4, "little") for number in numbers)]
    )


@lru_cache(maxsize=64)
def _prefix(purpose: str, run: bytes, session: int) -> bytes:
    name = purpose.encode()
    if len(name) > PURPOSE_BYTES or len(run) != RUN_BYTES:
        raise ValueError(
            f"a purpose has {PURPOSE_BYTES} characters at most and a run {RUN_BYTES} bytes, got "
            f"{purpose!r} and {len(run)} bytes."
        )
    return DOMAIN + name.ljust(PURPOSE_BYTES, b"\0") + run + session.to_bytes(8, "little")
