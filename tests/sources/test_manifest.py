"""Manifests: three formats, one meaning; mistakes are named with file, line and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from demix.config import ConfigError
from demix.sources.discover import discover
from demix.sources.manifest import read_manifest

ROWS: list[dict[str, Any]] = [
    {"uri": "a b.mp4", "kind": "web", "title": 'Commas, "quotes"\nand lines', "year": 1999},
    {"uri": "s3://bucket/x.mp4", "kind": None, "title": "\u2028\u6620\u753b", "year": None},
    {"uri": "/films/-x.mp4", "kind": "talking_head", "title": "", "year": 2001},
]


def write(folder: Path, suffix: str) -> Path:
    path = folder / f"films{suffix}"
    if suffix == ".csv":
        quoted = [['"' + str("" if v is None else v).replace('"', '""') + '"' for v in row.values()] for row in ROWS]
        path.write_text("\ufeffuri,kind,title,year\n" + "\n".join(map(",".join, quoted)) + "\n", encoding="utf-8")
    elif suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS) + "\n\n", encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(ROWS), path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_the_three_formats_say_the_same(tmp_path: Path, suffix: str) -> None:
    first, second, third = discover([str(write(tmp_path, suffix))], "cinematic")
    assert (first.uri, first.kind) == (str(tmp_path / "a b.mp4"), "web")
    assert first.metadata == {"title": 'Commas, "quotes"\nand lines', "year": "1999"}
    assert (second.uri, second.kind) == ("s3://bucket/x.mp4", "cinematic")
    assert second.metadata == {"title": "\u2028\u6620\u753b"}
    assert (third.uri, third.kind, third.metadata) == ("/films/-x.mp4", "talking_head", {"year": "2001"})


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("m.csv", b"path,kind\nx.mp4,web\n", "line 2: no uri"),
        ("m.csv", b"uri,kind\nx.mp4,web\n,web\n", "line 3: no uri"),
        ("m.csv", b"uri,kind\nx.mp4,movie\n", "line 2: kind is 'movie'; use one of talking_head"),
        ("m.csv", b"uri,kind\nx.mp4,web,more\n", "line 2: not as many fields"),
        ("m.csv", b'uri,kind\n"x.mp4,web\n', "not valid CSV"),
        ("m.csv", b"uri\n\xff.mp4\n", "not UTF-8 at byte 4"),
        ("m.jsonl", b'{"uri": "x.mp4"}\n{"uri": \n', "line 2: not valid JSON"),
        ("m.jsonl", b'["x.mp4"]\n', "line 1: list where an object"),
        ("m.jsonl", b'{"uri": 5}\n', "line 1: no uri"),
        ("m.parquet", b"PAR1 no", "not a parquet file"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        list(read_manifest(str(tmp_path / name)))
    assert str(tmp_path / name) in str(caught.value)
    assert says in str(caught.value)
