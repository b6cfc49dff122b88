"""How participants' vectors reach a strategy: one by one, or as sums that hide their parts."""

from strategies.trust.mode import Row, Rows, Summed, TrainingRequest, TrustMode
from strategies.trust.plain import Plain
from strategies.trust.registry import trust_mode

__all__ = ["Plain", "Row", "Rows", "Summed", "TrainingRequest", "TrustMode", "trust_mode"]
