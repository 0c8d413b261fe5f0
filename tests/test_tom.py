"""CP-VTON's try-on module: what it sees, how it composes, its losses, its training, its checkpoint."""

import json
from dataclasses import asdict, replace

import pytest
import torch
from exact import SIZE, exact_sample

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.features import CONFIGS as FEATURE_CONFIGS
from vtonlib.features import FeatureNet
from vtonlib.losses import mask_loss, perceptual_loss
from vtonlib.represent import person_representation
from vtonlib.represent.person import label_mask
from vtonlib.sample import collate
from vtonlib.systems import load_system
from vtonlib.systems.cp_vton import FILES, TOM_CONFIGS, plain
from vtonlib.systems.cp_vton_warp import gmm_batch, warp_garment
from vtonlib.systems.tom import (
    TOM,
    TOM_COURSE,
    TOM_PAPER,
    TOM_PAPER_PLUS,
    TOMBatch,
    TOMConfig,
    compose,
    kept_pixels,
    tom_agnostic,
    tom_batch,
    visible_skin,
)
from vtonlib.systems.tom_training import RECIPES, TOMRecipe, tom_terms, train_tom
from vtonlib.training import TrainConfig
from vtonlib.warp import GMM, GMM_COURSE

SMALL = TOMConfig(widths=(8, 8, 8), kept="agnostic", garment_mask=True, last_norm=False)


@pytest.fixture(scope="module")
def people(studio_root):
    """Four studio people, collated."""
    dataset = open_dataset(studio_root, size=SIZE)
    return collate([dataset[index] for index in range(4)])


def batch_of(people, config: TOMConfig) -> TOMBatch:
    torch.manual_seed(0)
    warped, warped_mask, _ = warp_garment(GMM(GMM_COURSE).eval(), gmm_batch(people))
    return tom_batch(people, warped.detach(), warped_mask.detach(), config)


@pytest.mark.parametrize(
    ("config", "channels", "expected"), [(TOM_PAPER, 25, 21_349_252), (TOM_PAPER_PLUS, 26, 21_350_276)]
)
def test_the_published_sizes(config, channels, expected):
    network = TOM(config)
    assert config.in_channels == channels
    assert sum(parameter.numel() for parameter in network.parameters()) == expected
    assert len(network.state_dict()) == 24


def test_compose_pixel_by_pixel():
    rendered, warped = torch.zeros(3, 1, 3), torch.ones(3, 1, 3)
    tryon = compose(rendered, warped, torch.tensor([[[0.0, 0.25, 1.0]]]))
    assert torch.allclose(tryon, torch.tensor([0.0, 0.25, 1.0]).expand(3, 1, 3))


# ---- what it sees ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", ["head", "head-and-lower"])
def test_labels_that_are_shown_and_minus_one_elsewhere(people, kept):
    agnostic, kept_mask = tom_agnostic(people, TOMConfig(kept=kept))
    labels = {"head": (1, 2, 4, 13), "head-and-lower": (1, 2, 4, 13, 9, 12, 16, 17)}[kept]
    shown = label_mask(people.parse, labels).expand(-1, 3, -1, -1)
    assert agnostic.shape == (4, 22, *SIZE) and not kept_mask.any()
    assert torch.equal(agnostic[:, :19], person_representation(people)[:, :19] * 2 - 1)
    assert torch.equal(agnostic[:, 19:][shown], people.person[shown])
    assert (agnostic[:, 19:][~shown] == -1).all()


def test_kept_pixels_hold_no_old_top_and_nothing_that_depends_on_its_hem_or_sleeves(people):
    kept = kept_pixels(people) > 0.5
    assert not (kept & label_mask(people.parse, (5, 6, 7))).any()
    assert (kept | ~label_mask(people.parse, (1, 2, 4, 13))).all(), "hat, hair, face stay"
    assert kept.float().mean() > 0.3
    # Another garment on the same body: the strokes are drawn from the joints, so what is kept of the rest is the same.
    other = replace(
        people, parse=torch.where(people.parse == 5, 9, people.parse)
    )  # the top is now trousers to the neck
    differs = (kept_pixels(other) > 0.5) & ~kept
    torso = label_mask(people.parse, (5,))
    assert (differs <= torso).all()
    assert differs.float().sum() < 0.05 * torso.float().sum(), "an old top that reaches beyond the strokes would leak"


def test_agnostic_channels_and_their_mask(people):
    batch = batch_of(people, TOM_COURSE)
    assert batch.agnostic.shape == (4, 23, *SIZE) and len(batch) == 4
    shown = (batch.kept > 0.5).expand(-1, 3, -1, -1)
    assert torch.equal(batch.agnostic[:, 19:22][shown], people.person[shown])
    assert not batch.agnostic[:, 19:22][~shown].any()
    assert torch.equal(batch.agnostic[:, 22:], batch.kept * 2 - 1)


# ---- the module ------------------------------------------------------------------------------------------------------


def test_forward_composes_and_keeps(people):
    batch = batch_of(people, SMALL)
    torch.manual_seed(3)
    output = TOM(SMALL)(batch)
    composed = output.composition_mask * batch.warped + (1 - output.composition_mask) * output.rendered
    kept = (batch.kept > 0.5).expand(-1, 3, -1, -1)
    assert torch.allclose(output.tryon[~kept], composed[~kept])
    assert torch.equal(output.tryon[kept], people.person[kept])
    assert output.rendered.abs().max() <= 1 and output.composition_mask.min() >= 0


def test_nothing_of_the_old_top_reaches_the_result(people):
    """Recolour the old top: a network with random weights must give the same picture, to the bit."""
    torch.manual_seed(3)
    network, top = TOM(SMALL).eval(), label_mask(people.parse, (5, 6, 7))
    recoloured = replace(people, person=torch.where(top, -people.person, people.person))
    with torch.no_grad():
        assert torch.equal(network(batch_of(people, SMALL)).tryon, network(batch_of(recoloured, SMALL)).tryon)


def test_visible_skin_by_hand():
    parse = torch.zeros(5, 7, dtype=torch.long)
    parse[:, :4] = 14
    parse[0, 5], parse[2, 5] = 15, 10
    assert visible_skin(parse)[0].int().tolist() == [[1, 1, 1, 0, 0, 0, 0]] * 5


def test_skin_that_shows_comes_from_the_photograph_unless_the_garment_lies_on_it(people):
    torch.manual_seed(3)
    network = TOM(SMALL).eval()
    with torch.no_grad():
        batch = batch_of(people, SMALL)
        painted = network(batch)
        kept = network(replace(batch, skin=visible_skin(people.parse)))
    skin = (visible_skin(people.parse) > 0.5) & (batch.kept < 0.5)
    assert skin.any() and not batch.skin.any()
    mask = painted.composition_mask
    wished = mask * batch.warped + (1 - mask) * people.person
    assert torch.allclose(kept.tryon[skin.expand(-1, 3, -1, -1)], wished[skin.expand(-1, 3, -1, -1)])
    assert torch.equal(kept.tryon[~skin.expand(-1, 3, -1, -1)], painted.tryon[~skin.expand(-1, 3, -1, -1)])
    assert torch.equal(kept.rendered, painted.rendered)


def test_config_is_checked():
    with pytest.raises(ValueError, match="kept: expected one of head, head-and-lower, agnostic, got 'all'"):
        TOMConfig(kept="all")


# ---- losses ----------------------------------------------------------------------------------------------------------


def test_the_three_forms_of_the_mask_loss():
    mask = torch.tensor([[[[0.0, 0.5, 1.0, 1.0]]]])
    warped, worn = torch.tensor([[[[0.0, 1.0, 1.0, 0.0]]]]), torch.tensor([[[[0.0, 0.0, 1.0, 1.0]]]])
    values = {kind: float(mask_loss(mask, kind=kind, warped_mask=warped, worn_mask=worn)) for kind in
              ("paper", "released", "worn")}  # fmt: skip
    assert values == {"paper": 0.375, "released": 0.375, "worn": 0.125}
    with pytest.raises(ValueError, match="kind: expected one of paper, released, worn, got 'code'"):
        mask_loss(mask, kind="code")
    with pytest.raises(ValueError, match="kind 'released' needs warped_mask"):
        mask_loss(mask, kind="released", worn_mask=worn)
    with pytest.raises(ValueError, match="kind 'worn' needs worn_mask"):
        mask_loss(mask, kind="worn", warped_mask=worn)


def test_perceptual_loss_is_the_weighted_sum_of_the_maps_distances():
    torch.manual_seed(0)
    network = FeatureNet(FEATURE_CONFIGS["judge"]).eval()
    network.layer_weights = (1.0, 0.0, 0.5, 0.0, 2.0)
    a, b = (torch.rand(2, 3, 16, 16, requires_grad=True) for _ in range(2))
    distances = [(x - y).abs().mean() for x, y in zip(network(a), network(b), strict=True)]
    loss = perceptual_loss(network, a, b)
    assert torch.allclose(loss, distances[0] + distances[2] / 2 + 2 * distances[4])
    loss.backward()
    assert a.grad.abs().sum() > 0 and b.grad is None
    assert perceptual_loss(network, a, a).item() == 0


def test_terms_follow_the_weights(people):
    batch, features = batch_of(people, SMALL), FeatureNet(FEATURE_CONFIGS["course"]).eval()
    torch.manual_seed(3)
    network, recipe = TOM(SMALL), RECIPES["smoke"]
    every = tom_terms(network, batch, features, recipe)
    assert list(every) == ["l1", "perceptual", "mask"]
    double = tom_terms(network, batch, features, replace(recipe, perceptual_weight=2.0, mask_weight=0.5))
    assert torch.allclose(double["perceptual"], 2 * every["perceptual"])
    assert torch.allclose(double["mask"], every["mask"] / 2)
    for name in every:
        less = tom_terms(network, batch, features, replace(recipe, **{f"{name}_weight": 0.0}))
        assert set(less) == set(every) - {name}
    output = network(batch)
    assert torch.allclose(every["l1"], (output.tryon - people.person).abs().mean())
    assert torch.allclose(every["mask"], (output.composition_mask - batch.worn_mask).abs().mean())


def test_recipes_are_checked_and_plain():
    assert set(RECIPES) == {"smoke", "laptop", "gpu", "paper"}
    paper = RECIPES["paper"]
    assert (paper.network, paper.mask_loss, paper.features) == (TOM_PAPER, "paper", "vgg19")
    assert paper.l1_weight == paper.perceptual_weight == paper.mask_weight == 1
    for recipe in RECIPES.values():
        json.dumps(asdict(recipe), allow_nan=False)
    stages = (TrainConfig(steps=1),)
    with pytest.raises(ValueError, match="2 sizes for 1 stages"):
        TOMRecipe(stages=stages)
    with pytest.raises(ValueError, match="mask_loss 'code': expected one of"):
        TOMRecipe(stages=stages, sizes=(SIZE,), mask_loss="code")
    with pytest.raises(ValueError, match="all weights are 0"):
        TOMRecipe(stages=stages, sizes=(SIZE,), l1_weight=0, perceptual_weight=0, mask_weight=0)
    with pytest.raises(ValueError, match="config 'huge': expected one of course, paper"):
        TOMRecipe(stages=stages, sizes=(SIZE,), config="huge")


# ---- training and weights --------------------------------------------------------------------------------------------


def test_training_lowers_the_loss(people):
    batch, features = batch_of(people, SMALL), FeatureNet(FEATURE_CONFIGS["course"]).eval().requires_grad_(False)
    torch.manual_seed(3)
    network = TOM(SMALL)
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        loss = sum(tom_terms(network, batch, features, RECIPES["smoke"]).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.7 * losses[0]


def test_train_tom_from_files_to_a_system(studio_root, tmp_path):
    recipe = replace(RECIPES["smoke"], sizes=(SIZE, (256, 192)))
    path = train_tom(studio_root, tmp_path / "run", recipe=recipe, command="a line", limit=8)
    metadata = read_metadata(path)
    assert (metadata["system"], metadata["stage"], metadata["command"]) == ("cp-vton", "tom", "a line")
    assert metadata["config"] == plain(TOM_COURSE) and len(metadata["metrics"]) == 2
    assert metadata["gmm"]["command"].startswith("python -m vtonlib train gmm ")
    assert (tmp_path / "run" / "128x96" / "pictures" / "000002.png").is_file()
    before = path.read_bytes()
    assert train_tom(studio_root, tmp_path / "run", recipe=recipe, command="a line", limit=8).read_bytes() == before
    with pytest.raises(ValueError, match=r"run\.json: the folder holds another run \(recipe differ\)"):
        train_tom(studio_root, tmp_path / "run", recipe=replace(recipe, mask_weight=2.0), command="a line", limit=8)
    folder = tmp_path / "both"
    folder.mkdir()
    (folder / FILES["tom"]).write_bytes(before)
    (folder / FILES["gmm"]).write_bytes((WEIGHTS_FOLDER / FILES["gmm"]).read_bytes())
    system = load_system("cp-vton", weights=folder)
    assert set(system.stages) == {"gmm", "tom"} and system.metadata["tom"]["command"] == "a line"


def test_a_try_on_module_alone_and_a_file_of_another_stage_are_refused(tmp_path):
    path = save_weights(tmp_path / "tom.safetensors", TOM(TOM_COURSE), {"system": "cp-vton", "stage": "tom"})
    with pytest.raises(ValueError, match="a try-on module needs its GMM: name a folder"):
        load_system("cp-vton", weights=path)
    for name in FILES.values():
        save_weights(tmp_path / name, TOM(TOM_COURSE), {"system": "cp-vton", "stage": "tom"})
    with pytest.raises(ValueError, match=r"gmm\.safetensors: expected weights with stage = gmm, got tom"):
        load_system("cp-vton", weights=tmp_path)


def test_the_course_weights_that_come_with_the_library():
    path = WEIGHTS_FOLDER / FILES["tom"]
    assert path.stat().st_size <= 4 * 2**20
    metadata = read_metadata(path)
    assert {"system", "stage", "config", "recipe", "data", "command", "metrics", "gmm"} <= set(metadata)
    assert metadata["command"].startswith("python -m vtonlib train tom ")
    assert metadata["config"] == plain(TOM_CONFIGS["course"])
    load_weights(path, TOM(TOM_COURSE))


# ---- in the system ---------------------------------------------------------------------------------------------------


def test_a_system_with_and_without_the_module():
    sample = exact_sample()[0]
    system = load_system("cp-vton", weights=None)
    result = system.try_on(sample)
    assert result.coarse.shape == result.tryon.shape == (3, *SIZE) and result.composition_mask.shape == (1, *SIZE)
    assert system.keep_skin and not load_system("cp-vton", weights=None, config="paper").keep_skin
    bare = system.without_tom()
    assert not bare.keep_skin
    assert set(bare.stages) == {"gmm"} and bare.try_on(sample).coarse is None
    assert torch.equal(bare.try_on(sample).warped, result.warped)
    both = system.try_on(collate([sample, exact_sample(1)[0]]))
    assert torch.allclose(both.tryon[0], result.tryon, atol=1e-5) and both.tryon.shape == (2, 3, *SIZE)


def test_paper_networks_paint_at_the_papers_size():
    sample = exact_sample(size=(256, 192))[0]
    result = load_system("cp-vton", weights=None, config="paper").try_on(sample)
    assert result.tryon.shape == (3, 256, 192)
    assert abs(float(torch.logit(result.composition_mask).mean())) < 1e-3, "the last norm: logits have mean 0"
