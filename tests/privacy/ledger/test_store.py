import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedtrade.errors import BudgetError, LedgerError
from fedtrade.privacy.events import Pure
from fedtrade.privacy.ledger import Account, Charge, Ledger

ALPHA = Account("alpha")

WRITER = """
import sys
from pathlib import Path
from fedtrade.errors import BudgetError
from fedtrade.privacy.events import Pure
from fedtrade.privacy.ledger import Account, Charge, Ledger
step, ledgers = float(sys.argv[1]), [Ledger(Path(path), create=True) for path in sys.argv[2:]]
print("ready", flush=True)
sys.stdin.readline()
n = 0
for ledger in ledgers:
    while True:
        try:
            one = ledger.allocate([Charge(Account("alpha"), (Pure(step),))])
        except BudgetError as error:
            print("refused", error, flush=True)
            break
        n += 1
        print("allocated", n, flush=True)
        ledger.consume(one)
        print("consumed", n, flush=True)
"""


def start(step: float, *paths: Path, **options: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(step), *map(str, paths)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def n_said(out: str, word: str) -> int:
    return max(
        (int(line.split()[1]) for line in out.splitlines() if line.startswith(word)), default=0
    )


def new(path: Path, epsilon: float = 1.0) -> None:
    with Ledger(path, create=True) as ledger:
        ledger.set_budget(ALPHA, epsilon=epsilon, delta=1e-5, accountant="sum")


def spent(path: Path) -> float:
    with Ledger(path) as ledger:
        standing = ledger.standing(ALPHA)
        assert standing is not None
        return standing.spent


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "privacy.sqlite"
    with Ledger(path, create=True) as ledger:
        ledger.set_budget(ALPHA, epsilon=1.0, delta=1e-5)
        files = list(path.parent.iterdir())
        assert len(files) == 3
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700
    path.chmod(0o640)
    with pytest.raises(LedgerError, match=r"has mode 0640, so that others may .*`chmod 600"):
        Ledger(path)


def test_a_folder_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    new(tmp_path / "privacy.sqlite")
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_ledger_that_is_not_there_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"there is no ledger .*none\.sqlite; name another"):
        Ledger(tmp_path / "none.sqlite")
    with pytest.raises(LedgerError, match="is not a file"):
        Ledger(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_once_is_never_changed(tmp_path: Path) -> None:
    """Not even by other programs, unless they take away what holds it."""
    new(tmp_path / "privacy.sqlite")
    raw = sqlite3.connect(tmp_path / "privacy.sqlite")
    for statement in ("UPDATE entry SET time=0", "DELETE FROM entry", "DELETE FROM account"):
        with pytest.raises(sqlite3.IntegrityError, match="what a ledger has is never changed"):
            raw.execute(statement)
    raw.close()


REPLACED = (
    "INSERT OR REPLACE INTO entry SELECT id, 0, account, action, operation, '{}' FROM entry",
    "REPLACE INTO entry(time, account, action, operation, detail) "
    "SELECT time, account, 'released', operation, detail FROM entry WHERE action = 'consumed'",
    "REPLACE INTO account SELECT id, 'beta', dataset, unit FROM account",
    "REPLACE INTO account(participant, dataset, unit) SELECT participant, dataset, unit "
    "FROM account",
)


@pytest.mark.parametrize("statement", REPLACED)
@pytest.mark.parametrize("is_older", [False, True])
def test_what_is_written_once_is_never_replaced(
    tmp_path: Path, statement: str, is_older: bool
) -> None:
    """Also in a file that was begun before the file itself refused it."""
    path = tmp_path / "privacy.sqlite"
    new(path)
    with Ledger(path) as ledger:
        ledger.consume(ledger.allocate([Charge(ALPHA, (Pure(0.5),))]))
    raw = sqlite3.connect(path)
    if is_older:
        raw.execute("DROP TRIGGER entry_INSERT_refused")
        raw.execute("DROP TRIGGER account_INSERT_refused")
        raw.commit()
        with Ledger(path) as ledger:
            ledger.check()
    before = raw.execute("SELECT * FROM entry").fetchall()
    with pytest.raises(sqlite3.IntegrityError, match="what a ledger has is never changed"):
        raw.execute(statement)
    assert raw.execute("SELECT * FROM entry").fetchall() == before
    raw.close()


def test_every_transaction_is_on_the_disk_when_it_is_done(tmp_path: Path) -> None:
    with Ledger(tmp_path / "privacy.sqlite", create=True) as ledger:
        connection = ledger._store._connection
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"


def test_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    raw = sqlite3.connect(path)
    raw.execute("PRAGMA user_version=2")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"is of version 2, and this fedtrade knows version 1"):
        Ledger(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", [0, -1])
def test_a_version_that_nobody_writes_is_refused_and_left_alone(
    tmp_path: Path, version: int
) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    raw = sqlite3.connect(path)
    raw.execute(f"PRAGMA user_version={version}")
    raw.close()
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=rf"is of version {version}, which no fedtrade writes"):
        Ledger(path)
    assert path.read_bytes() == before


def test_another_programs_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    raw = sqlite3.connect(path)
    raw.execute("CREATE TABLE prices (close REAL)")
    raw.commit()
    raw.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="is the file of another program, and no ledger"):
        Ledger(path, create=True)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["text", "cut", "noise"])
def test_a_damaged_file_is_refused_and_left_alone(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    data = bytearray(path.read_bytes())
    if damage == "text":
        data = bytearray(b"once upon a time " * 1000)
    elif damage == "cut":
        del data[len(data) // 2 :]
    else:
        data[8192:] = random.Random(0).randbytes(len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(LedgerError, match=r"is damaged or no ledger .*; it was left as it is"):
        Ledger(path)
    assert path.read_bytes() == data


FORGED = {
    "UPDATE balance SET budget = replace(budget, '1.0', '9.0')": "has another budget for alpha",
    "UPDATE balance SET budget = NULL": "has another budget for alpha",
    "UPDATE balance SET spent = 0.1": "shows less for alpha",
    """UPDATE balance SET proof = '{"reach":1,"counts":' ||
    (SELECT json_group_object(event, 100) FROM tally) || '}'""": "takes more to fit for alpha",
    "UPDATE tally SET count = 0": "counts another sum for alpha/prices .* than its own",
    "DELETE FROM tally": "counts another sum for alpha",
    "DELETE FROM balance": "has lost the balance of account 1",
    "UPDATE clock SET latest = 0": "has an earlier time for all",
}


@pytest.mark.parametrize("statement", FORGED)
def test_what_is_kept_beside_the_history_must_agree_with_it(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    with Ledger(path) as ledger:
        ledger.allocate([Charge(ALPHA, (Pure(0.5),))])
        ledger.check()
        raw = sqlite3.connect(path)
        raw.execute(statement)
        raw.commit()
        raw.close()
        with pytest.raises(LedgerError, match=FORGED[statement]):
            ledger.check()


def test_a_file_that_another_process_keeps_is_waited_for_and_no_longer(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Ledger(path, timeout_s=0.2) as ledger:
        with pytest.raises(LedgerError, match=r"is kept by another process for more than 0\.2 s"):
            ledger.allocate([Charge(ALPHA, (Pure(0.5),))])
        assert spent(path) == 0.0  # reading goes on
        other.execute("ROLLBACK")
        ledger.allocate([Charge(ALPHA, (Pure(0.5),))])
    other.close()


def test_on_a_full_disk_nothing_is_lost(tmp_path: Path) -> None:
    """What was said to be allocated is there, and the sentence says what is the matter."""
    path = tmp_path / "privacy.sqlite"
    new(path, epsilon=1e6)

    def little_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    process = start(0.001, path, preexec_fn=little_room, stderr=subprocess.PIPE)
    go(process)
    out, errors = process.communicate(timeout=60)
    assert "LedgerError" in errors
    assert "cannot be written (the disk is full" in errors.splitlines()[-1]
    n_allocated = n_said(out, "allocated")
    assert n_allocated > 0
    assert spent(path) == pytest.approx(0.001 * n_allocated)
    with Ledger(path) as ledger:
        ledger.check()


def test_of_two_processes_one_has_the_last_of_the_budget(tmp_path: Path) -> None:
    paths = [tmp_path / f"{attempt}.sqlite" for attempt in range(40)]
    for path in paths:
        new(path)
    pair = [start(0.6, *paths) for _ in range(2)]
    for process in pair:
        go(process)
    outs = [process.communicate(timeout=60)[0] for process in pair]
    assert sum(n_said(out, "consumed") for out in outs) == len(paths)
    for out in outs:
        assert (
            out.count("requested epsilon 0.6 at") == out.count("remaining 0.4 of 1") == len(paths)
        )
    assert {spent(path) for path in paths} == {0.6}


def test_processes_that_spend_at_once_never_spend_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    several = [start(0.02, path) for _ in range(3)]
    for process in several:
        go(process)
    outs = [process.communicate(timeout=60)[0] for process in several]
    assert sum(n_said(out, "consumed") for out in outs) == 50
    assert spent(path) == pytest.approx(1.0)
    with Ledger(path) as ledger:
        ledger.check()


def test_two_processes_begin_a_ledger_together(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    command = [sys.executable, "-c", WRITER, "0.5", str(path)]
    pair = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in pair:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.kill()
        process.communicate()
    with Ledger(path) as ledger:
        ledger.check()


def survive(path: Path, n_kills: int) -> None:
    """Kill a process that writes at random moments: all that it has said it did is there."""
    random_moment, n_before = random.Random(11), 0
    for _ in range(n_kills):
        process = start(0.001, path)
        go(process)
        time.sleep(random_moment.uniform(0.0, 0.12))
        os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        n_allocated = n_said(out, "allocated")
        # The one that was written when the process died may or may not be there, but whole.
        copy = path.with_name("copy.sqlite")
        for suffix in ("", "-wal"):
            if path.with_name(path.name + suffix).exists():
                shutil.copy(path.with_name(path.name + suffix), f"{copy}{suffix}")
        n_now = round(spent(copy) / 0.001)
        assert n_now in (n_before + n_allocated, n_before + n_allocated + 1)
        n_before = n_now
    with Ledger(path) as ledger:
        ledger.check()
        actions = [entry.action for entry in ledger.history(ALPHA)]
    assert actions.count("allocated") == n_before
    assert n_before - actions.count("consumed") <= n_kills


def test_a_process_that_is_killed_loses_no_spending(tmp_path: Path) -> None:
    new(tmp_path / "privacy.sqlite", epsilon=1e6)
    survive(tmp_path / "privacy.sqlite", 2)


@pytest.mark.slow
def test_a_process_that_is_killed_very_often_loses_no_spending(tmp_path: Path) -> None:
    new(tmp_path / "privacy.sqlite", epsilon=1e6)
    survive(tmp_path / "privacy.sqlite", 100)


def test_what_was_allocated_before_a_kill_counts_and_is_never_given_back(tmp_path: Path) -> None:
    path = tmp_path / "privacy.sqlite"
    new(path)
    code = WRITER.replace("ledger.consume(one)", "import os; os.kill(os.getpid(), 9)")
    process = subprocess.run([sys.executable, "-c", code, "0.6", str(path)], input="\n", text=True)
    assert process.returncode == -signal.SIGKILL
    with Ledger(path) as ledger, pytest.raises(BudgetError, match=r"remaining 0\.4 of 1"):
        ledger.allocate([Charge(ALPHA, (Pure(0.6),))])
