"""What the record level of a run promises, in the words and numbers of its privacy statement."""

from dataclasses import replace

from fedtrade.privacy.accountant import spent
from fedtrade.privacy.settings import RecordLevel
from fedtrade.secure.statement import LOSSES, NO_NOISE, Parameter, PrivacyStatement

__all__ = ["with_record_level"]

_UNITS = {
    "day": "one training day of a participant: all that its returns do in the training, as labels "
    "and in the features of later days",
    "label": "the returns of one training day of a participant as labels; what the features of "
    "later days tell of it is outside of the promise",
}


def with_record_level(
    statement: PrivacyStatement,
    level: RecordLevel,
    *,
    n_steps: int,
    n_models: int,
    horizon_bars: int = 1,
) -> PrivacyStatement:
    """The statement with the promise of the record level.

    Parameters
    ----------
    n_steps : int
        Of a participant in the training of one model.
    n_models : int
        Trained in the run, one at each origin and fold, and the final one.
    horizon_bars : int
        Of which a label is.

    Raises
    ------
    AccountingError
        If no noise keeps the promise.
    """
    from fedtrade.privacy.dp_sgd import RecordNoise

    noise = RecordNoise.of(level, n_steps, horizon_bars)
    total = spent([noise.event(n_steps * n_models)], level.delta, level.accountant)
    at = f"at delta {level.delta:g}"
    return replace(
        statement,
        learns=tuple(each for each in statement.learns if not each.what.startswith(LOSSES)),
        broken_by=(
            *statement.broken_by,
            "The noise hides single records, against everybody. It is none on federated sums and "
            "scores, which leave as exact as the trust mode lets them.",
        ),
        assumptions=(
            *(each for each in statement.assumptions if each != NO_NOISE),
            f"Record level: what training tells of {_UNITS[level.unit]}, is bounded by epsilon "
            f"{level.epsilon:g} {at} for each model, and by {total:.3g} for all {n_models} models "
            "of the run, against training without the gradients that it is part of. The former "
            "rests on a server that keeps to its rounds of each model; the latter does not, as no "
            "participant answers more rounds than those of all models. Each participant adds the "
            "noise itself, and one that does not hurts itself alone. How many bars it has is no "
            "secret; losses are not told.",
        ),
        parameters=(
            *statement.parameters,
            Parameter("record.unit", level.unit, "what a record is"),
            Parameter("record.epsilon", level.epsilon, "of one record and one model"),
            Parameter("record.run_epsilon", total, "of one record, in the whole run"),
            Parameter("record.delta", level.delta, "that the bound fails, for the same"),
            Parameter(
                "record.models", n_models, "that the run trains, one at each origin and fold"
            ),
            Parameter(
                "record.noise_multiplier",
                round(noise.stddev / (noise.unit_records * noise.clip), 4),
                "standard deviation of the noise over the most that one record changes",
            ),
            Parameter(
                "record.unit_records",
                noise.unit_records,
                "days whose gradients one record is part of",
            ),
        ),
    )
