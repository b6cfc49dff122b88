"""Handwritten digits: 25 workers, one momentum step of stochastic gradient a round.

The setting of Karimireddy, He and Jaggi (2022), "Byzantine-robust learning on heterogeneous
datasets via bucketing", https://arxiv.org/abs/2006.09365, on the 1,797 digits of 8 x 8 pixels that
scikit-learn brings along instead of MNIST. Each worker keeps the momentum
`m = beta m + (1 - beta) g` of its mini-batch gradients (Karimireddy, He and Jaggi 2021, "Learning
from history", algorithm 2) and sends `-learning_rate m` as its update.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from fedtrade.models import MLP, Linear, Network
from fedtrade.tasks.task import LocalUpdate, Vector
from simulations.arena.problem import Cast, Outcome, Poison, References
from simulations.attacks.attack import Attack
from simulations.attacks.backdoor import Backdoor

__all__ = ["Digits", "split"]

N_CLASSES = 10
N_PIXELS = 64
TEST_SHARE = 0.25
N_ROOT = 50
"""Training examples of the server, for rules that need a trusted update; no worker has them."""

Split: TypeAlias = Literal["iid", "dirichlet", "sorted"]


class _Data(NamedTuple):
    """Standardised pixels (n, 64) and classes (n,)."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]

    def at(self, rows: NDArray[np.intp]) -> "_Data":
        return _Data(self.features[rows], self.labels[rows])


class Digits:
    """Classify digits together.

    Parameters
    ----------
    heterogeneity : {"iid", "dirichlet", "sorted"}
        How training examples are dealt: at random, by class in Dirichlet shares, or sorted by
        class so that most workers know one or two classes only.
    seed : int
        Of the split, the mini-batches and the network's start; the test set is always the same.
    n_participants : int
    rounds, batch_size : int
    learning_rate : float
    momentum : float
        `beta` above, in [0, 1).
    hidden : sequence of int
        Units of the network's hidden layers; none for softmax regression.
    alpha : float
        Of the Dirichlet shares, positive; small is uneven.

    Raises
    ------
    ValueError
        If an argument lies outside of its range.
    """

    def __init__(
        self,
        *,
        heterogeneity: Split,
        seed: int,
        n_participants: int = 25,
        rounds: int = 200,
        batch_size: int = 32,
        learning_rate: float = 0.1,
        momentum: float = 0.9,
        hidden: Sequence[int] = (),
        alpha: float = 0.3,
    ) -> None:
        if heterogeneity not in ("iid", "dirichlet", "sorted"):
            raise ValueError(
                f"heterogeneity must be iid, dirichlet or sorted, got {heterogeneity!r}."
            )
        if n_participants < 1 or rounds < 1 or batch_size < 1:
            raise ValueError(
                "n_participants, rounds and batch_size must be at least 1, "
                f"got {n_participants}, {rounds}, {batch_size}."
            )
        if not learning_rate > 0.0 or not 0.0 <= momentum < 1.0 or not alpha > 0.0:
            raise ValueError(
                "learning_rate and alpha must be positive and momentum in [0, 1), "
                f"got {learning_rate}, {alpha}, {momentum}."
            )
        self.n_participants = n_participants
        self._heterogeneity: Split = heterogeneity
        self._alpha = alpha
        self._train, self._test = _load()
        network: Network = (
            MLP(N_PIXELS, N_CLASSES, hidden) if hidden else Linear(N_PIXELS, N_CLASSES)
        )
        self._sgd = _Sgd(network, seed, rounds, batch_size, learning_rate, momentum)

    def trainings(self, cast: Cast) -> Sequence["_DigitsTraining"]:
        """One training; honest workers share out all examples among them, as in the paper.

        Liars have the whole training set at hand: each holds a random part of it, as large as an
        honest worker's.
        """
        rng = np.random.default_rng([self._sgd.seed, 1])
        root, rest = np.split(rng.permutation(len(self._train.labels)), [N_ROOT])
        honest = tuple(range(self.n_participants)) if cast.is_honest else cast.honest
        parts = split(self._train.labels[rest], len(honest), self._heterogeneity, rng, self._alpha)
        shares = {i: self._train.at(rest[part]) for i, part in zip(honest, parts, strict=True)}
        size = len(rest) // len(honest)
        for liar in sorted(set(cast.members) - set(honest)):
            shares[liar] = self._train.at(rng.choice(rest, size, replace=False))
        return (_DigitsTraining(self._sgd, shares, self._train.at(root)),)

    def scores(
        self, outcome: Outcome, references: References, attack: Attack | None = None
    ) -> Mapping[str, float]:
        """Accuracy on the test set, and that of the class that fares worst."""
        hits = self._hits(outcome.vectors[0])
        by_class = [hits[self._test.labels == k].mean() for k in range(N_CLASSES)]
        clean = float(self._hits(references.clean.vectors[0]).mean())
        accuracy = float(hits.mean())
        scores = {
            "accuracy": accuracy,
            "worst_class_accuracy": float(min(by_class)),
            "clean_accuracy": clean,
            "lost_accuracy": float(self._hits(references.lost.vectors[0]).mean()),
            "accuracy_change": accuracy - clean,
        }
        backdoor = attack and attack.played
        if isinstance(backdoor, Backdoor):
            predict = partial(self._sgd.predict, outcome.vectors[0])
            scores["backdoor_hit_rate"] = backdoor.hit_rate(predict, *self._test)
        return scores

    def _hits(self, vector: Vector) -> NDArray[np.bool_]:
        """Which test examples are classified rightly."""
        return np.asarray(self._sgd.predict(vector, self._test.features) == self._test.labels)


@dataclass(frozen=True)
class _Sgd:
    """How workers train."""

    network: Network
    seed: int
    n_rounds: int
    batch_size: int
    learning_rate: float
    momentum: float

    def predict(self, vector: Vector, features: NDArray[np.floating]) -> NDArray[np.intp]:
        """The likeliest class of each row of features (n, 64)."""
        with torch.no_grad():
            scores = self.network(
                torch.from_numpy(vector), torch.from_numpy(features.astype(np.float32))
            )
        return np.asarray(scores.numpy().argmax(axis=-1))

    def gradients(
        self, vector: Vector, features: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gradients (n_workers, n_params) and losses (n_workers,).

        Of the mean cross-entropy of features (n_workers, n, 64) and labels (n_workers, n).
        """
        n_workers = len(labels)
        vectors = torch.from_numpy(np.tile(vector, (n_workers, 1))).requires_grad_(True)
        scores = self.network(vectors, torch.from_numpy(features))
        losses = torch.nn.functional.cross_entropy(
            scores.reshape(-1, N_CLASSES), torch.from_numpy(labels).reshape(-1), reduction="none"
        )
        by_worker = losses.reshape(n_workers, -1).mean(dim=1)
        (gradients,) = torch.autograd.grad(by_worker.sum(), vectors)
        return gradients.numpy(), by_worker.detach().numpy()


@dataclass(frozen=True)
class _DigitsTraining:
    """One training: the examples of each worker and of the server."""

    sgd: _Sgd
    shares: Mapping[int, _Data]
    root: _Data

    @property
    def n_rounds(self) -> int:
        """Rounds of the training."""
        return self.sgd.n_rounds

    def initial(self) -> Vector:
        """The network's start."""
        return self.sgd.network.initial(np.random.default_rng([self.sgd.seed, 2]))

    def start(self, poisons: Mapping[int, Poison]) -> "_Workers":
        """Workers without momentum."""
        shares = dict(self.shares)
        for worker, poison in poisons.items():
            features, labels = poison(*shares[worker])
            shares[worker] = _Data(features.astype(np.float32), labels.astype(np.int64))
        return _Workers(self.sgd, shares, self.root)


@dataclass
class _Workers:
    """All workers of a run; a round is computed for all of them when the first one is asked."""

    sgd: _Sgd
    shares: Mapping[int, _Data]
    root: _Data
    _momenta: NDArray[np.float32] | None = None
    _losses: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    _round: int = 0

    def update(self, participant: int, vector: Vector, round_number: int) -> LocalUpdate:
        """A worker's step; every worker takes part in every round, in which it is asked once."""
        if round_number != self._round:
            self._step(vector, round_number)
        assert self._momenta is not None
        row = list(self.shares).index(participant)
        update = np.float32(-self.sgd.learning_rate) * self._momenta[row]
        return LocalUpdate(update, float(self._losses[row]), self.sgd.batch_size)

    def root_update(self, vector: Vector) -> Vector:
        """A full-batch step on the server's examples."""
        gradients, _ = self.sgd.gradients(vector, self.root.features[None], self.root.labels[None])
        return np.asarray(-self.sgd.learning_rate * gradients[0], dtype=np.float32)

    def _step(self, vector: Vector, round_number: int) -> None:
        batches = [self._batch(worker, round_number) for worker in self.shares]
        gradients, self._losses = self.sgd.gradients(
            vector,
            np.stack([batch.features for batch in batches]),
            np.stack([batch.labels for batch in batches]),
        )
        beta = np.float32(self.sgd.momentum)
        before = np.zeros_like(gradients) if self._momenta is None else self._momenta
        self._momenta = beta * before + (1 - beta) * gradients
        self._round = round_number

    def _batch(self, worker: int, round_number: int) -> _Data:
        """Drawn with replacement, so that all batches have one size."""
        rng = np.random.default_rng([self.sgd.seed, 3, worker, round_number])
        own = self.shares[worker]
        return own.at(rng.integers(len(own.labels), size=self.sgd.batch_size))


def split(
    labels: NDArray[np.int64],
    n_parts: int,
    heterogeneity: Split,
    rng: np.random.Generator,
    alpha: float = 0.3,
) -> list[NDArray[np.intp]]:
    """Positions of the examples of each worker; each example belongs to one of them.

    Raises
    ------
    ValueError
        If there are fewer examples than workers.
    """
    if len(labels) < n_parts:
        raise ValueError(f"{len(labels)} examples cannot be dealt to {n_parts} workers.")
    shuffled = rng.permutation(len(labels))
    if heterogeneity == "iid":
        return np.array_split(shuffled, n_parts)
    in_order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    if heterogeneity == "sorted":
        return np.array_split(in_order, n_parts)
    return _dirichlet(labels, in_order, n_parts, rng, alpha)


def _dirichlet(
    labels: NDArray[np.int64],
    in_order: NDArray[np.intp],
    n_parts: int,
    rng: np.random.Generator,
    alpha: float,
) -> list[NDArray[np.intp]]:
    """Each class in Dirichlet shares (Hsu, Qi and Brown 2019); nobody is left without any."""
    parts: list[list[int]] = [[] for _ in range(n_parts)]
    for k in np.unique(labels):
        rows = in_order[labels[in_order] == k]
        ends = np.cumsum(rng.dirichlet(np.full(n_parts, alpha)))[:-1]
        for part, dealt in zip(
            parts, np.split(rows, (ends * len(rows)).astype(np.intp)), strict=True
        ):
            part.extend(dealt.tolist())
    for part in parts:
        if not part:
            part.append(max(parts, key=len).pop())
    return [np.array(part, dtype=np.intp) for part in parts]


@cache
def _load() -> tuple[_Data, _Data]:
    """Training and test examples; the test set has its part of each class."""
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    is_test = np.zeros(len(labels), dtype=bool)
    for k in range(N_CLASSES):
        rows = rng.permutation(np.flatnonzero(labels == k))
        is_test[rows[: round(TEST_SHARE * len(rows))]] = True
    mean, scale = features[~is_test].mean(axis=0), features[~is_test].std()
    pixels = ((features - mean) / scale).astype(np.float32)
    whole = _Data(pixels, labels.astype(np.int64))
    return whole.at(np.flatnonzero(~is_test)), whole.at(np.flatnonzero(is_test))
