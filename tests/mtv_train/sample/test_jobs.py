"""Jobs: each line a video, a bad one costs no other and is listed, what is made stays, and processes share the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from demix.config import ConfigError
from demix.engine.lock import held
from mtv_train.evaluate.folder import find_videos
from mtv_train.sample.jobs import read_jobs
from tests.mtv_train.sample.making import sample, write_tone

FAST = ("--steps", "1")


def write_jobs(path: Path, *jobs: object) -> Path:
    path.write_text("\n".join(json.dumps(job) for job in jobs), encoding="utf-8")
    return path


def job(name: str, **fields: object) -> dict[str, object]:
    return {"name": name, "prompt": f"This is {name}.", "seed": 1, **fields}


def test_jobs_are_made_once_and_failures_listed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tone(tmp_path / "s.wav")
    lines = [job("a", speech="s.wav", effects="s.wav", music="s.wav"), job("b"), job("c", speech="absent.wav")]
    jobs, out = write_jobs(tmp_path / "jobs.jsonl", *lines), tmp_path / "out"
    assert sample(model, "--jobs", jobs, "--out", out, *FAST) == 1
    said = capsys.readouterr()
    assert "2 made, 0 were there, 1 failed" in said.out
    assert "sample: 3/3 videos" in said.err
    assert "c: speech" in said.err
    assert list(json.loads((out / "failures.json").read_text())) == ["c"]
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.mp4", "b.json", "b.mp4", "failures.json"]
    assert [video.text for video in find_videos(out)] == ["This is a.", "This is b."]  # as `evaluate` reads them

    made = {name: (out / name).stat().st_mtime_ns for name in ("a.mp4", "b.mp4")}
    write_tone(tmp_path / "absent.wav")
    lines[1] = job("b", seed=2)
    write_jobs(jobs, *lines)
    assert sample(model, "--jobs", jobs, "--out", out, *FAST) == 0
    assert "2 made, 1 were there, 0 failed" in capsys.readouterr().out
    assert (out / "a.mp4").stat().st_mtime_ns == made["a.mp4"]
    assert (out / "b.mp4").stat().st_mtime_ns != made["b.mp4"]  # it asks for another video now
    assert json.loads((out / "failures.json").read_text()) == {}
    (out / "a.json").write_text("broken off")
    assert sample(model, "--jobs", jobs, "--out", out, *FAST) == 0
    assert "1 made, 2 were there, 0 failed" in capsys.readouterr().out


@pytest.mark.slow
def test_processes_make_the_same(model: Path, tmp_path: Path) -> None:
    """Slow: two processes import everything."""
    jobs = write_jobs(tmp_path / "jobs.jsonl", *(job(name) for name in "abc"))
    assert sample(model, "--jobs", jobs, "--out", tmp_path / "one", *FAST) == 0
    assert sample(model, "--jobs", jobs, "--out", tmp_path / "two", *FAST, "--workers", "2") == 0
    for name in "abc":
        assert (tmp_path / "one" / f"{name}.mp4").read_bytes() == (tmp_path / "two" / f"{name}.mp4").read_bytes()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"name": "a"', "line 2: "),
        ('["a"]', 'line 2: a job is {"name": ..., "prompt": ..., ...}'),
        ('{"name": "../a"}', "line 2: the name '../a' must be fit for a file"),
        ('{"name": "a", "promt": "x"}', "did you mean"),
        ('{"name": "first"}', "line 2: the name 'first' is given twice"),
        ('{"name": "a", "steps": 0}', "steps"),
    ],
)
def test_lines_that_are_no_jobs(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"name": "first"}\n' + line)
    assert sample(model, "--jobs", jobs, "--out", tmp_path / "out") == 2
    assert message in capsys.readouterr().err
    jobs.write_text("\n")
    assert sample(model, "--jobs", jobs, "--out", tmp_path / "out") == 2
    assert "holds no job" in capsys.readouterr().err


def test_two_calls_do_not_sample_into_one_folder(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = tmp_path / "jobs.jsonl"
    jobs.write_text('{"name": "a", "prompt": "x", "steps": 1}\n')
    with held(tmp_path / "out", "sampling"):
        assert sample(model, "--jobs", jobs, "--out", tmp_path / "out") == 2
    assert "another sampling works here" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.mp4"))


def test_what_protocol_writes_is_read(tmp_path: Path) -> None:
    """Texts with line separators that are none of JSON lines, and a mark of byte order."""
    prompt = "One.\u2028Two.\x85Three.\x0bFour."
    one, two = (json.dumps({"name": name, "prompt": prompt}, ensure_ascii=False) for name in "ab")
    (tmp_path / "jobs.jsonl").write_bytes(f"\ufeff{one}\r\n\n{two}\n".encode())
    assert [job.request.prompt for job in read_jobs(tmp_path / "jobs.jsonl", {})] == [prompt, prompt]


@pytest.mark.parametrize(
    ("name", "said"),
    [("failures", "is that of the list of failures"), ("a" * 201, "has 201 bytes"), ("ä" * 101, "has 202 bytes")],
)
def test_names_that_cannot_be_files_are_refused(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_jobs(write_jobs(tmp_path / "jobs.jsonl", job(name)), {})


def test_results_do_not_lie_in_the_model(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = write_jobs(tmp_path / "jobs.jsonl", job("a"))
    assert sample(model, "--jobs", jobs, "--out", model / "videos", *FAST) == 2
    assert sample(model, "--prompt", "x", "-o", model / "transformer" / "a.mp4", *FAST) == 2
    assert capsys.readouterr().err.count("lies in the model's folder") == 2
