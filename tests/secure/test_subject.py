"""What a sum is a sum of, as a hash."""

from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from fedtrade.secure.layout import Layout, Segment
from fedtrade.secure.subject import NO_SUBJECT, SUBJECT_BYTES, asked_subject, subject_of

VECTOR = np.array([1.0, 2.0, 3.0], dtype=np.float32)
VALUES: dict[str, dict[str, Any]] = {"config": {"round": 3, "clip": 0.5, "name": "moments"}}


def asked(kind: str = "train", vector: Any = VECTOR, **config: Any) -> bytes:
    arrays = ArrayRecord({"vector": Array(np.asarray(vector))})
    values = ConfigRecord({**VALUES["config"], **config})
    return asked_subject(kind, RecordDict({"arrays": arrays, "config": values}))


def layout(**changed: Any) -> Layout:
    given = {"size": 3, "bound": 4.0, "resolution": 0.5, "n_members": 5, **changed}
    segment = Segment("update", given["size"], given["bound"], given["resolution"])
    return Layout([segment], given["n_members"])


def test_all_that_are_asked_the_same_have_the_same_subject() -> None:
    """Whatever the order of records and settings, and whatever is for each of them alone."""
    content = RecordDict(
        {
            "secure.upload": ConfigRecord({"session": 1}),
            "config": ConfigRecord(dict(reversed(VALUES["config"].items()))),
            "arrays": ArrayRecord({"vector": Array(VECTOR.copy())}),
        }
    )
    found = asked_subject("train", content)
    assert found == asked()
    assert len(found) == SUBJECT_BYTES
    assert subject_of(found, layout()) == subject_of(asked(), layout())


def test_the_order_of_arrays_is_asked_too() -> None:
    """Scores stand in the order of models: in another one's place, theirs could be subtracted."""
    values = ConfigRecord(VALUES["config"])
    models = {name: Array(VECTOR) for name in ("model/a", "model/b")}
    ahead, behind = (
        asked_subject(
            "evaluate", RecordDict({"arrays": ArrayRecord(dict(order)), "config": values})
        )
        for order in (models.items(), reversed(models.items()))
    )
    assert ahead != behind


def test_whatever_is_asked_otherwise_is_another_subject() -> None:
    arrays, values = ArrayRecord({"vector": Array(VECTOR)}), ConfigRecord(VALUES["config"])
    found = [
        asked(),
        asked("query.sum"),
        asked(vector=VECTOR + np.float32(1e-6)),
        asked(vector=VECTOR.astype(np.float64)),
        asked(vector=VECTOR[:, None]),
        asked(round=4),
        asked(round=3.0),
        asked(round="3"),
        asked(round=b"3"),
        asked(round=[3]),
        asked(round=True),
        asked(more=1),
        asked_subject("train", RecordDict({"other": arrays, "config": values})),
        asked_subject(
            "train",
            RecordDict({"arrays": ArrayRecord({"w": Array(VECTOR)}), "config": values}),
        ),
        asked_subject("train", RecordDict({"config": values})),
        asked_subject("train", RecordDict({"arrays": arrays, "other": values})),
        asked_subject(
            "train",
            RecordDict({"arrays": arrays, "config": values, "m": MetricRecord({"n": 1})}),
        ),
        NO_SUBJECT,
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "changed", [{"size": 4}, {"bound": 8.0}, {"resolution": 0.25}, {"n_members": 50}]
)
def test_words_of_another_kind_are_another_subject(changed: dict[str, Any]) -> None:
    assert subject_of(asked(), layout(**changed)) != subject_of(asked(), layout())
