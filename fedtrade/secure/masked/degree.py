"""How many neighbours a member needs, and how many of them may open its secrets.

Bell et al. (2020), "Secure single-server aggregation with (poly)logarithmic overhead", sections 3
and 4, https://eprint.iacr.org/2020/704. The server's draw of the graph can be unlucky for
somebody; the probability of that is bounded over all members together.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from fedtrade.errors import ConfigurationError, ThresholdError
from fedtrade.secure.hypergeometric import least_excess
from fedtrade.secure.parameters import Adversary, GraphParameters, is_malicious
from fedtrade.secure.proportion import at_least, at_most, check_proportion

__all__ = ["Adversary", "GraphParameters", "graph_parameters"]

MOST_BITS: Final = 512


@lru_cache(maxsize=256)
def graph_parameters(
    n_members: int,
    *,
    colluding_share: float,
    dropout_share: float,
    security_bits: int,
    correctness_bits: int,
    adversary: Adversary,
    grinding_bits: int = 0,
) -> GraphParameters:
    """The smallest graph that keeps both promises.

    With C = floor(colluding_share n), D = ceil(dropout_share n), sigma the security bits (plus
    the grinding bits against a malicious server) and H(n, m, k) the number of marked ones among k
    drawn of n of which m are marked:

    - c is the smallest number with n P[H(n - 1, C, k) > c] < 2^-sigma: nobody's neighbours hold
      more colluders;
    - d likewise with D and the correctness bits: nobody loses more of its neighbours;
    - t > c, and 2t > k + c against a malicious server, which may ask honest neighbours of a member
      for one of its secrets or the other: not both can be had;
    - t <= k - d: the survivors can open each secret;
    - n ((C + D) / n)^(k/2) < 2^-sigma: what is left of the ring hangs together;
    - against a malicious server K = k + 1 members sign the survivors, q = floor((K + c_K) / 2) + 1
      of them with c_K for the committee as c is for neighbours. That enough of them answer follows
      from the bounds on t.

    Of the thresholds that fit, the middle one, rounded up: what room there is serves both promises.
    A complete graph, k = n - 1, leaves nothing to chance: c = C, d = D.

    Parameters
    ----------
    n_members : int
        Of the cohort.
    colluding_share, dropout_share : float
        In [0, 1). Dropouts are those from sharing secrets to opening them, in all.
    security_bits, correctness_bits, grinding_bits : int

    Raises
    ------
    ConfigurationError
        If a share or number of bits is out of range.
    ThresholdError
        If no graph of so many members fits; the message has the numbers.
    """
    check_proportion("colluding_share", colluding_share)
    check_proportion("dropout_share", dropout_share)
    malicious = is_malicious(adversary)
    sigma = security_bits + (grinding_bits if malicious else 0)
    if min(security_bits, correctness_bits) < 1 or grinding_bits < 0:
        raise ConfigurationError(
            "security_bits and correctness_bits must be at least 1 and grinding_bits at least 0, "
            f"got {security_bits}, {correctness_bits} and {grinding_bits}."
        )
    if max(sigma, correctness_bits) > MOST_BITS:
        raise ConfigurationError(
            f"security, grinding and correctness bits above {MOST_BITS} are not computed, got "
            f"{security_bits}, {grinding_bits} and {correctness_bits}."
        )
    search = _Search(
        n_members,
        at_most(colluding_share, n_members),
        at_least(dropout_share, n_members),
        sigma,
        correctness_bits,
        malicious,
    )
    found = search.smallest() if n_members > 1 else None
    if found is None:
        raise ThresholdError(_nothing_fits(search, colluding_share, dropout_share))
    return found


def _nothing_fits(search: "_Search", colluding_share: float, dropout_share: float) -> str:
    rule = "2t > k + c" if search.malicious else "t > c"
    trial = ""
    if search.n > 1:
        k, c, d = search.n - 1, search.colluders, search.dropouts
        trial = f" Even the complete graph has k={k}, c={min(c, k)}, d={min(d, k)}."
    return (
        f"no graph of {search.n} members bears C={search.colluders} that collude "
        f"(colluding_share={colluding_share:.3g} of them) and D={search.dropouts} that drop out "
        f"(dropout_share={dropout_share:.3g}) with "
        f"security of {search.sigma} bits: a threshold t with {rule} and t <= k - d is needed."
        f"{trial} Have more members, or lower one of the shares."
    )


@dataclass(frozen=True)
class _Search:
    n: int
    colluders: int
    dropouts: int
    sigma: int
    correctness: int
    malicious: bool

    def smallest(self) -> GraphParameters | None:
        degree = self._least_connected()
        while degree < self.n - 1:
            found, missing = self._at(degree)
            if found is not None:
                return found
            # With each neighbour more, the room for a threshold grows by one at most, or by one
            # half where 2t > k + c: smaller steps cannot fit.
            step = 2 * missing if self.malicious else missing
            degree += step + step % 2
        return self._at(self.n - 1)[0]

    def _least_connected(self) -> int:
        gone = (self.colluders + self.dropouts) / self.n
        if gone >= 1.0:
            return self.n
        if gone == 0.0:
            return 2
        half = (self.sigma + math.log2(self.n)) / -math.log2(gone)
        return 2 * (math.floor(half) + 1)

    def _at(self, k: int) -> tuple[GraphParameters | None, int]:
        """The parameters of a degree, or by how much a threshold misses its bounds."""
        c = self._bound(self.n - 1, self.colluders, k, self.sigma, self.n)
        d = self._bound(self.n - 1, self.dropouts, k, self.correctness, self.n)
        least, most = (k + c) // 2 + 1 if self.malicious else c + 1, k - d
        if least > most:
            return None, least - most
        size = quorum = 0
        if self.malicious:
            size = k + 1
            false = self._bound(self.n, self.colluders, size, self.sigma, 1)
            quorum = (size + false) // 2 + 1
        return GraphParameters(self.n, k, (least + most + 1) // 2, c, size, quorum), 0

    def _bound(self, population: int, marked: int, draws: int, bits: int, n_trials: int) -> int:
        """What a draw's marked ones exceed in one of the trials with probability below 2^-bits."""
        marked = min(marked, population)
        if draws >= population:
            return marked
        return least_excess(population, marked, draws, math.ldexp(1.0 / n_trials, -bits))
