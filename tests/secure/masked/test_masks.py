"""Key streams against the standard's, and masks that cancel."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.secure.masked.keys import AgreementKey
from fedtrade.secure.masked.masks import add_masks, key_stream, pair_key, self_key
from fedtrade.secure.subject import NO_SUBJECT

RUN = bytes(range(32))
KEY = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")


def test_the_stream_is_that_of_nist_sp_800_38a() -> None:
    """F.5.5: CTR-AES256."""
    plain = bytes.fromhex(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
        "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
    )
    sealed = bytes.fromhex(
        "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5"
        "2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
    )
    stream = key_stream(KEY, 64, bytes(range(0xF0, 0x100)))
    assert bytes(a ^ b for a, b in zip(plain, stream, strict=True)) == sealed


def test_a_mask_is_the_encrypted_counters() -> None:
    """Block by block, with AES in its bare mode."""
    bare = Cipher(algorithms.AES(KEY), modes.ECB()).encryptor()
    blocks = b"".join(bare.update(n.to_bytes(16, "big")) for n in range(3))
    words = np.zeros(12, dtype=np.uint32)
    add_masks(words, [(KEY, True)])
    assert words.tolist() == np.frombuffer(blocks, dtype="<u4").tolist()
    wide = np.zeros(5, dtype=np.uint64)
    add_masks(wide, [(KEY, True)])
    assert wide.tolist() == np.frombuffer(blocks, dtype="<u8")[:5].tolist()


@pytest.mark.parametrize("dtype", [np.uint32, np.uint64])
@given(size=st.integers(0, 70), value=st.integers(0, 2**32 - 1))
def test_what_is_added_can_be_taken_off(dtype: type, size: int, value: int) -> None:
    words = np.full(size, value, dtype=dtype)
    keys = [bytes([n]) * 32 for n in range(3)]
    add_masks(words, [(key, True) for key in keys])
    assert size < 3 or (words != value).any()
    add_masks(words, [(key, False) for key in reversed(keys)])
    assert (words == value).all()


def test_the_keys_of_a_pair_are_the_same_on_both_sides_and_nowhere_else() -> None:
    one, other = AgreementKey(), AgreementKey()
    secret = one.agree(other.public_bytes, owner=2)
    key = pair_key(secret, RUN, 0, 1, 2, NO_SUBJECT)
    assert key == pair_key(other.agree(one.public_bytes, owner=1), RUN, 0, 2, 1, NO_SUBJECT)
    others = [
        pair_key(secret, RUN, 1, 1, 2, NO_SUBJECT),
        pair_key(secret, RUN[::-1], 0, 1, 2, NO_SUBJECT),
        pair_key(secret, RUN, 0, 1, 3, NO_SUBJECT),
        self_key(secret, RUN, 0, 1, NO_SUBJECT),
        self_key(secret, RUN, 0, 2, NO_SUBJECT),
        self_key(secret, RUN, 1, 1, NO_SUBJECT),
        pair_key(secret, RUN, 0, 1, 2, b"s" * 32),
        self_key(secret, RUN, 0, 1, b"s" * 32),
    ]
    assert len({key, *others}) == 9
    assert {len(each) for each in others} == {32}
