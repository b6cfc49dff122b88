"""Noise on sums from the participants to the model, in each trust mode."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, Message
from scipy.stats import chi2

from clients.identity import read_run
from fedtrade.errors import ConfigurationError, ProtocolError
from fedtrade.holdings import build_task
from fedtrade.privacy.participant import NoisyVectors
from fedtrade.privacy.participant.run import noisy_vectors
from fedtrade.secure import PrivateAggregation
from fedtrade.secure.agreement import agreed_settings
from fedtrade.secure.masked import IdentityKey
from fedtrade.secure.wire import GREETING, SETTINGS, unpack_roster
from fedtrade.settings import Settings
from simulations.grid import InProcessGrid
from tests.strategies.trust.encrypted import federated
from tests.strategies.trust.federation import Federation, composer

Make = Callable[..., Settings]

MODES = ["plain", "masked", "encrypted"]
SOME_SLOW = ["plain", "masked", pytest.param("encrypted", marks=pytest.mark.slow)]
ALARM = 1e-10
UPDATES = "privacy.participant.exclude=[scores,sums]"


@pytest.fixture
def five(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, 5, n_rounds=2)


@pytest.fixture
def nine(tmp_path_factory: pytest.TempPathFactory) -> Make:
    return composer(tmp_path_factory, 9, n_rounds=2)


def _settings(make: Make, mode: str, *overrides: str) -> Settings:
    return make(
        f"aggregation={mode}",
        "privacy=participant",
        "strategy.weights=equal",
        "model=mlp",
        UPDATES,
        *overrides,
    )


def _noise(federation: Federation) -> Any:
    noise = federation.mode.noise
    assert noise is not None
    return noise


@pytest.mark.parametrize("mode", MODES)
def test_the_noise_on_the_model_is_as_wide_as_promised(nine: Make, mode: str) -> None:
    """With a clip so large that the updates round to nothing, all that is left is noise."""
    clip = 1e8
    with federated(_settings(nine, mode, f"privacy.participant.clip={clip}")) as run:
        run.prepare()
        before = run.vector.astype(np.float64)
        report = run.round()
        noise = _noise(run)
        change = (run.vector - before) * report.n_replies / clip / noise.plan.update_noise
    share = report.n_replies / noise.adders.n_honest if mode == "masked" else 1.0
    statistic = float(np.square(change).sum()) / share
    assert report.n_replies == 9
    assert chi2.ppf(ALARM, change.size) < statistic < chi2.isf(ALARM, change.size)
    assert np.isnan(report.loss)


@pytest.mark.parametrize("mode", MODES)
def test_the_mean_stays_what_it_is_without_noise_in_expectation(five: Make, mode: str) -> None:
    clip, overrides = 2.0, ("privacy.participant.epsilon=2000", "privacy.participant.clip=2.0")
    with federated(five("aggregation=plain", "strategy.weights=equal", "model=mlp")) as run:
        run.prepare().round()
        exact = run.vector
    with federated(_settings(five, mode, *overrides)) as run:
        run.prepare()
        report = run.round()
        deviation = clip * _noise(run).plan.update_noise * np.sqrt(5 / 3) / report.n_replies
    assert deviation < 0.05
    assert np.abs(run.vector - exact).max() < 7.0 * deviation


def _dropping(numbers: set[int]) -> Callable[[int, Mapping[str, int]], str | None]:
    def fate(number: int, stages: Mapping[str, int]) -> str | None:
        return "silent" if number in numbers and "train" in stages else None

    return fate


@pytest.mark.parametrize(("n_lost", "is_opened"), [(1, True), (2, False)])
def test_no_masked_sum_opens_with_too_little_noise(
    nine: Make, n_lost: int, is_opened: bool
) -> None:
    """Of nine, eight must contribute, of whom one may collude."""
    with federated(_settings(nine, "masked"), _dropping(set(range(n_lost)))) as run:
        report = run.prepare().round()
        assert _noise(run).adders.n_honest == 7
    assert bool(report.skipped) != is_opened
    assert ("min_contributors=8" in report.skipped) != is_opened


def _told(make: Make, mode: str, epsilon: float) -> Callable[..., bytes]:
    """`read_run` of a party to which the server tells another epsilon than to the others."""
    lied = _settings(make, mode, f"privacy.participant.epsilon={epsilon:g}")
    noise = noisy_vectors(lied, build_task(lied))
    assert noise is not None

    def read(message: Message, settings: PrivateAggregation, _: object, brought: str) -> bytes:
        greeting = message.content.config_records[GREETING]
        greeting[SETTINGS] = agreed_settings(settings, noise.agreed())
        return read_run(message, settings, noise, brought)

    return read


def test_a_key_holder_that_is_told_of_less_noise_gets_no_keys(
    nine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The participants, who rely on its noise, have no run together with it."""
    told = _told(nine, "encrypted", 1000.0)
    monkeypatch.setattr("clients.key_holder_party.read_run", told)
    with (
        pytest.raises(ProtocolError, match="the key holder: a signature is not that of member"),
        federated(_settings(nine, "encrypted")),
    ):
        pass


def test_members_that_are_told_of_different_noise_have_no_sum_together(
    nine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, asked = _told(nine, "masked", 1000.0), []

    def read(
        message: Message, settings: PrivateAggregation, noise: NoisyVectors, brought: str
    ) -> bytes:
        asked.append(noise)
        whom = read_run if len(asked) == 1 else told
        return whom(message, settings, noise, brought)

    monkeypatch.setattr("clients.masked_party.read_run", read)
    with federated(_settings(nine, "masked")) as run:
        summed = run.add_up(run.task.sums[0])
    assert len(asked) == 9
    assert summed.total is None
    assert "0 members have opened their nonces" in summed.problem


@pytest.mark.parametrize("mode", ["masked", "encrypted"])
def test_what_noise_is_reckoned_among_is_agreed_on(nine: Make, mode: str) -> None:
    """More participants may hide more colluders: parties reckon with the same number."""
    found = set()
    for n in (9, 20, 90):
        settings = _settings(
            nine, mode, f"federation.n_participants={n}", "aggregation.min_contributors=9"
        )
        noise = noisy_vectors(settings, build_task(settings))
        assert noise is not None
        found.add(agreed_settings(settings.aggregation, noise.agreed()))  # type: ignore[arg-type]
    assert len(found) == (3 if mode == "masked" else 1)


def test_more_members_than_noise_was_reckoned_for_are_refused(
    nine: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(nine, "masked")
    real = unpack_roster

    def longer(fields: Mapping[str, Any]) -> dict[int, bytes]:
        return {**real(fields), 77: IdentityKey.generate().public_bytes}

    monkeypatch.setattr("clients.masked_party.unpack_roster", longer)
    with federated(settings) as run:
        summed = run.add_up(run.task.sums[0])
    assert summed.total is None
    assert any("lists 10 participants" in reason for _, reason in summed.refusals)


def test_a_server_clips_whatever_it_is_sent(five: Make) -> None:
    def loud(reply: Message) -> Message:
        update = reply.content.array_records["arrays"]["update"].numpy()
        record = ArrayRecord({"update": Array(np.full_like(update, 900.0))})
        reply.content["arrays"] = record
        return reply

    settings = _settings(five, "plain", "privacy.participant.epsilon=2000")
    with federated(settings, lambda k, s: loud if k == 0 and "train" in s else None) as run:
        run.prepare()
        before = run.vector.astype(np.float64)
        report = run.round()
        clip = settings.privacy.participant.clip if settings.privacy.participant else 0.0
        noise = clip * _noise(run).plan.update_noise / 5
    assert report.n_replies == 5
    size = before.size
    assert np.linalg.norm(run.vector - before) < clip + 2.0 * noise * np.sqrt(size)


@pytest.mark.parametrize("mode", SOME_SLOW)
def test_an_adaptive_clip_shrinks_while_everybody_is_within(five: Make, mode: str) -> None:
    adaptive = "{target_quantile: 0.5, learning_rate: 0.5, count_noise: 2.0}"
    settings = _settings(
        five,
        mode,
        f"privacy.participant.adaptive={adaptive}",
        "privacy.participant.clip=1e6",
        "privacy.participant.epsilon=50",
        "federation.rounds=4",
    )
    clips = []
    with federated(settings) as run:
        run.prepare()
        for _ in range(3):
            run.round()
            clips.append(float(run.strategy.state_arrays()["clip"][0]))
        memory = run.strategy.state_arrays()
        run.strategy.restore(memory)
        assert run.strategy.state_arrays()["clip"] == clips[-1]
    assert all(0.77e6 * 0.77**k < clip < 1.29e6 * 1.29**k for k, clip in enumerate(clips))
    assert len(set(clips)) > 1  # two may be the same by chance


@pytest.mark.parametrize("mode", SOME_SLOW)
def test_participants_give_no_more_than_the_noise_was_reckoned_for(five: Make, mode: str) -> None:
    """Two models of one round each: a third round is one too many, whatever it is called.

    In private modes the second already is, as it is none of the first model's.
    """
    with federated(_settings(five, mode, "federation.rounds=1")) as run:
        run.prepare()
        assert _noise(run).plan.most_rounds == 2
        reports = [run.round() for _ in range(3)]
    skipped = [bool(report.skipped) for report in reports]
    second, last = ([reason for _, reason in report.refusals] for report in reports[1:])
    if mode == "plain":
        assert skipped == [False, False, True]
        assert any("contributed to 2 rounds of training" in reason for reason in last)
    else:
        assert skipped == [False, True, True]
        assert all("the server asks for round 2 of an episode" in reason for reason in second)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["strategy.weights=examples"], "strategy.weights=equal"),
        (["strategy=robust", "strategy.rule=median"], "strategy.rule=median"),
        (["strategy=scaffold"], "control variates"),
        (["aggregation.group_size=3"], "group_size=3"),
        (["privacy.participant.exclude=[]"], "sums of scores have no noise yet"),
        (["evaluation.n_origins=null"], "evaluation.n_origins=null leaves"),
        (["federation.n_participants=null"], "set federation.n_participants"),
    ],
)
def test_what_noise_does_not_go_with_is_refused(
    five: Make, overrides: list[str], message: str
) -> None:
    base = [] if any(o.startswith("strategy") for o in overrides) else ["strategy.weights=equal"]
    settings = five("aggregation=plain", "privacy=participant", UPDATES, *base, *overrides)
    with pytest.raises(ConfigurationError, match=message), federated(settings):
        pass


@pytest.mark.parametrize("mode", ["masked", "encrypted"])
def test_a_server_with_other_noise_is_refused(five: Make, mode: str) -> None:
    """Each participant, and the key holder, holds the server's plan against its own."""
    theirs = _settings(five, mode, "privacy.participant.epsilon=4")
    ours = _settings(five, mode, "privacy.participant.epsilon=8")
    run_config = {"settings": theirs.to_json()}
    with InProcessGrid(
        "clients.client_app:app", theirs.n_nodes or 1, run_config=run_config
    ) as grid:
        with pytest.raises(Exception, match=r"privacy\.participant=.*epsilon") as caught:
            Federation(grid, ours)
        assert "the settings of private sums differ" in str(caught.value)
