from typing import Any

from fedtrade.report.arms import ROLE_COLOURS, arm_colour, describe_arm, hardest_baseline
from fedtrade.report.comparisons import compare, comparisons, participant_gains
from fedtrade.report.results import Results, parse_results


def test_comparisons_gather_the_flat_records(results: Results) -> None:
    found = {c.against: c for c in comparisons(results)}
    har = found["har_mix_t6"]
    assert (har.gain, har.low, har.high) == (0.016, 0.016 - 0.011, 0.016 + 0.011)
    assert har.t == 2 * 0.016 / 0.011
    assert har.is_decided
    assert not found["frozen_nowcast"].is_decided
    assert list(found) == [arm for arm in results.arms if arm in found]


def test_comparisons_without_a_level_are_found_too(content: dict[str, Any]) -> None:
    for record in content["metrics"]:
        if "_vs:" in record["metric"]:
            record["level"] = None
    results = parse_results(content)
    assert compare(results, "har_mix_t6").gain == 0.016
    assert len(participant_gains(results, "har_mix_t6")) == 3


def test_what_was_not_recorded_is_none(results: Results) -> None:
    missing = compare(results, "nobody")
    assert (missing.gain, missing.low, missing.t, missing.worst_gain) == (None,) * 4
    assert not missing.is_decided


def test_participants_come_worst_first(results: Results) -> None:
    gains = participant_gains(results, "local_tuned")
    assert list(gains.values()) == sorted(gains.values())
    assert min(gains.values()) == compare(results, "local_tuned").worst_gain


def test_the_hardest_baseline_needs_no_federation(results: Results) -> None:
    # local_nowcast, frozen_nowcast and pooled score better, but nobody can have them alone.
    assert hardest_baseline(results) == "har_mix_t6"


def test_the_hardest_baseline_of_a_score_where_larger_is_better(content: dict[str, Any]) -> None:
    content["headline"]["lower_is_better"] = False
    assert hardest_baseline(parse_results(content)) == "gjr_garch_t"


def test_no_baseline_at_all(content: dict[str, Any]) -> None:
    content["metrics"] = [r for r in content["metrics"] if r["arm"] in ("federated", "pooled")]
    assert hardest_baseline(parse_results(content)) is None


def test_what_carries_the_markets_risk_is_no_baseline(content: dict[str, Any]) -> None:
    content["headline"] |= {"metric": "net_return", "level": 5.0, "lower_is_better": False}
    content["metrics"] = [
        {"arm": arm, "metric": "net_return", "level": 5.0, "value": value}
        for arm, value in (("buy_and_hold", 4e-4), ("momentum", -1e-4), ("reversal", 1e-5))
    ]
    assert hardest_baseline(parse_results(content)) == "reversal"


def test_unknown_arms_are_shown_by_their_name() -> None:
    assert describe_arm("my_garch").title == "my garch"
    assert arm_colour("my_garch") == ROLE_COLOURS["other"]


def _luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.1)."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_stand_out_from_their_ground() -> None:
    from fedtrade.report.theme import PAPER

    for colour in ROLE_COLOURS.values():
        light = (1.05) / (_luminance(colour.light) + 0.05)
        dark = (_luminance(colour.dark) + 0.05) / (_luminance(PAPER.dark) + 0.05)
        assert min(light, dark) > 3.0, colour


def test_of_a_sum_cases_are_known_and_nobody(summed: Results) -> None:
    found = compare(summed, "local_tuned")
    assert found.is_summed
    assert (found.share_better, found.worst_gain) == (None, None)
    assert found.share_of_episodes_better == 0.61
    assert found.is_decided
    assert participant_gains(summed, "local_tuned") == {}
