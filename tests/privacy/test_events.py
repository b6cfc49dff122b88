import json
import subprocess
import sys
from typing import Any

import pytest

from fedtrade.errors import AccountingError
from fedtrade.privacy import (
    Approximate,
    BoundedRange,
    Concentrated,
    DiscreteGaussian,
    Event,
    Gaussian,
    GroupGaussian,
    Laplace,
    Pure,
    Skellam,
    event_from,
    times,
    to_mapping,
)

EVENTS = [
    Gaussian(1.5, 0.1, 20),
    Laplace(2.0),
    DiscreteGaussian(3.0, 10.0, 100.0, 100, 10, 5),
    Skellam(90.0, 10.0, 100.0),
    GroupGaussian(2.0, 0.1, 5, 2),
    Pure(0.5, 3),
    BoundedRange(0.5),
    Approximate(0.5, 1e-6),
    Concentrated(0.1, 2),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_survives_storage_as_json(event: Event) -> None:
    assert event_from(json.loads(json.dumps(to_mapping(event)))) == event


def test_a_stored_event_is_readable_by_its_kind() -> None:
    assert to_mapping(Laplace(2.0)) == {"kind": "laplace", "noise_multiplier": 2.0, "count": 1}


def test_times_multiplies_the_count() -> None:
    assert times(Gaussian(1.0, 0.1, 3), 4) == Gaussian(1.0, 0.1, 12)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "cauchy", "scale": 1.0}, "'cauchy' is none of gaussian, group_gaussian"),
        ({"noise_multiplier": 1.0}, "None is none of"),
        ({"kind": "laplace"}, "too many or too few"),
        ({"kind": "laplace", "noise_multiplier": 1.0, "scale": 1.0}, "too many or too few"),
        ({"kind": "laplace", "noise_multiplier": "1"}, "noise_multiplier='1'"),
        ({"kind": "laplace", "noise_multiplier": 1.0, "count": 1.5}, "count=1.5"),
    ],
)
def test_what_is_no_event_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(AccountingError, match=message):
        event_from(values)


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), float("inf"), True])
def test_noise_must_be_a_positive_number(noise: float) -> None:
    with pytest.raises(AccountingError, match="noise_multiplier"):
        Gaussian(noise)
    with pytest.raises(AccountingError, match="noise_multiplier"):
        Laplace(noise)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, float("nan")])
def test_a_sampling_probability_lies_in_0_to_1(probability: float) -> None:
    with pytest.raises(AccountingError, match="sampling_probability"):
        Gaussian(1.0, probability)


@pytest.mark.parametrize("delta", [-1e-9, 1.0, float("nan")])
def test_a_delta_lies_below_1(delta: float) -> None:
    with pytest.raises(AccountingError, match="delta"):
        Approximate(1.0, delta)


def test_discrete_gaussians_narrower_than_their_theorem_are_refused() -> None:
    with pytest.raises(AccountingError, match="finer lattice"):
        DiscreteGaussian(0.4, 1.0, 1.0, 1)


def test_importing_the_package_loads_no_library_of_privacy() -> None:
    code = (
        "import sys, fedtrade.privacy\n"
        "heavy = {'torch', 'opacus', 'opendp', 'dp_accounting', 'scipy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""
