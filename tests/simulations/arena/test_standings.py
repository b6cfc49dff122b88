import pytest

from simulations.arena.results import ArenaRecord, ArenaResults, Refusal
from simulations.arena.standings import Standings, standings

ROWS = [
    # rule, attack, share, seed, value
    ("mean", "none", 0.2, 0, 0.95),
    ("mean", "alie", 0.1, 0, 0.9),
    ("mean", "alie", 0.2, 0, -3.0),
    ("mean", "ipm", 0.2, 0, 0.5),
    ("krum", "none", 0.2, 0, 0.7),
    ("krum", "alie", 0.1, 0, 0.65),
    ("krum", "alie", 0.2, 0, 0.6),
    ("krum", "ipm", 0.2, 0, 0.4),
    ("krum", "ipm", 0.2, 1, 0.2),
]


def made(rows: list[tuple], refusals: tuple[Refusal, ...] = ()) -> ArenaResults:
    records = tuple(
        ArenaRecord(
            problem="digits",
            heterogeneity="iid",
            rule=rule,
            attack=attack,
            share=share,
            seed=seed,
            metric="accuracy",
            value=value,
        )
        for rule, attack, share, seed, value in rows
    )
    return ArenaResults(
        fedtrade_version="0",
        created="2024-01-01T00:00:00+00:00",
        headlines={"digits": "accuracy"},
        records=records,
        refusals=refusals,
    )


@pytest.fixture
def found() -> Standings:
    (one,) = standings(made(ROWS))
    return one


def test_the_worst_case_is_named(found: Standings) -> None:
    worst = found.worst("mean")
    assert worst is not None
    assert (worst.attack, worst.share, worst.value.mean) == ("alie", 0.2, -3.0)


def test_seeds_are_averaged_before_the_worst_is_taken(found: Standings) -> None:
    worst = found.worst("krum")
    assert worst is not None
    assert (worst.attack, worst.share) == ("ipm", 0.2)
    assert worst.value.mean == pytest.approx(0.3)
    assert worst.value.lowest == 0.2
    assert worst.value.spread == pytest.approx(0.1 * 2**0.5)  # of 0.4 and 0.2, over n - 1
    assert worst.value.n_seeds == 2


def test_no_attack_is_no_case(found: Standings) -> None:
    assert {case.attack for case in found.of("mean")} == {"alie", "ipm"}
    assert found.attacks == ("alie", "ipm")
    honest = found.honest("krum")
    assert honest is not None
    assert honest.mean == 0.7


def test_worst_and_mean_at_one_share(found: Standings) -> None:
    worst = found.worst("mean", 0.1)
    assert worst is not None
    assert (worst.attack, worst.value.mean) == ("alie", 0.9)
    assert found.mean("mean", 0.2) == pytest.approx(-1.25)
    assert found.worst("mean", 0.3) is None


def test_rules_are_ranked_by_their_worst_case(found: Standings) -> None:
    """The mean is better on one attack, and last because of the other."""
    assert found.ranking == ("krum", "mean")


def test_a_value_that_could_not_be_computed_is_the_worst(found: Standings) -> None:
    (one,) = standings(made([*ROWS, ("krum", "nan", 0.2, 0, None)]))
    worst = one.worst("krum")
    assert worst is not None
    assert worst.attack == "nan"
    assert worst.value.mean is None
    assert one.ranking == ("mean", "krum")


def test_refusals_are_kept_apart() -> None:
    refusal = Refusal(
        problem="digits",
        heterogeneity="iid",
        rule="bulyan",
        attack="alie",
        share=0.2,
        seed=0,
        reason="bulyan needs n >= 4f + 3",
    )
    (one,) = standings(made(ROWS, (refusal,)))
    assert one.rules == ("mean", "krum", "bulyan")
    assert one.refused == {"bulyan": (0.2,)}
    assert one.worst("bulyan") is None
    assert one.ranking[-1] == "bulyan"


def test_another_metric_than_the_headline() -> None:
    results = made(ROWS)
    other = results.records[0].model_copy(update={"metric": "other", "value": 7.0})
    results = results.model_copy(update={"records": (*results.records, other)})
    (one,) = standings(results, {"digits": "other"})
    assert one.metric == "other"
    assert one.rules == ("mean",)


def test_a_rule_over_groups_stands_beside_the_rule_over_participants() -> None:
    results = made(ROWS)
    grouped = tuple(
        record.model_copy(update={"group_size": 3, "value": 0.1})
        for record in results.records
        if record.rule == "krum"
    )
    refusal = Refusal(
        **grouped[0].model_dump(exclude={"metric", "value", "share"}), share=0.4, reason="too few"
    )
    both = results.model_copy(
        update={"records": (*results.records, *grouped), "refusals": (refusal,)}
    )
    (one,) = standings(both)
    assert one.rules == ("mean", "krum", "krum, groups of 3")
    assert one.ranking == ("krum", "krum, groups of 3", "mean")
    assert one.refused == {"krum, groups of 3": (0.4,)}
    worst = one.worst("krum, groups of 3")
    assert worst is not None
    assert worst.value.mean == 0.1
