"""Into which of the five overlapping subsets a clip goes (the paper's section 3, subset division). A judge only."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from demix.config import Settings
from demix.records import SUBSETS, DemixCheck, Diarization, Kind, Persons, Subset, Subsets
from demix.stage import Dropped, Item, Kept, Outcome, Stage


class SubsetsSettings(Settings):
    count: Literal["visible", "speakers", "max"] = "visible"
    """What counts as the paper's "annotated human count": the persons seen, the speakers heard, or the larger of the
    two. Default: those seen, because the subsets teach the model how many people to show."""


class SubsetsStage(Stage):
    """Adds `Subsets`; drops `no_subset` where nobody is counted and neither effects nor music are heard."""

    name = "subsets"
    needs = (Persons, Diarization, DemixCheck)
    adds = Subsets
    reasons = ("no_subset",)
    judges = True
    settings: SubsetsSettings

    def __init__(self, settings: SubsetsSettings):
        super().__init__(settings)

    def run(self, items: Sequence[Item]) -> list[Outcome]:
        return [self._judge(item) for item in items]

    def _judge(self, item: Item) -> Outcome:
        visible, speakers = item[Persons].count, item[Diarization].speakers
        humans = {"visible": visible, "speakers": speakers, "max": max(visible, speakers)}[self.settings.count]
        silent = item[DemixCheck].silent
        subsets = subsets_of(item.clip.kind, humans, silent)
        if not subsets:
            return Dropped(
                "no_subset",
                {"visible_persons": visible, "speakers": speakers, "humans": humans, "silent": ",".join(silent)},
            )
        return Kept(Subsets(subsets=subsets, visible_persons=visible, speakers=speakers, humans=humans))


def subsets_of(kind: Kind, humans: int, silent: Collection[str]) -> tuple[Subset, ...]:
    """The subsets of a clip, in the order of `SUBSETS`; none if it fits nowhere.

    `humans` is the human count, `silent` names the tracks below the silence threshold. All talking heads, and nothing
    else, are basic faces.
    """
    talking_head = kind == "talking_head"
    member: dict[Subset, bool] = {
        "basic_face": talking_head,
        "single_character": not talking_head and humans == 1,
        "multiple_characters": not talking_head and humans > 1,
        "sound_event": not talking_head and "effects" not in silent,
        "visual_mood": not talking_head and "music" not in silent,
    }
    return tuple(subset for subset in SUBSETS if member[subset])
