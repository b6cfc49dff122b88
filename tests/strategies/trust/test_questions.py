"""What a server that lies learns by its questions, even where nothing is opened."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MessageType, RecordDict

from clients.client_app import app
from clients.participant import Participant
from conf import compose
from fedtrade.errors import ConfigurationError, DataError
from fedtrade.market import Panel, Share
from fedtrade.secure.wire import PLEDGE, ROSTER, SESSION, UPLOAD, pack_roster
from fedtrade.settings import Settings
from fedtrade.tasks.risk import Risk
from fedtrade.tasks.task import Model, Sample
from fedtrade.wire import ARRAYS, CALENDAR, CONFIG, MODEL_PREFIX, SUM_NAME, pack_model, seconds_of
from simulations.grid import InProcessGrid
from simulations.records import copy_message
from strategies.exchange import array_record
from tests.conftest import make_market
from tests.strategies.trust.encrypted import federated
from tests.strategies.trust.federation import Federation, answers, node_of

Make = Callable[..., Settings]

MODES = ("masked", "encrypted")
EQUAL = "strategy.weights=equal"
NOISY = (
    "privacy=participant",
    "privacy.participant.exclude=[scores,sums]",
    "model=mlp",
    "federation.rounds=2",
)
VICTIM = 0
FIRST_SEEN = 200
UNTOLD = (
    "this participant could not compute its part, or it is too large to be added; its own log says "
    "why."
)


def _asked(run: Federation, kind: str, *, number: int = VICTIM, **config: Any) -> Message:
    """A question to one member that names no sum to be part of."""
    values = {**run.episode.to_config(), SUM_NAME: "moments", "server-round": 1, **config}
    models = pack_model("federated", _model(run, run.vector))
    arrays = {**run._arrays(), "vector": run.vector, **models}
    content = RecordDict(
        {
            ARRAYS: array_record(arrays),
            CONFIG: ConfigRecord(values),
        }
    )
    return Message(content, node_of(run.grid.grid, number), kind, ttl=60.0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["evaluate", "train", "query.sum"])
def test_for_what_is_not_due_nothing_is_computed(
    five: Make, mode: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it could be computed would tell of the data, one question after the other."""

    def compute(*_: Any, **__: Any) -> None:
        raise AssertionError("its data was looked at")

    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        for name in ("evaluate", "train", "local_sum"):
            monkeypatch.setattr(Risk, name, compute)
        monkeypatch.setattr(Participant, "sample", compute)
        reply = answers(run.grid.grid, _asked(run, kind))
    assert "asks for a contribution in the clear" in str(reply.error.reason)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["train", "local_sum", "evaluate"])
@pytest.mark.parametrize("error", [DataError, ConfigurationError, ValueError])
def test_who_cannot_compute_its_part_is_left_out_and_says_no_more(
    five: Make,
    mode: str,
    what: str,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever is wrong with its data: what, is in its own log."""
    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        if what != "local_sum":
            run.prepare()
        last: list[Message] = []
        _let_fail(monkeypatch, run, what, error)
        run.grid.rewrite = lambda number, message: _noted(number, message, last)
        refusals = _refusals_of(run, what)
        again = answers(run.grid.grid, last[-1])
    ((node, reason),) = refusals
    assert run.members.participants[node] == VICTIM
    assert reason == UNTOLD
    assert "87.59" in caplog.text
    assert "second contribution is asked for" in str(again.error.reason)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("why", ["cannot compute", "too short a history"])
def test_who_refuses_is_part_of_the_next_sum(
    five: Make,
    mode: str,
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And with it are the others: of five, four alone have no graph of masks."""
    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        with monkeypatch.context() as patch:
            if why == "cannot compute":
                _let_fail(patch, run, "train", DataError)
            else:
                patch.setattr(Participant, "sample", _shortened(lambda number: number == VICTIM))
            first = run.round()
        second = run.round()
    assert (first.n_replies, first.skipped) == (4, "")
    ((node, _),) = first.refusals
    assert run.members.participants[node] == VICTIM
    assert (second.n_replies, second.refusals) == (5, ())
    own_log = {"cannot compute": "the price 87.59", "too short a history": "5 bars to learn from"}
    assert own_log[why] in caplog.text


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_update_that_is_no_number_is_not_counted_as_zeros(
    five: Make, mode: str, wrong: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among four of them the fifth's would be the sum."""
    train = Risk.train
    settings = five(f"aggregation={mode}", EQUAL)
    with federated(settings) as run:
        run.prepare()
        own = Participant(settings, VICTIM).sample(run.episode, run.calendar).panel.close

        def spoilt(self: Risk, vector: Any, sample: Sample, *rest: Any, **options: Any) -> Any:
            result = train(self, vector, sample, *rest, **options)
            if not np.array_equal(sample.panel.close, own):
                result.update[:2] = wrong
            return result

        monkeypatch.setattr(Risk, "train", spoilt)
        report = run.round()
    assert report.skipped
    assert sum(reason == UNTOLD for _, reason in report.refusals) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("error", [ValueError, ConfigurationError])
def test_with_noise_who_cannot_compute_adds_noise_alone(
    five: Make,
    mode: str,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A refusal that depends on data would not be covered by what the noise promises."""

    def fail(*_: Any, **__: Any) -> None:
        raise error("a forecast of 1e400")

    with federated(five(f"aggregation={mode}", EQUAL, *NOISY)) as run:
        run.prepare()
        monkeypatch.setattr(Risk, "train", fail)
        report = run.round()
    assert (report.refusals, report.n_replies, report.skipped) == ((), 5, "")
    assert "a forecast of 1e400" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_with_noise_nobody_keeps_out_for_want_of_history(
    five: Make, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    covered = "privacy.participant.exclude=[scores]"
    with federated(five(f"aggregation={mode}", EQUAL, *NOISY, covered)) as run:
        run.prepare()
        monkeypatch.setattr(Participant, "sample", _shortened(lambda number: number == VICTIM))
        report = run.round()
        assert (report.refusals, report.n_replies) == ((), 5)
    with federated(five(f"aggregation={mode}", EQUAL, *NOISY, covered)) as run:
        summed = run.add_up("nowcast")
    assert summed.total is not None
    assert summed.refusals == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("noise", [(), ("noise",)], ids=["", "with noise"])
def test_by_the_shape_of_an_update_nothing_is_told(
    five: Make, mode: str, noise: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one that came out odd, as for want of an example."""
    train = Risk.train

    def odd(self: Risk, *args: Any, **options: Any) -> Any:
        result = train(self, *args, **options)
        return result._replace(update=result.update[:-1])

    told: list[str] = []

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        def seen(reply: Message) -> Message:
            told.append(str(reply.content.config_records["secure.round"].get("shape")))
            return reply

        return seen if "train" in stages else None

    with federated(five(f"aggregation={mode}", EQUAL, *(NOISY if noise else ()))) as run:
        run.prepare()
        run.grid.fate = fate
        with monkeypatch.context() as patch:
            patch.setattr(Risk, "train", odd)
            report = run.round()
            expected = str([run.vector.size]) if noise else "None"
            assert told == [expected] * 5
            assert report.n_replies == (5 if noise else 0)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("what", ["shape", "clip"])
def test_a_round_that_is_not_asked_for_as_it_should_is_still_to_be_had(
    five: Make, mode: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is wrong with it is told before data is looked at, and before it is noted."""

    def compute(*_: Any, **__: Any) -> None:
        raise AssertionError("its data was looked at")

    def rewrite(number: int, message: Message) -> Message:
        if number != VICTIM or message.metadata.message_type != MessageType.TRAIN:
            return message
        asked.append(copy_message(message))
        if what == "clip":
            del message.content.config_records[CONFIG]["clip"]
        else:
            arrays = message.content.array_records[ARRAYS]
            arrays["vector"] = Array(arrays["vector"].numpy()[:, None])
        return message

    asked: list[Message] = []
    with federated(five(f"aggregation={mode}", EQUAL, *NOISY)) as run:
        run.prepare()
        run.grid.rewrite = rewrite
        with monkeypatch.context() as patch:
            patch.setattr(Participant, "sample", compute)
            report = run.round()
        said = run.participants(report)[VICTIM]
        assert {"clip": "names the clip None", "shape": "a model of shape"}[what] in said
        assert not answers(run.grid.grid, asked[0]).has_error()


@pytest.mark.parametrize("mode", MODES)
def test_scores_that_are_too_large_are_not_told_from_others(
    five: Make, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Of a model with which everybody's are: no sum is opened, and no value is named."""
    with federated(five("task=volatility", f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        no_risk = np.zeros_like(run.vector)
        no_risk[-2:] = -60.0  # the logarithm of the variance at each horizon
        summed = _evaluated(run, {"federated": no_risk})
    assert summed.total is None
    assert {reason for _, reason in summed.refusals} == {UNTOLD}
    assert "must be finite and within" in caplog.text


@pytest.mark.parametrize("mode", MODES)
def test_why_scores_cannot_be_given_is_not_told(five: Make, mode: str) -> None:
    """By nothing in the reply: some are too large to be added, some cannot be computed."""

    def told(run: Federation, logarithm: float) -> set[str]:
        replies: set[str] = set()

        def seen(reply: Message) -> Message:
            if "refused" in reply.content.config_records.get("secure.round", ConfigRecord()):
                config = reply.content.config_records
                texts = [str(dict(config[name])) for name in (CONFIG, "secure.round")]
                replies.add(" ".join([*texts, *reply.content.array_records[ARRAYS]]))
            return reply

        run.grid.fate = lambda number, stages: seen
        model = np.zeros_like(run.vector)
        model[-2:] = logarithm
        assert _evaluated(run, {"federated": model}).total is None
        return replies

    answers_ = []
    for logarithm in (-60.0, -800.0):
        with federated(five("task=volatility", f"aggregation={mode}", EQUAL)) as run:
            run.prepare()
            answers_.append(told(run, logarithm))
    assert len(answers_[0]) == 1
    assert answers_[0] == answers_[1]


@pytest.mark.parametrize("mode", MODES)
def test_scores_in_the_clear_that_cannot_be_computed_are_asked_for_once(
    five: Make, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise DataError("the price 87.59 is beyond what is learned from")

    with federated(five(f"aggregation={mode}", EQUAL, "evaluation.scores=by_participant")) as run:
        run.prepare()
        grid = run.grid.grid
        with monkeypatch.context() as patch:
            patch.setattr(Risk, "evaluate", fail)
            assert UNTOLD in str(answers(grid, _asked(run, "evaluate")).error.reason)
        again = answers(grid, _asked(run, "evaluate"))
    assert "second contribution is asked for" in str(again.error.reason)


@pytest.mark.parametrize("what", ["participants", "pledge", "roster"])
def test_what_else_is_wrong_with_a_question_is_told_before_data_is_looked_at(
    five: Make, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two errors the one that comes first would tell whether there was another."""

    def compute(*_: Any, **__: Any) -> None:
        raise AssertionError("its data was looked at")

    def rewrite(number: int, message: Message) -> Message:
        if UPLOAD in message.content.config_records:
            if what == "participants":
                message.content[UPLOAD]["participants"] = b""  # type: ignore[index]
            elif what == "pledge":
                message.content[PLEDGE] = ConfigRecord({SESSION: -1})
            else:
                message.content[ROSTER] = ConfigRecord({**pack_roster({0: bytes(32)})})
        return message

    with federated(five("aggregation=masked", EQUAL)) as run:
        run.prepare()
        monkeypatch.setattr(Participant, "sample", compute)
        run.grid.rewrite = rewrite
        report = run.round()
    reason = {
        "participants": "participants lacks member",
        "pledge": "names the sum -1, which is no number",
        "roster": "wants to replace the participants' public keys",
    }[what]
    assert len(report.refusals) == 5
    assert all(reason in said for _, said in report.refusals)


@pytest.mark.parametrize("mode", MODES)
def test_another_order_of_models_is_another_question(five: Make, mode: str) -> None:
    """The victim's scores of one would stand where the others have those of another."""

    def rewrite(number: int, message: Message) -> Message:
        if number == VICTIM and message.metadata.message_type == MessageType.EVALUATE:
            arrays = message.content.array_records.get(ARRAYS, ArrayRecord())
            turned = sorted(arrays.items(), key=lambda each: each[0].startswith(f"{MODEL_PREFIX}a"))
            message.content[ARRAYS] = ArrayRecord(dict(turned))
        return message

    def fate(number: int, stages: Mapping[str, int]) -> Any:
        return told if number == VICTIM else None

    def told(reply: Message) -> Message:
        """As others say that theirs are."""
        config = reply.content.config_records[CONFIG]
        if "arms" in config:
            arms = [*config["arms"]]  # type: ignore[misc]
            assert arms[-2:] == ["b", "a"]
            reply.content[CONFIG] = ConfigRecord({**config, "arms": [*arms[:-2], "a", "b"]})
        return reply

    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        models = {"a": run.vector, "b": run.vector + np.float32(0.3)}
        run.grid.rewrite, run.grid.fate = rewrite, fate
        summed = _evaluated(run, models)
    assert summed.total is None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({SUM_NAME: "moments2"}, "asks for the sum 'moments2', and the task risk has nowcast, mo"),
        ({"episode": 2}, "asks for episode 2, and the run's settings have 2 of them"),
        ({"episode": -1}, "asks for episode -1"),
    ],
)
def test_what_a_run_does_not_have_is_given_under_no_name(
    five: Make, mode: str, wanted: Mapping[str, Any], reason: str
) -> None:
    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        config = {**run.episode.to_config(), SUM_NAME: "moments", **wanted}
        summed = run.mode.add_up(run.grid, run.nodes, run._arrays(), config, run.timeout_s)
    assert summed.total is None
    assert len(summed.refusals) == 5
    assert all(reason in said for _, said in summed.refusals)


class Late:
    """All but the victim have their first price long after it."""

    def __call__(self, panel: Panel, n_participants: int, seed: int) -> tuple[Share, ...]:
        return tuple(
            Share((asset,), start=None if k == VICTIM else panel.bars[FIRST_SEEN])
            for k, asset in enumerate(panel.assets)
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("task", ["risk", "volatility", "signal"])
def test_where_all_others_have_no_example_no_update_is_read(
    tmp_path: Any, mode: str, task: str
) -> None:
    """An origin a few bars after their first: they would be counted, and hide nobody."""
    panel = make_market(n_bars=420, n_assets=5, seed=1)
    frame = pd.DataFrame(panel.close, columns=list(panel.assets))
    frame.insert(0, "date", panel.bars)
    frame.to_csv(tmp_path / "prices.csv", index=False)
    settings = compose(
        [
            "data=csv",
            f"data.path={tmp_path / 'prices.csv'}",
            f"task={task}",
            f"partition._target_={Late.__module__}.Late",
            f"aggregation={mode}",
            EQUAL,
            "federation=same_history",
            "federation.n_participants=5",
            "federation.history_bars=60",
            "evaluation.n_origins=1",
            "evaluation.test_bars=25",
            "progress=none",
            f"out={tmp_path / 'run'}",
        ]
    )
    with federated(settings) as run:
        few = panel.bars[FIRST_SEEN - 56 : FIRST_SEEN + 4]
        origin = int(few[-1].astype("datetime64[s]").astype(int))
        run.episode = replace(run.episode, origin=origin, test_end=origin)
        run.calendar = few
        run.shared[CALENDAR] = seconds_of(few)
        reasons: list[str] = []
        for name in run.task.sums:
            summed = run.add_up(name)
            reasons += [reason for _, reason in summed.refusals]
            if summed.total is None:
                break
            run.shared[name] = run.task.finish_sum(name, summed.total)
        else:
            report = run.round()
            assert report.skipped
            reasons += [reason for _, reason in report.refusals]
    assert sum("has too short a history there" in reason for reason in reasons) >= 4


@pytest.mark.parametrize("mode", MODES)
def test_settings_that_are_changed_after_the_greeting_are_not_trained_by(
    five: Make, mode: str
) -> None:
    """By a node that has none of its own, which would hold them."""
    ours = five(f"aggregation={mode}", EQUAL)
    others = five(f"aggregation={mode}", EQUAL, "task.learning_rate=1e-12").to_json()
    config = {"settings": ours.to_json()}

    def lied_to(message: Message, context: Context) -> Message:
        is_meant = message.metadata.message_type == MessageType.TRAIN
        if is_meant and context.node_config["partition-id"] != VICTIM:
            context.run_config["settings"] = others
        try:
            return app(message, context)
        finally:
            context.run_config["settings"] = config["settings"]

    with InProcessGrid(lied_to, ours.n_nodes or 1, run_config=config) as grid:  # type: ignore[arg-type]
        report = Federation(grid, ours).prepare().round()
    assert report.skipped
    said = [reason for _, reason in report.refusals]
    assert sum("others than those that it was agreed upon under" in each for each in said) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("change", ["aggregation=plain", "evaluation.scores=by_participant"])
@pytest.mark.parametrize("kind", ["evaluate", "query.sum", "query.secure"])
def test_settings_that_are_changed_after_the_greeting_are_not_answered_by(
    five: Make, mode: str, change: str, kind: str
) -> None:
    ours = five(f"aggregation={mode}", EQUAL)
    others = [] if change == "aggregation=plain" else [f"aggregation={mode}"]
    brought = five(*others, EQUAL, change).to_json()
    config = {"settings": ours.to_json()}
    is_over = []

    def lied_to(message: Message, context: Context) -> Message:
        context.run_config["settings"] = brought if is_over else config["settings"]
        return app(message, context)

    with InProcessGrid(lied_to, ours.n_nodes or 1, run_config=config) as grid:  # type: ignore[arg-type]
        run = Federation(grid, ours).prepare()
        is_over.append(True)
        numbers = (VICTIM, run.settings.n_nodes - 1) if kind == "query.secure" else (VICTIM,)
        for number in numbers:  # the last is the key holder, if there is one
            reply = answers(grid, _asked(run, kind, number=number))
            assert "others than those that it was agreed upon under" in str(reply.error.reason)


@pytest.mark.parametrize("mode", MODES)
def test_scores_in_the_clear_are_given_once_for_each_episode_of_the_run(
    five: Make, mode: str
) -> None:
    settings = five(f"aggregation={mode}", EQUAL, "evaluation.scores=by_participant")
    with federated(settings) as run:
        run.prepare()
        grid = run.grid.grid
        assert not answers(grid, _asked(run, "evaluate")).has_error()
        again = answers(grid, _asked(run, "evaluate"))
        assert "second contribution is asked for" in str(again.error.reason)
        beyond = answers(grid, _asked(run, "evaluate", episode=99))
        assert "asks for episode 99" in str(beyond.error.reason)


@pytest.mark.parametrize("mode", MODES)
def test_scores_at_a_time_of_which_others_hold_few_bars_are_not_read(
    five: Make, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where nobody asked for any sum before."""
    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        others = _shortened(lambda number: number != VICTIM)
        monkeypatch.setattr(Participant, "sample", others)
        summed = _evaluated(run, {"federated": run.vector})
    assert summed.total is None
    assert sum("too short a history there" in reason for _, reason in summed.refusals) == 4


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lack", ["nothing to be scored", "no price"])
def test_scores_of_a_time_that_others_do_not_hold_are_not_read(
    five: Make, mode: str, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        sample = Participant.sample

        def cut(self: Participant, *args: Any) -> Sample:
            whole = sample(self, *args)
            if self.number == VICTIM:
                return whole
            if lack == "no price":
                raise DataError("no asset has a price at each bar")
            end = whole.n_train
            return replace(whole, panel=whole.panel.rows(0, end), rows=whole.rows[:end])

        monkeypatch.setattr(Participant, "sample", cut)
        summed = _evaluated(run, {"federated": run.vector})
    assert summed.total is None
    assert sum("too short a history there" in reason for _, reason in summed.refusals) == 4


@pytest.mark.parametrize("mode", MODES)
def test_who_is_not_scored_needs_no_bars(
    five: Make, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is in the sum to hide others, and nobody counts it as scored."""
    with federated(five(f"aggregation={mode}", EQUAL)) as run:
        run.prepare()
        monkeypatch.setattr(Participant, "is_scored", lambda self, _: self.number != VICTIM)
        monkeypatch.setattr(Participant, "sample", _shortened(lambda number: number == VICTIM))
        summed = _evaluated(run, {"federated": run.vector})
    assert summed.total is not None
    assert summed.refusals == []


def _shortened(is_short: Callable[[int], bool]) -> Callable[..., Sample]:
    """Samples of which some have five bars to learn from."""
    sample = Participant.sample

    def cut(self: Participant, *args: Any) -> Sample:
        whole = sample(self, *args)
        start = whole.n_train - 5 if is_short(self.number) else 0
        panel = whole.panel.rows(start, whole.panel.n_bars)
        return replace(whole, panel=panel, rows=whole.rows[start:], n_train=whole.n_train - start)

    return cut


def _let_fail(
    patch: pytest.MonkeyPatch, run: Federation, what: str, error: type[Exception]
) -> None:
    """What the victim computes."""
    compute = getattr(Risk, what)
    mine = Participant(run.settings, VICTIM).sample(run.episode, run.calendar).panel.close

    def failing(self: Risk, *args: Any, **options: Any) -> Any:
        sample = args[0] if what == "evaluate" else args[1]
        if np.array_equal(sample.panel.close, mine):
            raise error("the price 87.59 is beyond what is learned from")
        return compute(self, *args, **options)

    patch.setattr(Risk, what, failing)


def _noted(number: int, message: Message, last: list[Message]) -> Message:
    """Keep what the victim is asked to contribute."""
    if number == VICTIM and "secure.round" in message.content.config_records:
        last.append(message)
    return message


def _refusals_of(run: Federation, what: str) -> Sequence[tuple[int, str]]:
    """Of a round, sum or evaluation that is had without those who refuse."""
    if what == "train":
        report = run.round()
        assert report.n_replies == 4
        return report.refusals
    is_sum = what == "local_sum"
    summed = run.add_up("nowcast") if is_sum else _evaluated(run, {"a": run.vector})
    assert summed.total is not None
    return summed.refusals


def _evaluated(run: Federation, models: Mapping[str, np.ndarray]) -> Any:
    """The sum of scores of models, by arm."""
    arrays = dict(run._arrays())
    for arm, vector in models.items():
        arrays |= pack_model(arm, _model(run, vector))
    run.mode.next_is_training = False
    return run.mode.add_up(
        run.grid,
        run.nodes,
        arrays,
        run.episode.to_config(),
        run.timeout_s,
        MessageType.EVALUATE,
    )


def _model(run: Federation, vector: np.ndarray) -> Model:
    return Model(vector, {name: run.shared[name] for name in run.task.learned})
