"""Which nodes are key holders."""

from collections.abc import Callable
from typing import Any

import pytest
from flwr.app import Context, RecordDict

from clients.roles import is_key_holder
from fedtrade.errors import ConfigurationError
from fedtrade.settings import Settings

Make = Callable[..., Settings]


def _is_key_holder(settings: Settings, **node_config: Any) -> bool:
    run_config = {"settings": settings.to_json()}
    return is_key_holder(Context(1, 2, node_config, RecordDict(), run_config))


def test_in_a_simulation_it_is_the_one_behind_the_participants(tiny: Make) -> None:
    settings = tiny("aggregation=encrypted", "federation.n_participants=4")
    assert [_is_key_holder(settings, **{"partition-id": k}) for k in range(6)] == (
        [False] * 4 + [True] * 2
    )


@pytest.mark.parametrize("mode", ["plain", "masked"])
def test_other_modes_have_none(tiny: Make, mode: str) -> None:
    settings = tiny(f"aggregation={mode}", "federation.n_participants=4")
    assert not any(_is_key_holder(settings, **{"partition-id": k}) for k in range(6))


def test_a_node_may_say_so_itself(tiny: Make) -> None:
    """Whatever its number, and with or without one."""
    settings = tiny("aggregation=encrypted", "federation.n_participants=4")
    for numbered in ({}, {"partition-id": 0}, {"partition-id": 4}):
        assert _is_key_holder(settings, role="key-holder", **numbered)
        assert not _is_key_holder(settings, role="participant", **numbered)


def test_where_any_number_may_come_only_a_node_itself_can_say_so(tiny: Make) -> None:
    settings = tiny("aggregation=encrypted", "federation.n_participants=null")
    assert not _is_key_holder(settings, **{"partition-id": 7})
    assert not _is_key_holder(settings)
    assert _is_key_holder(settings, role="key-holder")


@pytest.mark.parametrize("role", ["keyholder", "", "Key-Holder", 1, True])
def test_unknown_roles_are_refused(tiny: Make, role: Any) -> None:
    """A key holder that is misspelt must not be taken for a participant."""
    with pytest.raises(ConfigurationError) as caught:
        _is_key_holder(tiny(), role=role)
    assert f"role={role!r}; it must be 'participant', 'key-holder' or left out" in str(caught.value)
