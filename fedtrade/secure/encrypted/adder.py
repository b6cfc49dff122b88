"""The server's side: a sum of ciphertexts that grows as they arrive.

Ciphertexts are parsed and added in a child process, and only the sum is kept. When the child
crashes, hangs or runs out of memory over a contribution, another goes on from the last partial
sum with the few contributions since then, one by one, and the one that brought it down is left
out and blamed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from fedtrade.errors import ConfigurationError, ProtocolError, ReplayError, ThresholdError
from fedtrade.secure.encrypted.child import Child, ChildDied, Limits
from fedtrade.secure.encrypted.scheme import Scheme, max_weight, n_chunks
from fedtrade.secure.encrypted.spares import Spares

__all__ = ["CiphertextSum", "EncryptedSum"]

CHECKPOINT_EVERY = 32


class EncryptedSum(NamedTuple):
    """A sum under encryption, and whose it is.

    Attributes
    ----------
    chunks : tuple of bytes
    numbers : tuple of int
        Of the contributors, in the order in which they arrived.
    weights : tuple of int
        Each contributor's.
    """

    chunks: tuple[bytes, ...]
    numbers: tuple[int, ...]
    weights: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Contribution:
    number: int
    weight: int
    chunks: Sequence[bytes]


class CiphertextSum:
    """Adds members' ciphertexts; a context manager that ends its child process.

    Parameters
    ----------
    scheme : Scheme
    public : bytes
        The key holder's public key.
    size : int
        Values of a contribution.
    checkpoint_every : int
        Contributions after which the partial sum is fetched from the child. No more than these
        are in memory at any time.
    spares : Spares or None
        Where the child comes from and goes to; None for one of the sum's own.

    Raises
    ------
    ProtocolError
        If the public key is none.
    """

    def __init__(
        self,
        scheme: Scheme,
        public: bytes,
        size: int,
        *,
        limits: Limits | None = None,
        checkpoint_every: int = CHECKPOINT_EVERY,
        spares: Spares | None = None,
    ) -> None:
        scheme.check_public(public)
        self._scheme, self._public, self._size = scheme, public, size
        self._limits, self._checkpoint_every = limits or Limits(), checkpoint_every
        self._partial: list[bytes] = []
        self._recent: list[_Contribution] = []
        self._weights: dict[int, int] = {}
        self._rejected: dict[int, str] = {}
        self._spares = spares
        self._child: Child | None = None
        self._n_restarts = 0

    @property
    def rejected(self) -> dict[int, str]:
        """Why, by number, contributions were left out."""
        return dict(self._rejected)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Whose contributions are in the sum."""
        return tuple(self._weights)

    @property
    def n_restarts(self) -> int:
        """How often a child process was lost."""
        return self._n_restarts

    def add(self, number: int, chunks: Sequence[bytes], weight: int = 1) -> None:
        """Add member `number`'s contribution, times `weight` if the scheme is weighted.

        Raises
        ------
        ReplayError
            If the member is in the sum already.
        ProtocolError
            If the contribution is malformed or brought the child down. The sum goes on without it.
        """
        if number in self._weights:
            raise ReplayError(f"member {number} is in this sum already.")
        if not 1 <= weight <= max_weight(self._scheme.weighted):
            raise ValueError(
                f"weight must be an integer from 1 to {max_weight(self._scheme.weighted)}, "
                f"got weight={weight}."
            )
        if len(self._weights) >= self._scheme.n_members:
            raise ThresholdError(f"the sum has its {self._scheme.n_members} contributions already.")
        try:
            self._check(chunks)
            self._add_safely(_Contribution(number, weight, tuple(chunks)))
        except ProtocolError as error:
            self._rejected[number] = str(error)
            raise ProtocolError(f"member {number}: {error}") from None
        self._rejected.pop(number, None)
        self._checkpoint()

    def close(self) -> EncryptedSum:
        """The sum; the child process ends.

        Raises
        ------
        ThresholdError
            If there is no contribution.
        """
        while self._weights:
            try:
                chunks = self._running().ask("total", {}, ())[1]
                break
            except ChildDied:
                self._revive()
        else:
            self.end()
            raise ThresholdError("nobody has contributed to the sum.")
        self.end()
        return EncryptedSum(tuple(chunks), tuple(self._weights), tuple(self._weights.values()))

    def __enter__(self) -> Self:
        """The sum itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the child process."""
        self.end()

    def _check(self, chunks: Sequence[bytes]) -> None:
        expected = n_chunks(self._size, self._scheme.entries)
        if len(chunks) != expected:
            raise ProtocolError(f"{len(chunks)} ciphertexts were sent; {expected} are expected.")
        for chunk in chunks:
            self._scheme.check_fresh(chunk)

    def _add_safely(self, contribution: _Contribution) -> None:
        """Add; where that costs the child, once more to a new one, so that the right is blamed."""
        for attempt in (1, 2):
            try:
                self._ask_to_add(self._running(), contribution)
                break
            except ChildDied as death:
                self._revive()
                if attempt == 2:
                    raise ProtocolError(
                        f"the process that read the ciphertexts died over them ({death})."
                    ) from None
        self._weights[contribution.number] = contribution.weight
        self._recent.append(contribution)

    def _ask_to_add(self, child: Child, contribution: _Contribution) -> None:
        child.ask("add", {"weight": contribution.weight}, contribution.chunks)

    def _checkpoint(self) -> None:
        if len(self._recent) < self._checkpoint_every:
            return
        try:
            self._partial = self._running().ask("total", {}, ())[1]
            self._recent = []
        except ChildDied:
            self._revive()

    def _running(self) -> Child:
        if self._child is None:
            self._child = self._start()
        return self._child

    def _start(self) -> Child:
        child = Child(self._limits) if self._spares is None else self._spares.take(self._limits)
        parts = [self._public, *self._partial]
        try:
            child.ask("start", {"scheme": dict(self._scheme.fields())}, parts)
        except ChildDied as death:
            raise ConfigurationError(
                f"the process that adds ciphertexts does not start ({death}): it may take "
                f"{self._limits.memory_bytes} bytes and {self._limits.timeout_s} s."
            ) from None
        except BaseException:
            child.close()
            raise
        return child

    def _revive(self) -> None:
        """A new child with all that was added; what brings it down again is left out."""
        waiting = list(self._recent)
        while True:
            self.end()
            self._n_restarts += 1
            kept: list[_Contribution] = []
            child = self._running()
            for contribution in waiting:
                try:
                    self._ask_to_add(child, contribution)
                except (ChildDied, ProtocolError) as error:
                    self._leave_out(contribution, str(error))
                    break
                kept.append(contribution)
            else:
                self._recent = kept
                return
            waiting = [other for other in waiting if other.number in self._weights]

    def _leave_out(self, contribution: _Contribution, reason: str) -> None:
        del self._weights[contribution.number]
        self._rejected[contribution.number] = f"brought down the process that adds ({reason})"

    def end(self) -> None:
        """End the child process or give it back; a sum that is not closed is lost."""
        child, self._child = self._child, None
        if child is None:
            return
        if self._spares is None:
            child.close()
        else:
            self._spares.give_back(child, self._limits)
