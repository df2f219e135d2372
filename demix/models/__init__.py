"""Third-party judges, one folder a role, one file a model, each behind its role's protocol.

A role's package (`demix.models.persons`, ...) declares the protocol that its models meet. The table below names every
model; nothing is imported before `model_class` asks for it, and even then not the libraries of its network, which are
imported when it is made. A model knows no stage; it is built once per worker.
"""

from __future__ import annotations

import difflib
import importlib.util
import sys
from dataclasses import dataclass
from typing import Any

from demix import records
from demix.config import ConfigError, ModelSettings, Settings
from demix.models.base import credit, weights_of
from demix.models.missing import MissingPackage
from demix.stage import Resources

MODELS: dict[str, dict[str, str]] = {
    "shots": {
        "adaptive": "demix.models.shots.adaptive:AdaptiveShots",
        "transnetv2": "demix.models.shots.transnetv2:TransNetShots",
    },
    "audio_quality": {
        "signal": "demix.models.audio_quality.signal:SignalQuality",
        "audiobox": "demix.models.audio_quality.audiobox:AudioboxQuality",
    },
    "demix_three": {
        "lite": "demix.models.demixing.lite_three:LiteThree",
        "cdx23": "demix.models.demixing.cdx23:Cdx23",
        "bandit_plus": "demix.models.demixing.bandit_plus:BanditPlusDemixer",
    },
    "demix_two": {
        "lite": "demix.models.demixing.lite_two:LiteTwo",
        "spleeter": "demix.models.demixing.spleeter:Spleeter",
        "spleeter_package": "demix.models.demixing.spleeter_package:SpleeterPackage",
    },
    "persons": {
        "mtcnn": "demix.models.persons.mtcnn:MtcnnPersons",
        "rtdetr": "demix.models.persons.rtdetr:RtDetrPersons",
        "yolo": "demix.models.persons.yolo:YoloPersons",
    },
    "faces": {
        "mtcnn": "demix.models.faces.mtcnn:MtcnnFaces",
        "yunet": "demix.models.faces.yunet:YunetFaces",
        "s3fd": "demix.models.faces.s3fd:S3fdFaces",
    },
    "diarization": {
        "lite": "demix.models.diarization.lite:LiteDiarizer",
        "scribe": "demix.models.diarization.scribe:Scribe",
        "pyannote": "demix.models.diarization.pyannote:PyannoteDiarizer",
    },
    "active_speaker": {
        "mouth_flow": "demix.models.active_speaker.mouth_flow:MouthFlow",
        "lr_asd": "demix.models.active_speaker.networks:LrAsd",
        "light_asd": "demix.models.active_speaker.networks:LightAsd",
        "talknet": "demix.models.active_speaker.networks:TalkNetAsd",
    },
    "captioning": {
        "facts": "demix.models.captioning.facts:FactsCaptioner",
        "server": "demix.models.captioning.server:ServerCaptioner",
        "llava_video": "demix.models.captioning.llava_video:LlavaVideo",
        "qwen3_vl": "demix.models.captioning.qwen3_vl:Qwen3Vl",
    },
}
"""role -> model name -> where its class is."""


def model_class(role: str, name: str) -> Any:
    """The class of a registered model. Raises `ConfigError` naming the nearest known model, `MissingPackage` where the
    package is not installed that it needs."""
    known = MODELS[role]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(known)}"
        raise ConfigError(f"{role}: there is no model {name!r}; {hint}")
    module, _, attribute = known[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    package, extra = getattr(kind, "requires", ("", ""))
    if package and package not in sys.modules and importlib.util.find_spec(package) is None:
        raise MissingPackage(name, package, extra)
    return kind


@dataclass(frozen=True)
class Choice:
    """A model chosen for a role, with its own settings; small and picklable, nothing is loaded before `make`."""

    role: str
    name: str
    settings: ModelSettings | None = None
    """None for a model that has none."""

    @property
    def kind(self) -> Any:
        return model_class(self.role, self.name)

    @property
    def resources(self) -> Resources:
        declared = getattr(self.kind, "resources", Resources())
        return declared(self.settings) if callable(declared) else declared

    @property
    def programs(self) -> tuple[tuple[str, str], ...]:
        """Programs of other environments that it runs: (path, what to say where it is not there)."""
        declared = getattr(self.kind, "programs", None)
        return declared(self.settings) if callable(declared) else ()

    @property
    def at_once(self) -> int:
        """Items that it takes side by side: 1 unless it says otherwise, by a class method `at_once(settings)`."""
        declared = getattr(self.kind, "at_once", None)
        return int(declared(self.settings)) if declared else 1

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of the sets of weights that it loads."""
        return weights_of(self.kind, self.settings)

    def credit(self) -> records.Model:
        """The model as records name it."""
        return credit(self.kind, self.settings)

    def make(self, device: str = "auto", **place: Any) -> Any:
        """The model, loaded; `place` is what its role says that a model is constructed with. Raises `WeightsMissing`
        with the command that brings its weights."""
        return self.kind(**place) if self.settings is None else self.kind(self.settings, device, **place)


def choose(role: str, name: str, settings: Settings) -> Choice:
    """The model `name` of a role, with the settings that a stage's `settings` hold under that name, if any."""
    own = getattr(settings, name, None)
    return Choice(role, name, own if isinstance(own, ModelSettings) else None)


def revisions(*choices: Choice) -> str:
    """Names and revisions of models, as a stage's fingerprint takes them."""
    credits = (choice.credit() for choice in choices)
    return "+".join(f"{model.model}@{model.revision}" for model in credits)
