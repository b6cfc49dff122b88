"""Attacks on our own promises: how much the releases of a training tell of a record."""

from fedtrade.privacy.audit.audit import Audit, audit
from fedtrade.privacy.audit.one_run import best_bound, epsilon_lower_bound

__all__ = ["Audit", "audit", "best_bound", "epsilon_lower_bound"]
