"""The exceptions that fedtrade raises for conditions a user can mend.

::

    FedtradeError            one clear sentence; the command line exits with status 2
    ├── ConfigurationError   a setting is unknown, missing or out of range
    ├── DataError            prices cannot be used as they are
    ├── CheckpointError      a stored run or model does not fit the present one
    ├── OutputError          a result could not be written
    ├── LimitError           a participant's own settings forbid what a run asks for
    ├── NodeError            a server, a node or a connection between them does not work
    └── SecureAggregationError   a private sum cannot be had, or a message would break it
        ├── ThresholdError   too few members, survivors or shares
        ├── ReplayError      something is asked for twice, or out of order
        ├── SignatureError   a signature, key or commitment is not its alleged owner's
        ├── ProtocolError    a peer's message is malformed
        └── RangeError       a value lies outside of what can be added without wrapping

Bad arguments of a plain function are `ValueError` or `TypeError`, as everywhere in Python.
"""

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "DataError",
    "FedtradeError",
    "LimitError",
    "NodeError",
    "OutputError",
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
