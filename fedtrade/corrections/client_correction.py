"""What a strategy asks of the local training of everybody."""

from dataclasses import dataclass

__all__ = ["ClientCorrection"]


@dataclass(frozen=True, slots=True)
class ClientCorrection:
    """How local training is corrected; `fed_prox` and `scaffold` make one, and both may be joined.

    Attributes
    ----------
    proximal : float
        Strength of the pull to the global vector (FedProx); 0 for none.
    uses_variates : bool
        Whether control variates are kept (SCAFFOLD). A reply then carries the participant's
        variate behind its update, in one vector of 2 * n_params.

    Raises
    ------
    ValueError
        If `proximal` is negative or not finite.
    """

    proximal: float = 0.0
    uses_variates: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.proximal < float("inf"):
            raise ValueError(f"proximal must be finite and not negative, got {self.proximal}.")

    @property
    def n_parts(self) -> int:
        """Vectors of length n_params in a reply."""
        return 2 if self.uses_variates else 1
