"""A server that lists few participants must not lower the thresholds of those it lists."""

import os

import numpy as np
import pytest

from fedtrade.errors import ThresholdError
from fedtrade.secure.masked import IdentityKey, MaskedClient, MaskedServer
from tests.secure.masked.driver import settings

RUN = bytes(32)


def opened(n_listed: int, n_known: int) -> tuple[MaskedServer, dict[int, MaskedClient]]:
    """Members who have shown their keys to a server that lists few of those there are."""
    keys = {number: IdentityKey.generate() for number in range(n_listed)}
    roster = {number: key.public_bytes for number, key in keys.items()}
    rules = settings(colluding_share=0.2, dropout_share=0.1)
    server = MaskedServer(rules, RUN, roster)  # it lies: it reckons with those it lists
    clients = {
        n: MaskedClient(n, key, roster, rules, RUN, n_known=n_known) for n, key in keys.items()
    }
    for number, client in clients.items():
        server.pledged(0, number, client.pledge(0))
    for number, client in clients.items():
        server.opened(0, number, client.open(0, server.commitments(0)))
    return server, clients


@pytest.mark.parametrize(("n_listed", "n_known"), [(4, 10), (6, 20), (12, 50)])
def test_members_reckon_with_all_participants_they_know_of(n_listed: int, n_known: int) -> None:
    """Of ten with two colluders the server lists four: t would be 2, and the two would do."""
    server, clients = opened(n_listed, n_known)
    with pytest.raises(ThresholdError):
        clients[0].share(0, server.adverts(0, 0))


def test_members_that_know_no_more_go_by_the_list() -> None:
    server, clients = opened(6, 0)
    assert clients[0].share(0, server.adverts(0, 0))


def test_absent_participants_leave_the_thresholds_where_they_were() -> None:
    """Eight of ten are there: both sides reckon with two colluders, not with one."""
    keys = {number: IdentityKey.generate() for number in range(8)}
    roster = {number: key.public_bytes for number, key in keys.items()}
    rules = settings(colluding_share=0.2, dropout_share=0.1)
    server = MaskedServer(rules, RUN, roster, n_known=10)
    clients = {n: MaskedClient(n, key, roster, rules, RUN, n_known=10) for n, key in keys.items()}
    words = np.frombuffer(os.urandom(8 * 12), dtype=np.uint32).reshape(8, 3)
    for n, client in clients.items():
        server.pledged(0, n, client.pledge(0))
    for n, client in clients.items():
        server.opened(0, n, client.open(0, server.commitments(0)))
    for n, client in clients.items():
        server.shared(0, n, client.share(0, server.adverts(0, n)))
    for n, client in clients.items():
        server.uploaded(0, n, client.upload(0, server.participants(0), words[n]))
    server.close_uploads(0)
    for n in server.committee(0):
        server.checked(0, n, clients[n].check(0, server.survivors(0, n)))
    for n in server.unmask_members(0):
        server.unmasked(0, n, clients[n].unmask(0, server.unmask_request(0, n)))
    (found,) = server.sums(0)
    assert (found.total == words.sum(axis=0, dtype=np.uint32)).all()
    (parameters,) = server.parameters(0)
    assert parameters.most_colluders == 2
