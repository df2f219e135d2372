"""Guards: a sample arrives as it was sent, whether it fits its slot or not; one written over too early is an error."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch

from mtv_train.data.batch import AudioFeatures, Batch, ClipWaves, Latents, join
from mtv_train.data.errors import DataError
from mtv_train.data.handover import Slots


def a_sample(number: int) -> Batch:
    """One with every part that a batch can hold, of odd sizes."""
    random = torch.Generator().manual_seed(number)

    def some(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=random).bfloat16()

    return Batch(
        stage="stage",
        seed=3,
        ks=(number,),
        keys=(f"clip@{number}",),
        subsets=("all",),
        captions=("Rain.",),
        video=torch.randint(0, 255, (1, 3, 3, 5, 7), generator=random, dtype=torch.uint8),
        latents=Latents(some(1, 2, 3), some(1, 2, 3)),
        text=some(1, 5, 3),
        waves=(ClipWaves({"speech": torch.rand(33, generator=random), "music": torch.zeros(0)}, 9, 2),),
        audio=AudioFeatures({"speech": some(1, 7, 2)}, 1),
    )


def parts(batch: Batch) -> list[Any]:
    """Everything in a batch, tensors as lists."""
    held: list[Any] = [batch.ks, batch.keys, batch.captions, batch.bad]

    def note(tensor: torch.Tensor) -> torch.Tensor:
        held.append((tensor.dtype, tensor.tolist()))
        return tensor

    batch.mapped(note, waves=note)
    return held


@pytest.mark.parametrize("room", [(1 << 12,), (315, 12, 12, 30, 132, 0, 28), (100,), ()])
def test_a_sample_arrives_as_it_was_sent(room: tuple[int, ...]) -> None:
    slots = Slots(2, room)
    sent = [a_sample(number) for number in range(2)]
    came = [slots.take(pickle.loads(pickle.dumps(slots.put(number, sent[number])))) for number in range(2)]
    joined = join(came)
    slots.check()
    assert parts(joined) == parts(join(sent))


def test_a_batch_outlives_its_slots() -> None:
    slots = Slots(1, (1 << 12,))
    first = join([slots.take(slots.put(0, a_sample(0)))])
    slots.check()
    slots.put(1, a_sample(1))
    assert parts(first) == parts(a_sample(0))


def test_a_sample_written_over_before_it_was_copied_is_an_error() -> None:
    slots = Slots(2, (1 << 12,))
    handed = [slots.put(number, a_sample(number)) for number in range(3)]
    join([slots.take(handed[1])])
    slots.check()
    join([slots.take(handed[0])])
    with pytest.raises(DataError, match="made sample 0 of this rank wrote over it before it was copied"):
        slots.check()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="page-locked memory needs a GPU")
def test_a_joined_batch_is_pinned_where_asked() -> None:
    pinned = join([a_sample(0), a_sample(1)], pinned=True)
    assert pinned.video is not None
    assert pinned.video.is_pinned()
    assert parts(pinned) == parts(join([a_sample(0), a_sample(1)]))
