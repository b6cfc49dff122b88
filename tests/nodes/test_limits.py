from typing import Any

import pytest

from conf import compose
from fedtrade.errors import ConfigurationError, FedtradeError, LimitError
from fedtrade.nodes.limits import effective
from fedtrade.nodes.settings import ClientSettings

SMALL = ("federation=same_history", "federation.n_participants=4")


def local(**changes: Any) -> ClientSettings:
    values = {
        "name": "alpha",
        "number": 0,
        "superlink": "localhost:1",
        "root_certificates": "ca.crt",
        "key": "node.key",
        "state": "state",
    }
    return ClientSettings.from_mapping(values | changes)


def test_a_run_within_the_limits_takes_place_as_it_is() -> None:
    settings = compose(["aggregation=masked", *SMALL])
    assert (
        effective(settings, local()).model_copy(update={"evaluation": settings.evaluation})
        == settings
    )


@pytest.mark.parametrize(
    ("overrides", "allow", "reason"),
    [
        (["aggregation=plain"], {}, r"aggregation=plain.*masked, encrypted .allow\.modes"),
        (
            ["aggregation=masked"],
            {"modes": ["encrypted"]},
            r"aggregation=masked.*allows encrypted .allow\.modes",
        ),
        (
            ["aggregation=masked", "aggregation.min_contributors=3"],
            {"min_contributors": 4},
            r"sums of 3 .*none of fewer than 4 .allow\.min_contributors",
        ),
        (
            ["aggregation=masked", "aggregation.min_contributors=2", "aggregation.group_size=3"],
            {"min_contributors": 4},
            "aggregation.min_contributors|group_size",
        ),
        (["aggregation=masked"], {"tasks": ["signal"]}, r"task risk.*allows signal"),
        (
            ["aggregation=masked", "evaluation.scores=by_participant"],
            {},
            r"evaluation\.scores=by_participant.*allow\.scores=summed",
        ),
        (["aggregation=plain"], {"modes": ["plain"]}, r"allow\.scores=summed"),
        (
            ["aggregation=masked", "federation.rounds=11"],
            {"most_rounds": 10},
            r"federation\.rounds=11.*10 .allow\.most_rounds",
        ),
        (
            ["aggregation=masked", "federation.history_bars=251"],
            {"most_history_bars": 250},
            r"federation\.history_bars=251.*allow\.most_history_bars",
        ),
    ],
)
def test_a_run_that_wants_more_is_refused_by_the_limit(
    overrides: list[str], allow: dict[str, Any], reason: str
) -> None:
    settings = compose([*SMALL, *overrides])
    with pytest.raises(LimitError, match=reason):
        effective(settings, local(allow=allow))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("os.system", r"allows code of fedtrade\. alone"),
        ("fedtradeevil.Task", r"allows code of fedtrade\. alone"),
        ("fedtrade.components.import_module", "not defined in"),
        ("fedtrade.nodes.process.os.system", "cannot be found|not defined in"),
        ("fedtrade.nodes.process.subprocess", "not defined in"),
        ("fedtrade.tasks.risk.NoSuchTask", "cannot be found here"),
    ],
)
@pytest.mark.parametrize("key", ["task", "model"])
def test_code_that_is_not_allowed_is_not_even_imported(
    key: str, target: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values[key] = {"_target_": target}
    settings = type(compose()).from_mapping(values)
    with pytest.raises((LimitError, ConfigurationError), match=reason):
        effective(settings, local())


def test_code_that_hides_in_options_is_found() -> None:
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values["model"]["inner"] = [{"_target_": "os.system", "command": "true"}]
    with pytest.raises(LimitError, match=r"model=os\.system"):
        effective(type(compose()).from_mapping(values), local())


def test_own_prices_and_keys_take_the_place_of_the_runs() -> None:
    data = {"_target_": "fedtrade.market.files.csv", "path": "mine.csv"}
    lists = {"identities": "mine.json", "identities_encrypted": "with-holder.json"}
    for mode, listed in (("masked", "mine.json"), ("encrypted", "with-holder.json")):
        settings = compose([f"aggregation={mode}", *SMALL])
        own = effective(settings, local(data=data, **lists))
        assert own.data.options["path"] == "mine.csv"
        assert own.partition.target == "fedtrade.market.partition.Own"
        assert own.aggregation.to_mapping()["identities"] == listed


def test_a_path_is_shown_only_where_both_want_it() -> None:
    shown = compose(["aggregation=masked", "evaluation.show_path=true", *SMALL])
    hidden = compose(["aggregation=masked", "evaluation.show_path=false", *SMALL])
    willing = local(allow={"show_path": True})
    assert not effective(shown, local()).evaluation.show_path
    assert effective(shown, willing).evaluation.show_path
    assert not effective(hidden, willing).evaluation.show_path


def test_every_refusal_is_an_error_that_the_user_can_mend() -> None:
    assert issubclass(LimitError, FedtradeError)
