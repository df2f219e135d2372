"""Guards: two builds in one remote place are refused, whoever holds it is named, a holder that died is followed without
looking at any clock, and one that was only stopped finds out that it was followed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import fsspec
import pytest

from demix.config import ConfigError
from demix.engine import lease
from demix.engine.lease import Holder, Lease, held
from demix.errors import MachineTrouble
from demix.store import Store
from tests.build.running import demix, environment


@pytest.fixture(params=["s3", "memory"])
def place(request: pytest.FixtureRequest) -> str:
    bucket: str = request.getfixturevalue("bucket")
    return f"{bucket}/place" if request.param == "s3" else f"memory://{bucket.removeprefix('s3://')}/place"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.1)
    monkeypatch.setattr(lease, "LOOK", 0.05)
    monkeypatch.setattr(lease, "WATCH", 8)


def as_if_elsewhere(holder: Lease, host: str = "node-7") -> Lease:
    """A lease as the process of another machine holds it."""
    holder.holder = replace(holder.holder, host=host, machine="another")
    return holder


def leases(place: str) -> list[str]:
    return Store(place).files(".lease")


def test_a_place_is_held_once_and_left_clean(place: str) -> None:
    with held(Store(place)) as check:
        check()
        with (
            pytest.raises(ConfigError, match=f"another build works here .process {os.getpid()} on"),
            held(Store(place)),
        ):
            pass
        assert [key for key in leases(place) if key.endswith(".json")] == [".lease/000001.json"]
    assert leases(place) == []
    with held(Store(place), "precomputation"):
        pass


def test_a_live_holder_elsewhere_is_named(place: str) -> None:
    other = as_if_elsewhere(Lease(Store(place), "build"))
    other.acquire()
    try:
        with pytest.raises(ConfigError, match=rf"another build works here \(process {os.getpid()} on node-7\)"):
            Lease(Store(place), "build").acquire()
    finally:
        other.release()


def test_a_dead_holder_elsewhere_is_followed_and_finds_it_out_if_it_was_only_stopped(place: str) -> None:
    stopped = as_if_elsewhere(Lease(Store(place), "build"))
    stopped.acquire()
    waking = threading.Event()
    beat, stopped._files.overwrite = stopped._files.overwrite, lambda key, data: waking.wait()  # type: ignore
    time.sleep(0.3)
    with held(Store(place)) as check:
        waking.set()
        stopped._files.overwrite = beat  # type: ignore[method-assign]
        deadline = time.monotonic() + 10
        while not stopped._lost and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(MachineTrouble, match=f"process {os.getpid()} on .* has taken this place over"):
            stopped.check()
        stopped.release()
        check()
        assert ".lease/000002.json" in leases(place)
    assert [key for key in leases(place) if key.endswith(".json")] == []


def test_of_many_that_follow_a_dead_holder_one_wins(place: str) -> None:
    dead = replace(Holder.this("build"), host="node-7", machine="another", token="0" * 32)
    Lease(Store(place), "build")._files.create(".lease/000003.json", json.dumps(vars(dead)).encode())
    contenders = [as_if_elsewhere(Lease(Store(place), "build"), f"node-{number}") for number in range(4)]
    ends: list[object] = []

    def contend(one: Lease) -> None:
        try:
            one.acquire()
            ends.append(one)
        except ConfigError as error:
            ends.append(error)

    threads = [threading.Thread(target=contend, args=(one,)) for one in contenders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    won = [end for end in ends if isinstance(end, Lease)]
    assert len(ends) == 4
    assert len(won) == 1
    won[0].check()
    won[0].release()


def test_a_process_of_this_machine_that_was_killed_is_followed_at_once(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "WATCH", 10**6)
    place = f"{bucket}/place"
    code = (
        "import os, signal; from demix.engine.lease import Lease; from demix.store import Store\n"
        f"Lease(Store({place!r}), 'build').acquire(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=False)
    assert leases(place)
    with held(Store(place)):
        pass


def test_a_second_build_is_refused_before_it_touches_anything(bucket: str, films: object) -> None:
    """And may go on when the first has ended."""
    fsspec.filesystem("s3").put(str(films), f"{bucket}/films", recursive=True)
    with held(Store(f"{bucket}/demix/.work")):
        before = fsspec.filesystem("s3", use_listings_cache=False).find(bucket)
        ran = demix("build", f"{bucket}/films", "--output", f"{bucket}/demix", "--runner", "sequential")
        assert ran.status == 2
        assert f"another build works here (process {os.getpid()} on" in ran.err
        after = fsspec.filesystem("s3", use_listings_cache=False).find(bucket)
    assert [name for name in after if ".lease" not in name] == [name for name in before if ".lease" not in name]
