import pytest

from simulations.bench import gateway


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.verify=<str>. is deprecated:DeprecationWarning")  # Flower's
def test_the_gateway_costs_less_than_the_server_behind_it() -> None:
    """It adds to each call; its own part is smaller than Flower's, with room for a busy machine."""
    records = gateway.run(n_pulls=20, n_messages=3)
    found = {(r.case, r.subject, r.metric): r.value for r in records}
    assert len(found) == 6
    for case, metric in (("empty-pull", "call"), ("message-10MB", "rate")):
        ours = found[case, "fedtrade", metric] or 0.0
        direct = found[case, "flwr-superlink", metric] or 0.0
        ratio = found[case, "fedtrade", "time_vs:flwr-superlink"] or 0.0
        assert min(ours, direct, ratio) > 0.0
        assert ratio == pytest.approx(ours / direct if metric == "call" else direct / ours)
        assert ratio < 4.0
