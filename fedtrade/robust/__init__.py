"""Aggregation rules on updates of shape (n_clients, n_params)."""

from fedtrade.robust.mean import weighted_mean

__all__ = ["weighted_mean"]
