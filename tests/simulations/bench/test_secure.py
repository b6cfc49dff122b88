"""Small runs of the benchmark: right sums, each party measured, and a peer that does the same."""

import math
from typing import Any

import numpy as np
import pytest

from fedtrade.errors import FedtradeError
from fedtrade.secure import EncryptedAggregation, MaskedAggregation
from fedtrade.secure.masked import rehearse
from simulations.bench import secure
from simulations.bench.masked_round import masked_rounds
from simulations.bench.secaggplus_peer import TOLERANCE, secaggplus_round
from simulations.bench.secure_cases import measure_encrypted, measure_masked
from simulations.bench.signature_checks import timed_signature_checks

LAX = {"colluding_share": 0.1, "dropout_share": 0.1, "security_bits": 10}


@pytest.mark.slow
def test_masked_sums_and_rounds_are_measured() -> None:
    records = secure.run(
        n_members=(10,),
        n_params=50,
        adversaries=("semi_honest",),
        peer=(6, 20),
        encrypted=(),
        paillier=(),
        **LAX,
    )
    found = {(r.case, r.subject, r.metric): r.value for r in records}
    assert all(value is not None and math.isfinite(value) for value in found.values())
    case = "masked-semi_honest-10x50"
    total, server = (found[case, "fedtrade", name] for name in ("total", "server"))
    mean = found[case, "fedtrade", "client_mean"]
    assert total is not None
    assert server is not None
    assert mean is not None
    # Nine of ten members go through all stages, and the tenth does less.
    assert server + 0.009 * mean <= total <= server + 0.0101 * mean
    assert found[case, "fedtrade", "equals_plain_sum"] == 1.0
    round_ = "round-semi_honest-6x20-1gone"
    ours, theirs = (found[round_, who, "duration"] for who in ("fedtrade", "flwr-secaggplus"))
    assert ours is not None
    assert theirs is not None
    speedup = found[round_, "fedtrade", "speedup_vs:flwr-secaggplus"]
    assert speedup == pytest.approx(theirs / ours)
    unsigned = found[round_, "fedtrade", "duration_without_signature_checks"]
    assert unsigned is not None
    assert 0.0 < unsigned < ours
    assert ("round-3shares-6x20-0gone", "flwr-secaggplus", "duration") in found


def test_a_malicious_server_costs_more_bytes() -> None:
    found = {
        adversary: measure_masked(MaskedAggregation(adversary=adversary, **LAX), 12, 30)
        for adversary in ("semi_honest", "malicious")
    }
    up = {adversary: measured["client_up"][0] for adversary, measured in found.items()}
    assert up["semi_honest"] < up["malicious"]
    assert found["malicious"]["committee"][0] > 0
    words = 4 * (30 + 3) / 1024
    for measured in found.values():
        assert measured["client_up"][0] == pytest.approx(
            measured["client_up_without_words"][0] + words
        )


def test_each_check_of_a_signature_is_timed() -> None:
    words = np.zeros((6, 2), np.uint32)
    settings = MaskedAggregation(adversary="semi_honest", **LAX)
    with timed_signature_checks() as checks:
        found = rehearse(settings, [words])
    (graph,) = found.parameters[0]
    assert checks.number == 6 * graph.degree
    assert 0.0 < checks.seconds < found.client_s.sum()


@pytest.mark.parametrize("dropouts", [frozenset[int](), frozenset({2})])
def test_peer_and_we_compute_the_same_mean(dropouts: frozenset[int]) -> None:
    updates = np.random.default_rng(0).uniform(-2.0, 2.0, (6, 30)).astype(np.float32)
    theirs = secaggplus_round(
        updates, num_shares=5, reconstruction_threshold=3, dropouts=dropouts
    ).mean
    settings = MaskedAggregation(adversary="semi_honest", **LAX)
    ours = masked_rounds(settings, updates, dropouts=dropouts)[-1].mean
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE + settings.clip_resolution)
    there = [number for number in range(6) if number not in dropouts]
    np.testing.assert_allclose(theirs, updates[there].mean(axis=0), atol=TOLERANCE)


def test_a_peer_with_too_few_left_gives_no_result() -> None:
    updates = np.zeros((5, 3), np.float32)
    with pytest.raises(RuntimeError, match="gave no result"):
        secaggplus_round(
            updates, num_shares=5, reconstruction_threshold=4, dropouts=frozenset({0, 1})
        )


@pytest.mark.parametrize(("scheme", "weighted"), [("bfv", True), ("ckks", False)])
def test_encrypted_sums_are_measured(scheme: Any, weighted: bool) -> None:
    pytest.importorskip("tenseal")
    settings = EncryptedAggregation(scheme=scheme, weighted=weighted)
    found = {name: value for name, (value, _) in measure_encrypted(settings, 4, 40).items()}
    assert found["error_of_mean"] <= 1e-5
    assert found["equals_plain_sum"] == (1.0 if scheme == "bfv" else 0.0)
    assert found["upload_over_float32"] == pytest.approx(found["upload"] * 1024 / 160)
    assert 0.0 < found["client_mean"] <= found["client_worst"]
    assert found["server"] > 0.0


def test_members_that_repeat_a_ciphertext_count_each() -> None:
    """With Paillier, of which the sum stays exact."""
    pytest.importorskip("phe")
    settings = EncryptedAggregation(scheme="paillier", key_bits=1024)
    found = measure_encrypted(settings, 5, 3, n_encrypted=2)
    assert found["equals_plain_sum"][0] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_members": [1]}, r"bench.n_members takes integers of at least 2, got \[1\]"),
        ({"n_members": 10}, "bench.n_members takes integers of at least 2, got 10"),
        ({"n_params": 0}, r"bench.n_params takes .* got \[0\]"),
        ({"peer": [50]}, r"bench.peer is \[n_members, n_params\] .* got \[50\]"),
        ({"encrypted": ["rsa"]}, "no encrypted case 'rsa'; choose from bfv, bfv-weighted"),
        ({"adversaries": ["nice"]}, "bench.adversary='nice': input should be 'semi_honest'"),
        ({"colluding_share": 1.0}, "bench.colluding_share=1.0: input should be less than 1"),
        ({"colluding_share": 0.9, "dropout_share": 0.2}, "colluding_share=0.9"),
    ],
)
def test_what_cannot_be_measured_is_refused_first(options: dict[str, Any], message: str) -> None:
    with pytest.raises(FedtradeError, match=message):
        secure.run(**options)
