"""`demix calibrate` as typed: what it says, and the settings that it writes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from demix.calibrate.again import judge_again
from demix.calibrate.config_file import settings_with, write_config
from demix.calibrate.labels import read_labels
from demix.cli import main
from demix.config import ConfigError
from demix.recipe import load_settings
from demix.report.manifests import Manifests
from tests.report.fake import CONFIG, Fake


def test_it_shows_what_is_kept_and_changes_nothing_but_its_page(
    fake: Fake, in_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["calibrate", str(fake.dataset)]) == 0
    said = capsys.readouterr().out
    assert "demix_filter.max_distance.speech" in said
    assert not list(in_folder.iterdir())
    page = (fake.dataset / "report/thresholds.html").read_text()
    assert "L1 distance, speech and speech" in page
    assert "≤ 0.15 · now" in page
    assert "<script" not in page


def test_a_yield_is_proposed_as_settings_that_a_build_takes(
    fake: Fake, in_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(fake.dataset), "--keep", "0.4", "--output", "new.yaml"]) == 0
    assert "at most 4" in capsys.readouterr().out
    settings = load_settings("lite", in_folder / "new.yaml")
    assert settings.demix_filter.max_distance.speech < 0.15
    assert settings.demix_filter.silence_db == -45
    assert settings.quality_filter.maximum["dc_offset"] is None, "limits that were off stay off"


def test_the_settings_are_those_of_the_dataset_whatever_profile_it_was_built_with(tmp_path: Path) -> None:
    """Guards that nothing is measured again: only the thresholds may differ, also without --profile."""
    paper = load_settings("paper", assignments=["shots.max_seconds=12", "quality_filter.minimum.PQ=6"])
    config = paper.model_dump(mode="json", exclude={"engine"})
    write_config(tmp_path / "new.yaml", settings_with(config, {"demix_filter.max_distance.others": 0.21}))
    again = load_settings("lite", tmp_path / "new.yaml")
    moved = paper.model_copy(
        update={"demix_filter": again.demix_filter, "engine": again.engine, "profile": again.profile}
    )
    assert again == moved
    assert again.profile == "paper"
    assert again.demix_filter.max_distance.others == 0.21
    assert "caption" in yaml.safe_load((tmp_path / "new.yaml").read_text())


def test_judging_again_with_the_same_settings_finds_what_the_numbers_say(fake: Fake) -> None:
    """Whoever is dropped by a number of the made-up dataset is dropped by the real judges, too."""
    count = judge_again(Manifests(fake.dataset).clips(), settings_with(CONFIG, {}))
    for stage in ("length", "quality_filter", "demix_filter"):
        assert count.dropped[stage] == sum(
            n for (end, at, _), n in fake.ends.items() if (end, at) == ("dropped", stage)
        )


def test_looser_thresholds_name_the_clips_that_were_never_measured(fake: Fake) -> None:
    clips = list(Manifests(fake.dataset).clips())
    loose = judge_again(clips, settings_with(CONFIG, {"demix_filter.max_distance.speech": 9.0}))
    strict = judge_again(clips, settings_with(CONFIG, {"demix_filter.max_distance.speech": 0.0}))
    assert loose.unmeasured["persons"] > 0
    assert (strict.kept, strict.unmeasured.total()) == (0, 0)


def test_labels_out_of_reach_are_an_exit_status(fake: Fake, in_folder: Path) -> None:
    names = [clip.id for clip in Manifests(fake.dataset).clips() if clip.outcome == "kept"]
    rows = [f"{name},{label}" for name, label in zip(names, ["good", "bad"] * len(names), strict=False)]
    Path("labels.csv").write_text("clip_id,label\n" + "\n".join(rows) + "\n")
    assert main(["calibrate", str(fake.dataset), "--agree", "1"]) == 1
    assert Path("thresholds.yaml").exists()
    assert main(["calibrate", str(fake.dataset), "--agree", "0.3"]) == 0


@pytest.mark.parametrize("text", ["clip_id,label\nabc,maybe\n", "id,verdict\na,good\n"])
def test_labels_that_are_none_are_named_with_their_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ConfigError, match=r"labels\.csv, line 2"):
        read_labels(tmp_path / "labels.csv")


@pytest.mark.parametrize(
    "options", [["--keep", "0"], ["--keep", "60"], ["--agree", "0.9"], ["--keep", "0.4", "--move", "x"]]
)
def test_what_cannot_be_done_is_said_in_a_sentence(
    fake: Fake, in_folder: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibrate", str(fake.dataset), *options]) == 2
    assert capsys.readouterr().err.startswith("demix calibrate: ")
