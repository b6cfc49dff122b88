"""What is seen before a party's node is started."""

from pathlib import Path

import pytest

from fedtrade.errors import ConfigurationError
from fedtrade.nodes.launch import launch_client
from fedtrade.nodes.settings import ClientSettings


def test_prices_that_are_not_there_are_missed_before_anything_is_started(tmp_path: Path) -> None:
    prices = tmp_path / "prices.csv"
    settings = ClientSettings(
        name="alpha",
        number=0,
        superlink="127.0.0.1:1",
        root_certificates="ca.crt",
        key="node.key",
        state=str(tmp_path / "state"),
        data={"_target_": "fedtrade.market.files.csv", "path": str(prices)},  # type: ignore[arg-type]
    )
    with pytest.raises(ConfigurationError, match=r"data\.path=.*prices\.csv is not there; name"):
        launch_client(settings)
    assert not list(tmp_path.iterdir())
