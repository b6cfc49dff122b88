"""What members spend on checking each other's signatures, which Flower's SecAgg+ does not have."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

from fedtrade.secure.masked import keys

__all__ = ["SignatureChecks", "timed_signature_checks"]

_CHECKED_BY_MEMBERS = "fedtrade.secure.masked.client.verify"


@dataclass
class SignatureChecks:
    """Of all members together.

    Attributes
    ----------
    number : int
    seconds : float
        Of processor time.
    """

    number: int = 0
    seconds: float = 0.0


@contextmanager
def timed_signature_checks() -> Iterator[SignatureChecks]:
    """Count and time the signatures that members of masked sums check meanwhile."""
    spent = SignatureChecks()

    def timed(public: bytes, signature: bytes, message: bytes, *, signer: int) -> None:
        began = time.thread_time()
        try:
            keys.verify(public, signature, message, signer=signer)
        finally:
            spent.seconds += time.thread_time() - began
            spent.number += 1

    with patch(_CHECKED_BY_MEMBERS, timed):
        yield spent
