"""What liars do to a federation: attacks, and the grid that lets some participants play them.

Each attack is a class that the configuration names (`conf/attack/`). Those on updates and on data
work on arrays alone, so that they serve any problem::

    attack = build_attack("min_max", direction="sign")
    view = RoundView(honest=honest, own=own, vector=vector)
    sent, memory = craft_round(attack, view, np.random.default_rng(0))
"""

from simulations.attacks.alie import ALIE, alie_factor
from simulations.attacks.attack import (
    Attack,
    DataAttack,
    ReplyAttack,
    UpdateAttack,
    craft_round,
)
from simulations.attacks.attacked_grid import AttackedGrid
from simulations.attacks.attackers import choose_attackers
from simulations.attacks.backdoor import Backdoor
from simulations.attacks.catalogue import ATTACKS, build_attack
from simulations.attacks.copycat import Copycat
from simulations.attacks.free_rider import FreeRider
from simulations.attacks.gaussian import Gaussian
from simulations.attacks.ipm import IPM
from simulations.attacks.label_flip import LabelFlip
from simulations.attacks.malformed import Malformed
from simulations.attacks.mimic import Mimic
from simulations.attacks.min_max import MinMax, min_max_factor
from simulations.attacks.min_sum import MinSum, min_sum_factor
from simulations.attacks.not_finite import NotFinite
from simulations.attacks.on_off import OnOff
from simulations.attacks.optimised_alie import OptimisedALIE
from simulations.attacks.optimised_ipm import OptimisedIPM
from simulations.attacks.round_view import AggregateRule, Memory, RoundView
from simulations.attacks.scaling import Scaling
from simulations.attacks.sign_flip import SignFlip
from simulations.attacks.sybils import Sybils
from simulations.attacks.worst_factor import worst_factor

__all__ = [
    "ALIE",
    "ATTACKS",
    "IPM",
    "AggregateRule",
    "Attack",
    "AttackedGrid",
    "Backdoor",
    "Copycat",
    "DataAttack",
    "FreeRider",
    "Gaussian",
    "LabelFlip",
    "Malformed",
    "Memory",
    "Mimic",
    "MinMax",
    "MinSum",
    "NotFinite",
    "OnOff",
    "OptimisedALIE",
    "OptimisedIPM",
    "ReplyAttack",
    "RoundView",
    "Scaling",
    "SignFlip",
    "Sybils",
    "UpdateAttack",
    "alie_factor",
    "build_attack",
    "choose_attackers",
    "craft_round",
    "min_max_factor",
    "min_sum_factor",
    "worst_factor",
]
