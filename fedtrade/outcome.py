"""What one episode of a run gave, and how it is kept in a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fedtrade.errors import CheckpointError
from fedtrade.summed_scores import SummedScores
from fedtrade.tasks.task import Evaluation, ForecastPath, Model
from fedtrade.wire import EpisodeRecord, pack_model, split_prefix, unpack_models

__all__ = [
    "UNKNOWN_PARTICIPANT",
    "EpisodeOutcome",
    "Failure",
    "RoundLog",
    "from_bytes",
    "to_bytes",
]

STRATEGY_PREFIX = "strategy/"
SUM_PREFIX = "summed/"
UNKNOWN_PARTICIPANT = -1
"""The number of a node that is no participant, such as one that did not say who it is."""


class RoundLog(NamedTuple):
    """One finished round of training."""

    round_number: int
    n_replies: int
    n_failures: int
    loss: float
    update_norm: float
    seconds: float


class Failure(NamedTuple):
    """A participant (or `UNKNOWN_PARTICIPANT`) without a usable reply.

    Round 0 is before training, -1 the evaluation. The party is that of the register, if any.
    """

    round_number: int
    participant: int
    reason: str
    party: str = ""


@dataclass(slots=True, eq=False)
class EpisodeOutcome:
    """An episode as far as it has come.

    Attributes
    ----------
    shared : mapping of str to array
        Outcomes of the federated sums.
    models : mapping of str to Model
        By arm; `federated` holds the global vector after the last of `rounds`.
    strategy_state : mapping of str to array
        What the strategy remembers of an episode in progress.
    evaluations : mapping of int to Evaluation
        By participant, when the episode is finished.
    summed : SummedScores or None
        Of everybody, where only their sum is seen; there are no `evaluations` then.
    """

    episode: EpisodeRecord
    n_participants: int
    shared: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    rounds: list[RoundLog] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    evaluations: dict[int, Evaluation] = field(default_factory=dict)
    summed: SummedScores | None = None
    strategy_state: dict[str, NDArray[Any]] = field(default_factory=dict)
    is_finished: bool = False


def to_bytes(outcome: EpisodeOutcome) -> bytes:
    """One `.npz` file: arrays by name, and everything else as JSON under `meta`."""
    arrays: dict[str, NDArray[Any]] = {f"shared/{k}": v for k, v in outcome.shared.items()}
    for arm, model in outcome.models.items():
        arrays |= pack_model(arm, model)
    arrays |= {f"{STRATEGY_PREFIX}{name}": v for name, v in outcome.strategy_state.items()}
    for participant, evaluation in outcome.evaluations.items():
        arrays |= _packed_evaluation(f"evaluation/{participant}/", evaluation)
    if outcome.summed is not None:
        arrays |= _packed_sum(outcome.summed)
    meta = {
        "episode": outcome.episode.to_config(),
        "n_participants": outcome.n_participants,
        "rounds": outcome.rounds,
        "failures": outcome.failures,
        "evaluations": {
            str(participant): {"arms": e.arms, "path": e.path and [e.path.asset, e.path.level]}
            for participant, e in outcome.evaluations.items()
        },
        "summed_arms": outcome.summed and outcome.summed.arms,
        "is_finished": outcome.is_finished,
    }
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8)
    buffer = BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def from_bytes(data: bytes) -> EpisodeOutcome:
    """Read back what `to_bytes` wrote.

    Raises
    ------
    CheckpointError
        If the bytes are something else.
    """
    try:
        with np.load(BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(arrays.pop("meta").tobytes())
        return EpisodeOutcome(
            episode=EpisodeRecord.from_config(meta["episode"]),
            n_participants=meta["n_participants"],
            shared=split_prefix(arrays, "shared/"),
            models=unpack_models(arrays),
            rounds=[RoundLog(*entry) for entry in meta["rounds"]],
            failures=[Failure(*entry) for entry in meta["failures"]],
            evaluations={
                int(number): _unpacked_evaluation(
                    split_prefix(arrays, f"evaluation/{number}/"), entry
                )
                for number, entry in meta["evaluations"].items()
            },
            summed=_unpacked_sum(split_prefix(arrays, SUM_PREFIX), meta["summed_arms"]),
            strategy_state=split_prefix(arrays, STRATEGY_PREFIX),
            is_finished=meta["is_finished"],
        )
    except Exception as error:  # whatever a decoder makes of damaged bytes
        raise CheckpointError(
            f"a checkpoint is damaged ({type(error).__name__}: {error}); "
            "start again with resume=false."
        ) from error


def _packed_evaluation(head: str, evaluation: Evaluation) -> dict[str, NDArray[Any]]:
    packed: dict[str, NDArray[Any]] = {
        f"{head}bars": evaluation.bars,
        f"{head}totals": evaluation.totals,
        f"{head}daily": evaluation.daily,
    }
    if (path := evaluation.path) is not None:
        packed[f"{head}path"] = np.stack([path.returns, path.var, path.es])
    return packed


def _unpacked_evaluation(
    arrays: Mapping[str, NDArray[Any]], entry: Mapping[str, Any]
) -> Evaluation:
    path = None
    if entry["path"] is not None:
        asset, level = entry["path"]
        path = ForecastPath(asset, level, arrays["bars"], *arrays["path"])
    return Evaluation(tuple(entry["arms"]), arrays["bars"], arrays["totals"], arrays["daily"], path)


def _packed_sum(summed: SummedScores) -> dict[str, NDArray[Any]]:
    names = (field.name for field in fields(summed) if field.name != "arms")
    return {f"{SUM_PREFIX}{name}": np.asarray(getattr(summed, name)) for name in names}


def _unpacked_sum(
    arrays: Mapping[str, NDArray[Any]], arms: Sequence[str] | None
) -> SummedScores | None:
    if arms is None:
        return None
    entries: dict[str, Any] = {**arrays, "n_scored": int(arrays["n_scored"])}
    return SummedScores(tuple(arms), **entries)
