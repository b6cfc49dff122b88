"""Whole encrypted sums: any number of members, silent ones, any order, and everything twice."""

import os
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fedtrade.errors import ProtocolError, ReplayError, ThresholdError
from fedtrade.secure import EncryptedAggregation
from fedtrade.secure.encrypted import (
    CiphertextSum,
    KeyHolder,
    PadKeys,
    Spares,
    check_contribution,
    contribute,
)
from fedtrade.secure.encrypted.channels import TRAINING, channels
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.masked.keys import AgreementKey

MOST, SIZE = 50, 6
MEMBERS = [IdentityKey.generate() for _ in range(MOST)]
IDENTITIES = {number: key.public_bytes for number, key in enumerate(MEMBERS)}
AGREEMENTS = [AgreementKey() for _ in range(MOST)]
PAD_PUBLICS = {number: key.public_bytes for number, key in enumerate(AGREEMENTS)}
SPARES = Spares()


@st.composite
def plays(draw: st.DrawFn) -> tuple[int, set[int], int]:
    """So many members, of which some fall silent before they upload, and a seed."""
    n = draw(st.integers(2, MOST))
    gone = draw(st.sets(st.integers(0, n - 1), max_size=n))
    return n, gone, draw(st.integers(0, 2**32 - 1))


@hypothesis_settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plays())
def test_a_sum_is_that_of_those_who_sent(play: tuple[int, set[int], int]) -> None:
    n, gone, seed = play
    random, run = Random(seed), os.urandom(32)
    settings = EncryptedAggregation(min_contributors=2)
    scheme = channels(settings, n)[TRAINING]
    known = IDENTITIES, PAD_PUBLICS
    holder = KeyHolder(scheme, settings, run, IdentityKey.generate(), *known, spares=SPARES)
    bound = scheme.modulus // 2 // (n + 1)
    values = np.random.default_rng(seed).integers(-bound, bound, (n, SIZE))
    encryptor = scheme.encryptor(holder.public)
    left = [number for number in range(n) if number not in gone]
    theirs = holder.pad_public
    pads = {k: PadKeys(AGREEMENTS[k], theirs, run, k, TRAINING).of(0) for k in left}
    sent = {k: contribute(encryptor, MEMBERS[k], run, 0, k, values[k], pads[k]) for k in left}
    signed = {}
    with CiphertextSum(scheme, holder.public, SIZE, spares=SPARES) as growing:
        for number in random.sample(left * 2, 2 * len(left)):
            check_contribution(sent[number], run, 0, IDENTITIES[number])
            if number in signed:
                with pytest.raises(ReplayError):
                    growing.add(number, sent[number].chunks)
                continue
            growing.add(number, sent[number].chunks)
            signed[number] = sent[number].signed
        if not left:
            with pytest.raises(ThresholdError):
                growing.close()
            return
        closed = growing.close()
    contributors = [signed[number] for number in closed.numbers]
    random.shuffle(contributors)
    if len(left) < settings.min_contributors:
        with pytest.raises(ThresholdError):
            holder.decrypt(0, SIZE, closed.chunks, contributors)
        return
    if len(left) > settings.min_contributors and seed % 2:
        # One is forgotten: the counting slot tells.
        with pytest.raises(ProtocolError):
            holder.decrypt(0, SIZE, closed.chunks, contributors[1:])
        with pytest.raises(ReplayError):
            holder.decrypt(0, SIZE, closed.chunks, contributors)
        return
    opened = holder.decrypt(0, SIZE, closed.chunks, contributors)
    assert (opened == values[left].sum(axis=0)).all()
    with pytest.raises(ReplayError):
        holder.decrypt(0, SIZE, closed.chunks, contributors)
