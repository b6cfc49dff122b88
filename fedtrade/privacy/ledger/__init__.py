"""The ledger of privacy budgets: what a participant may tell, and has told, in all runs."""

from fedtrade.privacy.ledger.account import Account
from fedtrade.privacy.ledger.budget import AccountantName, Budget, Window
from fedtrade.privacy.ledger.history import Entry
from fedtrade.privacy.ledger.ledger import Charge, Ledger
from fedtrade.privacy.ledger.limits import Limits
from fedtrade.privacy.ledger.standing import Standing

__all__ = [
    "Account",
    "AccountantName",
    "Budget",
    "Charge",
    "Entry",
    "Ledger",
    "Limits",
    "Standing",
    "Window",
]
