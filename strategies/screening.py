"""Screen the replies of one round before any rule sees them.

Each reply is judged alone (`strategies.replies`), then in its round (was its node asked, does it
answer this round, is it the node's only one), then beside the others (`fedtrade.robust.screening`).
A refusal costs its sender and nobody else.
"""

from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from flwr.app import Message

from fedtrade.robust.screening import is_excessive, upper_median
from fedtrade.wire import printable
from strategies.replies import LocalResult, Refusal, read_update

__all__ = ["Screened", "screen"]

NOT_IN_TIME = "no reply in time"


class Screened(NamedTuple):
    """Usable replies in the order of their nodes, and what was refused.

    Attributes
    ----------
    n_broken : int
        Nodes of those asked that answered, though nothing that can be used: not those that are
        silent or report an error, which happens to honest ones too.
    """

    results: list[LocalResult]
    refusals: list[Refusal]
    n_broken: int


def screen(
    replies: Iterable[Message],
    *,
    asked: Collection[int],
    group_id: str,
    n_params: int,
    n_parts: int,
    max_norm_ratio: float,
) -> Screened:
    """Sort the replies to training messages into usable ones and refusals, by node.

    Of several replies of one node the first usable one counts. A usable reply without examples is
    left out and not refused: its sender has nothing to learn from. A node that was asked and did
    not answer is refused too.

    Parameters
    ----------
    asked : collection of int
        The nodes whose replies are wanted.
    group_id : str
        That the messages had, and replies repeat; it names the round.
    n_parts : int
        Vectors of length n_params in an update; each part's norm is judged by itself.
    max_norm_ratio : float
        The largest norm that is believed, in medians of the round's; at least 1.
    """
    results: dict[int, LocalResult] = {}
    refusals: list[Refusal] = []
    broken: set[int] = set()
    for reply in replies:
        node = reply.metadata.src_node_id
        try:
            if node not in asked:
                raise ValueError("the node was not asked in this round")
            result = read_update(reply, n_parts * n_params)
            _check_round(reply, group_id)
            if node in results:
                raise ValueError("the node answered more than once")
        except ValueError as error:
            refusals.append(Refusal(node, printable(str(error))))
            if reply.has_content():
                broken.add(node)
        else:
            results[node] = result
    heard = results.keys() | {refusal.node_id for refusal in refusals}
    refusals += [Refusal(node, NOT_IN_TIME) for node in asked if node not in heard]
    kept = [results[node] for node in sorted(results) if results[node].n_examples > 0]
    excessive = _excessive(kept, n_params, n_parts, max_norm_ratio)
    refusals += excessive
    odd = {refusal.node_id for refusal in excessive}
    n_broken = len(broken.intersection(asked) - results.keys()) + len(odd)
    return Screened([r for r in kept if r.node_id not in odd], refusals, n_broken)


def _check_round(reply: Message, group_id: str) -> None:
    """Raise a ValueError if the reply belongs to another round."""
    found = reply.metadata.group_id
    if found != group_id:
        raise ValueError(f"the reply is to round {found[:64]!r}, and this is {group_id!r}")


def _excessive(
    results: list[LocalResult], n_params: int, n_parts: int, max_norm_ratio: float
) -> list[Refusal]:
    """Whose norm is out of all proportion to the others', in some part of the update."""
    refusals: dict[int, Refusal] = {}
    for part in range(n_parts):
        columns = slice(part * n_params, (part + 1) * n_params)
        rows = [result.update[columns].astype(np.float64) for result in results]
        norms = np.array([np.linalg.norm(row) for row in rows])
        for k in np.flatnonzero(is_excessive(norms, max_norm_ratio)):
            node = results[k].node_id
            reason = (
                f"the update's norm of {norms[k]:.3g} is out of proportion: more than "
                f"{max_norm_ratio:g} times the median of {upper_median(norms):.3g}"
            )
            refusals.setdefault(node, Refusal(node, reason))
    return list(refusals.values())
