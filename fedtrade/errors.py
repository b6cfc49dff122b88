"""The exceptions that fedtrade raises for conditions a user can mend.

::

    FedtradeError            one clear sentence; the command line exits with status 2
    ├── ConfigurationError   a setting is unknown, missing or out of range
    ├── DataError            prices cannot be used as they are
    ├── CheckpointError      a stored run or model does not fit the present one
    └── OutputError          a result could not be written

Bad arguments of a plain function are `ValueError` or `TypeError`, as everywhere in Python.
"""

__all__ = [
    "CheckpointError",
    "ConfigurationError",
    "DataError",
    "FedtradeError",
    "OutputError",
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
