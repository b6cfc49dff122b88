"""What is signed and committed to: every part counts."""

import numpy as np
import pytest

from fedtrade.secure.masked.statements import (
    advert_statement,
    pledge_statement,
    self_seed_commitment,
    survivors_digest,
    survivors_statement,
)

RUN, OTHER_RUN = bytes(32), bytes(31) + b"\1"
A, B = b"a" * 32, b"b" * 32
ONE, TWO = np.array([1, 2], dtype=np.int64), np.array([1, 3], dtype=np.int64)

CASES = {
    pledge_statement: ((RUN, OTHER_RUN), (0, 1), (5, 6), (A, B)),
    advert_statement: ((RUN, OTHER_RUN), (0, 1), (5, 6), (A, B), (A[:16], B[:16]), (A + A, A + B)),
    survivors_digest: ((RUN, OTHER_RUN), (0, 1), (A, B), (0, 1), (ONE, TWO), (A, B)),
    survivors_statement: ((RUN, OTHER_RUN), (0, 1), (5, 6), (A, B)),
    self_seed_commitment: ((RUN, OTHER_RUN), (0, 1), (5, 6), (A, B)),
}


@pytest.mark.parametrize("what", CASES, ids=lambda what: what.__name__)
def test_every_part_counts(what) -> None:  # type: ignore[no-untyped-def]
    first = [options[0] for options in CASES[what]]
    found = {what(*first)}
    for place, options in enumerate(CASES[what]):
        found.add(what(*first[:place], options[1], *first[place + 1 :]))
    assert len(found) == 1 + len(first)


def test_no_statement_is_another_one() -> None:
    same = [pledge_statement(RUN, 0, 5, A), survivors_statement(RUN, 0, 5, A)]
    assert len({*same, advert_statement(RUN, 0, 5, A, b"", b"")}) == 3
