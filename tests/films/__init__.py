"""Films whose truth is known, made of photographs and sounds that travel in wheels or are computed.

`make_film` for tests, `python -m tests.films demo FOLDER` for the sample films of `make demo`.
"""

from tests.films.film import make_film
from tests.films.pictures import View
from tests.films.script import Effect, Music, Shot, Speech
from tests.films.truth import FilmTruth, ShotTruth, SpeechTruth, as_json

__all__ = [
    "Effect",
    "FilmTruth",
    "Music",
    "Shot",
    "ShotTruth",
    "Speech",
    "SpeechTruth",
    "View",
    "as_json",
    "make_film",
]
