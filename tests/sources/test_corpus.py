"""Published corpora become manifests: the right kind, parts of long files as spans, what is missing listed."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from demix.cli import main
from demix.config import ConfigError
from demix.film import film_of
from demix.records import AudioStream, Probe, Shot, Shots, Source, VideoStream
from demix.sources.corpus import CORPORA, match, write
from demix.sources.discover import discover
from demix.sources.spans import as_text, span, spans_of, within
from demix.stages.shots import clips_of

CELEBV = {
    "meta_info": {"appearance_mapping": ["blurry", "male"], "action_mapping": ["blow"]},
    "clips": {
        name: {
            "ytb_id": video,
            "duration": {"start_sec": start, "end_sec": start + 4.5},
            "bbox": {"top": 0.0, "bottom": 0.88, "left": 0.19, "right": 0.69},
            "attributes": {"appearance": [0, 1], "action": [0], "emotion": {"sep_flag": False, "labels": "neutral"}},
            "version": "v0.1",
        }
        for name, video, start in (
            ("M2Ohb0FAaJU_1", "M2Ohb0FAaJU", 81.62),
            ("M2Ohb0FAaJU_2", "M2Ohb0FAaJU", 3.5),
            ("_0tf2n3rlJU_0", "_0tf2n3rlJU", 52.72),
            ("gone0000000_0", "gone0000000", 1.0),
        )
    },
}


def files(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / "media" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder / "media"


def rows_of(name: str, metadata: Path, media: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """File name -> row of the manifest, and the ids that are missing."""
    corpus = CORPORA[name]
    found = match(corpus, corpus.entries(metadata), media)
    return {Path(row["uri"]).name: row for row in found.sources}, [entry.id for entry in found.missing]


def test_celebv_hq_takes_cut_clips_whole_and_whole_videos_in_spans(tmp_path: Path) -> None:
    metadata = tmp_path / "celebvhq_info.json"
    metadata.write_text(json.dumps(CELEBV))
    media = files(tmp_path, "raw/M2Ohb0FAaJU.mp4", "cut/_0tf2n3rlJU_0.mp4")
    rows, missing = rows_of("celebv-hq", metadata, media)
    assert missing == ["gone0000000_0"]
    assert {row["kind"] for row in rows.values()} == {"talking_head"}
    assert json.loads(rows["M2Ohb0FAaJU.mp4"]["spans"]) == [[3.5, 8.0], [81.62, 86.12]]
    assert "spans" not in rows["_0tf2n3rlJU_0.mp4"]
    assert film_of(rows["_0tf2n3rlJU_0.mp4"]) == "0tf2n3rlju"


def test_condensed_movies_end_before_the_advertisement(tmp_path: Path) -> None:
    metadata = tmp_path / "clips.csv"
    metadata.write_text(
        "videoid,year,clip_idx,clip_tot,upload_year,title,clip_name,imdbid\n"
        'WgMhaDEPGXo,2019.0,5,10,2019,Downton Abbey,"Goodnight, Mr. Branson Scene",tt6398184\n'
        "-8bEthezknk,1973.0,1,10,2019,Serpico,Bleeding to Death Scene,tt0070666\n"
    )
    (tmp_path / "durations.csv").write_text("videoid,duration\nWgMhaDEPGXo,121.4\n")
    rows, missing = rows_of(
        "condensed-movies", metadata, files(tmp_path, "2019/WgMhaDEPGXo.mkv", "2019/-8bEthezknk.mkv")
    )
    assert not missing
    first, second = rows["WgMhaDEPGXo.mkv"], rows["-8bEthezknk.mkv"]
    assert (first["kind"], first["film"], first["year"]) == ("cinematic", "Downton Abbey", "2019")
    assert json.loads(first["spans"]) == [[0.0, 121.4]]
    assert "spans" not in second


def test_short_films_are_one_source_each_however_many_questions(tmp_path: Path) -> None:
    metadata = tmp_path / "train.csv"
    metadata.write_text(
        "question_id,video_id,video_url,question\n"
        "1,abc,https://vimeo.example/abc,Why?\n2,abc,https://vimeo.example/abc,Who?\n3,def,,Where?\n"
    )
    rows, missing = rows_of("short-films-20k", metadata, files(tmp_path, "abc.mp4"))
    assert list(rows) == ["abc.mp4"]
    assert missing == ["def"]


def test_moviebench_films_may_lie_in_clips(tmp_path: Path) -> None:
    metadata = tmp_path / "data_split.json"
    metadata.write_text(json.dumps({"Train": ["0001_American_Beauty", "1001_Flight"], "Test": ["1004_Juno"]}))
    beauty = "0001_American_Beauty/0001_American_Beauty_00.00.51.926-00.00.54.129.avi"
    rows, missing = rows_of("moviebench", metadata, files(tmp_path, beauty, "1004_Juno.mkv"))
    assert missing == ["1001_Flight"]
    assert rows[Path(beauty).name]["corpus_split"] == "train"
    assert rows["1004_Juno.mkv"]["corpus_split"] == "test"
    assert film_of(rows["1004_Juno.mkv"]) == film_of({"film": "JUNO"}), "as Condensed Movies calls it"


def test_web_lists_hold_ids_and_addresses(tmp_path: Path) -> None:
    metadata = tmp_path / "list.txt"
    metadata.write_text(
        "# films\ndQw4w9WgXcQ\nhttps://youtu.be/M2Ohb0FAaJU?t=3 # again\n\nhttps://films.example/a/one.mp4\n"
    )
    rows, missing = rows_of("web", metadata, files(tmp_path, "dQw4w9WgXcQ.mkv", "one.mp4"))
    assert missing == ["M2Ohb0FAaJU"]
    assert {name: row["kind"] for name, row in rows.items()} == {"dQw4w9WgXcQ.mkv": "web", "one.mp4": "web"}
    metadata.write_text("not a video\n")
    with pytest.raises(ConfigError, match=r"list\.txt, line 1"):
        rows_of("web", metadata, tmp_path / "media")


@pytest.mark.parametrize("name", sorted(set(CORPORA) - {"web"}))
def test_wrong_metadata_is_named_with_what_is_wanted(tmp_path: Path, name: str) -> None:
    metadata = tmp_path / "metadata.csv"
    for content in ("a,b\n1,2\n", "{}[", '{"clips": 3, "Train": 1}'):
        metadata.write_text(content)
        with pytest.raises(ConfigError, match=r"metadata\.csv"):
            list(CORPORA[name].entries(metadata))
    with pytest.raises(ConfigError, match="cannot be read"):
        list(CORPORA[name].entries(tmp_path / "absent"))


def test_the_command_writes_a_manifest_that_a_build_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metadata = tmp_path / "celebvhq_info.json"
    metadata.write_text(json.dumps(CELEBV))
    media = files(tmp_path, "M2Ohb0FAaJU.mp4")
    output = tmp_path / "celebv.jsonl"
    assert main(["corpus", "celebv-hq", str(metadata), "--media", str(media), "--output", str(output)]) == 0
    [candidate] = discover([str(output)])
    assert candidate.kind == "talking_head"
    assert spans_of(candidate.metadata) == [span(3.5, 8.0), span(81.62, 86.12)]
    assert "gone0000000" in (tmp_path / "celebv.missing.csv").read_text()
    assert "2 of 4 entries" in capsys.readouterr().out


def test_nothing_on_disk_is_an_exit_status(tmp_path: Path) -> None:
    metadata = tmp_path / "list.txt"
    metadata.write_text("dQw4w9WgXcQ\n")
    found = match(CORPORA["web"], CORPORA["web"].entries(metadata), files(tmp_path, "other.mp4"))
    assert write(found, tmp_path / "web.jsonl").read_text().count("dQw4w9WgXcQ") >= 1
    arguments = ["corpus", "web", str(metadata), "--media", str(tmp_path / "media"), "--output"]
    assert main([*arguments, str(tmp_path / "web.jsonl")]) == 1


spans = st.lists(st.tuples(st.integers(0, 500), st.integers(1, 60)), max_size=8)


@given(spans)
def test_spans_survive_their_text_joined_and_sorted(parts: list[tuple[int, int]]) -> None:
    """The same seconds are covered, and no two spans touch."""
    stated = [span(start / 10, (start + length) / 10) for start, length in parts]
    back = spans_of({"spans": as_text(stated)}) or []
    covered = {tick for start, length in parts for tick in range(start, start + length)}
    assert {tick for a, b in back for tick in range(int(a * 10), int(b * 10))} == covered
    assert all(first.end < second.start for first, second in pairwise(back))


@pytest.mark.parametrize("text", ["3", "[[1]]", "[[5, 2]]", '[["a", 2]]', "[1, 2]", "{"])
def test_broken_spans_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="spans"):
        spans_of({"spans": text})
    manifest = tmp_path / "films.jsonl"
    manifest.write_text(json.dumps({"uri": "a.mp4", "spans": text}) + "\n")
    with pytest.raises(ConfigError, match=r"films\.jsonl, line 1"):
        list(discover([str(manifest)]))


def test_only_the_spans_of_a_source_become_clips() -> None:
    """Shots are cut at the ends of spans, counted from the first frame shown."""
    video = VideoStream(index=0, codec="h264", width=640, height=360, rotation=0, pixel_format="yuv420p",
                        time_base="1/100", start_pts=50, end_pts=10_050, average_rate="25", frames=2500,
                        variable_rate=False)  # fmt: skip
    sound = AudioStream(index=1, codec="aac", sample_rate=48000, channels=2, layout="stereo", time_base="1/48000",
                        start_pts=0, end_pts=100)  # fmt: skip
    probe = Probe(sha256="0" * 64, bytes=1, container="mp4", seconds=100, video=video, audio=sound, streams=2)
    shots = Shots(
        model="adaptive",
        revision="1",
        shots=(
            Shot(start_pts=50, end_pts=1050, begins="start", ends="cut"),
            Shot(start_pts=1060, end_pts=5050, begins="cut", ends="end"),
        ),
        frames=2500,
        cuts=(25,),
        graduals=(),
    )
    source = Source(id="a" * 16, uri="film.mp4", kind="cinematic", metadata={"spans": "[[5.005, 20], [30, 31]]"})
    clips = clips_of(source, probe, shots)
    assert [(clip.start_pts, clip.end_pts) for clip in clips] == [(551, 1050), (1060, 2050), (3050, 3150)]
    assert [clip.ordinal for clip in clips] == [0, 1, 2]
    assert within(0, 10, 0, Fraction(1, 100), []) == []
