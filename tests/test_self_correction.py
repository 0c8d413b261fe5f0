"""Self-correction: the two running means against closed forms, damage that is where it says, cycles that go on."""

import copy
from dataclasses import replace

import pytest
import torch
from synthetic import blocky_parse
from torch import nn

from vtonlib.labels import LIP_MIRROR
from vtonlib.perceive.parsing import IGNORED, edges_of
from vtonlib.systems.label_damage import KINDS, Damage, damage_labels, dilated, label_repair
from vtonlib.systems.parsing_data import ParsingAugmentation
from vtonlib.systems.self_correction import (
    RECIPES,
    augment_soft,
    averaged,
    cycles,
    first_training,
    hard_labels,
    predicted,
    reestimate_batch_norm,
    refined,
    soft_labels,
)

SMOKE = RECIPES["smoke"]
NONE = Damage(sides=0, confused=0, missing=0, outline=0, grown=0)
STILL = ParsingAugmentation(mirror=0, scale=(1, 1), shift=0, rotation=0, close=0, light=0)


def people(count: int = 8) -> torch.Tensor:
    """(N,64,48) labels: people with all labels that damage is done to."""
    parse = torch.from_numpy(blocky_parse((64, 48))).long()
    parse[58:, 16:20], parse[58:, 20:23] = 18, 19
    return parse.expand(count, -1, -1).clone()


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_mean_net_is_the_mean_of_all_nets():
    nets = [nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)) for _ in range(4)]
    average = copy.deepcopy(nets[0])
    for cycle, net in enumerate(nets[1:], start=1):
        net[1].running_mean.fill_(float(cycle))
        assert averaged(average, net, cycle) is average
    torch.testing.assert_close(average[0].weight, torch.stack([net[0].weight for net in nets]).mean(0))
    assert average[1].running_mean.tolist() == [3, 3]  # not a mean: estimated anew afterwards
    with pytest.raises(ValueError, match="expected 1 or more"):
        averaged(average, nets[0], 0)


def test_refined_labels_are_the_mean_of_the_labels_and_all_predictions():
    labels = soft_labels(torch.randint(20, (2, 5, 4), generator=generator())).double()
    predictions = torch.rand(3, 2, 20, 5, 4, generator=generator(1), dtype=torch.float64).softmax(2)
    found = labels
    for cycle, prediction in enumerate(predictions, start=1):
        found = refined(found, prediction, cycle)
    torch.testing.assert_close(found, (labels + predictions.sum(0)) / 4)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 5, 4, dtype=torch.float64))
    with pytest.raises(ValueError, match="one shape"):
        refined(labels, predictions[0, :1], 1)


def test_two_right_predictions_outvote_a_wrong_label_and_padding_stays_unknown():
    soft = soft_labels(torch.tensor([[[3, IGNORED]]]))
    right = torch.zeros_like(soft)
    right[:, 7], right[:, 3] = 0.9, 0.1
    once = refined(soft, right, 1)
    assert hard_labels(once).tolist() == [[[3, IGNORED]]]
    assert hard_labels(refined(once, right, 2)).tolist() == [[[7, IGNORED]]]


def test_batch_normalisation_is_estimated_from_what_is_shown():
    net = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), nn.BatchNorm2d(3))
    net.train()
    net[1].eval()
    batches = [torch.randn(4, 3, 6, 5, generator=generator(seed)) * 3 + seed for seed in range(3)]
    assert reestimate_batch_norm(net, batches) == 2
    torch.testing.assert_close(net[0].running_mean, torch.stack([b.mean((0, 2, 3)) for b in batches]).mean(0))
    variances = torch.stack([b.transpose(0, 1).flatten(1).var(1) for b in batches])
    torch.testing.assert_close(net[0].running_var, variances.mean(0))
    torch.testing.assert_close(net[2].running_var, torch.ones(3), atol=0.02, rtol=0)  # dropout would make it 10
    assert net[0].momentum == 0.1 and net.training and net[0].training and not net[1].training
    assert reestimate_batch_norm(nn.Conv2d(3, 1, 1), batches) == 0
    with pytest.raises(ValueError, match="at least one batch"):
        reestimate_batch_norm(net, [])


def test_without_damage_nothing_changes():
    parse = people()
    damaged = damage_labels(parse, generator(), NONE)
    assert torch.equal(damaged.parse, parse) and not damaged.kind.any()


@pytest.mark.parametrize("name", KINDS[1:])
def test_each_kind_of_damage_is_said_to_be_where_it_is(name):
    parse = people(24)
    parse[:, :3] = IGNORED
    share = {"systematic": {"grown": 0.03}}.get(name, {name: 1.0})
    damaged, kind = damage_labels(parse, generator(), replace(NONE, **share))
    changed = damaged != parse
    assert torch.equal(kind > 0, changed) and kind[changed].unique().tolist() == [KINDS.index(name)]
    assert changed.flatten(1).any(1).sum() > 12
    assert torch.equal(damaged == IGNORED, parse == IGNORED)
    pairs = {tuple(pair) for pair in torch.stack([parse[changed], damaged[changed]], 1).unique(dim=0).tolist()}
    if name == "sides":
        assert pairs == {(14, 15), (15, 14), (18, 19), (19, 18)}
    elif name == "confused":
        assert pairs <= {(5, 7), (9, 12), (12, 9), (2, 1), (10, 13), (14, 3), (15, 3)} and len(pairs) > 3
    elif name == "missing":
        assert pairs <= {(4, 13), (10, 5), (10, 13), (18, 9), (18, 12), (19, 9), (19, 12)} and len(pairs) > 2
    elif name == "outline":
        assert set(damaged.unique().tolist()) <= set(parse.unique().tolist())
        assert not changed[~dilated(edges_of(parse), 5)].any()  # outlines wander by a few pixels
    else:
        assert {new for _, new in pairs} == {2} and torch.equal(damaged[0], damaged[1])
        assert torch.equal(damaged[0] == 2, dilated(parse[0] == 2, 1) & (parse[0] != IGNORED))


def test_damage_is_drawn_from_the_generator_for_some_people():
    parse = people(60)
    once, again, other = (damage_labels(parse, generator(seed), replace(NONE, sides=0.5)) for seed in (0, 0, 1))
    assert torch.equal(once.parse, again.parse) and not torch.equal(once.parse, other.parse)
    hit = (once.parse != parse).flatten(1).any(1).double().mean()
    assert 0.2 < hit < 0.55  # of half of them; a quarter of those drew neither arms nor shoes
    with pytest.raises(ValueError, match=r"sides: expected a share .* got 1.5"):
        Damage(sides=1.5)
    with pytest.raises(ValueError, match=r"got \(64, 48\)"):
        damage_labels(parse[0], generator())


def test_repair_is_counted_by_kind_and_against_what_broke():
    parse = torch.tensor([[[5, 5, 5, 5, 9, 9, 9, 9, 9, IGNORED]]])
    kind = torch.tensor([[[1, 1, 1, 3, 0, 0, 0, 0, 0, 0]]])
    labels = torch.tensor([[[5, 5, 7, 7, 9, 9, 9, 9, 5, 0]]])
    found = label_repair(parse, kind, labels)
    assert found["wrong_before"] == pytest.approx(4 / 9) and found["wrong_after"] == pytest.approx(3 / 9)
    assert found["broken"] == pytest.approx(1 / 5) and found["repaired"] == pytest.approx(2 / 4)
    assert found["kinds"]["sides"] == {"pixels": pytest.approx(3 / 9), "repaired": pytest.approx(2 / 3)}
    assert found["kinds"]["missing"]["repaired"] == 0 and found["kinds"]["outline"]["repaired"] is None


def test_soft_labels_move_with_their_picture():
    parse = people(4)
    levels = (parse[:, None] * 12).expand(-1, 3, -1, -1).to(torch.uint8)
    still, labels = augment_soft(levels, soft_labels(parse), STILL, generator())
    assert torch.equal(hard_labels(labels), parse) and still.shape == (4, 3, 64, 48)
    mirror = replace(STILL, mirror=1)
    pictures, labels = augment_soft(levels, soft_labels(parse), mirror, generator())
    assert torch.equal(hard_labels(labels), torch.tensor(LIP_MIRROR)[parse].flip(-1))
    assert (pictures.flip(-1) - still).abs().mean() < 0.1  # up to a little grain
    pictures, labels = augment_soft(levels, soft_labels(parse), replace(STILL, scale=(0.5, 0.5)), generator())
    beyond = hard_labels(labels) == IGNORED
    assert 0.7 < beyond.double().mean() < 0.8  # three quarters, wherever the person went
    assert not pictures.movedim(1, -1)[beyond].any()


@pytest.fixture(scope="module")
def data():
    """Pictures of bytes whose colours say the label, their damaged labels, and the kind of damage."""
    parse = people(10)
    levels = torch.stack([parse * 12, 255 - parse * 9, (parse * 53) % 256], 1).to(torch.uint8)
    return levels, *damage_labels(parse, generator())


def test_cycles_average_nets_and_refine_labels(data, tmp_path):
    levels, damaged, _ = data
    soft = soft_labels(damaged)
    net = first_training(SMOKE, levels, soft, tmp_path / "first", seed=0)
    before = copy.deepcopy(net.state_dict())
    states = list(cycles(SMOKE, net, levels, soft, tmp_path / "a", refine=True, seed=0))
    assert [state.cycle for state in states] == [0, 1, 2]
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    nets = [state.net.labels.weight for state in states]
    assert not torch.equal(nets[0], nets[1]) and not torch.equal(nets[1], nets[2])
    torch.testing.assert_close(states[2].average.labels.weight, torch.stack(nets).mean(0))
    expected = soft.float()
    for cycle in (1, 2):
        guess = predicted(states[cycle].average, levels, torch.device("cpu")).float()
        expected = (expected * cycle + guess) / (cycle + 1)
        torch.testing.assert_close(states[cycle].labels.float(), expected, atol=2e-3, rtol=0)

    plain = list(cycles(SMOKE, net, levels, soft, tmp_path / "b", refine=False, seed=0))
    assert all(state.labels is soft for state in plain)
    assert torch.equal(plain[1].net.labels.weight, nets[1])  # labels differ from the second cycle on
    assert not torch.equal(plain[2].net.labels.weight, nets[2])
    again = list(cycles(SMOKE, net, levels, soft, tmp_path / "a", refine=True, seed=0))  # reads what it had written
    assert torch.equal(again[-1].labels, states[-1].labels)
    assert torch.equal(again[-1].net.labels.weight, nets[2])


def test_training_goes_on_where_it_stopped(data, tmp_path):
    levels, damaged, _ = data
    soft = soft_labels(damaged)
    whole = first_training(SMOKE, levels, soft, tmp_path / "whole", seed=3)
    again = first_training(SMOKE, levels, soft, tmp_path / "whole", seed=3)
    other = first_training(SMOKE, levels, soft, tmp_path / "other", seed=4)
    assert torch.equal(whole.labels.weight, again.labels.weight)
    assert not torch.equal(whole.labels.weight, other.labels.weight)
