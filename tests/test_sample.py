"""The records and their collation."""

import dataclasses
import subprocess
import sys

import pytest
import torch

from vtonlib.sample import MADE_BY, Garment, RawSample, Truth, TryOnSample, collate


def make(name="a", size=(8, 6), **fields):
    garment = Garment(name=f"{name}-garment", image=torch.rand(3, *size), mask=torch.ones(1, *size))
    defaults = {"parse": torch.zeros(size, dtype=torch.int64), "garment": garment}
    return TryOnSample(name=name, person=torch.rand(3, *size), **(defaults | fields))


def test_records_are_frozen_and_refuse_unknown_fields():
    sample = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample.name = "b"
    with pytest.raises(TypeError, match="unexpected keyword"):
        make(photo=1)
    assert sample.size == (8, 6)


def test_require_says_what_makes_the_missing_field():
    sample = make()
    sample.require("parse", "garment")
    with pytest.raises(ValueError, match=r"sample 'a' has no pose: pose estimation makes it"):
        sample.require("parse", "pose")
    optional = {field.name for field in dataclasses.fields(TryOnSample) if field.default is None}
    assert optional == set(MADE_BY)  # every field that can be missing says where it comes from


def test_collate_stacks_in_order():
    truth = [Truth(flow=torch.full((2, 8, 6), float(index))) for index in range(3)]
    samples = [make(name, truth=one, padding=(index, 0, 0, 0)) for index, (name, one) in enumerate(zip("abc", truth))]
    batch = collate(samples)
    assert batch.name == ["a", "b", "c"] and batch.garment.name == ["a-garment", "b-garment", "c-garment"]
    assert batch.size == (8, 6) and batch.padding == [(0, 0, 0, 0), (1, 0, 0, 0), (2, 0, 0, 0)]
    for index, sample in enumerate(samples):
        assert torch.equal(batch.person[index], sample.person)
        assert torch.equal(batch.garment.mask[index], sample.garment.mask)
        assert torch.equal(batch.truth.flow[index], sample.truth.flow)
    assert batch.truth.hidden is None and batch.pose is None


def test_what_one_lacks_the_batch_lacks():
    batch = collate([make(), make(parse=None, truth=Truth()), make()])
    assert batch.parse is None and batch.truth is None and batch.person.shape == (3, 3, 8, 6)


def test_collate_of_other_records_and_refusals():
    garments = collate([make().garment, make().garment])
    assert garments.image.shape == (2, 3, 8, 6) and garments.back is None
    with pytest.raises(ValueError, match="at least one record"):
        collate([])
    with pytest.raises(ValueError, match=r"TryOnSample\.person differs in shape: \[\(3, 8, 6\), \(3, 9, 6\)\]"):
        collate([make(parse=None, garment=None), make(size=(9, 6), parse=None, garment=None)])


def test_collate_refuses_a_mixture():
    with pytest.raises(ValueError, match="collate: expected records of one kind, got Garment, TryOnSample"):
        collate([make(), make().garment])


def test_the_records_need_no_torch():
    program = "import sys; from vtonlib.sample import RawSample; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
    assert {field.name for field in dataclasses.fields(RawSample)} >= {"image", "parse", "pose", "flow", "hidden"}
