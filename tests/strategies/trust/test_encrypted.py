"""Encrypted sums over messages: equal to plain ones, and no party's failure ends the run."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.secure.encrypted import Scheme
from fedtrade.secure.encrypted.channels import TRAINING, channels
from fedtrade.secure.encrypted.ckks import CKKS, flooding_deviation
from fedtrade.secure.encrypted.key_holder import MOST_OPENED
from fedtrade.secure.layout import Layout
from fedtrade.secure.payload import training_layout
from tests.strategies.trust.encrypted import (
    ALL,
    EQUAL,
    FIRST_ROUND,
    HOLDER,
    Make,
    N,
    encrypted,
    failing,
    federated,
    refused,
)
from tests.strategies.trust.federation import Federation

# --- encrypted equals plain ---------------------------------------------------------------------


def _both(
    five: Make, *overrides: str, weights: str = "equal"
) -> tuple[Federation, Federation, Scheme, Layout]:
    """A round of training in plain and under encryption, from the same sums."""
    options = (f"strategy.weights={weights}",)
    encrypted = five("aggregation=encrypted", *options, *overrides)
    with federated(five(*options)) as plain, federated(encrypted) as hidden:
        for name in plain.task.sums:
            first, second = plain.add_up(name), hidden.add_up(name)
            assert first.total is not None
            assert second.total is not None, second.problem
            np.testing.assert_allclose(second.total, first.total, rtol=1e-9, atol=N * 1e-9)
            for federation in (plain, hidden):  # the same, so that training begins alike
                federation.shared[name] = federation.task.finish_sum(name, first.total)
        reports = plain.round(), hidden.round()
    assert [report.n_replies for report in reports] == [N, N]
    assert [report.refusals for report in reports] == [(), ()]
    aggregation: Any = encrypted.aggregation
    scheme = channels(aggregation, N)[TRAINING]
    layout = training_layout(
        aggregation,
        len(plain.vector),
        scheme.layout_members,
        by_examples=weights == "examples",
        modulus=scheme.modulus,
    )
    return plain, hidden, scheme, layout


@pytest.mark.parametrize("weights", ["examples", "equal"])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("aggregation.weighted=true",),
        ("aggregation.scheme=paillier", "aggregation.key_bits=1024"),
    ],
)
def test_exact_schemes_equal_plain_up_to_the_step(
    five: Make, overrides: tuple[str, ...], weights: str
) -> None:
    """Sums as well as updates, whose mean is off by half a step and float32's rounding."""
    plain, hidden, _, layout = _both(five, *overrides, weights=weights)
    assert layout.steps[0] <= 1e-5
    assert plain.strategy.last_round is not None
    assert hidden.strategy.last_round is not None
    assert hidden.strategy.last_round.loss == pytest.approx(
        plain.strategy.last_round.loss, abs=1e-4
    )
    np.testing.assert_allclose(hidden.vector, plain.vector, rtol=3e-7, atol=layout.steps[0] + 3e-8)


@pytest.mark.parametrize("weighted", ["false", "true"])
def test_an_approximate_scheme_is_off_by_the_noise_that_floods_it(
    five: Make, weighted: str
) -> None:
    """Six deviations at most, and it is there: nothing unflooded comes out."""
    overrides = ("aggregation.scheme=ckks", f"aggregation.weighted={weighted}")
    plain, hidden, scheme, layout = _both(five, *overrides)
    assert isinstance(scheme, CKKS)
    deviation = flooding_deviation(scheme, N, MOST_OPENED, 30)
    for_update, for_weight, for_loss, _ = (deviation * step for step in layout.steps)
    (row,) = hidden.rows
    mean = np.mean([each.update for each in plain.rows], axis=0)
    loss = np.mean([each.loss for each in plain.rows])
    assert 0.0 < abs(row.n_examples - N) <= 6.0 * for_weight
    off_by_weight = abs(row.n_examples / N - 1.0)
    slack = 3e-7 + off_by_weight * np.abs(mean).max()
    assert 0.0 < np.abs(row.update - mean).max() <= 6.0 * for_update / N + slack
    assert abs(row.loss - loss) <= 6.0 * for_loss / N + off_by_weight * abs(loss)


@pytest.mark.slow
def test_worker_processes_go_on_from_their_stored_state(five: Make) -> None:
    """Members and the key holder may meet another process with each message."""
    vectors = []
    for options in ({}, {"n_workers": 2, "workers": "processes"}):
        with federated(encrypted(five), **options) as federation:
            federation.prepare()
            assert [federation.round().refusals for _ in range(2)] == [(), ()]
            vectors.append(federation.vector)
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_a_round_takes_two_exchanges(five: Make) -> None:
    """The greeting and two more to begin with; the second exchange is with the key holder alone."""
    with federated(encrypted(five)) as federation:
        assert [len(messages) for messages in federation.grid.asked] == [N + 1, 1, N]
        federation.prepare()
        before = len(federation.grid.asked)
        federation.round()
        assert [len(messages) for messages in federation.grid.asked[before:]] == [N, 1]


def test_the_server_sees_ciphertexts_and_no_update(five: Make) -> None:
    replies: list[Any] = []

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return (lambda reply: replies.append(reply) or reply) if "train" in stages else None

    with federated(encrypted(five), fate) as federation:
        federation.prepare().round()
    assert len(replies) == N
    for reply in replies:
        assert set(reply.content) == {
            *("arrays", "metrics", "config", "secure.round", "secure.ciphertexts"),
        }
        assert not any(len(reply.content[name]) for name in ("arrays", "metrics", "config"))
        assert set(reply.content["secure.ciphertexts"]) == {"chunks", "digest", "signature"}


# --- parties that fail --------------------------------------------------------------------------

FATES = [
    "silent",
    *(pytest.param(how, marks=pytest.mark.slow) for how in ("lost", "error", "late")),
]


def _rounds(federation: Federation, n: int) -> list[tuple[set[int], str, bool]]:
    """Of each round who was heard, why it was skipped, and whether the model moved."""
    found = []
    for _ in range(n):
        before = federation.vector
        report = federation.round()
        heard = federation.heard if federation.rows else set()
        found.append((heard, report.skipped, federation.vector is not before))
    return found


@pytest.mark.parametrize("how", FATES)
def test_a_member_that_fails_costs_nobody_else_and_is_in_the_next_sum(five: Make, how: str) -> None:
    at = FIRST_ROUND + 1
    fate = failing({3}, "round", range(at, at + 1), how)
    with federated(encrypted(five), fate) as federation, federated(five(EQUAL)) as plain:
        federation.prepare()
        plain.shared, plain.vector = federation.shared, federation.vector
        for expected in (ALL, ALL - {3}, ALL):
            plain.vector = federation.vector
            plain.round()
            updates = {min(plain.members_of(row)): row.update for row in plain.rows}
            before = federation.vector
            report = federation.round()
            assert federation.heard == expected
            assert set(federation.participants(report)) == ALL - expected
            step = np.mean([updates[number] for number in expected], axis=0)
            np.testing.assert_allclose(federation.vector, before + step, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("how", FATES[:3])
def test_a_member_that_misses_the_keys_is_left_out_and_the_sums_are_right(
    five: Make, how: str
) -> None:
    """The others' numbers are in the steps of a sum of all."""
    fate = failing({3}, "key", range(-1, 0), how)
    with federated(encrypted(five), fate) as federation, federated(five(EQUAL)) as plain:
        assert set(federation.members.participants.values()) == ALL - {3}
        ((node, reason),) = federation.members.refusals
        assert federation.members.participants.get(node) is None
        assert ("it broke down" if how == "error" else "no reply") in reason
        federation.prepare()
        plain.shared, plain.vector = federation.shared, federation.vector
        plain.round()
        updates = [row.update for row in plain.rows if plain.members_of(row) != {3}]
        before = federation.vector
        report = federation.round()
        assert (federation.heard, report.refusals) == (ALL - {3}, ())
        step = np.mean(updates, axis=0)
        np.testing.assert_allclose(federation.vector, before + step, rtol=1e-5, atol=2e-6)


def test_a_member_that_is_gone_for_good_is_named_in_each_round(five: Make) -> None:
    fate = failing({3}, "round", range(FIRST_ROUND, 99), "silent")
    with federated(encrypted(five), fate) as federation:
        federation.prepare()
        for _ in range(2):
            report = federation.round()
            assert federation.participants(report) == {3: "no reply in time"}
            assert federation.heard == ALL - {3}


@pytest.mark.parametrize("how", FATES)
def test_without_the_key_holder_a_round_is_skipped_and_the_next_is_not(
    five: Make, how: str
) -> None:
    """The reason names it, nobody else is blamed, and the model is kept."""
    at = FIRST_ROUND + 1
    fate = failing({HOLDER}, "decrypt", range(at, at + 1), how)
    with federated(encrypted(five), fate) as federation:
        first, second, third = _rounds(federation.prepare(), 3)
        assert first == third == (ALL, "", True)
        assert second[0] == set()
        assert second[1].startswith("the key holder: ")
        assert ("it broke down" if how == "error" else "no reply within") in second[1]
        assert not second[2]


def test_without_the_key_holder_for_good_all_rounds_are_skipped(five: Make) -> None:
    """FedAdam's memory, too, is as if there had been none."""
    settings = five("aggregation=encrypted", "strategy=fedadam")
    fate = failing({HOLDER}, "decrypt", range(FIRST_ROUND + 1, 99), "silent")
    with federated(settings, fate) as federation:
        federation.prepare().round()
        before = federation.strategy.state_arrays()
        assert before
        for heard, skipped, has_moved in _rounds(federation, 2):
            assert (heard, has_moved) == (set(), False)
            assert "the key holder: no reply within" in skipped
        after = federation.strategy.state_arrays()
    assert set(before) == set(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("how", FATES)
def test_a_federated_sum_without_the_key_holder_names_it(five: Make, how: str) -> None:
    fate = failing({HOLDER}, "decrypt", range(1), how)
    with federated(encrypted(five), fate) as federation:
        summed = federation.add_up()
        assert summed.total is None
        assert summed.problem.startswith("the key holder: ")
        assert summed.refusals == []


@pytest.mark.parametrize("how", ["lost", "error", "silent", "late"])
def test_a_run_does_not_begin_without_keys(five: Make, how: str) -> None:
    fate = failing({HOLDER}, "key", range(-1, 0), how)
    assert re.match("the key holder: (it broke down|no reply within)", refused(five, fate))


@pytest.mark.parametrize("how", ["lost", "error", "silent", "late"])
def test_a_run_does_not_begin_without_a_key_holder(five: Make, how: str) -> None:
    fate = failing({HOLDER}, "greeting", range(-1, 0), how)
    said = refused(five, fate, kind=ConfigurationError)
    assert "aggregation=encrypted needs one key holder, and no node says it is one" in said
    assert "Nodes that were left out: " in said
    assert ("it broke down" if how == "error" else "no reply within") in said


@pytest.mark.parametrize("how", FATES)
def test_too_few_are_not_opened_and_nobody_asks_the_key_holder(five: Make, how: str) -> None:
    at = FIRST_ROUND + 1
    fate = failing({1, 2, 3}, "round", range(at, at + 1), how)
    with federated(encrypted(five), fate) as federation:
        first, second, third = _rounds(federation.prepare(), 3)
        assert first == third == (ALL, "", True)
        assert not second[2]
        assert "2 participants contributed" in second[1]
        assert "aggregation.min_contributors=3" in second[1]
        asked = [m.content for messages in federation.grid.asked for m in messages]
    opened = [c["secure.decrypt"]["session"] for c in asked if "secure.decrypt" in c]
    assert opened == [0, 1, FIRST_ROUND, FIRST_ROUND + 2]
