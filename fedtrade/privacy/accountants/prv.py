"""Privacy random variables by Opacus: numerical composition of sampled Gaussians."""

from warnings import catch_warnings, simplefilter

from fedtrade.errors import AccountingError
from fedtrade.privacy.accountants.rdp import RDPAccountant
from fedtrade.privacy.accountants.search import delta_by_search
from fedtrade.privacy.checks import check_delta, check_epsilon
from fedtrade.privacy.events import Event, Gaussian, GroupGaussian
from fedtrade.privacy.groups import together

__all__ = ["PRVAccountant"]

_ERROR = 0.01
_MOST_LOSS = 50.0


class PRVAccountant:
    """Composition by Fourier transforms with an error bound (Gopi, Lee and Wutschitz 2021).

    The answer is the upper end of an interval of 0.01 on either side of the estimate, so that
    it is loose for small epsilons. Gaussians are all that it takes, a group's by the looser bound
    without a mixture, and it loads torch.
    """

    name = "prv"

    def __init__(self) -> None:
        self._history: list[tuple[float, float, int]] = []
        self._expected = RDPAccountant()

    def compose(self, event: Event) -> None:
        """See `Accountant`."""
        if isinstance(event, GroupGaussian):
            event = together(event)
        if not isinstance(event, Gaussian):
            raise AccountingError(
                f"the accountant prv has no bound for {event}: choose pld or rdp."
            )
        self._expected.compose(event)
        self._history.append((event.noise_multiplier, event.sampling_probability, event.count))

    def epsilon(self, delta: float) -> float:
        """See `Accountant`.

        Raises
        ------
        AccountingError
            Also if its numbers are not precise enough, as for a very small delta or noise.
        """
        check_delta(delta)
        if not self._history:
            return 0.0
        if self._expected.first_moment() > _MOST_LOSS:
            raise AccountingError(
                f"the accountant prv cannot add up so little noise, {self._history}: choose pld or "
                "rdp."
            )
        from opacus.accountants import PRVAccountant as OpacusAccountant

        own = OpacusAccountant()
        own.history = list(self._history)
        with catch_warnings():
            simplefilter("ignore", RuntimeWarning)  # logarithms of zero, which it allows for
            simplefilter("ignore", UserWarning)  # on orders from which it only takes a grid's size
            try:
                return float(own.get_epsilon(delta, eps_error=_ERROR))
            except (RuntimeError, ValueError, MemoryError, IndexError) as error:
                raise AccountingError(
                    f"the accountant prv cannot add up to delta={delta}: choose pld or rdp."
                ) from error

    def delta(self, epsilon: float) -> float:
        """See `Accountant`."""
        check_epsilon(epsilon)
        return delta_by_search(self.epsilon, epsilon) if self._history else 0.0
