"""MG-VTON's two warps: the garment by masks, the reference's features by parses."""

from dataclasses import replace

import pytest
import torch
from synthetic_poses import STEP

from vtonlib.checkpoints import read_metadata, read_tensors
from vtonlib.data import open_dataset
from vtonlib.labels import LIP, LIP_INDEX
from vtonlib.represent import body_shape, one_hot
from vtonlib.systems.mg_vton import mask_warp_training, parse_matching
from vtonlib.systems.mg_vton.mask_warp import (
    MASK_WARP_COURSE,
    MASK_WARP_PAPER,
    MaskWarp,
    MaskWarpConfig,
    mask_warp_terms,
    parse_maps,
    warp_by_masks,
)
from vtonlib.systems.mg_vton.mask_warp_training import train_mask_warp
from vtonlib.systems.mg_vton.networks import NETWORKS, load_network, new_network
from vtonlib.systems.mg_vton.parse_matching import (
    LIGHTLY,
    group_iou,
    matching_terms,
    moved_parse,
    parse_distance,
    train_parse_matcher,
)
from vtonlib.systems.mg_vton.synthesis import dress, feature_grid
from vtonlib.systems.mg_vton.system import MGVTON, load_mg_vton
from vtonlib.systems.mg_vton.triplet_training import train_on_triplets
from vtonlib.systems.mg_vton.triplets import target_of, triplet_caches
from vtonlib.warp import AffineTPSMatcher, MatcherConfig, pixel_centres

SIZE, CPU = (64, 64), torch.device("cpu")
TINY = MaskWarpConfig(
    sees="garment-mask", widths=(4, 8), regression_widths=(8, 8, 8, 8), size=SIZE, start_at_identity=True
)
TINY_MATCHER = MatcherConfig(in_channels=20, widths=(4, 8), regression_widths=(8, 8, 8, 8), size=SIZE)


@pytest.fixture(scope="module")
def batch(poses_root):
    return triplet_caches(poses_root, SIZE, None, progress=False)[0].batch(range(3))


# ---- the garment -----------------------------------------------------------------------------------------------------


def test_what_the_matching_sees(batch):
    parse = target_of(batch).parse
    both = parse_maps(parse, "garment-mask")
    assert torch.allclose(both[:, :1], body_shape(parse) * 2 - 1)
    assert torch.equal(both[:, 1] > 0, (parse >= 5) & (parse <= 7))
    assert torch.equal(parse_maps(parse, "body-shape"), both[:, :1])
    assert MASK_WARP_PAPER.gmm.agnostic_channels == 1 and MASK_WARP_COURSE.gmm.agnostic_channels == 2
    assert MASK_WARP_PAPER.gmm.garment_channels == 1
    with pytest.raises(ValueError, match="sees: expected one of body-shape, garment-mask, got 'pose'"):
        replace(TINY, sees="pose")
    with pytest.raises(ValueError, match="multiple of 16"):
        replace(TINY, size=(60, 64))


def test_at_first_nothing_is_bent(batch):
    warped, mask, output = warp_by_masks(MaskWarp(TINY).eval(), batch.garment.image, batch.garment.mask, batch.parse)
    assert torch.allclose(warped, batch.garment.image, atol=1e-5) and torch.allclose(
        mask, batch.garment.mask, atol=1e-5
    )
    assert not output.theta.any()


def squares(left: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., 16:48, left : left + 24] = 1
    return mask


def test_the_loss_is_the_share_of_pixels_that_differ(batch):
    """The garment's mask 8 pixels beside the worn one: 2 strips of 8 x 32 pixels of 64 x 64."""
    parse = squares(24)[:, 0].long() * 5
    network = MaskWarp(TINY).eval()
    share = 2 * 8 * 32 / 64**2
    assert float(mask_warp_terms(network, squares(16), parse)["mask"].detach()) == pytest.approx(share, rel=1e-4)
    hidden = torch.zeros(1, 1, *SIZE)
    hidden[..., 16:24] = 1  # one of the two strips is behind an arm
    seen = mask_warp_terms(network, squares(16), parse, hidden=hidden)["mask"].detach()
    assert float(seen) == pytest.approx(8 * 32 / (64 * 56), rel=1e-4)


def test_the_misplaced_bracket_is_content_with_looking_away():
    """|T(C - S)| is 0 for a map into the corner, where the masks agree; |T(C) - S| is not."""
    garment, worn = squares(16), squares(24)
    corner = -0.9 + 0.05 * pixel_centres(SIZE, align_corners=False)[None]
    look = lambda mask: torch.nn.functional.grid_sample(mask, corner, align_corners=False)  # noqa: E731
    assert float(look(garment - worn).abs().mean()) == 0
    assert float((look(garment) - worn).abs().mean()) == pytest.approx(24 * 32 / 64**2)


def test_the_flow_counts_where_it_is_known(batch):
    network, target = MaskWarp(TINY).eval(), target_of(batch)
    terms = mask_warp_terms(network, target.garment.mask, target.parse, flow=target.truth.flow, flow_weight=2.0)
    assert set(terms) == {"mask", "flow"} and float(terms["flow"].detach()) > 0
    unknown = torch.full_like(target.truth.flow, torch.nan)
    nothing = mask_warp_terms(network, target.garment.mask, target.parse, flow=unknown, flow_weight=2.0)
    assert float(nothing["flow"].detach()) == 0
    assert set(mask_warp_terms(network, target.garment.mask, target.parse, flow=target.truth.flow)) == {"mask"}


def test_a_mask_is_followed():
    """Trained on one pair, the square is brought onto the one beside it."""
    torch.manual_seed(0)
    network, parse = MaskWarp(TINY), squares(24)[:, 0].long() * 5
    pair = squares(16).expand(2, -1, -1, -1), parse.expand(2, -1, -1)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(60):
        loss = mask_warp_terms(network, *pair)["mask"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05, "0.125 at first"


def test_only_the_main_piece_is_laid_on_white(batch):
    dressed = dress(MaskWarp(TINY).eval(), batch, target_of(batch).parse)
    outside = (dressed.warped_mask == 0).expand(-1, 3, -1, -1)
    assert outside.any() and (dressed.warped[outside] == 1).all()


# ---- the features ----------------------------------------------------------------------------------------------------


def test_distance_of_parses():
    one, other = torch.zeros(1, 4, 4, dtype=torch.int64), torch.zeros(1, 4, 4, dtype=torch.int64)
    other[0, 0] = LIP_INDEX["pants"]
    distance = parse_distance(one_hot(one, groups=LIP), one_hot(other, groups=LIP))
    assert float(distance) == pytest.approx(4 / 16 * (1 + LIGHTLY) / 2)
    assert float(parse_distance(one_hot(one, groups=LIP), one_hot(one, groups=LIP))) == 0


def test_a_step_aside_is_undone_by_its_grid(batch):
    """The target is the reference moved by STEP pixels: looked up so far to the left, it is the target."""
    target = target_of(batch)
    far = (target.pose[:, 1, 0] - batch.pose[:, 1, 0]).round()
    centres = pixel_centres(SIZE, align_corners=False).expand(3, -1, -1, -1)
    grid = centres - torch.stack([2 * far / SIZE[1], torch.zeros(3)], -1)[:, None, None]
    assert set(far.abs().tolist()) <= {float(STEP), 2.0 * STEP}
    moved = group_iou(moved_parse(batch.parse, grid), target.parse)
    still = group_iou(batch.parse, target.parse)
    assert all((moved[name] > 0.99).all() and (still[name] < 0.9).all() for name in moved)


def test_terms_of_the_matcher_and_kinds_of_grid(batch):
    torch.manual_seed(0)
    matcher, target = AffineTPSMatcher(TINY_MATCHER).eval(), target_of(batch)
    terms = matching_terms(matcher, batch.parse, target.parse, blur=0.05, affine_weight=0.5)
    assert terms["affine"].item() == pytest.approx(0.5 * terms["both"].item()), "both are the identity at first"
    assert set(matching_terms(matcher, batch.parse, target.parse, blur=0.0, affine_weight=0.0)) == {"both"}
    same = matching_terms(matcher, batch.parse, batch.parse, blur=0.05, affine_weight=0.5)
    assert float(same["both"].detach()) < 1e-5
    assert feature_grid(matcher, batch.parse, target.parse, (8, 8), "none") is None
    torch.nn.init.normal_(matcher.tps_regression.linear.weight, std=0.3)
    affine, both = (feature_grid(matcher, batch.parse, target.parse, (8, 8), kind) for kind in ("affine", "affine-tps"))
    assert affine.shape == both.shape == (3, 8, 8, 2)
    assert torch.allclose(affine, pixel_centres((8, 8), align_corners=False).expand(3, -1, -1, -1), atol=1e-5)
    assert not torch.allclose(affine, both, atol=1e-3)
    with pytest.raises(ValueError, match="blur: expected a share from 0 to 1, got 2"):
        replace(parse_matching.RECIPES["smoke"], blur=2.0)


def test_a_step_aside_is_learnt(batch):
    """Trained on three triplets, the matcher brings each reference onto its target, up to twice STEP away."""
    torch.manual_seed(0)
    matcher, target = AffineTPSMatcher(TINY_MATCHER), target_of(batch)
    optimiser = torch.optim.Adam(matcher.parameters(), lr=3e-3)
    values = []
    for _ in range(60):
        loss = sum(matching_terms(matcher, batch.parse, target.parse, blur=0.05, affine_weight=0.5).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        values.append(loss.item())
    assert values[-1] < 0.5 * values[0]


# ---- trained, published, put together --------------------------------------------------------------------------------


def quiet(recipe):
    stages = tuple(replace(stage, progress=False) for stage in recipe.stages)
    return replace(recipe, sizes=(SIZE, (128, 128))[: len(stages)], stages=stages)


@pytest.mark.parametrize(
    ("stage", "module", "train", "numbers"),
    [
        ("gmm", mask_warp_training, train_mask_warp, {"iou", "flow"}),
        ("matcher", parse_matching, train_parse_matcher, {"head", "arms", "lower"}),
    ],
)
def test_warps_are_trained_published_and_loaded_again(stage, module, train, numbers, poses_root, tmp_path):
    path = train(poses_root, tmp_path / "run", recipe=quiet(module.RECIPES["smoke"]), command="this line")
    metadata = read_metadata(path)
    assert path.name == NETWORKS[stage].file and (metadata["system"], metadata["stage"]) == ("mg-vton", stage)
    assert numbers <= set(metadata["metrics"]["held out, 64x64"])
    network, _ = load_network(stage, tmp_path / "run", CPU)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


class Interrupted(Exception):
    pass


def stopped_at(stage, call: int):
    """The stage, whose loss raises Interrupted when it is asked for so many times."""

    def work(*arguments):
        whole, calls = stage.work(*arguments), iter(range(1, call))

        def loss(module, batch):
            if next(calls, None) is None:
                raise Interrupted
            return whole.loss(module, batch)

        return replace(whole, loss=loss)

    return replace(stage, work=work)


@pytest.mark.parametrize(
    ("module", "train"), [(mask_warp_training, train_mask_warp), (parse_matching, train_parse_matcher)]
)
def test_a_stopped_training_goes_on_to_the_same_bytes(module, train, poses_root, tmp_path):
    recipe = quiet(module.RECIPES["smoke"])
    stages = tuple(replace(stage, steps=4, checkpoint_every=2) for stage in recipe.stages[:1])
    how = {"recipe": replace(recipe, sizes=(SIZE,), stages=stages), "command": "this line"}
    whole = train(poses_root, tmp_path / "whole", **how)
    with pytest.raises(Interrupted):
        train_on_triplets(stopped_at(module.STAGE, 4), poses_root, tmp_path / "parts", **how)
    _, state = read_tensors(tmp_path / "parts" / "64x64" / "state.safetensors")
    assert state["step"] == 2 and not list((tmp_path / "parts").glob("mg-vton-*"))
    assert train(poses_root, tmp_path / "parts", **how).read_bytes() == whole.read_bytes()
    other = replace(how["recipe"], stages=tuple(replace(stage, seed=1) for stage in stages))
    with pytest.raises(ValueError, match="the folder holds another run"):
        train(poses_root, tmp_path / "parts", recipe=other, command="this line")


def test_the_papers_recipe_names_the_papers_settings():
    recipe = mask_warp_training.RECIPES["paper"]
    (stage,) = recipe.stages
    assert (stage.lr, stage.betas, stage.batch_size) == (2e-4, (0.5, 0.999), 40)
    assert stage.steps == pytest.approx(35 * 62_780 / 40, rel=0.01) and recipe.sizes == ((256, 192),)
    assert recipe.flow_weight == 0 and not recipe.ignore_hidden and recipe.network.sees == "body-shape"
    with pytest.raises(ValueError, match="expected weights of 0 or more"):
        replace(recipe, flow_weight=-1.0)


@pytest.fixture(scope="module")
def system() -> MGVTON:
    return load_mg_vton(weights=None, config="course", device=CPU, path=None, seed=0)


def test_a_try_on_in_another_pose(system, poses_root):
    dataset = open_dataset(poses_root, split="train", pairing="unpaired", size=(128, 96))
    sample = dataset[0]
    tryon = system.try_on(sample, pose=sample.truth.new_pose.pose)
    assert tryon.tryon.shape == (3, 128, 96) and tryon.tryon.abs().max() <= 1
    assert tryon.parse.shape == (128, 96) and tryon.composition_mask.shape == (1, 128, 96)
    expected = tryon.composition_mask * tryon.warped + (1 - tryon.composition_mask) * tryon.coarse
    assert torch.allclose(tryon.tryon, expected, atol=1e-5)
    own = system.try_on(sample)
    assert torch.equal(own.tryon, system.try_on(sample, pose=sample.pose).tryon)
    assert not torch.equal(own.tryon, tryon.tryon)
    other = dataset[3].garment
    assert not torch.equal(system.try_on(sample, garment=other).warped, own.warped)


def test_a_batch_is_as_each_of_its_samples(system, poses_root):
    from vtonlib.sample import collate

    dataset = open_dataset(poses_root, split="train", pairing="unpaired", size=(128, 96))
    samples = [dataset[index] for index in (0, 4)]
    poses = torch.stack([sample.truth.new_pose.pose for sample in samples])
    together = system.try_on(collate(samples), pose=poses)
    for index, sample in enumerate(samples):
        alone = system.try_on(sample, pose=poses[index])
        assert torch.allclose(together.tryon[index], alone.tryon, atol=1e-4)


def test_what_mg_vton_refuses(system, poses_root, tmp_path):
    sample = open_dataset(poses_root, split="train", pairing="unpaired", size=(128, 96))[0]
    with pytest.raises(ValueError, match=r"pose: expected \(1, 25, 3\) .* got \(2, 25, 3\)"):
        system.try_on(sample, pose=torch.zeros(2, 25, 3))
    with pytest.raises(ValueError, match="has no pose: pose estimation makes it"):
        system.try_on(replace(sample, pose=None))
    with pytest.raises(ValueError, match="has no parse: human parsing makes it"):
        system.try_on(replace(sample, parse=None))
    arguments = {"config": "course", "device": CPU, "path": None, "seed": 0}
    with pytest.raises(ValueError, match="published no weights"):
        load_mg_vton(weights="official", **arguments | {"path": tmp_path})
    with pytest.raises(ValueError, match=r"needs a folder with mg-vton-parsing\.safetensors"):
        load_mg_vton(weights=tmp_path / "x.safetensors", **arguments)
    with pytest.raises(FileNotFoundError, match="it is made by: python -m vtonlib train mg-parsing"):
        load_mg_vton(weights=tmp_path, **arguments)
    assert list(new_network("gmm", "course", 1).state_dict()) == list(system.stages["gmm"].state_dict())
