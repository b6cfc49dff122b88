"""Markets of nine and of five participants, an asset each."""

from collections.abc import Callable

import pytest

from fedtrade.settings import Settings
from tests.strategies.trust.federation import composer


@pytest.fixture(scope="session")
def nine(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """Makes settings from Hydra overrides, the task first if it is another than risk."""
    return composer(tmp_path_factory, 9)


@pytest.fixture(scope="session")
def five(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Settings]:
    """As `nine`."""
    return composer(tmp_path_factory, 5)
