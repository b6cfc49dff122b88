"""The tail-risk task of a liar that poisons its training examples."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from fedtrade.components import build
from fedtrade.models import NetworkFactory
from fedtrade.settings import Component
from fedtrade.tasks.risk import Risk, RiskExamples
from fedtrade.tasks.task import Sample, Shared
from simulations.attacks.attack import DataAttack

__all__ = ["PoisonedRisk"]

_SALT = 0xBAD


class PoisonedRisk(Risk):
    """Trains as `Risk` does, on poisoned examples; sums and scores are of the true ones.

    The same examples are poisoned in every round.

    Parameters
    ----------
    network : NetworkFactory
    poison : DataAttack or mapping
        The attack, or its settings, the import path under `_target_`.
    poison_seed : int
        Of what the attack draws.
    **options
        Of `Risk`.

    Raises
    ------
    TypeError
        If it is no attack on data.
    ConfigurationError
        If the settings of the attack are wrong.
    """

    def __init__(
        self,
        network: NetworkFactory,
        *,
        poison: DataAttack | Mapping[str, Any],
        poison_seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(network, **options)
        if isinstance(poison, Mapping):
            poison = build(Component.model_validate(dict(poison)), "attack").played
        if not isinstance(poison, DataAttack):
            raise TypeError(f"poison must be a DataAttack, got {type(poison)}.")
        self._poison = poison
        self._poison_seed = poison_seed

    def examples(self, sample: Sample, shared: Shared) -> RiskExamples:
        """What the liar trains on."""
        honest = super().examples(sample, shared)
        rng = np.random.default_rng([_SALT, self._poison_seed])
        features, returns = self._poison.poison(
            honest.features.numpy(), honest.returns.numpy(), rng
        )
        return replace(
            honest, features=torch.from_numpy(features), returns=torch.from_numpy(returns)
        )
