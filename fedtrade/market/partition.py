"""Who holds which part of the data: rules that split one panel among participants.

A rule is built from settings (`_target_: fedtrade.market.partition.ByAsset`) and called with
`(panel, n_participants, seed)`. It only names parts; `cut` takes one out of the panel, and an
episode's origin cuts all of them at the same calendar date (`fedtrade.market.calendar`).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Protocol

import numpy as np

from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market.panel import Panel

__all__ = [
    "ByAsset",
    "ByHistory",
    "ByPeriod",
    "BySector",
    "DirichletAssets",
    "DrawnAssets",
    "Own",
    "Partitioner",
    "Share",
    "cut",
]

_MOST_BY_ITSELF = 10
"""The most participants where nobody said how many; more of them must be asked for."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one participant holds.

    Attributes
    ----------
    assets : tuple of str
        In the panel's order, at least one.
    start, end : numpy.datetime64 or None
        The first and last bar that it holds (inclusive), None for the panel's own.
    history_bars : int or None
        How many bars before (and including) an episode's origin it knows, None for all.
        It depends on the origin, so `calendar.history_window` applies it and `cut` does not.
    """

    assets: tuple[str, ...]
    start: np.datetime64 | None = None
    end: np.datetime64 | None = None
    history_bars: int | None = None


def cut(panel: Panel, share: Share) -> Panel:
    """Take a participant's assets and period out of the panel; what others hold stays outside."""
    own = panel.select(share.assets)
    own = own if share.start is None else own.since(share.start)
    return own if share.end is None else own.until(share.end)


class Partitioner(Protocol):
    """A deterministic rule that gives participant k the k-th share."""

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; None asks for the rule's natural number of participants.

        Raises
        ------
        ConfigurationError
            If the rule cannot serve that number, or has no natural one.
        """
        ...


@dataclass(frozen=True, slots=True)
class ByAsset:
    """Neighbouring assets in blocks as equal as possible; each asset belongs to one participant.

    The natural number is one participant an asset, ten at most.
    """

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; the seed changes nothing."""
        count = _count(panel, n_participants)
        return tuple(Share(block) for block in _asset_blocks(panel, count))


@dataclass(frozen=True, slots=True)
class Own:
    """Everybody holds all of the panel: on a participant's machine it is that participant's own."""

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """One share a participant; the seed changes nothing."""
        if n_participants is None:
            raise ConfigurationError(
                "partition=own does not tell how many participants there are; set "
                "federation.n_participants."
            )
        return (Share(panel.assets),) * n_participants


@dataclass(frozen=True, slots=True)
class BySector:
    """One participant a sector, sectors in alphabetical order.

    Attributes
    ----------
    sectors : mapping of asset to sector, or the path of a file
        The file has a header with the columns `sector` (or industry, group) and `symbol` (or
        ticker, asset), separated by comma, semicolon or tab; a leading `$` of a symbol is ignored.
        Assets that are not in the panel are ignored; each asset of the panel needs a sector.
    """

    _: KW_ONLY
    sectors: Mapping[str, str] | str | Path

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; the natural number is that of the panel's sectors.

        Raises
        ------
        DataError
            If the file cannot be read or an asset has no sector.
        """
        sector_of = self.sectors if isinstance(self.sectors, Mapping) else _read(self.sectors)
        homeless = [asset for asset in panel.assets if asset not in sector_of]
        if homeless:
            raise DataError(
                f"asset {homeless[0]!r} ({len(homeless)} in all) has no sector; "
                "add it to partition.sectors or leave it out with data.assets."
            )
        members: dict[str, list[str]] = {}
        for asset in panel.assets:
            members.setdefault(sector_of[asset], []).append(asset)
        if n_participants not in (None, len(members)):
            raise ConfigurationError(
                f"federation.n_participants={n_participants}, but the assets fall into "
                f"{len(members)} sectors; set it to {len(members)} or null."
            )
        return tuple(Share(tuple(members[sector])) for sector in sorted(members))


@dataclass(frozen=True, slots=True)
class ByPeriod:
    """The calendar in blocks as equal as possible, earliest first; everyone holds all assets."""

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; the seed changes nothing."""
        if n_participants is None:
            raise ConfigurationError(
                "ByPeriod has no natural number of participants; set federation.n_participants."
            )
        count = _count(panel, n_participants)
        _check_enough(panel.n_bars, count, "bar")
        blocks = np.array_split(panel.bars, count)
        return tuple(Share(panel.assets, block[0], block[-1]) for block in blocks)


@dataclass(frozen=True, slots=True)
class ByHistory:
    """Blocks of assets as in `ByAsset`, and only so many bars of history for each participant.

    Attributes
    ----------
    history_bars : int or sequence of int
        Bars before (and including) an origin that a participant knows: one number for all, or
        several that are dealt in turn, so `[1000, 60]` makes every second one a newcomer.
    """

    _: KW_ONLY
    history_bars: int | Sequence[int]

    def __post_init__(self) -> None:
        if not self._lengths or min(self._lengths) < 1:
            raise ConfigurationError(
                f"partition.history_bars must be one or more positive numbers of bars, "
                f"got {self.history_bars!r}."
            )

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; the natural number is that of several lengths, or as in `ByAsset`."""
        natural = len(self._lengths) if isinstance(self.history_bars, Sequence) else None
        count = _count(panel, natural if n_participants is None else n_participants)
        lengths = islice(cycle(self._lengths), count)
        blocks = _asset_blocks(panel, count)
        return tuple(
            Share(block, history_bars=n_bars) for block, n_bars in zip(blocks, lengths, strict=True)
        )

    @property
    def _lengths(self) -> tuple[int, ...]:
        if isinstance(self.history_bars, Sequence):
            return tuple(self.history_bars)
        return (self.history_bars,)


@dataclass(frozen=True, slots=True)
class DirichletAssets:
    """Unequal random sets of assets; each asset belongs to one participant.

    Everyone is dealt one asset, and the others fall to participants with probabilities drawn
    from a symmetric Dirichlet distribution, after Hsu, Qi and Brown (2019), "Measuring the
    effects of non-identical data distribution for federated visual classification", section 3,
    https://arxiv.org/abs/1909.06335.

    Attributes
    ----------
    alpha : float
        Concentration, positive: small values leave most assets to a few, large ones even it out.
    """

    _: KW_ONLY
    alpha: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.alpha < np.inf:
            raise ConfigurationError(f"partition.alpha must be positive, got {self.alpha}.")

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; a seed gives the same shares each time.

        The natural number is that of `ByAsset`.
        """
        count = _count(panel, n_participants)
        _check_enough(panel.n_assets, count, "asset")
        rng = np.random.default_rng(seed)
        probabilities = rng.dirichlet(np.full(count, self.alpha))
        others = rng.choice(count, size=panel.n_assets - count, p=probabilities)
        owner = rng.permutation(np.concatenate([np.arange(count), others]))
        return tuple(
            Share(tuple(np.array(panel.assets)[owner == number].tolist()))
            for number in range(count)
        )


@dataclass(frozen=True, slots=True)
class DrawnAssets:
    """A few assets each, drawn at random; several participants may hold the same.

    As firms do that trade the same names. Any number of participants can share a few assets so.

    Attributes
    ----------
    n_assets : int
        That each participant holds.
    """

    _: KW_ONLY
    n_assets: int = 3

    def __post_init__(self) -> None:
        if type(self.n_assets) is not int or self.n_assets < 1:
            raise ConfigurationError(
                f"partition.n_assets must be a whole number from 1, got {self.n_assets}."
            )

    def __call__(self, panel: Panel, n_participants: int | None, seed: int) -> tuple[Share, ...]:
        """Split the panel; a seed gives the same shares each time.

        The natural number is that of `ByAsset`.
        """
        if self.n_assets > panel.n_assets:
            raise ConfigurationError(
                f"partition.n_assets={self.n_assets} are more than the data has: use at most "
                f"{panel.n_assets}."
            )
        rng = np.random.default_rng(seed)
        return tuple(
            Share(tuple(panel.assets[k] for k in np.sort(drawn)))
            for drawn in (
                rng.choice(panel.n_assets, size=self.n_assets, replace=False)
                for _ in range(_count(panel, n_participants))
            )
        )


def _count(panel: Panel, n_participants: int | None) -> int:
    """How many participants: one an asset, `_MOST_BY_ITSELF` at most, unless a number is given."""
    if n_participants is None:
        return min(panel.n_assets, _MOST_BY_ITSELF)
    if n_participants < 1:
        raise ConfigurationError(
            f"federation.n_participants must be at least 1, got {n_participants}."
        )
    return n_participants


def _check_enough(available: int, n_participants: int, thing: str) -> None:
    if available < n_participants:
        plural = "" if available == 1 else "s"
        raise ConfigurationError(
            f"federation.n_participants={n_participants}, but the data has only {available} "
            f"{thing}{plural} to share; use at most {available} participant{plural} or more data, "
            "or try federation=small evaluation=short."
        )


def _asset_blocks(panel: Panel, n_participants: int) -> list[tuple[str, ...]]:
    """Contiguous blocks, the first ones longer by one where the numbers do not divide."""
    _check_enough(panel.n_assets, n_participants, "asset")
    edges = [0]
    for number in range(n_participants):
        longer = number < panel.n_assets % n_participants
        edges.append(edges[-1] + panel.n_assets // n_participants + longer)
    return [panel.assets[edges[k] : edges[k + 1]] for k in range(n_participants)]


def _read(path: str | Path) -> dict[str, str]:
    """Read a sector file: asset to sector."""
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            separator = max(",;\t", key=header.count)
            file.seek(0)
            rows = list(csv.reader(file, delimiter=separator))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"partition.sectors: cannot read {path}: {error}.") from error
    names = [name.strip().lower() for name in rows[0]] if rows else []
    sector = _position(names, ("sector", "industry", "group"), path)
    symbol = _position(names, ("symbol", "ticker", "asset"), path)
    full = [row for row in rows[1:] if len(row) > max(sector, symbol)]
    return {row[symbol].strip().removeprefix("$"): row[sector].strip() for row in full}


def _position(names: list[str], accepted: Sequence[str], path: str | Path) -> int:
    for position, name in enumerate(names):
        if name in accepted:
            return position
    raise DataError(
        f"partition.sectors: {path} has no column {accepted[0]!r} (or {', '.join(accepted[1:])}); "
        f"its columns are {', '.join(names) or 'none'}."
    )
