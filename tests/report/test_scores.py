"""Which thresholds judge which numbers."""

from __future__ import annotations

from typing import Any

import pytest

from demix.recipe import load_settings
from demix.records import DemixCheck, Demixing, Distance, Media, Model, VoiceOver
from demix.report.manifests import Judged
from demix.report.scores import Rule, rank, rules_of, scores_of, title


def judged(**changes: Any) -> Judged:
    base: dict[str, Any] = {
        "id": "a",
        "source_id": "s",
        "uri": "/f",
        "kind": "web",
        "outcome": "kept",
        "stage": "",
        "reason": "",
        "start_seconds": 0.0,
        "seconds": 3.0,
    }
    return Judged(**(base | changes))


def test_settings_that_are_absent_or_off_judge_nothing() -> None:
    assert rules_of({}) == {}
    off = {"quality_filter": {"minimum": {"bandwidth_hz": None}, "maximum": None}, "demix_filter": {}, "length": None}
    assert rules_of(off) == {}


def test_the_settings_of_a_real_build_are_all_found() -> None:
    """Guards the names of the settings: those of the recipe's defaults must be the ones that are looked for."""
    config = load_settings("lite").model_dump(mode="json")
    rules = rules_of(config)
    assert {rule.setting for found in rules.values() for rule in found} >= {
        "length.min_seconds",
        "demix_filter.silence_db",
        "demix_filter.max_distance.speech",
        "demix_filter.max_distance.others",
        "voice_over.min_covered_share",
    }
    assert any(key.startswith("audio_quality.") for key in rules)


@pytest.mark.parametrize("distance", ["raw", "normalised"])
def test_only_the_distance_that_is_judged_has_a_threshold(distance: str) -> None:
    rules = rules_of({"demix_filter": {"distance": distance, "max_distance": {"speech": 0.1, "others": 0.2}}})
    assert rules[f"demix_filter.others_music.{distance}"] == (
        Rule("demix_filter.max_distance.others", 0.2, "at_most", "drops"),
    )
    assert len(rules) == 3


@pytest.mark.parametrize(("two_speech", "told"), [(-44.0, True), (-46.0, False)])
def test_the_relative_distance_is_told_where_its_rule_asks_for_it(two_speech: float, told: bool) -> None:
    """Not where both speech tracks are silent: two faint remains are always far apart."""
    distance = Distance(raw=0.01, normalised=0.01, relative=1.5)
    media, model = Media(key="k", bytes=1), Model(model="m", revision="1")
    levels = {
        "mix": -20.0,
        "speech": -60.0,
        "effects": -20.0,
        "music": -60.0,
        "two_speech": two_speech,
        "two_others": -20,
    }
    demixing = Demixing(
        three=model, two=model, speech=media, effects=media, music=media, levels_db=levels, residual_db=-120, gain_db=0,
        distances=dict.fromkeys(("speech", "others_effects", "others_music"), distance), confidence={},
    )  # fmt: skip
    records = {
        "demixing": demixing.model_dump_json(),
        "demix_check": DemixCheck(silent=("speech", "music"), compared=("speech",)).model_dump_json(),
    }
    found = scores_of(judged(records=records), {"demix_filter": {"silence_db": -45.0}})
    assert found.get("demix_filter.speech.relative") == (1.5 if told else None)


@pytest.mark.parametrize(("rule", "share"), [("literal", "person"), ("strict", "speaker")])
def test_the_voice_over_threshold_judges_what_its_rule_looks_at(rule: str, share: str) -> None:
    assert list(rules_of({"voice_over": {"rule": rule, "min_covered_share": 0.3}})) == [
        f"voice_over.{share}_covered_share"
    ]


def test_a_threshold_itself_passes() -> None:
    assert Rule("", 2.0, "at_least", "drops").passes(2.0)
    assert Rule("", 2.0, "at_most", "drops").passes(2.0)
    assert not Rule("", 2.0, "at_most", "drops").passes(2.0000001)


def test_coverage_counts_only_where_the_rule_applied() -> None:
    record = VoiceOver(verdict="on_screen", speech_seconds=2, person_covered_share=0.5, speaker_covered_share=0.1)
    records = {"voice_over": record.model_dump_json()}
    assert scores_of(judged(records=records), {})["voice_over.person_covered_share"] == 0.5
    talking = scores_of(judged(records=records, kind="talking_head"), {})
    assert "voice_over.person_covered_share" not in talking
    assert talking["voice_over.speech_seconds"] == 2
    silent = record.model_copy(update={"verdict": "no_speech"}).model_dump_json()
    assert "voice_over.person_covered_share" not in scores_of(judged(records={"voice_over": silent}), {})


def test_a_dropped_clip_speaks_through_its_evidence() -> None:
    clip = judged(outcome="dropped", stage="voice_over", evidence={"speech_seconds": 1.5, "person_covered_share": 0.0})
    assert scores_of(clip, {})["voice_over.person_covered_share"] == 0.0


def test_numbers_that_are_none_are_left_out() -> None:
    quality = {"model": "m", "revision": "1", "scores": {"a_hz": 3.0, "b_db": float("nan"), "c": float("inf")}}
    found = scores_of(judged(records={"audio_quality": quality}, seconds=None), {})
    assert found == {"audio_quality.a_hz": 3.0}


def test_unknown_scores_get_a_title_and_a_place() -> None:
    assert title("audio_quality.hum_level_db") == ("Hum level", "dBFS")
    stages = ("length", "audio_quality", "demixing")
    keys = ["unknown.x", "demixing.levels_db.music", "audio_quality.b", "demixing.levels_db.speech", "length.seconds"]
    assert sorted(keys, key=lambda key: rank(key, stages)) == [
        "length.seconds",
        "audio_quality.b",
        "demixing.levels_db.speech",
        "demixing.levels_db.music",
        "unknown.x",
    ]
