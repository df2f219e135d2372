"""One table of exit statuses: the code's, the one that users read, and what commands end with."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from demix.command_line import run
from demix.config import ConfigError
from demix.errors import BrokenInstallation, MachineTrouble
from demix.exit_status import ExitStatus
from mtv_train.data.errors import WorkerDied

ROOT = Path(__file__).parents[1]


def documented_in_code() -> dict[int, str]:
    """Status -> the text below it."""
    [table] = [node for node in ast.parse((ROOT / "demix/exit_status.py").read_text()).body
               if isinstance(node, ast.ClassDef)]  # fmt: skip
    texts = {}
    for status, text in zip(table.body[1::2], table.body[2::2], strict=True):
        assert isinstance(status, ast.Assign)
        assert isinstance(text, ast.Expr)
        texts[ast.literal_eval(status.value)] = ast.literal_eval(text.value)
    return texts


def test_the_table_for_users_is_that_of_the_code() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = page.partition("## Exit status")[2].partition("\n## ")[0]
    rows = {int(status): text for status, text in re.findall(r"^\| (\d+) \| (.*) \|$", section, re.MULTILINE)}
    assert rows == documented_in_code()
    assert set(rows) == {status.value for status in ExitStatus}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("no such film"), ExitStatus.UNUSABLE),
        (MachineTrouble("the disk is full"), ExitStatus.MACHINE_TROUBLE),
        (WorkerDied("a loader process died"), ExitStatus.MACHINE_TROUBLE),
        (BrokenInstallation("TypeError in av"), ExitStatus.BROKEN_INSTALLATION),
    ],
)
def test_an_error_ends_a_command_with_a_sentence_and_its_status(
    error: Exception, status: ExitStatus, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> int:
        raise error

    assert run("demix build", fails, "go on") == status
    assert capsys.readouterr().err == f"demix build: {error}\n"


def test_statuses_of_signals_are_those_of_shells() -> None:
    assert [ExitStatus.HUNG_UP, ExitStatus.INTERRUPTED, ExitStatus.TERMINATED] == [129, 130, 143]
