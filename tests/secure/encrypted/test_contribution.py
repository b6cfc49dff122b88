"""What a member signs, and what a server cannot swap."""

import numpy as np
import pytest

from fedtrade.errors import ProtocolError, SignatureError
from fedtrade.secure.encrypted import check_contribution, contribute, verify_key
from fedtrade.secure.encrypted.contribution import sign_key
from fedtrade.secure.masked.keys import AgreementKey, IdentityKey
from tests.secure.encrypted.parties import RUN, scheme_and_keys

VALUES = np.arange(5)
PAD = bytes(range(32))


def test_only_its_own_run_and_session_and_member_fit() -> None:
    scheme, keys = scheme_and_keys("bfv", False)
    identity = IdentityKey.generate()
    made = contribute(scheme.encryptor(keys.public), identity, RUN, 3, 1, VALUES, PAD)
    check_contribution(made, RUN, 3, identity.public_bytes)
    other = IdentityKey.generate().public_bytes
    for run, session, key in (
        (bytes(32), 3, identity.public_bytes),
        (RUN, 4, identity.public_bytes),
        (RUN, 3, other),
    ):
        with pytest.raises(SignatureError, match="member 1"):
            check_contribution(made, run, session, key)
    renamed = made._replace(signed=made.signed._replace(number=2))
    with pytest.raises(SignatureError, match="member 2"):
        check_contribution(renamed, RUN, 3, identity.public_bytes)


def test_other_chunks_are_noticed() -> None:
    scheme, keys = scheme_and_keys("bfv", False)
    identity, encryptor = IdentityKey.generate(), scheme.encryptor(keys.public)
    made = contribute(encryptor, identity, RUN, 0, 1, VALUES, PAD)
    swapped = made._replace(chunks=tuple(encryptor.encrypt(VALUES)))
    with pytest.raises(ProtocolError, match="not that of its ciphertexts"):
        check_contribution(swapped, RUN, 0, identity.public_bytes)
    short = made._replace(signed=made.signed._replace(signature=b"short"))
    with pytest.raises(ProtocolError, match="a signature 64, got 32 and 5"):
        check_contribution(short, RUN, 0, identity.public_bytes)
    with pytest.raises(ValueError, match="32 bytes, got 3"):
        contribute(encryptor, identity, b"run", 0, 1, VALUES, PAD)


def test_a_swapped_public_key_is_noticed() -> None:
    """A server that puts its own key in the place of the key holder's would read everything."""
    scheme, keys = scheme_and_keys("bfv", False)
    holder, theirs = IdentityKey.generate(), scheme.generate()
    pad, other_pad = AgreementKey().public_bytes, AgreementKey().public_bytes
    signature = sign_key(holder, RUN, scheme, keys.public, pad)
    known = {"holder": 9, "identity": holder.public_bytes}
    verify_key(keys.public, pad, signature, RUN, scheme, **known)
    other = scheme_and_keys("bfv", False, 11)[0]
    for public, pad_public, run, said_scheme in (
        (theirs.public, pad, RUN, scheme),
        (keys.public, other_pad, RUN, scheme),
        (keys.public, pad, bytes(32), scheme),
        (keys.public, pad, RUN, other),
    ):
        with pytest.raises(SignatureError, match="member 9"):
            verify_key(public, pad_public, signature, run, said_scheme, **known)
    with pytest.raises(ProtocolError, match="pad key of 9 has 31 bytes"):
        verify_key(keys.public, pad[1:], signature, RUN, scheme, **known)
    with pytest.raises(SignatureError, match="member 9 is no key"):
        verify_key(keys.public, bytes(32), signature, RUN, scheme, **known)
