"""In `lite`, persons are faces: the two models named `mtcnn` answer alike, which is what the stage relies on."""

from __future__ import annotations

import numpy as np

from demix.models import model_class
from demix.models.faces.mtcnn import MtcnnFaces
from demix.models.persons.mtcnn import MtcnnPersons
from tests.stages.talking_faces import portrait


def test_persons_are_exactly_the_faces_of_the_model_that_it_names() -> None:
    frames = np.stack([portrait(), portrait()[:, ::-1]])
    assert model_class("faces", MtcnnPersons.same_as_faces) is MtcnnFaces
    assert MtcnnPersons().detect(frames) == MtcnnFaces().detect(frames)
    assert MtcnnPersons.revision == MtcnnFaces.revision
