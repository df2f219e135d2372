"""The smallest film folder of which the lite profile keeps something: for tests of commands, not of judgements."""

from __future__ import annotations

from pathlib import Path

from tests.films.film import make_film
from tests.films.pictures import View
from tests.films.script import Effect, Shot

SHOTS = (
    Shot("motorcycle", 2.5, View(0.3, 0.55, 0.55), View(0.65, 0.5, 0.6), effects=(Effect("engine", level_db=-22),)),
    Shot("flower", 2.5, View(0.45, 0.55, 0.6), View(0.45, 0.5, 0.8), effects=(Effect("birds", level_db=-27),)),
    Shot("coffee", 1.0),
)
"""Two clips with sound effects, and one that is too short."""


def make_tiny(folder: Path) -> Path:
    """Writes one film of three shots, and a file that is none, into `folder`; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    make_film(folder / "tiny film.mp4", SHOTS, seed=1)
    (folder / "notes.mp4").write_text("no film\n", encoding="utf-8")
    return folder
