"""Homomorphic sums that a key holder opens."""

from fedtrade.secure.encrypted.adder import CiphertextSum, EncryptedSum
from fedtrade.secure.encrypted.child import Limits
from fedtrade.secure.encrypted.contribution import (
    Contribution,
    SignedDigest,
    check_contribution,
    contribute,
    verify_key,
)
from fedtrade.secure.encrypted.key_holder import KeyHolder
from fedtrade.secure.encrypted.pad_keys import (
    PadKeys,
    SignedPadKey,
    sign_pad_key,
    verify_pad_key,
)
from fedtrade.secure.encrypted.scheme import (
    MAX_WEIGHT,
    Encryptor,
    KeyPair,
    OpenedSum,
    Scheme,
    Security,
)
from fedtrade.secure.encrypted.schemes import scheme_for, scheme_from
from fedtrade.secure.encrypted.spares import Spares

__all__ = [
    "MAX_WEIGHT",
    "CiphertextSum",
    "Contribution",
    "EncryptedSum",
    "Encryptor",
    "KeyHolder",
    "KeyPair",
    "Limits",
    "OpenedSum",
    "PadKeys",
    "Scheme",
    "Security",
    "SignedDigest",
    "SignedPadKey",
    "Spares",
    "check_contribution",
    "contribute",
    "scheme_for",
    "scheme_from",
    "sign_pad_key",
    "verify_key",
    "verify_pad_key",
]
