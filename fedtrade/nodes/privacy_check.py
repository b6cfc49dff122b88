"""Hold what a run protects by noise against what a participant demands."""

from fedtrade.errors import LimitError
from fedtrade.nodes.privacy_settings import Cap, PrivacyLimits
from fedtrade.privacy.settings import ParticipantLevel, Privacy, RecordLevel

__all__ = ["check_privacy"]


def check_privacy(run: Privacy, own: PrivacyLimits) -> None:
    """Refuse a run that protects too little, or asks for more than one run may.

    What a run comes to altogether (its settings may promise epsilon for each model), and what is
    left of a budget, is seen when something is about to leave.

    Raises
    ------
    LimitError
        Naming what the run has, and the participant's own setting.
    """
    _check_level(run, own)
    if own.demanded != "none":
        _check_uncovered(run, own)
    for name, level, cap in (
        ("participant", run.participant, own.participant),
        ("record", run.record, own.record),
    ):
        if level is not None and cap is not None:
            _check_run(name, level, cap)


def _check_level(run: Privacy, own: PrivacyLimits) -> None:
    demanded = own.demanded
    if demanded == "participant" and run.participant is None:
        raise LimitError(
            f"the run has {_what(run)}, and this participant wants noise that protects all that "
            f"it contributes (privacy.{_why(own)}): set privacy=participant."
        )
    if demanded == "record" and run.participant is None and run.record is None:
        raise LimitError(
            "the run has privacy=none, and this participant wants noise that protects each of "
            f"its records (privacy.{_why(own)}): set privacy=record or privacy=participant."
        )


def _check_uncovered(run: Privacy, own: PrivacyLimits) -> None:
    # DP-SGD protects what is trained, and nothing else that leaves.
    excluded = ("sums", "scores") if run.participant is None else run.participant.exclude
    for what in excluded:
        if what not in own.uncovered:
            raise LimitError(
                f"the run's {what} leave without noise, and this participant lets "
                f"{' and '.join(own.uncovered) or 'nothing'} do so (privacy.uncovered)."
            )


def _check_run(name: str, level: ParticipantLevel | RecordLevel, cap: Cap) -> None:
    for key in ("epsilon", "delta"):
        asked, most = getattr(level, key), getattr(cap, f"run_{key}")
        if most is not None and asked > most:
            raise LimitError(
                f"the run has privacy.{name}.{key}={asked:g}, and this participant allows a run "
                f"{most:g} (privacy.{name}.run_{key})."
            )


def _what(run: Privacy) -> str:
    return "privacy=none" if run.record is None else "privacy=record"


def _why(own: PrivacyLimits) -> str:
    """The setting from which the demand follows."""
    if own.least == own.demanded:
        return f"least={own.least}"
    return own.demanded
