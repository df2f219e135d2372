"""MovieBench (Wu et al., CVPR 2025): films, from `data_split.json`.

    {"Train": ["0001_American_Beauty", ...], "Test": [...]}

The films are those of LSMDC, which gives them out as clips: `0001_American_Beauty_00.00.51.926-00.00.54.129.avi`. A
film is here if a file of its name is, or clips that begin with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from demix.film import FILM
from demix.sources.corpus import Entry


def read(metadata: Path) -> Iterator[Entry]:
    """Every film of the corpus, as cinema; its clips are found by their names."""
    for split, films in json.loads(metadata.read_text(encoding="utf-8")).items():
        for film in films:
            title = film.partition("_")[2].replace("_", " ")  # as other corpora call it: 0001_American_Beauty
            facts = {FILM: title or film, "corpus_split": split.lower()}
            yield Entry(id=film, kind="cinematic", stems=(film,), pieces=f"{film}_", metadata=facts)
