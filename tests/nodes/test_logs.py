import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedtrade.nodes.certificates import make_authority, make_node_key
from fedtrade.nodes.launch import launch_client
from fedtrade.nodes.log_lines import LineReader, masked
from fedtrade.nodes.logs import Log, write_events_as_json
from fedtrade.nodes.settings import ClientSettings

TRACE = """\
\x1b[91mERROR\x1b[0m :     ServerApp raised an exception
Traceback (most recent call last):
  File "/app/a.py", line 3, in main
    run()
ValueError: first

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/b.py", line 4, in run
    raise ConfigurationError("no bar is left")
fedtrade.errors.ConfigurationError: no bar is left
\x1b[92mINFO \x1b[0m:      Starting Flower SuperExec
"""


def said(form: str, *lines: tuple[str, str]) -> list[Any]:
    stream = io.StringIO()
    log = Log("server", form, stream)  # type: ignore[arg-type]
    for source, line in lines:
        log.hear(source, line)
    log.close()
    written = stream.getvalue().splitlines()
    return [json.loads(line) for line in written] if form == "json" else written


@pytest.mark.parametrize(
    ("line", "level", "message"),
    [
        (
            "\x1b[92mINFO \x1b[0m:      Starting Flower SuperLink",
            "info",
            "Starting Flower SuperLink",
        ),
        (
            "\x1b[93mWARNING \x1b[0m:   Connection attempt failed",
            "warning",
            "Connection attempt failed",
        ),
        ("WARNING 2026-01-02 03:04:05,678:    late", "warning", "late"),
        ("INFO:     Application startup complete.", "info", "Application startup complete."),
        (
            "2026-11-25T22:23:53.070Z ERROR [uvicorn.error] Traceback of nothing",
            "error",
            "[uvicorn.error] Traceback of nothing",
        ),
        (
            "Using SuperLink: fedtrade (127.0.0.1:8000)",
            "info",
            "Using SuperLink: fedtrade (127.0.0.1:8000)",
        ),
    ],
)
def test_flowers_lines_have_a_level_and_a_message(line: str, level: str, message: str) -> None:
    (entry,) = said("json", ("superlink", line))
    assert (entry["level"], entry["message"], entry["source"]) == (level, message, "superlink")
    assert entry["time"].endswith("+00:00")


def test_lines_without_words_are_dropped() -> None:
    assert said("json", ("a", "\x1b[92mINFO \x1b[0m:      "), ("a", ""), ("a", "  ")) == []


def test_a_line_without_a_level_has_that_of_the_one_before() -> None:
    entries = said("json", ("a", "WARNING:  PREVIEW FEATURE"), ("b", "x"), ("a", "   could change"))
    assert [(e["level"], e["message"]) for e in entries] == [
        ("warning", "PREVIEW FEATURE"),
        ("info", "x"),
        ("warning", "could change"),
    ]


def test_a_traceback_is_one_entry_that_ends_with_the_error() -> None:
    entries = said("json", *(("run", line) for line in TRACE.splitlines()))
    assert [e["message"] for e in entries] == [
        "ServerApp raised an exception",
        "ValueError: first",
        "fedtrade.errors.ConfigurationError: no bar is left",
        "Starting Flower SuperExec",
    ]
    assert [e["level"] for e in entries] == ["error", "error", "error", "info"]
    assert 'File "/app/b.py", line 4, in run' in entries[2]["fields"]["traceback"]


def test_of_an_error_that_is_a_sentence_only_that_is_shown_to_readers() -> None:
    """What went wrong in a program is shown with its traceback."""
    lines = said("text", *(("run", line) for line in TRACE.splitlines()))
    assert lines[0] == "run: ERROR: ServerApp raised an exception"
    assert lines[1] == "run: ERROR: Traceback (most recent call last):"
    assert lines[-3:] == [
        "ValueError: first",
        "run: ERROR: fedtrade.errors.ConfigurationError: no bar is left",
        "run: Starting Flower SuperExec",
    ]


def test_a_traceback_that_is_cut_off_is_still_told() -> None:
    lines = TRACE.splitlines()[1:3]
    (entry,) = said("json", *(("run", line) for line in lines))
    assert entry["fields"]["traceback"] == "\n".join(lines)
    (first, second) = said("json", *(("run", x) for x in [*lines, "INFO:     Finished"]))
    assert (first["level"], second["message"]) == ("error", "Finished")


def test_tracebacks_of_two_sources_do_not_mix() -> None:
    lines = TRACE.splitlines()[1:5]
    mixed = [(who, line) for line in lines for who in ("a", "b")]
    entries = said("json", *mixed)
    assert [(e["source"], e["message"]) for e in entries] == [
        ("a", "ValueError: first"),
        ("b", "ValueError: first"),
    ]


def test_text_is_for_reading() -> None:
    lines = said("text", *(("run", line) for line in TRACE.splitlines()))
    assert lines[0] == "run: ERROR: ServerApp raised an exception"
    assert lines[1] == "run: ERROR: Traceback (most recent call last):"
    assert lines[-1] == "run: Starting Flower SuperExec"
    assert "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    "line",
    [
        "flwr-serverapp --token SESAME --run-id 7",
        "flwr-serverapp --token=SESAME",
        'flower-supernode --superexec-auth-secret "SESAME OPEN"',
        "Authorization: Bearer SESAME.OPEN",
        "{'api_key': 'SESAME'}",
        '{"access_token": "SESAME", "n": 3}',
        "password = SESAME",
    ],
)
def test_secrets_that_are_named_are_masked(line: str) -> None:
    for form in ("text", "json"):
        (shown,) = said(form, ("a", line))
        assert "SESAME" not in str(shown)
        assert "[masked]" in str(shown)
    stream = io.StringIO()
    Log("server", "text", stream).say(line)
    assert "SESAME" not in stream.getvalue()


@pytest.mark.parametrize(
    "line",
    [
        "--superexec-auth-secret-file /state/superexec.secret --code installed",
        "--auth-supernode-private-key /kits/alpha/node.key",
        "the identity is 0f" + "ab" * 31,
        "12 tokens: none",
    ],
)
def test_what_is_no_secret_is_shown(line: str) -> None:
    assert said("text", ("a", line)) == [f"a: {line}"]


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("head", ["", "INFO :      key is "])
def test_private_keys_are_masked_over_lines_and_within_one(form: str, head: str) -> None:
    for key in (make_node_key(), make_authority("x").key):
        lines = key.decode().strip().splitlines()
        spread = [("a", head + lines[0]), *(("a", line) for line in lines[1:]), ("a", "INFO: on")]
        together = [("a", head + "\\n".join(lines)), ("a", "INFO: on")]
        for shown in (said(form, *spread), said(form, *together)):
            assert not any(line in str(shown) for line in lines[1:-1])
            assert str(shown).count("on") >= 1


def test_a_private_key_without_an_end_masks_no_more_than_unmarked_lines() -> None:
    lines = ["-----BEGIN PRIVATE KEY-----", "AAAA", "INFO:     back"]
    shown = said("text", *(("a", line) for line in lines))
    assert "AAAA" not in "".join(shown)
    assert shown[-1] == "a: back"


@given(st.lists(st.text(), max_size=20))
def test_any_output_is_read_and_written_as_one_object_a_line(lines: list[str]) -> None:
    entries = said("json", *(("a", line) for line in lines))
    assert all({"time", "level", "source", "message"} <= entry.keys() for entry in entries)


@given(st.text())
def test_masking_twice_changes_nothing(text: str) -> None:
    assert masked(masked(text)) == masked(text)


@given(st.lists(st.sampled_from([*TRACE.splitlines(), "", " x", "y"]), max_size=40))
def test_no_words_are_lost(lines: list[str]) -> None:
    reader = LineReader()
    entries = [e for line in lines for e in reader.read(line)] + list(reader.close())
    told = "\n".join(f"{e.message}\n{e.fields.get('traceback', '')}" for e in entries)
    for line in ("y", "    run()", "ValueError: first"):
        if line in lines:
            assert line.strip() in told


class TestEvents:
    def logger(self) -> tuple[logging.Logger, io.StringIO]:
        stream = io.StringIO()
        logger = logging.Logger("app", logging.INFO)
        handler = logging.StreamHandler(stream)
        handler.setFormatter(logging.Formatter("%(levelname)s :     %(message)s"))
        logger.addHandler(handler)
        return logger, stream

    def test_an_apps_events_keep_their_fields_and_are_told_once(self) -> None:
        logger, stream = self.logger()
        write_events_as_json(logger)
        write_events_as_json(logger)
        fields = {"event": "round-finished", "round": 3, "seconds": 1.5}
        logger.warning("round %d", 3, extra=fields)
        logger.info("as ever")
        event, usual = stream.getvalue().splitlines()
        both = [("superlink", event), ("run", event), ("superlink", usual)]
        first, second = said("json", *both)
        assert first["source"] == "run"
        assert first["event"] == "round-finished"
        assert first["level"] == "warning"
        assert first["message"] == "round 3"
        assert first["fields"] == {"round": 3, "seconds": 1.5}
        assert second["message"] == "as ever"
        again = said("json", *both[:2], *both[:2])
        assert len(again) == 2, "the same thing may happen again"

    @pytest.mark.parametrize("text", ['{"event":', '{"event": 3}', '{"event": "x", "fields": 4}'])
    def test_what_only_looks_like_an_event_does_no_harm(self, text: str) -> None:
        (entry,) = said("json", ("run", text))
        assert set(entry) >= {"time", "level", "source", "message"}


def test_why_a_node_does_not_start_is_json_as_all_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ClientSettings(
        name="alpha",
        number=0,
        superlink="127.0.0.1:1",
        root_certificates="ca.crt",
        key=str(tmp_path / "missing.key"),
        state=str(tmp_path / "state"),
        log="json",
    )
    with pytest.raises(SystemExit) as ended:
        launch_client(settings)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["event"], entry["source"]) == ("error", "failed", "alpha")
    assert "missing.key" in entry["message"]
