"""Third-party judges, one folder a role, one file a model, each behind its role's protocol.

A role's package (`demix.models.persons`, ...) declares the protocol that its models meet. The table below names every
model; nothing is imported before `model_class` asks for it. A model knows no stage; it is built once per worker.
"""

from __future__ import annotations

import difflib
import importlib
from typing import Any

from demix.config import ConfigError

MODELS: dict[str, dict[str, str]] = {
    "shots": {"adaptive": "demix.models.shots.adaptive:AdaptiveShots"},
    "audio_quality": {"signal": "demix.models.audio_quality.signal:SignalQuality"},
    "demix_three": {"lite": "demix.models.demixing.lite_three:LiteThree"},
    "demix_two": {"lite": "demix.models.demixing.lite_two:LiteTwo"},
    "persons": {"mtcnn": "demix.models.persons.mtcnn:MtcnnPersons"},
    "faces": {"mtcnn": "demix.models.faces.mtcnn:MtcnnFaces"},
    "diarization": {"lite": "demix.models.diarization.lite:LiteDiarizer"},
    "active_speaker": {"mouth_flow": "demix.models.active_speaker.mouth_flow:MouthFlow"},
    "captioning": {"facts": "demix.models.captioning.facts:FactsCaptioner"},
}
"""role -> model name -> where its class is."""


def model_class(role: str, name: str) -> Any:
    """The class of a registered model. Raises `ConfigError` naming the nearest known model."""
    known = MODELS[role]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{role}: there is no model {name!r}; {hint}")
    module, _, attribute = known[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
