"""Masked and encrypted sums: compute of every party, bytes, memory, and Flower's SecAgg+ beside us.

Each case has a fresh interpreter, in which the sum is checked against the plain fixed-point sum.
Time of masked sums is processor time of one thread, added up over all members, who are played one
after the other; that of encrypted sums, of which a child process does a part, and of rounds over
the Grid is elapsed.
"""

import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fedtrade.errors import ConfigurationError
from fedtrade.report.records import Record, print_records

__all__ = ["run"]

_OURS = "fedtrade"
_PEER = "flwr-secaggplus"
_ADVERSARIES = ("semi_honest", "malicious")
_ENCRYPTED = ("bfv", "bfv-weighted", "ckks", "ckks-weighted")
_EXAMPLE = (3, 2)
"""Shares and threshold in Flower's own example of SecAgg+."""
_N_PAILLIER = 4
"""Members that encrypt, as it takes them long; see `measure_encrypted`."""
_N_ROUNDS = 4
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def run(
    *,
    n_members: Sequence[int] = (100, 1_000),
    large: int | None = None,
    n_params: int = 10_000,
    adversaries: Sequence[str] = _ADVERSARIES,
    peer: Sequence[int] | None = (50, 1_000),
    encrypted: Sequence[str] = _ENCRYPTED,
    n_encrypted: int = 1_000,
    paillier: Sequence[int] = (10, 100),
    colluding_share: float = 0.2,
    dropout_share: float = 0.05,
    security_bits: int = 40,
) -> list[Record]:
    """Measure masked sums, a round beside Flower's SecAgg+, and encrypted sums.

    Parameters
    ----------
    n_members : sequence of int
        Of masked sums of `n_params` parameters.
    large : int or None
        Members of one more masked sum, such as 10000, which takes minutes.
    adversaries : sequence of {"semi_honest", "malicious"}
        Whom masked sums withstand.
    peer : (n_members, n_params) or None
        Of the round that both run; None leaves it out.
    encrypted : sequence of {"bfv", "bfv-weighted", "ckks", "ckks-weighted"}
        Encrypted sums of `n_params` parameters.
    n_encrypted : int
        Their contributions, each of which is encrypted.
    paillier : sequence of int
        Numbers of values of Paillier sums of `n_encrypted` contributions.
    colluding_share, dropout_share, security_bits : float, float, int
        See `MaskedAggregation`. So large a share, rounded up, does drop out of masked sums before
        the upload.

    Raises
    ------
    ConfigurationError
        If an option is unknown or out of range.
    ThresholdError
        If no graph of masks is as the shares and the security ask for.
    """
    _check(n_members, large, n_params, peer, encrypted, n_encrypted, paillier)
    sizes = [*n_members, *([] if large is None else [large])]
    options = {
        "colluding_share": colluding_share,
        "dropout_share": dropout_share,
        "security_bits": security_bits,
    }
    masked: list[dict[str, Any]] = [
        {"settings": _masked(options, adversary, n), "shape": (n, n_params)}
        for n in sizes
        for adversary in adversaries
    ]
    rounds = [
        {"settings": _masked(options, adversary, peer[0]), "shape": tuple(peer), "n_dropouts": n}
        for adversary in (adversaries if peer else ())
        if peer is not None
        for n in sorted({0, math.ceil(dropout_share * peer[0])})
    ]
    found: list[Record] = []
    for request in masked:
        found += _in_fresh_interpreter("masked", request)
    for request in rounds:
        found += _in_fresh_interpreter("rounds", request)
    if peer:
        found += _in_fresh_interpreter("example", {"shape": tuple(peer)})
    for name in encrypted:
        found += _in_fresh_interpreter(
            "encrypted", {"name": name, "shape": (n_encrypted, n_params), "n_encrypted": None}
        )
    for size in paillier:
        found += _in_fresh_interpreter(
            "encrypted",
            {
                "name": "paillier",
                "shape": (n_encrypted, size),
                "n_encrypted": min(_N_PAILLIER, n_encrypted),
            },
        )
    return found


def _masked(options: Mapping[str, Any], adversary: str, n_members: int) -> dict[str, Any]:
    """Settings of a masked sum, refused here if they are none for so many members."""
    from pydantic import ValidationError

    from fedtrade.secure import MaskedAggregation
    from strategies.trust.masked import parameters_of

    try:
        settings = MaskedAggregation.model_validate({**options, "adversary": adversary})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(
            f"bench.{name}={first['input']!r}: {first['msg'].lower()}."
        ) from None
    parameters_of(settings, n_members)
    return settings.model_dump()


def _check(
    n_members: Any,
    large: Any,
    n_params: Any,
    peer: Any,
    encrypted: Any,
    n_encrypted: Any,
    paillier: Any,
) -> None:
    """Refuse here what would be a traceback of the fresh interpreter."""
    least = {
        "n_members": (n_members, 2),
        "large": ([] if large is None else [large], 2),
        "n_params": ([n_params], 1),
        "n_encrypted": ([n_encrypted], 3),
        "paillier": (paillier, 1),
        "peer": (peer or [], 1),
    }
    for name, (values, smallest) in least.items():
        is_list = isinstance(values, list | tuple)
        if not is_list or not all(type(each) is int and each >= smallest for each in values):
            raise ConfigurationError(
                f"bench.{name} takes integers of at least {smallest}, got {values!r}."
            )
    if peer is not None and (len(peer) != 2 or peer[0] < 4):
        raise ConfigurationError(
            f"bench.peer is [n_members, n_params] of at least 4 members, such as peer=[50,1000], "
            f"or null; got {peer!r}."
        )
    unknown = [name for name in encrypted if name not in _ENCRYPTED]
    if unknown:
        raise ConfigurationError(
            f"there is no encrypted case {unknown[0]!r}; choose from {', '.join(_ENCRYPTED)}."
        )


def _in_fresh_interpreter(what: str, request: Mapping[str, Any]) -> list[Record]:
    # The command line asks for one thread; that is what a party has here, too.
    environment = {**os.environ, **dict.fromkeys(_THREADS, "1")}
    done = subprocess.run(
        [sys.executable, "-m", "simulations.bench.secure", what, json.dumps(request)],
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        check=True,
    )
    return [Record.model_validate(record) for record in json.loads(done.stdout)]


# --- in the fresh interpreter -------------------------------------------------------------------


def _measure_masked(request: Mapping[str, Any]) -> list[Record]:
    from fedtrade.secure import MaskedAggregation
    from simulations.bench.secure_cases import measure_masked

    settings = MaskedAggregation.model_validate(request["settings"])
    n_members, n_params = request["shape"]
    found = measure_masked(settings, n_members, n_params)
    case = f"masked-{settings.adversary}-{n_members}x{n_params}"
    return [_record(case, _OURS, metric, *value) for metric, value in found.items()]


def _measure_rounds(request: Mapping[str, Any]) -> list[Record]:
    """A round of ours beside one of Flower's with as many shares and the same threshold."""
    from fedtrade.secure import MaskedAggregation
    from simulations.bench.masked_round import MaskedRound, masked_rounds
    from simulations.bench.secaggplus_peer import secaggplus_round
    from strategies.trust.masked import parameters_of

    settings = MaskedAggregation.model_validate(request["settings"])
    n_members, n_params = request["shape"]
    gone = frozenset(range(request["n_dropouts"]))
    graph = parameters_of(settings, n_members)
    updates = _updates(n_members, n_params)

    def own_rounds() -> list[MaskedRound]:
        """The first round warms up; only the last has dropouts: it is the one that counts."""
        return [
            masked_rounds(settings, updates, dropouts=gone, n_rounds=2)[-1]
            for _ in range(_N_ROUNDS)
        ]

    rounds = own_rounds()
    # In Flower a member holds one of its own shares.
    peers = secaggplus_round(
        updates,
        num_shares=graph.degree + 1,
        reconstruction_threshold=graph.threshold,
        dropouts=gone,
    ).seconds
    rounds += own_rounds()  # before and after, so that a busy time hits both
    ours = statistics.median(each.seconds for each in rounds)
    unsigned = statistics.median(each.seconds - each.checks_s for each in rounds)
    case = f"round-{settings.adversary}-{n_members}x{n_params}-{len(gone)}gone"
    return [
        _record(case, _OURS, "duration", ours, "s"),
        _record(case, _OURS, "neighbours", graph.degree, ""),
        _record(case, _OURS, "threshold", graph.threshold, ""),
        _record(case, _PEER, "duration", peers, "s"),
        _record(case, _OURS, f"speedup_vs:{_PEER}", peers / ours, "x"),
        # Flower's keys are not signed, so that there is nothing to check.
        _record(case, _OURS, "duration_without_signature_checks", unsigned, "s"),
        _record(case, _OURS, f"speedup_without_signature_checks_vs:{_PEER}", peers / unsigned, "x"),
    ]


def _measure_example(request: Mapping[str, Any]) -> list[Record]:
    """A round of Flower's with as few shares as in its own example: fast, and hides little."""
    from simulations.bench.secaggplus_peer import secaggplus_round

    n_members, n_params = request["shape"]
    n_shares, threshold = _EXAMPLE
    updates = _updates(n_members, n_params)
    seconds = statistics.median(
        secaggplus_round(updates, num_shares=n_shares, reconstruction_threshold=threshold).seconds
        for _ in range(_N_ROUNDS)
    )
    case = f"round-{n_shares}shares-{n_members}x{n_params}-0gone"
    return [_record(case, _PEER, "duration", seconds, "s")]


def _measure_encrypted(request: Mapping[str, Any]) -> list[Record]:
    from fedtrade.secure import EncryptedAggregation
    from simulations.bench.secure_cases import measure_encrypted

    scheme, _, weighted = request["name"].partition("-")
    settings = EncryptedAggregation(scheme=scheme, weighted=bool(weighted))
    n_members, n_params = request["shape"]
    found = measure_encrypted(settings, n_members, n_params, request["n_encrypted"])
    case = f"{request['name']}-{n_members}x{n_params}"
    return [_record(case, _OURS, metric, *value) for metric, value in found.items()]


def _updates(n_members: int, n_params: int) -> Any:
    import numpy as np

    rng = np.random.default_rng(n_members)
    return rng.uniform(-1.0, 1.0, (n_members, n_params)).astype(np.float32)


def _record(case: str, subject: str, metric: str, value: float, unit: str) -> Record:
    return Record(case=case, subject=subject, metric=metric, value=value, unit=unit)


_MEASURES: Mapping[str, Callable[[Mapping[str, Any]], list[Record]]] = {
    "masked": _measure_masked,
    "rounds": _measure_rounds,
    "example": _measure_example,
    "encrypted": _measure_encrypted,
}

if __name__ == "__main__":
    if len(sys.argv) == 3:
        records = _MEASURES[sys.argv[1]](json.loads(sys.argv[2]))
        print(json.dumps([record.model_dump() for record in records]))
    else:
        print_records(run())
