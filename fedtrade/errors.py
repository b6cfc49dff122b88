"""The exceptions that fedtrade raises for conditions a user can mend.

::

    FedtradeError            one clear sentence; the command line exits with status 2
    ├── ConfigurationError   a setting is unknown, missing or out of range
    ├── DataError            prices cannot be used as they are
    ├── CheckpointError      a stored run or model does not fit the present one
    ├── OutputError          a result could not be written
    ├── LimitError           a participant's own settings forbid what a run asks for
    ├── NodeError            a server, a node or a connection between them does not work
    ├── PrivacyError         a promise of differential privacy cannot be made or kept
    │   ├── AccountingError  an accountant has no bound for an event
    │   ├── BudgetError      a privacy budget does not cover what is asked
    │   └── LedgerError      the file of the privacy budgets cannot be used
    └── SecureAggregationError   a private sum cannot be had, or a message would break it
        ├── ThresholdError   too few members, survivors or shares
        ├── ReplayError      something is asked for twice, or out of order
        ├── SignatureError   a signature, key or commitment is not its alleged owner's
        ├── ProtocolError    a peer's message is malformed
        └── RangeError       a value lies outside of what can be added without wrapping

Bad arguments of a plain function are `ValueError` or `TypeError`, as everywhere in Python.
"""

__all__ = [
    "AccountingError",
    "BudgetError",
    "CheckpointError",
    "ConfigurationError",
    "DataError",
    "FedtradeError",
    "LedgerError",
    "LimitError",
    "NodeError",
    "OutputError",
    "PrivacyError",
    "ProtocolError",
    "RangeError",
    "ReplayError",
    "SecureAggregationError",
    "SignatureError",
    "ThresholdError",
]


class FedtradeError(Exception):
    """A condition that the user can mend; the message says what was wrong and what to do."""


class ConfigurationError(FedtradeError):
    """A setting is unknown, missing or out of range; the message names its key."""


class DataError(FedtradeError):
    """Prices cannot be used as they are; the message names the asset, column or date."""


class CheckpointError(FedtradeError):
    """A stored run or model does not fit the present settings."""


class OutputError(FedtradeError):
    """A result could not be written; what was stored before is untouched."""


class LimitError(FedtradeError):
    """A participant's own settings forbid what a run asks for; the message names the limit."""


class NodeError(FedtradeError):
    """A server, a node or the connection between them does not work; the message says which."""


class PrivacyError(FedtradeError):
    """A promise of differential privacy cannot be made or kept."""


class AccountingError(PrivacyError):
    """An accountant has no bound for an event; the message names both."""


class BudgetError(PrivacyError):
    """A privacy budget does not cover what is asked; the message has what is left."""


class LedgerError(PrivacyError):
    """The file of the privacy budgets cannot be used; what it holds is untouched."""


class SecureAggregationError(FedtradeError):
    """A private sum could not be had, or a message would break its privacy."""


class ThresholdError(SecureAggregationError):
    """Too few members, survivors or shares; the message has the numbers."""


class ReplayError(SecureAggregationError):
    """A stage, a session or a decryption is asked for twice or out of order."""


class SignatureError(SecureAggregationError):
    """A signature, key or commitment does not belong to its alleged owner."""


class ProtocolError(SecureAggregationError):
    """A peer's message is malformed: of the wrong size or type, or about somebody unknown."""


class RangeError(SecureAggregationError):
    """A value lies outside of the fixed-point range, or a total is one that nobody honest makes."""
