"""MG-VTON's generators: what they are built from, what they see, what their losses say, how they are trained."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from vtonlib.checkpoints import read_metadata
from vtonlib.features import CONFIGS as FEATURE_CONFIGS
from vtonlib.features import FeatureNet
from vtonlib.labels import LIP
from vtonlib.represent import one_hot
from vtonlib.systems.mg_vton import conditional_parsing_training, refinement_training, warp_gan_training
from vtonlib.systems.mg_vton.conditional_parsing import (
    PARSING_COURSE,
    PARSING_PAPER,
    ConditionalParser,
    ConditionalParsingConfig,
    ParsingBatch,
    parsing_critic,
    parsing_critic_terms,
    parsing_terms,
)
from vtonlib.systems.mg_vton.conditional_parsing_training import mean_label_iou, train_conditional_parsing
from vtonlib.systems.mg_vton.networks import NETWORKS, load_network, new_network
from vtonlib.systems.mg_vton.refinement import (
    REFINEMENT_COURSE,
    REFINEMENT_PAPER,
    Refinement,
    RefinementBatch,
    RefinementConfig,
    refinement_terms,
)
from vtonlib.systems.mg_vton.triplets import target_of, triplet_caches
from vtonlib.systems.mg_vton.warp_gan import (
    WARP_GAN_COURSE,
    WARP_GAN_PAPER,
    WarpGAN,
    WarpGANBatch,
    WarpGANConfig,
    warp_gan_critic,
    warp_gan_critic_terms,
    warp_gan_terms,
)
from vtonlib.warp import pixel_centres

SIZE = (64, 64)
TINY = WarpGANConfig(width=4, blocks=1, stem=3, critic_width=4, critic_layers=2)
TINY_PARSING = ConditionalParsingConfig(width=4, blocks=1, stem=3, critic_width=4, critic_layers=2)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.fixture(scope="module")
def batch(poses_root):
    return triplet_caches(poses_root, SIZE, None, progress=False)[0].batch(range(3))


# ---- sizes -----------------------------------------------------------------------------------------------------------


def residual_parameters(inputs: int, outputs: int, width=64, blocks=9, convs=2) -> int:
    """The layer table of networks like pix2pixHD's with three halvings, summed up by hand; batch normalisation."""
    down = [(width * 2**k, width * 2 ** (k + 1)) for k in range(3)]
    layers = [(inputs, width, 49), *((a, b, 9) for a, b in down), *((b, a, 9) for a, b in down)]
    layers += [(8 * width, 8 * width, 9)] * (blocks * convs)
    normalised = sum(2 * out for _, out, _ in layers)
    return sum(a * b * kernel + b for a, b, kernel in layers) + normalised + width * outputs * 49 + outputs


def test_the_papers_sizes():
    parser = ConditionalParser(PARSING_PAPER)
    assert PARSING_PAPER.in_channels == 24
    assert parameters(parser) == residual_parameters(24, 20)
    assert parameters(parser) == pytest.approx(45.7e6, rel=0.005)
    assert parameters(Refinement(REFINEMENT_PAPER)) == residual_parameters(24, 1)
    three = ConditionalParser(replace(PARSING_PAPER, width=16, convs_per_block=3))
    assert parameters(three) == residual_parameters(24, 20, width=16, convs=3)
    assert parameters(new_network("warp-gan", "paper", 0)) == parameters(WarpGAN(WARP_GAN_PAPER))


@pytest.mark.parametrize("stage", NETWORKS)
def test_course_networks_fit_into_four_megabytes(stage):
    assert parameters(new_network(stage, "course", 0)) * 2 < 4e6


def test_seeds_make_networks():
    state = torch.get_rng_state()
    one, same, other = (new_network("refinement", "course", seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    pairs = [list(network.state_dict().values()) for network in (one, same, other)]
    assert all(torch.equal(a, b) for a, b in zip(pairs[0], pairs[1], strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(pairs[0], pairs[2], strict=True))


def test_configs_that_cannot_be():
    with pytest.raises(ValueError, match="kept: expected tuples of labels 0 to 19"):
        ConditionalParsingConfig(kept=((2, 20),))
    with pytest.raises(ValueError, match="feature_warp: expected one of affine-tps, affine, none, got 'tps'"):
        WarpGANConfig(feature_warp="tps")


# ---- conditional parsing ---------------------------------------------------------------------------------------------


def test_masks_that_are_kept_are_channels(batch):
    config = replace(TINY_PARSING, kept=((2,), (13,), (9, 12)))
    parser = ConditionalParser(config).eval()
    maps = parser.inputs(batch, target_of(batch).pose)
    assert maps.shape[1] == config.in_channels == 25
    assert torch.equal(maps[:, 2] > 0, (batch.parse == 9) | (batch.parse == 12))
    assert parser.draw(batch, target_of(batch).pose).shape == (3, *SIZE)


def certain(parse: torch.Tensor, strength: float) -> nn.Module:
    """A "network" that answers with this parse, more or less certainly."""
    return lambda maps: one_hot(parse, groups=LIP) * strength


def test_parsing_terms_are_those_of_the_equation():
    """With probability p for the true label: cross-entropy -log p, L1 2 (1 - p)."""
    parse = torch.randint(0, 20, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    batch = ParsingBatch(maps=torch.zeros(2, 24, 8, 8), parse=parse)
    terms, made = parsing_terms(certain(parse, 3.0), None, batch, l1=2.0)
    right = torch.tensor(3.0).exp() / (torch.tensor(3.0).exp() + 19)
    assert torch.allclose(made.sum(1), torch.ones(2, 8, 8))
    assert float(terms["softmax"]) == pytest.approx(-float(right.log()), rel=1e-5)
    assert float(terms["l1"]) == pytest.approx(2 * 2 * (1 - float(right)), rel=1e-5)
    assert set(terms) == {"softmax", "l1"}
    for name in ("l1", "softmax"):
        assert name not in parsing_terms(certain(parse, 1.0), None, batch, **{name: 0.0})[0]


def test_the_critic_sees_maps_beside_a_parse_and_is_at_first_undecided():
    parse = torch.randint(0, 20, (2, 32, 32), generator=torch.Generator().manual_seed(0))
    batch = ParsingBatch(maps=torch.randn(2, 24, 32, 32), parse=parse)
    critic = parsing_critic(TINY_PARSING)
    blind = lambda x: [[0 * each[-1]] for each in critic(x)]  # noqa: E731
    terms, made = parsing_terms(certain(parse, 3.0), blind, batch)
    assert float(terms["adversarial"].detach()) == pytest.approx(0.6931, abs=1e-3), "log 2: it can't tell"
    assert float(parsing_critic_terms(blind, batch, made)["parses"].detach()) == pytest.approx(0.6931, abs=1e-3)
    assert TINY_PARSING.critic.in_channels == 44


def test_iou_of_one_sample():
    truth = torch.zeros(1, 4, 4, dtype=torch.int64)
    truth[:, :2] = 5
    drawn = truth.clone()
    drawn[:, 0] = 0
    assert float(mean_label_iou(drawn, truth)) == pytest.approx((4 / 8 + 8 / 12) / 2)
    drawn[0, 3, 3] = 12
    assert float(mean_label_iou(drawn, truth)) == pytest.approx((4 / 8 + 7 / 12 + 0) / 3)


# ---- Warp-GAN --------------------------------------------------------------------------------------------------------


def painted(size=SIZE) -> WarpGANBatch:
    draw = torch.Generator().manual_seed(0)
    channels = {"warped": 3, "heatmaps": 18, "parse": 20, "reference": 3}
    maps = {name: torch.rand(2, count, *size, generator=draw) * 2 - 1 for name, count in channels.items()}
    return WarpGANBatch(**maps, grid=pixel_centres(size, align_corners=False).expand(2, -1, -1, -1))


def lively(config: WarpGANConfig) -> WarpGAN:
    """A Warp-GAN whose drawn weights are large enough for its input to show in its output."""
    torch.manual_seed(0)
    network = WarpGAN(config).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                layer.weight.mul_(1.5 / layer.weight.flatten(1).norm(dim=1).mean())
    return network


@pytest.mark.parametrize("skips", [False, True])
def test_the_grid_moves_the_references_features_and_nothing_else(skips):
    config = replace(TINY, skips=skips)
    still, warping = lively(replace(config, feature_warp="none")), lively(config)
    batch = painted()
    with torch.no_grad():
        assert torch.allclose(still(batch), warping(batch), atol=1e-5), "the identity grid changes nothing"
        aside = replace(batch, grid=batch.grid + torch.tensor([0.25, 0.0]))
        assert (warping(batch) - warping(aside)).abs().max() > 1e-3
        assert torch.equal(still(batch), still(aside))


@pytest.mark.parametrize("skips", [False, True])
def test_a_shift_of_the_reference_is_undone_by_the_grid(skips):
    """A reference that is moved 16 pixels to the right is met by features that are looked up two cells on."""
    network, batch = lively(replace(TINY, skips=skips)), painted((64, 128))
    moved = replace(batch, reference=batch.reference.roll(16, -1), grid=batch.grid + torch.tensor([2 * 2 / 16, 0.0]))
    with torch.no_grad():
        straight, back, lost = network(batch), network(moved), network(replace(moved, grid=batch.grid))
    assert torch.allclose(straight[..., 56:64], back[..., 56:64], atol=1e-5)
    assert not torch.allclose(straight[..., 56:64], lost[..., 56:64], atol=1e-3)


def test_a_direct_synthesis_sees_no_parse():
    config = replace(TINY, feature_warp="none", guided=False)
    batch = painted()
    assert config.fitting_channels == 21 and config.critic.in_channels == 21
    made = WarpGAN(config)(replace(batch, parse=batch.parse[:, :0], grid=None))
    assert made.shape == (2, 3, *SIZE)
    with pytest.raises(ValueError, match="feature_warp 'affine' needs guided=True"):
        replace(config, feature_warp="affine")


def test_sizes_and_grids_are_checked():
    network, batch = WarpGAN(TINY), painted()
    with pytest.raises(ValueError, match="needs a grid, got None"):
        network(replace(batch, grid=None))
    with pytest.raises(ValueError, match="multiples of 8, got 60x64"):
        network(replace(batch, warped=batch.warped[:, :, :60]))


def test_terms_of_warp_gan():
    network, critic, batch = WarpGAN(TINY), warp_gan_critic(TINY), painted()
    features = FeatureNet(FEATURE_CONFIGS["course"])
    target = torch.zeros(2, 3, *SIZE)
    terms, made = warp_gan_terms(network, critic, batch, target, features)
    assert set(terms) == {"l1", "perceptual", "adversarial", "matching"} and made.abs().max() <= 1
    doubled, _ = warp_gan_terms(network, critic, batch, target, features, l1=2.0, matching=0.0)
    assert float(doubled["l1"]) == pytest.approx(2 * float(terms["l1"])) and "matching" not in doubled
    same, _ = warp_gan_terms(lambda _: target, critic, batch, target, features)
    assert float(same["l1"]) == float(same["perceptual"]) == 0 and float(same["matching"]) < 1e-6
    alone, _ = warp_gan_terms(network, None, batch, target, features)
    assert set(alone) == {"l1", "perceptual"}
    assert set(warp_gan_critic_terms(critic, batch, target, made.detach())) == {"pictures"}


# ---- refinement ------------------------------------------------------------------------------------------------------


def test_the_mask_takes_from_both_pictures_and_never_beyond_the_garment():
    torch.manual_seed(0)
    warped, coarse = torch.ones(1, 3, *SIZE), -torch.ones(1, 3, *SIZE)
    mask = torch.zeros(1, 1, *SIZE)
    mask[..., :32] = 1
    batch = RefinementBatch(warped=warped, warped_mask=mask, coarse=coarse, heatmaps=-torch.ones(1, 18, *SIZE))
    for config, held in ((RefinementConfig(width=4, blocks=1), False), (REFINEMENT_COURSE, True)):
        tryon, composition = Refinement(config).eval()(batch)
        assert torch.allclose(tryon, composition * 2 - 1, atol=1e-5), "m * 1 + (1 - m) * -1"
        assert (float(composition[..., 32:].max()) == 0) == held


def test_terms_of_the_refinement():
    """L_p: with m = 1/4 everywhere |1 - m| is 3/4."""
    target, worn = torch.zeros(1, 3, *SIZE), torch.ones(1, 1, *SIZE)
    batch = RefinementBatch(
        warped=target, warped_mask=worn, coarse=target, heatmaps=torch.zeros(1, 18, *SIZE)
    )  # fmt: skip
    render = lambda _: (target + 0.5, torch.full((1, 1, *SIZE), 0.25))  # noqa: E731
    features = FeatureNet(FEATURE_CONFIGS["course"])
    terms = refinement_terms(render, batch, target, worn, features, mask=2.0, l1=1.0)
    assert float(terms["mask"]) == pytest.approx(1.5) and float(terms["l1"]) == pytest.approx(0.5)
    assert set(refinement_terms(render, batch, target, worn, features, mask=0.0)) == {"perceptual"}
    empty = refinement_terms(render, batch, target, 0 * worn, features, mask_kind="worn")
    assert float(empty["mask"]) == pytest.approx(0.25)


# ---- training --------------------------------------------------------------------------------------------------------


def small(recipe, steps: int, **changes):
    """A recipe's smoke version that ends after `steps` steps a size and keeps its state after each."""
    stages = tuple(replace(stage, steps=steps, checkpoint_every=1, progress=False) for stage in recipe.stages)
    return replace(recipe, stages=stages, **changes)


def test_a_parsing_network_is_trained_published_and_loaded_again(poses_root, tmp_path):
    recipe = small(conditional_parsing_training.RECIPES["smoke"], 2)
    path = train_conditional_parsing(poses_root, tmp_path / "run", recipe=recipe, command="this line")
    metadata = read_metadata(path)
    assert path.name == NETWORKS["parsing"].file and metadata["command"] == "this line"
    assert metadata["recipe"]["adversarial_weight"] == 0.1
    assert metadata["data"]["layout"] == "mpv"
    assert {"accuracy", "miou", "held_out"} == set(metadata["metrics"]["held out, 64x64"])
    network, about = load_network("parsing", tmp_path / "run", torch.device("cpu"))
    assert about == metadata and network.config == recipe.network and not network.training
    log = (tmp_path / "run" / "64x64" / "log.csv").read_text()
    assert "critic_parses" in log.splitlines()[0]
    with pytest.raises(FileNotFoundError, match="python -m vtonlib train mg-refinement"):
        load_network("refinement", tmp_path / "run", torch.device("cpu"))


def test_generator_and_critic_learn_from_one_batch(batch):
    """The drawn parse comes near to the target's, and the critic, which moves too, tells less and less."""
    torch.manual_seed(0)
    config = replace(TINY_PARSING, width=8, norm="instance")
    parser, critic = ConditionalParser(config), parsing_critic(config)
    target = target_of(batch)
    given = ParsingBatch(maps=parser.inputs(batch, target.pose), parse=target.parse)
    optimisers = [torch.optim.Adam(module.parameters(), lr=5e-3) for module in (parser, critic)]
    for _ in range(30):
        terms, made = parsing_terms(parser, critic, given, adversarial=0.1)
        judged = parsing_critic_terms(critic, given, made.detach())
        for optimiser, loss in zip(optimisers, (sum(terms.values()), judged["parses"]), strict=True):
            optimiser.zero_grad()
            loss.backward(retain_graph=True)
        for optimiser in optimisers:
            optimiser.step()
    accuracy = (parser(given.maps).argmax(1) == target.parse).float().mean()
    assert accuracy > 0.75 and float(judged["parses"].detach()) < 0.6931


def test_recipes_that_cannot_be():
    recipe = conditional_parsing_training.RECIPES["smoke"]
    with pytest.raises(ValueError, match="expected weights of 0 or more, one above 0"):
        replace(recipe, adversarial_weight=0.0, l1_weight=0.0, softmax_weight=0.0)
    with pytest.raises(ValueError, match="a stage for each of different sizes"):
        replace(recipe, sizes=(SIZE,))
    for module, kind in ((warp_gan_training, "WarpGANRecipe"), (refinement_training, "RefinementRecipe")):
        with pytest.raises(ValueError, match=f"{kind}: drawn: expected a share from 0 to 1, got 2"):
            replace(module.RECIPES["smoke"], drawn=2.0)


def test_paper_recipes_name_the_papers_settings():
    for module in (conditional_parsing_training, warp_gan_training, refinement_training):
        (stage,) = module.RECIPES["paper"].stages
        assert (stage.lr, stage.betas, stage.batch_size) == (2e-4, (0.5, 0.999), 40)
        assert module.RECIPES["paper"].sizes == ((256, 192),)
    assert PARSING_COURSE.in_channels == 24 and WARP_GAN_COURSE.fitting_channels + 3 == 44
