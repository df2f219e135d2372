"""The facts captioner says what is there, in plain English, and nothing that it cannot know."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demix.models.captioning import Scene
from demix.models.captioning.facts import FactsCaptioner
from demix.records import Box
from tests.films import View, pictures

SIZE = (384, 216)
COUNT = 8
WIDE = View(0.5, 0.5, 0.9)


def a_scene(
    picture: str = "china",
    start: View = WIDE,
    end: View | None = None,
    faces: list[Box | None] | None = None,
    persons: int = 0,
    audible: tuple[str, ...] = (),
    moving: float = 0.0,
) -> Scene:
    """`faces` stand at the same place on every frame, or move `moving` pixels a frame to the right."""
    camera = pictures.Camera(pictures.load(picture), start, end or start, SIZE, seed=1, shake=0)
    frames = np.stack([camera.frame(i / (COUNT - 1), i / 2) for i in range(COUNT)])
    rows = tuple(tuple(moved(box, i * moving) for box in faces or []) for i in range(COUNT))
    return Scene(
        clip_id="c",
        frames=frames,
        times=tuple(i / 2 for i in range(COUNT)),
        seconds=COUNT / 2,
        faces=rows,
        persons=persons,
        speakers=persons,
        audible=frozenset(audible),
    )


def moved(box: Box | None, dx: float) -> Box | None:
    return box and box.model_copy(update={"x0": box.x0 + dx, "x1": box.x1 + dx})


def a_face(x: float, height: float) -> Box:
    """A face whose centre is at `x` (share of the width), `height` in frame heights, its top at a fifth."""
    side = height * SIZE[1]
    return Box(x0=x * SIZE[0] - side * 0.4, y0=40, x1=x * SIZE[0] + side * 0.4, y1=40 + side, score=1.0)


def describe(scene: Scene) -> tuple[tuple[str, ...], str]:
    (description,) = FactsCaptioner().describe([scene])
    assert description.clip_id == scene.clip_id
    return description.persons, description.scene


def test_a_scene_without_faces() -> None:
    persons, text = describe(a_scene("china", View(0.4, 0.5, 0.6), View(0.6, 0.5, 0.6), audible=("effects", "music")))
    assert persons == ()
    assert text == (
        "A shot in which no face can be seen. The picture is evenly lit with strong contrast and grows brighter, "
        "mostly white and grey. The camera pans to the right. Music and sound effects are heard."
    )


def test_a_person_who_speaks() -> None:
    scene = a_scene("astronaut", View(0.5, 0.37, 0.9), faces=[a_face(0.4, 0.4)], persons=1, audible=("speech",))
    persons, text = describe(scene)
    assert persons == ("a person in the middle, in a medium close-up, dressed in orange, almost still",)
    assert text.startswith("A medium close-up of Person1. The picture is ")
    assert text.endswith("The camera is still. Speech is heard.")


def test_described_and_other_people() -> None:
    faces: list[Box | None] = [a_face(0.8, 0.2), a_face(0.2, 0.15), a_face(0.5, 0.1)]
    assert describe(a_scene(faces=faces, persons=1))[1].startswith("A medium shot of Person1 and two more people.")
    assert describe(a_scene(faces=faces, persons=2))[1].startswith("A medium shot of Person1, Person2 and one more")
    assert describe(a_scene(faces=faces))[1].startswith("A medium shot of three people.")
    places = [person.split(",")[0] for person in describe(a_scene(faces=faces, persons=3))[0]]
    assert places == ["a person on the right", "a person on the left", "a person in the middle"]


@pytest.mark.parametrize(
    ("height", "framing"),
    [(0.9, "An extreme close-up"), (0.5, "A close-up"), (0.3, "A medium close-up"), (0.1, "A wide shot")],
)
def test_framing_follows_the_size_of_the_face(height: float, framing: str) -> None:
    assert describe(a_scene(faces=[a_face(0.5, height)]))[1].startswith(f"{framing} of one person.")


@pytest.mark.parametrize(
    ("moving", "said"), [(25.0, "moving to the right"), (-25.0, "moving to the left"), (0.0, "still")]
)
def test_a_person_who_walks(moving: float, said: str) -> None:
    (person,), _ = describe(a_scene(faces=[a_face(0.5, 0.3)], persons=1, moving=moving))
    assert said in person


def test_a_pan_does_not_make_a_person_walk() -> None:
    """The face stays with the background that the camera passes over."""
    pan = a_scene("china", View(0.4, 0.5, 0.6), View(0.5, 0.5, 0.6), [a_face(0.6, 0.25)], 1, moving=-384 / 6 / 7)
    assert "almost still" in describe(pan)[0][0]


def test_participants_without_a_face_are_not_visible() -> None:
    persons, _ = describe(a_scene(faces=[a_face(0.5, 0.3), None], persons=3))
    assert persons[1:] == ("not visible", "not visible")


def test_a_face_at_the_edge_of_the_picture() -> None:
    for x in (-0.06, 1.06):
        ((person,), _) = describe(a_scene(faces=[a_face(x, 0.25)], persons=1))
        assert person.startswith(f"a person on the {'left' if x < 0 else 'right'}, in a medium close-up, ")


def test_light() -> None:
    dark, bright = a_scene("hubble"), a_scene("flower")
    bright = Scene(**{**bright.__dict__, "frames": np.full_like(bright.frames, 240)})
    fading = Scene(**{**dark.__dict__, "frames": np.linspace(10, 200, COUNT).astype(np.uint8)[:, None, None, None]
                      * np.ones((1, 216, 384, 3), np.uint8)})  # fmt: skip
    assert "The picture is dark with little contrast, mostly black." in describe(dark)[1]
    assert "bright with little contrast, mostly white" in describe(bright)[1]
    assert "grows brighter" in describe(fading)[1]


def test_nothing_to_hear_is_said_too() -> None:
    assert describe(a_scene())[1].endswith("Nothing is heard.")


boxes = st.one_of(st.none(), st.builds(a_face, st.floats(-0.1, 1.1), st.floats(0.02, 1.2)))


@settings(max_examples=25, deadline=None)
@given(faces=st.lists(boxes, max_size=4), persons=st.integers(0, 5), moving=st.floats(-60, 60))
def test_every_scene_is_described_in_clean_sentences(faces: list[Box | None], persons: int, moving: float) -> None:
    scene = a_scene("coffee", faces=faces, persons=persons, moving=moving, audible=("music",))
    described, text = describe(scene)
    assert len(described) == persons
    assert all(person and not person.endswith(".") for person in described)
    assert re.fullmatch(r"([A-Z][^.]*\.)( [A-Z][^.]*\.)*", text)
    assert describe(scene) == (described, text)
