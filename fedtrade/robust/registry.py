"""Rules by name, alone or one behind the other: `krum`, `nnm+median`, `bucketing(3)+krum`."""

import ast
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedtrade.robust.aggregation import Aggregation
from fedtrade.robust.arc import AdaptiveRobustClipping
from fedtrade.robust.bucketing import Bucketing
from fedtrade.robust.bulyan import BulyanSelection
from fedtrade.robust.centered_clipping import CenteredClipping
from fedtrade.robust.fltrust import FLTrust
from fedtrade.robust.foolsgold import FoolsGold
from fedtrade.robust.geometric_median import GeometricMedian
from fedtrade.robust.krum import Krum
from fedtrade.robust.meamed import BulyanMean, MeaMed
from fedtrade.robust.mean import Mean
from fedtrade.robust.median import Median
from fedtrade.robust.minimum_diameter import MinimumDiameter
from fedtrade.robust.monna import MoNNA
from fedtrade.robust.multi_krum import MultiKrum
from fedtrade.robust.nnm import NearestNeighbourMixing
from fedtrade.robust.norm_clipping import NormClipping
from fedtrade.robust.rule import Rule
from fedtrade.robust.sign_majority import SignMajority
from fedtrade.robust.state import RuleState
from fedtrade.robust.step import Step
from fedtrade.robust.trimmed_mean import TrimmedMean

__all__ = ["RULES", "aggregate", "build_rule"]

Steps = Callable[..., Sequence[Step]]


def _one(step: type[Step]) -> Steps:
    return lambda *args, **options: (step(*args, **options),)


RULES: Mapping[str, Steps] = MappingProxyType(
    {
        "mean": _one(Mean),
        "krum": _one(Krum),
        "multi_krum": _one(MultiKrum),
        "bulyan": lambda: (BulyanSelection(), BulyanMean()),
        "minimum_diameter": _one(MinimumDiameter),
        "geometric_median": _one(GeometricMedian),
        "centered_clipping": _one(CenteredClipping),
        "fltrust": _one(FLTrust),
        "foolsgold": _one(FoolsGold),
        "monna": _one(MoNNA),
        "trimmed_mean": _one(TrimmedMean),
        "median": _one(Median),
        "meamed": _one(MeaMed),
        "sign_majority": _one(SignMajority),
        "nnm": _one(NearestNeighbourMixing),
        "bucketing": _one(Bucketing),
        "arc": _one(AdaptiveRobustClipping),
        "norm_clipping": _one(NormClipping),
    }
)
"""What each name stands for: a callable from options to steps. The last four are mixers."""


def build_rule(name: str, *, sketch: int | None = None, **options: Any) -> Rule:
    """The rule of a name such as `nnm+krum` or `centered_clipping(radius=0.1)`.

    Parameters
    ----------
    sketch : int or None
        Estimate the Gram matrix from a random projection to so many coordinates; in brackets it
        stands with the last step's options.
    **options
        Of the last step, as in its brackets, over which they prevail.

    Raises
    ------
    ValueError
        If a name or option is unknown, or the steps do not fit behind each other.
    """
    if not isinstance(name, str):
        raise ValueError(f"a rule is called by a text such as 'nnm+krum', got {name!r}.")
    parts = [_parsed(part.strip(), name) for part in name.split("+")]
    last, args, own = parts[-1]
    given = {**own, **options}
    in_brackets = given.pop("sketch", None)
    parts[-1] = last, args, given
    steps = [step for part in parts for step in _steps(*part)]
    return Rule(name, steps, sketch=in_brackets if sketch is None else sketch)


def aggregate(
    name: str,
    updates: NDArray[np.float32],
    *,
    weights: NDArray[np.floating] | Sequence[float] | None = None,
    n_byzantine: int = 0,
    state: RuleState | None = None,
    rng: np.random.Generator | int | None = None,
    anchors: Mapping[str, NDArray[np.float32]] | None = None,
    client_ids: Sequence[Hashable] | None = None,
    **options: Any,
) -> Aggregation:
    """Aggregate updates by a rule of the registry.

    Parameters
    ----------
    name : str
        See `build_rule`.
    updates : float32 of shape (n_clients, n_params), contiguous and finite
    weights : (n_clients,) or None
        What the server itself thinks of the clients, not negative; equal if None. A rule that
        cannot use unequal ones refuses them.
    n_byzantine : int
        How many clients may send anything (f).
    state : RuleState or None
        What the rule gave in the round before.
    rng : generator, seed or None
        For bucketing and sketches; unpredictable if None.
    anchors : mapping of str to float32 (n_params,)
        Public updates: `root` for fltrust, `own` for monna, `previous` for centered_clipping in
        place of the state's.
    client_ids : sequence or None
        Who the rows are, for a rule that remembers them (foolsgold); their numbers if None.
    **options
        Of the rule, and `sketch`.

    Returns
    -------
    Aggregation
        With `update` (n_params,), `weights` (n_clients,) and `state`.

    Raises
    ------
    ValueError
        Naming the rule and the value that it refuses.

    Examples
    --------
    >>> import numpy as np
    >>> updates = np.array([[1.0], [2.0], [3.0], [4.0], [1e9]], dtype=np.float32)
    >>> aggregate("trimmed_mean", updates, n_byzantine=1).update
    array([3.], dtype=float32)
    >>> aggregate("mean", updates[:2], weights=[3, 1]).weights
    array([0.75, 0.25])
    """
    return build_rule(name, **options)(
        updates,
        weights=weights,
        n_byzantine=n_byzantine,
        state=state,
        rng=rng,
        anchors=anchors,
        client_ids=client_ids,
    )


def _parsed(text: str, name: str) -> tuple[str, list[Any], dict[str, Any]]:
    """The name, arguments and options of one step such as `bucketing(2)`."""
    try:
        call = ast.parse(text, mode="eval").body
        if isinstance(call, ast.Name):
            return call.id, [], {}
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        args = [ast.literal_eval(arg) for arg in call.args]
        options = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise ValueError(
            f"the rule {name!r} cannot be read at {text!r}; write names with options in brackets, "
            "such as nnm+krum or bucketing(2)+centered_clipping(radius=0.1)."
        ) from None
    return call.func.id, args, options


def _steps(name: str, args: Sequence[Any], options: Mapping[str, Any]) -> Sequence[Step]:
    if name not in RULES:
        raise ValueError(f"there is no rule {name!r}; choose from {', '.join(sorted(RULES))}.")
    try:
        return RULES[name](*args, **options)
    except TypeError as error:
        given = ", ".join([*map(repr, args), *(f"{k}={v!r}" for k, v in options.items())])
        raise ValueError(f"{name} does not take ({given}): {error}.") from None
