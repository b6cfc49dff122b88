from typing import Any

import pytest

from conf import compose
from fedtrade.errors import LimitError
from fedtrade.nodes.limits import effective
from fedtrade.nodes.privacy_check import check_privacy
from fedtrade.nodes.privacy_settings import PrivacyLimits
from fedtrade.nodes.settings import ClientSettings
from fedtrade.privacy import ParticipantLevel, Privacy, RecordLevel

NONE = Privacy()
RECORD = Privacy(record=RecordLevel())
LABEL = Privacy(record=RecordLevel(unit="label"))
PARTICIPANT = Privacy(participant=ParticipantLevel())


def own(**values: Any) -> PrivacyLimits:
    return PrivacyLimits.from_mapping(values)


@pytest.mark.parametrize("run", [NONE, RECORD, PARTICIPANT])
def test_by_default_a_run_may_be_without_noise(run: Privacy) -> None:
    check_privacy(run, own())


@pytest.mark.parametrize(
    ("run", "values"),
    [
        (RECORD, {"least": "record", "uncovered": ["sums", "scores"]}),
        (LABEL, {"least": "label", "uncovered": ["sums", "scores"]}),
        (LABEL, {"label": {"epsilon": 1.0}, "uncovered": ["sums", "scores"]}),
        (RECORD, {"label": {"epsilon": 1.0}, "uncovered": ["sums", "scores"]}),
        (
            Privacy(record=RecordLevel(secure_noise=False)),
            {"least": "record", "exact_noise": False, "uncovered": ["sums", "scores"]},
        ),
        (PARTICIPANT, {"least": "record"}),
        (PARTICIPANT, {"least": "participant"}),
        (PARTICIPANT, {"participant": {"epsilon": 1.0}}),
        (PARTICIPANT, {"participant": {"epsilon": 1.0, "run_epsilon": 8.0, "run_delta": 1e-5}}),
        (PARTICIPANT, {"record": {"epsilon": 1.0, "run_epsilon": 0.1}}),
        (RECORD, {"record": {"epsilon": 9.0, "run_epsilon": 8.0}, "uncovered": ["sums", "scores"]}),
    ],
)
def test_a_run_that_protects_enough_may_be(run: Privacy, values: dict[str, Any]) -> None:
    check_privacy(run, own(**values))


@pytest.mark.parametrize(
    ("run", "values", "sentence"),
    [
        (NONE, {"least": "record"}, r"privacy=none.*its records does \(privacy\.least=record\)"),
        (NONE, {"least": "label"}, r"privacy=none.*as a label \(privacy\.least=label\)"),
        (NONE, {"label": {"epsilon": 1.0}}, r"privacy=none.*\(privacy\.label\)"),
        (
            LABEL,
            {"least": "record"},
            r"record\.unit=label, and .* set privacy=record with privacy\.record\.unit=day",
        ),
        (LABEL, {"record": {"epsilon": 9.0}}, r"unit=label, and .* \(privacy\.record\)"),
        (
            LABEL,
            {"label": {"epsilon": 9.0, "run_epsilon": 2.0}, "uncovered": ["sums", "scores"]},
            r"privacy\.record\.epsilon=8, .* 2 \(privacy\.label\.run_epsilon\)",
        ),
        (
            Privacy(record=RecordLevel(secure_noise=False)),
            {"least": "record", "uncovered": ["sums", "scores"]},
            r"secure_noise=false, .* \(privacy\.exact_noise\)",
        ),
        (NONE, {"record": {"epsilon": 1.0}}, r"privacy=none.*\(privacy\.record\)"),
        (NONE, {"least": "participant"}, r"privacy=none.*\(privacy\.least=participant\)"),
        (RECORD, {"least": "participant"}, r"privacy=record.*set privacy=participant"),
        (
            RECORD,
            {"least": "record", "participant": {"epsilon": 1.0}},
            r"privacy=record, and .* \(privacy\.participant\)",
        ),
        (
            RECORD,
            {"least": "record"},
            r"the run's sums leave without noise, .* lets scores do so \(privacy\.uncovered\)",
        ),
        (
            PARTICIPANT,
            {"least": "participant", "uncovered": []},
            r"the run's scores leave without noise, .* lets nothing do so",
        ),
        (
            PARTICIPANT,
            {"participant": {"epsilon": 9.0, "run_epsilon": 2.0}},
            r"privacy\.participant\.epsilon=8, .* 2 \(privacy\.participant\.run_epsilon\)",
        ),
        (
            PARTICIPANT,
            {"participant": {"epsilon": 9.0, "run_delta": 1e-7}},
            r"privacy\.participant\.delta=1e-05, .* 1e-07 \(privacy\.participant\.run_delta\)",
        ),
    ],
)
def test_a_run_that_protects_too_little_is_refused(
    run: Privacy, values: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(LimitError, match=sentence):
        check_privacy(run, own(**values))


def test_the_check_is_one_of_a_participants_limits() -> None:
    settings = compose(["aggregation=masked", "federation.n_participants=4"])
    values = {
        "name": "alpha",
        "number": 0,
        "superlink": "localhost:1",
        "root_certificates": "ca.crt",
        "key": "node.key",
        "state": "state",
        "privacy": {"least": "participant"},
    }
    with pytest.raises(LimitError, match=r"privacy\.least=participant"):
        effective(settings, ClientSettings.from_mapping(values))
