from typing import Any

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.privacy_settings import Cap


def test_a_cap_protects_all_of_its_units() -> None:
    assert Cap.from_mapping({"epsilon": 1.0, "delta": 1e-3, "units": 999}).units == 999


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"delta": 0.1}, r"delta=0\.1"),
        ({"run_delta": 0.5}, r"run_delta=0\.5"),
        ({"delta": 1e-3, "units": 1000}, r"delta=0\.001 must be below 1/units=0\.001"),
        ({"run_delta": 1e-3, "units": 1000}, r"run_delta=0\.001 must be below"),
        ({"renews_days": 1e-12}, "renews_days=1e-12"),
    ],
)
def test_a_cap_that_promises_nothing_is_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigurationError, match=sentence):
        Cap.from_mapping({"epsilon": 1.0, **values})
