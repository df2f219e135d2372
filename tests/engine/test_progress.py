"""Progress: what it says while work goes fast, slowly, unevenly, or seems to stand still."""

from __future__ import annotations

import os
import pty
import re
import sys
import threading
import time
from pathlib import Path

import pytest

from demix.engine.pace import Pace
from demix.engine.phase import Phase, Survey
from demix.engine.progress import Meter, busy, duration, meter, tell_done_before
from demix.engine.runner import RunOptions
from demix.engine.sequential import SequentialRunner
from demix.store import Store
from tests.engine.toys import Double, Square, ToySettings, clips, rows


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


def test_a_line_comes_also_while_nothing_ends(capsys: pytest.CaptureFixture[str]) -> None:
    with meter("index", 1, "films", film_seconds=7200.0, every=0.05):
        time.sleep(0.4)
    said = capsys.readouterr().err.splitlines()
    assert len(said) >= 4, said
    assert said[0] == "index: 0/1 films (0%), estimating the time left"


def test_without_work_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with meter("index", 0, "films", every=0.01):
        time.sleep(0.05)
    with busy("looking up what is done", every=10.0):
        pass
    assert capsys.readouterr().err == ""
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_work_of_unknown_length_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with busy("writing manifests", every=0.05):
        time.sleep(0.2)
    assert capsys.readouterr().err.startswith("writing manifests: 0 s so far\n")
    with busy("looking for films", every=10.0, first=0.05):
        time.sleep(0.2)
    assert capsys.readouterr().err == "looking for films: 0 s so far\n"


def test_what_is_only_judged_says_nothing_of_the_pace(clock: _Clock) -> None:
    """A film of 1,000 shots of which 900 are too short: those are over in a second, the others take half a minute
    each."""
    counts = Meter("annotate", 1000, "clips", 900 * 1.0 + 100 * 9.0, clock)
    clock.now = 1.0
    for _ in range(900):
        counts.advance(1.0, whole=False, judged=True)
    assert counts.left() == "estimating the time left"
    for number in range(10):
        clock.now = 1.0 + 30 * (number + 1)
        counts.advance(9.0)
    assert counts.left() == "about 45 min left"  # of 90 clips
    assert counts.line().startswith("annotate: 910/1,000 clips (55%), 0.30 h of film/h, ")


def test_clips_that_leave_early_make_no_estimate(clock: _Clock) -> None:
    """The first to leave a pipeline are those that it drops. Where everything is dropped, the estimate comes late."""
    counts = Meter("annotate", 1000, "clips", 5000.0, clock)
    for number in range(40):
        clock.now = float(number)
        counts.advance(5.0, whole=False)
    assert counts.left() == "estimating the time left"
    for number in range(3):
        clock.now = 60.0 + 20 * number
        counts.advance(5.0)
    assert counts.left().startswith("about ")
    dropping = Meter("annotate", 1000, "clips", 5000.0, clock)
    clock.now += 200.0
    dropping.advance(50.0, whole=False)
    clock.now += 101.0
    assert dropping.left().startswith("about ")


def test_the_pace_is_that_of_late(clock: _Clock) -> None:
    """A resumed phase begins with what is nearly done; an hour later nothing of that is left in the estimate."""
    pace = Pace(10_000.0, 0.0)
    for second in range(100):
        pace.add(50.0, float(second))
    for second in range(100, 2000, 10):
        pace.add(1.0, float(second))
    assert pace.rate(2000.0) == pytest.approx(0.1, rel=0.05)
    assert pace.seconds_left(2000.0) == pytest.approx((10_000 - 5190) / 0.1, rel=0.05)


def test_the_estimate_grows_while_nothing_ends() -> None:
    pace = Pace(100.0, 0.0)
    for minute in range(1, 11):
        pace.add(5.0, 60.0 * minute)
    soon, later = pace.seconds_left(600.0), pace.seconds_left(3600.0)
    assert soon is not None
    assert later is not None
    assert later > 3 * soon


def test_parts_of_a_film_move_the_meter_and_are_counted_once(clock: _Clock) -> None:
    counts = Meter("index", 1, "films", 7200.0, clock)
    for span in range(6):
        clock.now = 100.0 * (span + 1)
        counts.part("film", 600.0)
    assert counts.share == pytest.approx(0.5)
    assert counts.counted() == "0/1 films (50%)"
    assert counts.left() == "about 10 min left"
    counts.part("film", 1800.0)
    counts.part("film", 1800.0)
    clock.now = 1200.0
    counts.advance(7200.0, item="film")
    assert counts.share == 1.0
    assert counts.line() == "index: 1/1 films, 6.00 h of film/h, in 20 min"


def test_a_part_that_is_done_again_does_no_harm(clock: _Clock) -> None:
    counts = Meter("index", 2, "films", 200.0, clock)
    for _ in range(3):
        counts.part("film", 60.0)
    counts.advance(100.0, item="film")
    assert counts.share <= 1.0
    counts.advance(100.0, item="other")
    assert counts.share == 1.0


def test_meters_count_items_where_no_length_is_known(clock: _Clock) -> None:
    counts = Meter("download", 40, "videos", clock=clock)
    for number in range(20):
        clock.now = 90.0 * (number + 1)
        counts.advance()
    assert counts.line() == "download: 20/40 videos, 40.0 videos/h, about 30 min left"


def test_a_bar_on_a_terminal_is_drawn_before_anything_ends() -> None:
    """A film that takes an hour: the terminal shows a bar and what is being estimated."""
    program = (
        "import time\n"
        "from demix.engine.progress import meter\n"
        "with meter('index', 1, 'films', film_seconds=7200.0) as progress:\n"
        "    time.sleep(1.0); progress.part('film', 3600.0); time.sleep(1.0)\n"
    )
    child, terminal = pty.fork()
    if not child:
        os.environ.update(TERM="xterm", COLUMNS="120")
        os.execv(sys.executable, [sys.executable, "-c", program])
    shown = b""
    while True:
        try:
            more = os.read(terminal, 4096)
        except OSError:  # the child is gone
            break
        if not more:
            break
        shown += more
    os.waitpid(child, 0)
    text = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", shown).decode()
    assert "0/1 films (0%) estimating the time left" in text
    assert "0/1 films (50%)" in text


def test_times_read_as_people_say_them() -> None:
    said = [duration(seconds) for seconds in (0.4, 42, 99.4, 125, 3600, 7 * 3600 + 59, 50 * 3600)]
    assert said == ["0 s", "42 s", "99 s", "2 min", "60 min", "7 h 1 min", "2 d 2 h"]


def test_what_was_done_before_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    tell_done_before("annotate", 0, 1024, "clips")
    tell_done_before("annotate", 812, 1024, "clips")
    tell_done_before("index", 3, 3, "films")
    assert capsys.readouterr().err == (
        "annotate: 812 of 1,024 clips were done before\nindex: all 3 films were done before\n"
    )


def test_a_survey_counts_what_is_left(tmp_path: Path) -> None:
    """Items, pending ones, and the film that those are; also of failures that are to be tried again."""
    listed = rows(clips(10))
    stages = [Double(ToySettings(behaviour={listed[0].id: "fail"})), Square()]
    phase = Phase("toys", stages, Store(str(tmp_path)), lambda: listed)
    assert phase.survey() == Survey(10, 10, pytest.approx(36.0))
    phase.run(SequentialRunner, RunOptions(), lambda row: None)
    assert phase.survey() == Survey(10, 0, 0.0)
    assert phase.survey(retry_failed=True) == Survey(10, 1, pytest.approx(3.6))
