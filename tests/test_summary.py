"""What a build says at its end."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import replace

from demix.engine.funnel import Funnel
from demix.machine import speaks_of_machine
from demix.recipe import LimitSettings
from demix.summary import Summary, remark, verdict


def summary(*ends: tuple[str, str], **causes: int) -> Summary:
    """One source that is kept; its clips ended as (state, reason)."""
    sources, clips = Funnel(["probe", "shots"]), Funnel(["length"])
    sources.add("", "kept", "")
    for state, reason in ends:
        clips.add("" if state == "kept" else "length", state, reason)
    return Summary(sources, len(ends), clips, causes=Counter(causes))


def test_a_good_build_says_nothing() -> None:
    assert verdict(summary(("kept", ""), ("dropped", "too_short")), LimitSettings()) == ""


def test_thresholds_are_advised_only_where_they_dropped_something() -> None:
    assert "thresholds" in verdict(summary(("dropped", "too_short")), LimitSettings())
    said = verdict(summary(("failed", ""), ("failed", "")), LimitSettings())
    assert "no clip was kept: all 2 failed" in said
    assert "thresholds" not in said


def test_what_an_earlier_version_blamed_on_clips_is_said_and_costs_no_status() -> None:
    made = summary(("failed", ""), *[("kept", "")] * 20, machine=1)
    assert verdict(made, LimitSettings()) == remark(summary(("failed", ""))) == ""
    said = remark(made)
    assert "1 in quarantine failed because the machine was in trouble" in said
    assert said.endswith("give the same command with --retry-failed")


def test_films_that_were_gone_or_replaced_are_said_with_what_helps() -> None:
    missing, changed = remark(summary(SourceMissing=2)), remark(summary(SourceChanged=1))
    assert "2 in quarantine failed because the film was not there: bring it back" in missing
    assert "--retry-failed" in missing
    assert "1 in quarantine failed because the film was replaced" in changed
    assert "--retry-failed" not in changed
    assert remark(summary(SourceMissing=2, SourceChanged=1)).splitlines() == [changed, missing]


def test_a_dataset_with_nothing_to_tell_apart_is_warned_of() -> None:
    """The number of kept clips with two or more audible tracks is said; 0 of them is worth a warning."""
    several = replace(summary(), audible=Counter({1: 3, 2: 4, 3: 1}))
    assert several.several_tracks == "5 of 8 kept clips have two or more audible tracks"
    assert remark(several) == ""
    single = replace(summary(), audible=Counter({0: 1, 1: 3}))
    assert remark(single).startswith("0 of 4 kept clips have two or more audible tracks: nothing")
    assert summary().several_tracks == remark(summary()) == ""


def test_failures_of_the_machine_are_known_by_their_words() -> None:
    assert speaks_of_machine(f"OSError: [Errno 28] {os.strerror(errno.ENOSPC)}: 'clip.mp4'")
    assert speaks_of_machine("MediaError: crash: killed by signal 9")
    assert not speaks_of_machine("MediaError: crash: killed by signal 11")
    limits = "MediaError: limits: needed more than limits.memory_bytes\nav1: Cannot allocate memory"
    assert not speaks_of_machine(limits)
