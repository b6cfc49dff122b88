from pathlib import Path
from typing import Any

import pytest

from conf import compose
from fedtrade.errors import ConfigurationError, FedtradeError, LimitError
from fedtrade.nodes import limits
from fedtrade.nodes.limits import check_round, effective
from fedtrade.nodes.settings import ClientSettings
from fedtrade.settings import Component, Settings

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
            {"min_contributors": 3},
            "opens sums of 2 .aggregation.min_contributors",
        ),
        (
            ["aggregation=encrypted", "aggregation.min_contributors=2"],
            {},
            r"sums of 2 .*none of fewer than 3 .allow\.min_contributors",
        ),
        (
            ["aggregation=masked", "aggregation.identities=theirs.json"],
            {},
            "aggregation.identities=theirs.json.*name it with identities=FILE",
        ),
        (
            ["aggregation=encrypted", "aggregation.identities=theirs.json"],
            {},
            "name it with identities_encrypted=FILE",
        ),
        (["aggregation=masked"], {"tasks": ["signal"]}, r"task risk.*allows signal"),
        (
            ["aggregation=masked", "evaluation.scores=by_participant"],
            {},
            r"evaluation\.scores=by_participant.*allow\.scores=summed",
        ),
        (["aggregation=plain"], {"modes": ["plain"]}, r"allow\.scores=summed"),
        (
            ["aggregation=plain", "evaluation.scores=summed"],
            {"modes": ["plain"]},
            r"in the clear .aggregation=plain.*allow\.scores=summed",
        ),
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
        ("os.system", "allow.targets"),
        ("fedtradeevil.Task", r"allows code of fedtrade\.tasks\., fedtrade\.models\., .* alone"),
        ("fedtrade.tasksevil.Task", "allow.targets"),
        ("fedtrade.components.build", "allow.targets"),
        ("fedtrade.nodes.process.Process", "allow.targets"),
        ("fedtrade.tasks.risk.NoSuchTask", "cannot be found here"),
        ("fedtrade.tasks.risk.np.load", "cannot be found here"),
        ("fedtrade.market.sources.Path", "not a public class or function that is defined in"),
        ("fedtrade.market.sources.files", "not a public class or function"),
        ("fedtrade.market.sources._packaged", "not a public class or function"),
        ("fedtrade.market.partition.csv", "not a public class or function"),
        ("fedtrade.tasks.risk.ALONE", "not a public class or function"),
        ("fedtrade.tasks.risk.PRIOR_DOF", "not a public class or function"),
    ],
)
@pytest.mark.parametrize("key", ["task", "model", "data", "partition"])
def test_code_that_is_not_allowed_is_refused(key: str, target: str, reason: str) -> None:
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values[key] = {"_target_": target}
    settings = Settings.from_mapping(values)
    with pytest.raises((LimitError, ConfigurationError), match=reason):
        effective(settings, local())


def module(folder: Path, name: str, text: str = "") -> Path:
    """A module that leaves a file beside it when it is imported."""
    mark = folder / f"{name}.imported"
    text += f"\nfrom pathlib import Path\nPath({str(mark)!r}).touch()\n"
    (folder / f"{name}.py").write_text(text)
    return mark


@pytest.mark.parametrize("where", ["itself", "inside"])
def test_code_that_is_not_allowed_is_not_even_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Nor what is allowed, where there is both."""
    monkeypatch.syspath_prepend(str(tmp_path))
    good, bad = f"good_{where}", f"bad_{where}"
    allowed = module(tmp_path, good, "class Task:\n    name = 'risk'\n")
    refused = module(tmp_path, bad, "def task(**_): ...\n")
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values["task"] = {"_target_": f"{good}.Task"}
    hidden = {"_target_": f"{bad}.task"}
    inside = values["model"] | {"inner": [{"deep": hidden}]}
    values["model"] = hidden if where == "itself" else inside
    settings = Settings.from_mapping(values)
    own = [f"{good}.", "fedtrade."]
    with pytest.raises(LimitError, match=rf"model={bad}\.task.*allow\.targets"):
        effective(settings, local(allow={"targets": own}))
    assert not refused.exists()
    assert not allowed.exists()
    effective(settings, local(allow={"targets": [*own, f"{bad}."]}))
    assert refused.exists()
    assert allowed.exists()


def test_an_own_module_without_a_list_of_names_has_public_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from os import system\nclass Task:\n    name = 'risk'\nclass _Task(Task): ...\n"
    module(tmp_path, "my_own_task", text)
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    willing = local(allow={"targets": ["my_own_task.", "fedtrade."]})

    def check(name: str) -> None:
        chosen = values | {"task": {"_target_": f"my_own_task.{name}"}}
        effective(Settings.from_mapping(chosen), willing)

    check("Task")
    for name in ("_Task", "system", "Path"):
        with pytest.raises(LimitError, match=rf"my_own_task\.{name}, which is not a public"):
            check(name)


def test_where_all_code_is_allowed_nothing_is_asked_of_it() -> None:
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values["model"] = {"_target_": "functools.partial"}
    effective(Settings.from_mapping(values), local(allow={"targets": [""]}))


def test_what_only_the_server_builds_is_its_own_affair() -> None:
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values["strategy"] = values["strategy"] | {"rule": {"_target_": "their_rules.rule"}}
    values["runtime"] = {"_target_": "their_runtime.run"}
    effective(Settings.from_mapping(values), local())


def test_prices_that_the_run_names_are_not_looked_at_where_there_are_own() -> None:
    values = compose(["aggregation=masked", *SMALL]).to_mapping()
    values |= {"data": {"_target_": "os.system"}, "partition": {"_target_": "os.system"}}
    settings = Settings.from_mapping(values)
    effective(settings, local(data={"_target_": "fedtrade.market.files.csv", "path": "mine.csv"}))
    with pytest.raises(LimitError, match=r"data=os\.system"):
        effective(settings, local())


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


def test_a_list_of_keys_that_the_run_names_is_never_gone_by() -> None:
    for named in ("theirs.json", "null"):
        asked = ["aggregation=masked", f"aggregation.identities={named}", *SMALL]
        own = effective(compose(asked), local(identities="mine.json"))
        assert own.aggregation.to_mapping()["identities"] == "mine.json"
    plain = compose(["aggregation=plain", *SMALL])
    willing = {"modes": ["plain"], "scores": "by_participant"}
    assert effective(plain, local(identities="mine.json", allow=willing))


def key_holder(**allow: Any) -> ClientSettings:
    return local(role="key_holder", number=4, identities_encrypted="mine.json", allow=allow)


def test_a_key_holder_builds_nothing_and_keeps_no_prices() -> None:
    """Nothing that the run names is imported, or refused for what a participant would do."""
    values = compose(["aggregation=encrypted", *SMALL]).to_mapping()
    values |= {key: {"_target_": "os.system"} for key in ("task", "model", "data", "partition")}
    own = effective(
        Settings.from_mapping(values),
        key_holder(most_rounds=1).model_copy(update={"data": Component(_target_="my.prices")}),
    )
    assert own.data.target == own.task.target == "os.system"
    assert own.aggregation.to_mapping()["identities"] == "mine.json"


@pytest.mark.parametrize(
    ("overrides", "allow", "reason"),
    [
        ([], {"modes": ["masked"]}, r"aggregation=encrypted.*allow\.modes"),
        (["aggregation.min_contributors=2"], {}, r"allow\.min_contributors"),
    ],
)
def test_a_key_holder_has_limits_of_its_own(
    overrides: list[str], allow: dict[str, Any], reason: str
) -> None:
    settings = compose(["aggregation=encrypted", *SMALL, *overrides])
    with pytest.raises(LimitError, match=reason):
        effective(settings, key_holder(**allow))


def test_one_more_check_is_one_more_function(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a budget of privacy would be."""

    def no_seed(settings: Settings, local: ClientSettings) -> None:
        raise LimitError(f"{local.name} takes part in no run of seed={settings.seed}.")

    monkeypatch.setattr(limits, "CHECKS", (*limits.CHECKS, no_seed))
    with pytest.raises(LimitError, match="alpha takes part in no run of seed="):
        effective(compose(["aggregation=masked", *SMALL]), local())


@pytest.mark.parametrize("number", [None, 0, -1, 11, 1.0, "1", True, [1]])
def test_rounds_are_those_of_the_settings(number: Any) -> None:
    settings = compose(["aggregation=masked", *SMALL, "federation.rounds=10"])
    check_round(1, settings.federation.rounds)
    check_round(10, settings.federation.rounds)
    with pytest.raises(LimitError, match=r"asks for round .* federation\.rounds=10"):
        check_round(number, settings.federation.rounds)


def test_every_refusal_is_an_error_that_the_user_can_mend() -> None:
    assert issubclass(LimitError, FedtradeError)
