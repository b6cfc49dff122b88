"""Hold what a run protects by noise against what a participant demands."""

from fedtrade.errors import LimitError
from fedtrade.nodes.privacy_settings import Cap, PrivacyLimits
from fedtrade.privacy.settings import ParticipantLevel, Privacy, RecordLevel
from fedtrade.privacy.units import PROTECTED, REMEDIES, UNITS, Unit

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
        _check_exact(run, own)
        _check_uncovered(run, own)
    if run.participant is not None and own.participant is not None:
        _check_run("participant", "participant", run.participant, own.participant)
    if run.record is not None:
        # What noise for days costs a label is far less than its epsilon: the ledger counts it.
        unit: Unit = "record" if run.record.unit == "day" else "label"
        cap = own.cap(unit)
        if cap is not None:
            _check_run("record", unit, run.record, cap)


def _check_level(run: Privacy, own: PrivacyLimits) -> None:
    demanded = own.demanded
    if demanded != "none" and demanded not in _protected(run):
        raise LimitError(
            f"the run has {_what(run)}, and this participant wants noise that protects "
            f"{PROTECTED[demanded]} (privacy.{_why(own)}): set {REMEDIES[demanded]}."
        )


def _protected(run: Privacy) -> tuple[Unit, ...]:
    if run.participant is not None:
        return UNITS
    if run.record is None:
        return ()
    return ("label", "record") if run.record.unit == "day" else ("label",)


def _check_exact(run: Privacy, own: PrivacyLimits) -> None:
    level = run.record if own.demanded != "participant" else None
    if own.exact_noise and level is not None and not level.secure_noise:
        raise LimitError(
            "the run has privacy.record.secure_noise=false, and this participant wants noise that "
            "is exact (privacy.exact_noise)."
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


def _check_run(name: str, unit: Unit, level: ParticipantLevel | RecordLevel, cap: Cap) -> None:
    for key in ("epsilon", "delta"):
        asked, most = getattr(level, key), getattr(cap, f"run_{key}")
        if most is not None and asked > most:
            raise LimitError(
                f"the run has privacy.{name}.{key}={asked:g}, and this participant allows a run "
                f"{most:g} (privacy.{unit}.run_{key})."
            )


def _what(run: Privacy) -> str:
    if run.record is None:
        return "privacy=none"
    return "privacy=record" if run.record.unit == "day" else "privacy.record.unit=label"


def _why(own: PrivacyLimits) -> str:
    """The setting from which the demand follows."""
    if own.least == own.demanded:
        return f"least={own.least}"
    return own.demanded
