"""Human parsing: edges, the losses, pictures of any size, the mirror image, training from files to weights."""

from dataclasses import replace

import pytest
import torch
from synthetic import REAL
from torch import nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.labels import LIP, LIP_MIRROR
from vtonlib.metrics import label_scores, label_table
from vtonlib.perceive.fitting import fitted
from vtonlib.perceive.parsing import (
    IGNORED,
    EdgeParser,
    EdgeParserConfig,
    HumanParser,
    edges_of,
    label_colours,
    largest,
    load_parser,
)
from vtonlib.systems.parsing_data import repeats
from vtonlib.systems.parsing_training import (
    RECIPES,
    ParsingAugmentation,
    augment,
    edge_loss,
    label_loss,
    lovasz_gradient,
    lovasz_softmax,
    pack,
    parser_terms,
    train_parsing,
)

SMALL = EdgeParserConfig(widths=(8, 8, 8, 8, 8), context=4, decoder=8, fine=8, edge=4)
COURSE = WEIGHTS_FOLDER / "parsing.safetensors"


def small_parser(**how) -> HumanParser:
    torch.manual_seed(0)
    return HumanParser(EdgeParser(SMALL), size=(64, 48), **how)


def pictures(count=2, size=(64, 48), seed=0):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


class Colours(nn.Module):
    """A parser by hand: red is a left arm, anything else background."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(20.0))

    def forward(self, picture):
        logits = torch.full((len(picture), len(LIP), *picture.shape[-2:]), -100.0)
        logits[:, 0] = 0.0
        logits[:, 14] = picture[:, 0] * self.sharpness
        return logits, logits[:, :1]


# ---- edges -----------------------------------------------------------------------------------------------------------


def test_edges_lie_on_both_sides_of_a_boundary():
    parse = torch.tensor([[[0, 0, 5, 5], [0, 0, 5, 5], [0, 0, 0, 0]]])
    expected = torch.tensor([[[0, 1, 1, 0], [0, 1, 1, 1], [0, 0, 1, 1]]]).bool()
    assert torch.equal(edges_of(parse), expected)
    assert not edges_of(torch.full((1, 4, 4), 7)).any(), "neither inside nor at the border of the picture"


def test_ignored_pixels_make_no_edge():
    parse = torch.tensor([[[0, IGNORED, 5, 5, 6]]])
    assert edges_of(parse).tolist() == [[[False, False, False, True, True]]]
    with pytest.raises(ValueError, match=r"expected label maps \(B, H, W\), got \(3, 3\)"):
        edges_of(torch.zeros(3, 3))


# ---- the network -----------------------------------------------------------------------------------------------------


def test_the_course_parser_fits_into_its_file():
    parameters = sum(parameter.numel() for parameter in EdgeParser().parameters())
    assert 1_150_000 < parameters < 1_240_000


@pytest.mark.parametrize("size", [(64, 48), (37, 50), (1, 1)])
def test_logits_have_the_size_of_the_picture(size):
    logits, edges = EdgeParser(SMALL).eval()(pictures(2, size))
    assert logits.shape == (2, 20, *size) and edges.shape == (2, 1, *size)
    assert logits.isfinite().all()


def test_both_branches_learn_and_the_edges_reach_the_labels():
    torch.manual_seed(0)
    net = EdgeParser(SMALL)
    net(pictures())[0].square().mean().backward()
    assert net.edge_mix[0].weight.grad.abs().sum() > 0, "features of the edge branch are fused into the labels"
    assert net.edge.weight.grad is None
    net(pictures())[1].square().mean().backward()
    assert net.edge.weight.grad.abs().sum() > 0


def test_context_lets_every_pixel_see_the_whole_picture():
    net = EdgeParser(SMALL).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d) and not module.weight.any():
            nn.init.ones_(module.weight)
    one = pictures(1, (256, 192))
    other = one.clone()
    other[..., :8, :8] = 1.0
    with torch.no_grad():
        assert not torch.equal(net(one)[0][..., -8:, -8:], net(other)[0][..., -8:, -8:])


def test_configs_and_pictures_that_are_refused():
    with pytest.raises(ValueError, match="expected five widths"):
        EdgeParserConfig(widths=(8, 8))
    with pytest.raises(ValueError, match="expected whole numbers from 1"):
        EdgeParserConfig(edge=0)
    with pytest.raises(ValueError, match=r"EdgeParser: expected pictures \(B, 3, H, W\), got \(1, 4, 8, 8\)"):
        EdgeParser(SMALL)(torch.zeros(1, 4, 8, 8))


# ---- pictures of any size --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(64, 48), (100, 75), (40, 90), (90, 20), (13, 17)])
def test_labels_lie_where_they_belong_at_any_size(size):
    """A red box on grey: found again at its place, whatever the shape of the picture, within a pixel of the net's."""
    height, width = size
    parse = torch.zeros(size, dtype=torch.int64)
    parse[height // 4 : height // 2, width // 3 : 2 * width // 3] = 14
    picture = torch.where(parse == 14, 1.0, -1.0)[None].expand(3, -1, -1)
    parser = HumanParser(Colours(), size=(64, 48))
    guess = parser(picture)
    assert guess.shape == (1, *size) and guess.dtype == torch.int64
    step = max(height / 64, width / 48, 1.0)
    away = (guess[0] != parse).nonzero()
    inside = edges_of(parse[None])[0]
    grown = nn.functional.max_pool2d(inside[None, None].float(), 2 * int(step) + 1, 1, int(step))[0, 0] > 0
    assert all(grown[y, x] for y, x in away.tolist())


def test_a_batch_is_as_each_picture_alone_and_probabilities_sum_to_one():
    parser = small_parser(batch_size=2)
    batch = pictures(3, (50, 41))
    together = parser.probabilities(batch)
    assert together.shape == (3, 20, 50, 41)
    assert torch.allclose(together.sum(1), torch.ones(3, 50, 41), atol=1e-5)
    alone = torch.cat([parser.probabilities(one) for one in batch])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.equal(parser(batch), together.argmax(1))


def test_labels_in_strips_are_labels_at_once():
    probabilities = torch.rand(2, 20, 9, 7, generator=torch.Generator().manual_seed(0))
    for size in ((31, 23), (5, 4), (9, 7)):
        enlarged = nn.functional.interpolate(probabilities, size, mode="bilinear", align_corners=False)
        for values in (1, 2 * 20 * size[1] * 4, 2**25):
            assert torch.equal(largest(probabilities, size, values=values), enlarged.argmax(1))


def test_fitted_pads_in_the_middle_and_never_squashes():
    inside, (left, top, right, bottom) = fitted(torch.ones(1, 3, 50, 100), (64, 48))
    assert (left, top, right, bottom) == (0, 20, 48, 44) and inside.shape == (1, 3, 64, 48)
    assert not inside[..., :top, :].any() and not inside[..., bottom:, :].any()
    assert (inside[..., top:bottom, left:right] > 0.999).all()


def test_flip_swaps_left_and_right():
    """With flip a mirrored picture has exactly the mirrored labels; without, this net has not."""
    swap, one = torch.tensor(LIP_MIRROR), pictures(1, (64, 48), seed=1)
    for flip in (True, False):
        parser = small_parser(flip=flip)
        straight, mirrored = parser.probabilities(one), parser.probabilities(one.flip(-1)).flip(-1)[:, swap]
        assert torch.allclose(straight, mirrored, atol=1e-5) == flip
    # a net that calls every red arm a left one: half of the votes say right, so neither is taken for certain
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None].expand(3, 64, 48)
    both = HumanParser(Colours(), size=(64, 48), flip=True).probabilities(red)
    assert torch.allclose(both[:, 14:16], torch.full_like(both[:, 14:16], 0.5), atol=1e-4)


def test_pictures_that_a_parser_refuses():
    parser = small_parser()
    with pytest.raises(ValueError, match=r"picture: expected floats .*, got torch\.float32 \(1, 8, 8\)"):
        parser(torch.zeros(1, 8, 8))
    with pytest.raises(ValueError, match=r"picture: expected values in \[-1, 1\], got 0 to 255"):
        parser(torch.linspace(0, 255, 192).reshape(3, 8, 8))
    with pytest.raises(ValueError, match="got nan"):
        parser(torch.full((3, 8, 8), torch.nan))


def test_colours_are_those_of_the_files():
    shown = label_colours(torch.tensor([[0, 5]]))
    assert shown.shape == (3, 1, 2)
    assert torch.allclose((shown[:, 0, 1] + 1) * 127.5, torch.tensor([254.0, 85.0, 0.0]), atol=1e-3)


# ---- losses ----------------------------------------------------------------------------------------------------------


def test_lovasz_is_one_minus_iou_for_certain_guesses():
    generator = torch.Generator().manual_seed(0)
    parse, guess = torch.randint(0, 6, (2, 500), generator=generator)
    guess[::2] = parse[::2]
    parse[-50:] = IGNORED
    hard = nn.functional.one_hot(guess, 20).float()
    known = parse != IGNORED
    expected = 1 - label_scores(label_table(parse[known], guess[known], 20)).mean_iou
    assert float(lovasz_softmax(hard, parse)) == pytest.approx(expected, abs=1e-5)


def test_lovasz_by_hand():
    """Two of three pixels are the label's. Wrong in that order the IoU falls 1 -> 1/2 -> 0 -> 0."""
    assert torch.allclose(lovasz_gradient(torch.tensor([1.0, 1.0, 0.0])), torch.tensor([0.5, 0.5, 0.0]))
    assert torch.allclose(lovasz_gradient(torch.tensor([0.0, 1.0, 1.0])), torch.tensor([1 / 3, 1 / 3, 1 / 3]))
    nothing = lovasz_softmax(torch.full((4, 20), 0.05, requires_grad=True), torch.full((4,), IGNORED))
    nothing.backward()
    assert nothing.item() == 0


def test_soft_targets_that_are_certain_are_labels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 20, 8, 6, generator=generator)
    parse = torch.randint(0, 20, (2, 8, 6), generator=generator)
    weights = torch.rand(20, generator=generator) + 0.5
    soft = nn.functional.one_hot(parse, 20).movedim(-1, 1).float()
    ignoring = parse.clone()
    ignoring[:, :4] = IGNORED
    for labels in (parse, ignoring):
        hard_loss, soft_loss = label_loss(logits, labels, weights), label_loss(logits, labels, weights, soft)
        assert torch.allclose(hard_loss, soft_loss, rtol=1e-5)
    assert not torch.allclose(label_loss(logits, parse, weights), label_loss(logits, parse, None))


def test_padding_is_ignored_by_every_term():
    """Whatever a net says of pixels that nobody knows, the losses are the same."""
    generator = torch.Generator().manual_seed(0)
    logits, edges = torch.randn(1, 20, 16, 12, generator=generator), torch.randn(1, 1, 16, 12, generator=generator)
    parse = torch.full((1, 16, 12), 5)
    parse[:, 4:12, 2:6], parse[..., 8:] = 7, IGNORED

    def terms(change):
        moved = [each.clone() for each in (logits, edges)]
        for each in moved:
            each[..., 8:] += change
        return parser_terms(lambda _: moved, torch.zeros(1, 3, 16, 12), parse, RECIPES["smoke"])

    before, after = terms(0.0), terms(torch.randn(4, generator=generator) * 5)
    assert set(before) == {"parse", "lovasz", "edge"}
    assert all(torch.equal(before[name], after[name]) and before[name] > 0 for name in before)
    one, other = edges.clone(), edges.clone()
    other[..., :8] *= -1
    assert edge_loss(one, parse) != edge_loss(other, parse)


def test_a_right_answer_costs_less_and_shapes_are_checked():
    parse = torch.zeros(1, 32, 24, dtype=torch.int64)
    parse[:, 8:24, 6:18] = 5
    right = nn.functional.one_hot(parse, 20).movedim(-1, 1) * 20.0
    edges = edges_of(parse)[:, None] * 40.0 - 20
    recipe, blank = RECIPES["smoke"], torch.zeros(1, 3, 32, 24)
    good = parser_terms(lambda _: (right, edges), blank, parse, recipe)
    bad = parser_terms(lambda _: (right.roll(4, -1), -edges), blank, parse, recipe)
    assert all(good[name] < 1e-3 < bad[name] for name in good)
    with pytest.raises(ValueError, match="parse: expected labels for pictures"):
        parser_terms(lambda _: (right, edges), blank, parse[:, 1:], recipe)
    with pytest.raises(ValueError, match="soft: expected probabilities"):
        parser_terms(lambda _: (right, edges), blank, parse, recipe, soft=right[:, 1:])


# ---- augmentation ----------------------------------------------------------------------------------------------------

STILL = ParsingAugmentation(
    mirror=0.0, scale=(1.0, 1.0), shift=0.0, rotation=0.0, close=0.0, light=0.0, saturation=0.0
)  # fmt: skip


def coloured_people(size=(64, 48)):
    """A picture whose red says the label: 14 (left arm) on one side, 15 on the other."""
    parse = torch.zeros(4, *size, dtype=torch.int64)
    parse[:, 20:44, 6:18], parse[:, 24:44, 28:40] = 14, 15
    return torch.stack([parse / 20.0] * 3, 1), parse


@pytest.mark.parametrize(
    "strength",
    [replace(STILL, mirror=1.0), replace(STILL, scale=(1.5, 1.5)), replace(STILL, scale=(0.6, 0.6)),
     replace(STILL, rotation=20.0), replace(STILL, close=1.0)],
)  # fmt: skip
def test_pictures_and_labels_move_together(strength):
    people, parse = coloured_people()
    moved, labels = augment(people, parse, strength, torch.Generator().manual_seed(0))
    known = labels != IGNORED
    assert not torch.equal(labels, parse)
    assert not moved[~known[:, None].expand_as(moved)].any(), "grey beyond the picture"
    swap = torch.tensor(LIP_MIRROR) if strength.mirror else torch.arange(20)
    found = (moved[:, 0] * 20).sub(swap[labels.clamp(max=19)]).abs()
    sure = known & ~(nn.functional.max_pool2d(edges_of(labels)[:, None].float(), 5, 1, 2)[:, 0] > 0)
    sure &= nn.functional.max_pool2d((~known)[:, None].float(), 3, 1, 1)[:, 0] == 0
    assert sure.any() and float((found[sure] < 4).double().mean()) > 0.99  # but for grain, blur is kept off


def test_nothing_is_moved_where_nothing_is_asked_for():
    people, parse = coloured_people()
    moved, labels = augment(people, parse, STILL, torch.Generator().manual_seed(0))
    assert torch.equal(labels, parse)
    assert (moved - people).abs().mean() < 0.06, "but grain and a little blur"


def test_mirrored_arms_change_sides():
    people, parse = coloured_people()
    _, labels = augment(people, parse, replace(STILL, mirror=1.0), torch.Generator().manual_seed(0))
    assert torch.equal(labels, torch.tensor(LIP_MIRROR)[parse.flip(-1)])


def test_pack_ignores_padding(studio_root):
    sample = open_dataset(studio_root, size=(64, 64))[0]
    parse = pack(sample)["parse"]
    left, _, right, _ = sample.padding
    assert left > 0 and (parse[:, :left] == IGNORED).all() and (parse[:, 64 - right :] == IGNORED).all()
    assert torch.equal(parse[:, left : 64 - right].long(), sample.parse[:, left : 64 - right])


# ---- training and files ----------------------------------------------------------------------------------------------


def test_training_from_files_to_weights(studio_root, tmp_path):
    how = {"recipe": RECIPES["smoke"], "command": "a line", "limit": 4}
    path = train_parsing([studio_root, studio_root], tmp_path / "run", **how)
    metadata = read_metadata(path)
    assert (metadata["system"], metadata["stage"], metadata["command"]) == ("perceive", "parsing", "a line")
    assert len(metadata["data"]) == 2 and metadata["metrics"]["held out, 64x48"]["held_out"] == 2
    before = path.read_bytes()
    path.unlink()
    assert train_parsing([studio_root, studio_root], tmp_path / "run", **how).read_bytes() == before
    parser = load_parser(path)
    assert parser.size == (64, 48) and not parser.net.training
    assert parser(open_dataset(studio_root, size=None)[0].person).shape == (1, 128, 96)
    with pytest.raises(ValueError, match="the folder holds another run"):
        train_parsing([studio_root], tmp_path / "run", **how)


def test_a_killed_training_goes_on_to_the_same_weights(studio_root, tmp_path):
    smoke = RECIPES["smoke"]
    whole = train_parsing([studio_root], tmp_path / "whole", recipe=smoke, command="", limit=4)
    broken = tmp_path / "broken"
    train_parsing([studio_root], broken, recipe=smoke, command="", limit=4)
    (broken / "64x48" / "state.safetensors").unlink()  # as if killed in the second stage
    again = train_parsing([studio_root], broken, recipe=smoke, command="", limit=4)
    assert again.read_bytes() == whole.read_bytes()


def test_a_few_steps_teach_it_something(studio_root, tmp_path):
    """On pictures that it is trained on the loss falls: no network learns from labels at the wrong place."""
    from vtonlib.training import TrainConfig, train

    dataset = open_dataset(studio_root, split="train", size=(48, 36))
    people = torch.stack([dataset[index].person for index in range(4)])
    parse = torch.stack([dataset[index].parse for index in range(4)])
    torch.manual_seed(0)
    net, recipe = EdgeParser(SMALL), RECIPES["smoke"]

    def loss(module, batch):
        return parser_terms(module, *batch, recipe)

    before = loss(net, (people, parse))["parse"].item()
    config = TrainConfig(steps=40, batch_size=4, lr=1e-2, ema_decay=0.8, progress=False, device="cpu")
    trained = train(config, module=net, loss=loss, make_batch=lambda *_: (people, parse), length=4, out=tmp_path)
    accuracy = (trained(people)[0].argmax(1) == parse).double().mean()
    most_common = parse.flatten().bincount().max() / parse.numel()
    assert loss(trained, (people, parse))["parse"].item() < before / 2 and accuracy > most_common + 0.1


def test_weights_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.safetensors: no such weights file; .*vtonlib train parsing"):
        load_parser(tmp_path / "gone.safetensors")
    other = save_weights(tmp_path / "other.safetensors", EdgeParser(SMALL), {"system": "perceive", "stage": "pose"})
    with pytest.raises(ValueError, match=r"other\.safetensors: expected weights of system 'perceive', stage 'parsing'"):
        load_parser(other)
    with pytest.raises(ValueError, match="expected a stage for each of different sizes"):
        replace(RECIPES["smoke"], sizes=((64, 48), (64, 48)))


# ---- the course's weights --------------------------------------------------------------------------------------------


def test_the_course_weights_that_come_with_the_library():
    assert COURSE.stat().st_size <= 2.5 * 2**20
    metadata = read_metadata(COURSE)
    assert metadata["command"].startswith("python -m vtonlib train parsing --data")
    assert metadata["size"] == [256, 192] and metadata["metrics"]["held out, 256x192"]["miou"] > 0.6


@pytest.mark.skipif(not REAL.is_dir(), reason="the real samples, ../shared/real, are absent")
def test_photographs():
    """Three people in VITON-HD's photographs: mean IoU over labels that occur at least 0.65, accuracy 0.90."""
    dataset, parser = open_dataset(REAL, split="test", pairing="unpaired", size=None), load_parser()
    first = {person: index for index, (person, _) in enumerate(dataset.pairs)}
    table = torch.zeros(20, 20, dtype=torch.int64)
    for index in first.values():
        sample = dataset[index]
        table += label_table(sample.parse, parser(sample.person)[0], 20)
    scores = label_scores(table)
    assert len(first) == 3 and scores.mean_iou >= 0.65 and scores.accuracy >= 0.90


class Parses:
    """A cache of label maps alone."""

    def __init__(self, parses: list[torch.Tensor]) -> None:
        self.parses = parses

    def __len__(self) -> int:
        return len(self.parses)

    def batch(self, indices) -> dict:
        return {"parse": torch.stack([self.parses[index] for index in indices])}


def test_people_in_rare_clothes_come_more_often():
    plain = torch.zeros(40, 50, dtype=torch.uint8)
    plain[:20] = LIP.index("hair")
    dressed, speck = plain.clone(), plain.clone()
    dressed[30:], speck[39, :2] = LIP.index("dress"), LIP.index("hat")  # two pixels: nobody wears such a hat
    speck[20:22] = IGNORED
    cache = Parses([dressed, speck, *[plain] * 14])
    assert repeats(cache, 0.0).tolist() == [1] * 16
    assert repeats(cache, 0.25).tolist() == [2] + [1] * 15  # one of 16: sqrt(0.25 * 16) = 2
    assert repeats(cache, 1.0).tolist() == [4] + [1] * 15
