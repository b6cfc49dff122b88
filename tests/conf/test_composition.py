from inspect import signature
from pathlib import Path

import pytest
import yaml
from hydra.errors import HydraException

from conf import compose, resolve
from conf.composition import hydra_sentence
from fedtrade.components import factory
from fedtrade.errors import ConfigurationError
from fedtrade.privacy import ParticipantLevel, Privacy, RecordLevel
from fedtrade.secure import EncryptedAggregation, MaskedAggregation, PlainAggregation
from fedtrade.secure.settings import Aggregation

CONF = Path(__file__).parents[2] / "conf"
OPTIONS = sorted(
    f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml") if path.parent != CONF
)
NEEDED = {
    "data=csv": ["data.path=x.csv"],
    "data=parquet": ["data.path=x.parquet"],
    "partition=by_sector": ["partition.sectors=x.csv"],
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_is_valid(option: str) -> None:
    assert compose([option, *NEEDED.get(option, [])])


@pytest.mark.parametrize("source", ["csv", "parquet", "sp500", "index", "eurusd"])
def test_the_options_of_data_are_the_arguments_of_its_reader(source: str) -> None:
    data = compose([f"data={source}", *NEEDED.get(f"data={source}", [])]).data
    reader = signature(factory(data, "data").func).parameters
    defaults = {name: p.default for name, p in reader.items() if name != "path"}
    assert {name: value for name, value in data.options.items() if name != "path"} == defaults


@pytest.mark.parametrize(
    ("mode", "defaults"),
    [
        ("plain", PlainAggregation()),
        ("masked", MaskedAggregation()),
        ("encrypted", EncryptedAggregation()),
    ],
)
def test_the_options_of_a_trust_mode_are_its_defaults(mode: str, defaults: Aggregation) -> None:
    assert compose([f"aggregation={mode}"]).aggregation == defaults
    assert set(defaults.to_mapping()) == set(
        yaml.safe_load((CONF / f"aggregation/{mode}.yaml").read_text())
    )


UPDATES = ParticipantLevel(exclude=("scores", "sums"))


@pytest.mark.parametrize(
    ("option", "privacy"),
    [
        ("none", Privacy()),
        ("record", Privacy(record=RecordLevel())),
        ("participant", Privacy(participant=UPDATES)),
        ("both", Privacy(record=RecordLevel(), participant=UPDATES)),
    ],
)
def test_the_options_of_privacy_are_its_defaults(option: str, privacy: Privacy) -> None:
    assert compose([f"privacy={option}"]).privacy == privacy
    stored = yaml.safe_load((CONF / f"privacy/{option}.yaml").read_text())
    stored = stored.get("privacy", stored)
    known = privacy.to_mapping()
    assert stored.keys() == known.keys()
    for level in stored:
        assert set(stored[level] or ()) == set(known[level] or ())


@pytest.mark.parametrize("option", ["participant", "both"])
def test_noise_on_sums_makes_everybody_count_alike(option: str) -> None:
    """As noise is reckoned for; whoever says otherwise is heard, and told by the strategy."""
    assert compose([f"privacy={option}"]).strategy.options["weights"] == "equal"
    own = compose([f"privacy={option}", "strategy.weights=examples"])
    assert own.strategy.options["weights"] == "examples"
    assert compose(["privacy=record"]).strategy.options["weights"] == "examples"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["privacy=participant", "privacy.participant.epsilon=0"], "privacy.participant.epsilon"),
        (
            [
                "privacy=participant",
                "privacy.participant.delta=0.02",
                "federation.n_participants=60",
            ],
            "privacy.participant.delta=0.02 must be below 1 / 60",
        ),
        (
            ["privacy=record", "federation=same_history", "privacy.record.delta=0.05"],
            r"privacy.record.delta=0.05 must be below 1 / \d+ \(days of a participant's history",
        ),
        (["privacy=record", "privacy.record.delta=0.5"], "privacy.record.delta=0.5: .* 0.1"),
        (["privacy=participant", "privacy.participant.delta=0.5"], "delta=0.5: .* 0.1"),
        (
            ["privacy=participant", "federation=small", "federation.n_participants=1"],
            "hides one among several",
        ),
        (["privacy=record", "privacy.record.clip=0"], "privacy.record.clip"),
        (["privacy=everything"], "there is no privacy=everything"),
    ],
)
def test_a_wrong_option_of_privacy_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compose(overrides)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["aggregation=plain", "aggregation.group_size=1"], "group_size"),
        (["aggregation=masked", "aggregation.group_size=2"], "must be at least min_contributors=3"),
        (["aggregation=masked", "aggregation.min_contributors=1"], "min_contributors"),
        (["aggregation=masked", "aggregation.dropout_share=1.0"], "dropout_share"),
        (["aggregation=masked", "aggregation.adversary=friendly"], "adversary"),
        (["aggregation=masked", "+aggregation.weighted=true"], "weighted"),
        (["aggregation=sealed"], "there is no aggregation=sealed"),
    ],
)
def test_a_wrong_option_of_a_trust_mode_is_named(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        compose(overrides)


def test_an_override_changes_one_value() -> None:
    changed = compose(["federation.rounds=3"])
    assert changed.federation.rounds == 3
    assert changed.model_copy(update={"federation": compose().federation}) == compose()


def test_no_settings_are_the_defaults_and_json_is_read_back() -> None:
    assert resolve("") == compose()
    assert resolve(compose(["seed=3"]).to_json()).seed == 3


def test_composing_forgets_the_overrides_of_before() -> None:
    compose(["seed=3"])
    assert compose().seed == 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("sed=3", "there is no setting sed; did you mean seed? `fedtrade config` lists every"),
        ("model=linaer", "there is no model=linaer; choose from linear, mlp."),
        ("data=csv", "data.path has no value; add data.path=VALUE to the command."),
        ("out=${nowhere}", "Interpolation key 'nowhere' not found."),
        ("out=a(", "the override 'out=a(' cannot be read"),
    ],
)
def test_a_mistake_is_one_sentence(override: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        compose([override])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_what_is_not_foreseen_keeps_its_first_line_and_cause() -> None:
    error = HydraException("first.\nsecond")
    error.__cause__ = ValueError("why\nmore")
    assert hydra_sentence(error).startswith("first (why). `fedtrade config` lists")


def test_a_setting_of_another_option_is_told_from_a_misspelt_one() -> None:
    with pytest.raises(ConfigurationError, match="the chosen aggregation has none"):
        compose(["aggregation=encrypted", "aggregation.group_size=3"])
