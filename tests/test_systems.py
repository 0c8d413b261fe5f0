"""Systems: what may be combined, how CP-VTON prepares, warps and lays on, its training, and the measure of a warp."""

import csv
import json
import math
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from exact import SIZE, exact_sample
from synthetic import make_raw
from torch import nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.evaluation import NUMBERS, best_affine, bootstrap, evaluate_warp, measure_grid
from vtonlib.layouts import write_pairs, write_sample
from vtonlib.sample import TryOnSample, collate
from vtonlib.systems import AVAILABLE, KNOWN, load_system
from vtonlib.systems import cp_vton as cp_vton_module
from vtonlib.systems.cp_vton import GREY, GMMBatch, composite, gmm_batch, main_piece, plain, warp_garment
from vtonlib.systems.cp_vton_training import RECIPES, GMMRecipe, gmm_terms, train_gmm
from vtonlib.systems.memory import NO_AUGMENTATION, Augmentation, SampleCache, augment
from vtonlib.systems.runs import hold_out
from vtonlib.training import TrainConfig
from vtonlib.warp import (
    GMM,
    GMM_COURSE,
    GMM_PAPER,
    GMMOutput,
    TPSGrid,
    flow_to_grid,
    grid_to_flow,
    pixel_centres,
    warp_by_flow,
)


class Known(nn.Module):
    """Stands where GMM stands and answers with a given theta."""

    def __init__(self, theta: torch.Tensor) -> None:
        super().__init__()
        self.config = GMM_COURSE
        self.theta = nn.Parameter(theta)

    def forward(self, agnostic, garment):
        return GMMOutput(self.theta, TPSGrid(align_corners=False, size=tuple(agnostic.shape[2:]))(self.theta))

    warp = GMM.warp


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A small data set on disk: five people to train on, three to test on."""
    root = tmp_path_factory.mktemp("data")
    for split, count in (("train", 5), ("test", 3)):
        names = [f"{split}{i}_00" for i in range(count)]
        for i, name in enumerate(names):
            write_sample(root / split, make_raw(name, size=SIZE, seed=10 * i))
        shifted = names[1:] + names[:1]
        write_pairs(root / f"{split}_pairs.txt", [(f"{a}.jpg", f"{b}.jpg") for a, b in zip(names, shifted)])
    return root


# ---- load_system ---------------------------------------------------------------------------------------------------


def test_random_systems_are_the_same_for_the_same_seed():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    one = load_system("cp-vton", weights=None).stages["gmm"].state_dict()
    assert torch.equal(torch.rand(2), expected)
    again = load_system("cp-vton", weights=None).stages["gmm"].state_dict()
    other = load_system("cp-vton", weights=None, seed=1).stages["gmm"].state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["extractionA.model.0.weight"], other["extractionA.model.0.weight"])


def test_configs():
    course, paper = (
        load_system("cp-vton", weights=None, config=config).stages["gmm"] for config in ("course", "paper")
    )
    assert course.config == GMM_COURSE and paper.config == GMM_PAPER
    assert sum(parameter.numel() for parameter in paper.parameters()) == 19_057_650
    assert not course.training


@pytest.mark.parametrize(
    "arguments",
    [
        {"weights": "official"},
        {"weights": "official", "path": "folder"},
        {"weights": "course", "config": "paper"},
        {"weights": "some.safetensors", "config": "paper"},
        {"weights": "official", "config": "paper"},
        {"weights": None, "config": "paper", "path": "folder"},
        {"weights": "course", "path": "folder"},
        {"weights": None, "config": "large"},
    ],
)
def test_other_combinations_are_refused_with_the_list(arguments):
    with pytest.raises(ValueError, match="can't combine") as caught:
        load_system("cp-vton", **arguments)
    assert 'config="paper" with weights=None' in str(caught.value)


def test_official_weights_say_that_they_can_not_be_read_yet():
    with pytest.raises(NotImplementedError, match="folder"):
        load_system("cp-vton", weights="official", config="paper", path="folder")


@pytest.mark.parametrize("name", [name for name in KNOWN if name not in AVAILABLE])
def test_systems_that_are_not_there_yet(name):
    with pytest.raises(ValueError, match="is not built yet: available are cp-vton"):
        load_system(name)
    with pytest.raises(ValueError, match=r"'cp-vtom' is unknown: available are cp-vton"):
        load_system("cp-vtom")


def test_weights_from_a_file(tmp_path):
    trained = GMM(GMM_COURSE)
    nn.init.normal_(trained.regression.linear.weight)
    about = {"system": "cp-vton", "stage": "gmm", "config": plain(GMM_COURSE)}
    path = save_weights(tmp_path / "gmm.safetensors", trained, about)
    system = load_system("cp-vton", weights=path)
    loaded = system.stages["gmm"].regression.linear.weight
    assert torch.equal(loaded, trained.regression.linear.weight.half().float())
    assert system.metadata["gmm"] == about
    for key, value in (("system", "viton-hd"), ("stage", "mask"), ("config", plain(GMM_PAPER))):
        save_weights(path, trained, {**about, key: value})
        with pytest.raises(ValueError, match=rf"gmm\.safetensors: expected weights with {key} = "):
            load_system("cp-vton", weights=path)


def test_missing_course_weights_name_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(cp_vton_module, "WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"cp-vton-gmm\.safetensors"):
        load_system("cp-vton")


def test_the_course_weights_that_come_with_the_library():
    path = WEIGHTS_FOLDER / "cp-vton-gmm.safetensors"
    assert path.stat().st_size <= 4 * 2**20
    metadata = read_metadata(path)
    assert {"system", "stage", "config", "recipe", "data", "command", "metrics"} <= set(metadata)
    assert metadata["command"].startswith("python -m vtonlib train gmm ")
    system = load_system("cp-vton")
    moved = system.try_on(exact_sample()[0])
    assert moved.theta.abs().max() > 1e-3, "the warp is trained: it is not the identity"


# ---- CP-VTON -------------------------------------------------------------------------------------------------------


def test_gmm_batch():
    samples = [exact_sample(seed)[0] for seed in (0, 1)]
    batch = gmm_batch(collate(samples))
    assert batch.agnostic.shape == (2, 22, *SIZE) and len(batch) == 2
    assert batch.agnostic.min() == -1 and batch.agnostic.max() == 1
    for i, sample in enumerate(samples):
        worn = sample.parse == 5
        assert torch.equal(batch.worn_mask[i, 0] > 0, worn)
        assert torch.allclose(batch.worn[i][:, worn], sample.person[:, worn], atol=1e-6)
        assert (batch.worn[i][:, ~worn] == 1).all()
        assert (batch.garment[i][:, sample.garment.mask[0] == 0] == 1).all()
        assert torch.equal(batch.hidden[i, 0] > 0, sample.truth.hidden)
    no_truth = gmm_batch(collate([replace(samples[0], truth=None)]))
    assert no_truth.hidden is None and no_truth.flow is None


@pytest.mark.parametrize("missing", ["parse", "pose", "garment"])
def test_what_a_sample_lacks_is_named_with_the_step_that_makes_it(missing):
    sample = replace(exact_sample()[0], **{missing: None})
    with pytest.raises(ValueError, match=rf"p0.* has no {missing}: "):
        load_system("cp-vton", weights=None).try_on(sample)


def test_a_garment_without_mask_and_a_sample_without_batch():
    sample = exact_sample()[0]
    with pytest.raises(ValueError, match=r"g0.* has no mask"):
        gmm_batch(collate([replace(sample, garment=replace(sample.garment, mask=None))]))
    with pytest.raises(ValueError, match=r"expected person \(B,3,H,W\)"):
        gmm_batch(sample)


def test_composite_pixel_by_pixel():
    parse = torch.tensor([[0, 5, 5, 5, 13, 15, 9, 10, 7]])
    covered = torch.tensor([[[1.0, 1.0, 0.5, 0.51, 1.0, 1.0, 1.0, 1.0, 0.0]]])
    person, warped = torch.full((3, 1, 9), -0.25), torch.full((3, 1, 9), 0.75)
    tryon, mask = composite(person, parse, warped, covered)
    p, w, g = -0.25, 0.75, GREY
    assert torch.allclose(tryon, torch.tensor([w, w, g, w, p, p, w, w, g]).expand(3, 1, 9))
    assert mask[0, 0].tolist() == [1, 1, 0, 1, 0, 0, 1, 1, 0]
    assert round((GREY + 1) * 127.5) == 128


def test_try_on_with_the_true_theta_gives_the_photograph_back():
    sample, theta = exact_sample()
    system = load_system("cp-vton", weights=None)
    system.stages = {"gmm": Known(theta)}  # without a try-on module the layers are laid by the parse, exactly
    result = system.try_on(sample)
    assert result.tryon.shape == (3, *SIZE) and result.theta.shape == (50,) and result.grid.shape == (*SIZE, 2)
    visible = sample.parse == 5
    assert torch.allclose(result.tryon[:, visible], sample.person[:, visible], atol=1e-5)
    kept = (sample.parse == 13) | ((sample.parse == 0) & (result.warped_mask[0] <= 0.5))
    assert torch.equal(result.tryon[:, kept], sample.person[:, kept])
    assert (result.coarse, result.parse, result.misaligned) == (None, None, None)


def test_try_on_with_another_garment_and_in_batches():
    (one, _), (two, _) = exact_sample(0), exact_sample(1)
    system = load_system("cp-vton", weights=None)
    nn.init.normal_(system.stages["gmm"].regression.linear.weight, std=0.05)
    single = [system.try_on(one, garment=two.garment), system.try_on(two)]
    assert not torch.equal(single[0].tryon, system.try_on(one).tryon)
    together = system.try_on(collate([replace(one, garment=two.garment), two]))
    for i, result in enumerate(single):
        for field in ("tryon", "warped", "warped_mask", "theta", "grid"):
            assert torch.allclose(getattr(together, field)[i], getattr(result, field), atol=1e-4), field
    assert not together.tryon.requires_grad
    with pytest.raises(ValueError, match="keeps the pose"):
        system.try_on(one, pose=two.pose)


# ---- memory and augmentation ---------------------------------------------------------------------------------------


def test_the_cache_gives_back_what_it_was_given():
    samples = [exact_sample(seed)[0] for seed in range(3)]
    batch = SampleCache(samples, [2, 0, 1]).batch([1, 0])
    for i, sample in enumerate((samples[0], samples[2])):
        assert batch.name[i] == sample.name and batch.garment.name[i] == sample.garment.name
        assert (batch.person[i] - sample.person).abs().max() <= 0.5 / 127.5 + 1e-6
        assert torch.equal(batch.parse[i], sample.parse) and torch.equal(batch.pose[i], sample.pose)
        assert torch.equal(batch.garment.mask[i], sample.garment.mask)
        assert torch.equal(batch.truth.hidden[i], sample.truth.hidden)
        known = sample.truth.flow.isfinite()
        assert torch.equal(batch.truth.flow[i].isfinite(), known)
        assert (batch.truth.flow[i] - sample.truth.flow)[known].abs().max() < 0.07
    bare = SampleCache([replace(samples[0], truth=None)], [0]).batch([0])
    assert not bare.truth.hidden.any() and bare.truth.flow.isnan().all()
    with pytest.raises(ValueError, match="at least one"):
        SampleCache(samples, [])


def cached(count=4) -> TryOnSample:
    return SampleCache([exact_sample(seed)[0] for seed in range(count)], range(count)).batch(range(count))


def test_no_augmentation_changes_nothing():
    batch = cached()
    same = augment(batch, NO_AUGMENTATION, torch.Generator().manual_seed(0))
    assert torch.allclose(same.person, batch.person, atol=1e-4) and torch.equal(same.parse, batch.parse)
    assert torch.allclose(same.pose, batch.pose, atol=1e-3)
    assert torch.allclose(same.garment.image, batch.garment.image, atol=1e-4)
    assert torch.equal(same.garment.mask, batch.garment.mask) and torch.equal(same.truth.hidden, batch.truth.hidden)
    inner = same.truth.flow.isfinite()  # interpolation loses the rim
    assert inner.sum() > 0.9 * batch.truth.flow.isfinite().sum()
    assert torch.allclose(same.truth.flow[inner], batch.truth.flow[inner], atol=2e-2)


def test_the_mirror_alone_is_the_data_set_module_s_mirror():
    from vtonlib.data import mirror

    batch = cached()
    once = augment(batch, replace(NO_AUGMENTATION, mirror=1.0), torch.Generator().manual_seed(0))
    expected = mirror(batch)
    assert torch.allclose(once.person, expected.person, atol=1e-4) and torch.equal(once.parse, expected.parse)
    assert torch.allclose(once.pose, expected.pose, atol=1e-3)
    assert torch.allclose(once.garment.image, expected.garment.image, atol=1e-4)
    inner = once.truth.flow.isfinite()
    assert torch.allclose(once.truth.flow[inner], expected.truth.flow[inner], atol=2e-2)


def test_everything_moves_together():
    """After a strong augmentation the true flow still brings the garment onto the person, and the pose fits too."""
    batch = cached()
    strong = Augmentation(mirror=0.5, shift=0.1, scale=0.15, rotation=12)
    moved = augment(batch, strong, torch.Generator().manual_seed(3))
    flow = moved.truth.flow
    known = flow.isfinite().all(1) & (moved.parse == 5)
    assert known.sum() > 0.5 * (batch.parse == 5).sum()
    warped = warp_by_flow(moved.garment.image, flow)
    difference = (warped - moved.person).abs().mean(1)[known]
    assert difference.median() < 0.02 and difference.mean() < 0.04
    unmoved = (warp_by_flow(moved.garment.image, batch.truth.flow) - moved.person).abs().mean(1)
    assert unmoved[batch.truth.flow.isfinite().all(1)].mean() > 0.2, "the check can tell"
    inside = moved.truth.hidden
    assert (moved.parse[inside] == torch.where(moved.parse[inside] == 14, 14, 15)).all() and inside.any()


def test_labels_go_on_where_the_picture_does():
    batch = cached()
    everywhere = replace(batch, parse=torch.full_like(batch.parse, 9))
    moved = augment(everywhere, Augmentation(shift=0.3, scale=0.5, rotation=30), torch.Generator().manual_seed(0))
    assert (moved.parse == 9).all()


def test_points_move_with_pixels():
    sample = exact_sample()[0]
    person = -torch.ones(3, *SIZE)
    pose, channel = torch.zeros(25, 3), {2: 0, 5: 1, 8: 2}
    for joint, (x, y) in {2: (30, 50), 5: (60, 44), 8: (48, 90)}.items():
        person[channel[joint], y - 2 : y + 3, x - 2 : x + 3] = 1
        pose[joint] = torch.tensor([x, y, 0.8])
    batch = SampleCache([replace(sample, person=person, pose=pose)], [0]).batch([0])
    for seed in range(6):
        moved = augment(batch, Augmentation(shift=0.1, rotation=10), torch.Generator().manual_seed(seed))
        mirrored = {2: 5, 5: 2, 8: 8} if (moved.parse == 14).any() else {2: 2, 5: 5, 8: 8}
        y, x = torch.meshgrid(*(torch.arange(n) for n in SIZE), indexing="ij")
        for joint, now in mirrored.items():
            weight = (moved.person[0, channel[joint]] + 1) / 2
            centre = torch.stack([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
            assert torch.allclose(moved.pose[0, now, :2], centre, atol=0.3)
        assert (moved.pose[0, 20] == 0).all(), "a missing point stays at (0, 0)"


# ---- training ------------------------------------------------------------------------------------------------------


def test_terms_are_nothing_at_the_truth():
    sample, theta = exact_sample()
    batch = gmm_batch(collate([sample]))
    recipe = RECIPES["smoke"]
    terms = gmm_terms(Known(theta), batch, recipe)
    assert set(terms) == {"l1", "mask", "flow"}
    assert terms["flow"] < 1e-4
    wrong = gmm_terms(Known(torch.zeros_like(theta)), batch, recipe)
    assert all(wrong[name] > 3 * terms[name] for name in terms)
    paper = gmm_terms(Known(theta), batch, RECIPES["paper"])
    assert set(paper) == {"l1"} and paper["l1"] > 2 * terms["l1"], "the paper's loss is blind to what hides the garment"


def test_training_brings_the_warp_nearer():
    """Sixty steps on one exact sample: the loss falls below half of what it is for the garment as it hangs."""
    sample, _ = exact_sample(strength=0.25)
    batch = gmm_batch(collate([sample] * 2))
    recipe = replace(RECIPES["smoke"], flow_weight=0.0)
    torch.manual_seed(0)
    gmm = GMM(GMM_COURSE)
    optimiser = torch.optim.Adam(gmm.parameters(), lr=1e-3)
    losses = []
    for _ in range(60):
        terms = gmm_terms(gmm, batch, recipe)
        loss = sum(terms.values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_train_gmm_from_files_to_weights(data, tmp_path):
    recipe = replace(
        RECIPES["smoke"],
        stages=tuple(replace(stage, steps=2, progress=False, device="cpu") for stage in RECIPES["smoke"].stages),
        sizes=((128, 96), (128, 96)),
    )
    with pytest.raises(ValueError, match="2 sizes for 1 stages"):
        replace(recipe, stages=recipe.stages[:1])
    recipe = replace(recipe, sizes=((128, 96), (160, 120)))
    command = "python -m vtonlib train gmm --data data --out out"
    path = train_gmm(data, tmp_path / "run", recipe=recipe, command=command, weights=tmp_path / "w.safetensors")
    metadata = read_metadata(path)
    assert metadata["command"] == command and metadata["config"] == plain(GMM_COURSE)
    assert metadata["data"]["samples"] == 5 and metadata["recipe"]["mask_weight"] == 1.0
    assert set(metadata["metrics"]) == {"held out, 128x96", "held out, 160x120"}
    assert 0 <= metadata["metrics"]["held out, 160x120"]["iou"] <= 1
    weights = path.read_bytes()
    assert train_gmm(data, tmp_path / "run", recipe=recipe, command=command, weights=path).read_bytes() == weights
    gmm = load_system("cp-vton", weights=path).stages["gmm"]
    average = GMM(GMM_COURSE)
    load_weights(tmp_path / "run" / "160x120" / "average.safetensors", average)
    assert torch.equal(gmm.regression.linear.weight, average.regression.linear.weight.half().float())
    assert gmm.regression.linear.weight.abs().max() > 0
    assert (tmp_path / "run" / "128x96" / "pictures" / "000002.png").is_file()
    with pytest.raises(ValueError, match=r"run\.json: the folder holds another run \(recipe differ\)"):
        train_gmm(data, tmp_path / "run", recipe=replace(recipe, mask_weight=2.0), command=command)


def test_hold_out():
    kept, held = hold_out(64)
    assert len(held) == 4 and sorted(kept + held) == list(range(64))
    assert hold_out(2) == ([0], [1])
    with pytest.raises(ValueError, match="at least 2"):
        hold_out(1)


def test_recipes_are_json():
    for recipe in RECIPES.values():
        assert json.loads(json.dumps(asdict(recipe)))["config"] == recipe.config
    with pytest.raises(ValueError, match="config 'large'"):
        GMMRecipe(config="large", sizes=((128, 96),), stages=(TrainConfig(steps=1),))


# ---- the measure ---------------------------------------------------------------------------------------------------


def test_the_truth_scores_as_the_oracle_does():
    sample, theta = exact_sample(strength=0.2)
    table = evaluate_warp(Known(theta).eval(), [sample], silhouette=True).summary()
    learned, oracle, silhouette, affine, identity = table.values()
    assert list(table) == ["learned", "oracle", "silhouette", "affine", "identity"]
    assert silhouette["iou"].mean > oracle["iou"].mean - 0.01 and silhouette["flow_mean"].mean < 3
    assert learned["iou"].mean > 0.999 and learned["flow_mean"].mean < 1e-3 and learned["within_3"].mean == 1
    assert learned["l1"].mean < 1e-3 and learned["ssim"].mean > 0.99
    assert oracle["flow_mean"].mean < 0.2 and oracle["iou"].mean > 0.97 and oracle["iou_share"].mean == 1
    assert oracle["flow_mean"].mean < affine["flow_mean"].mean < identity["flow_mean"].mean
    assert identity["iou"].mean < 0.95 and identity["iou_share"].mean < 1


def test_what_is_hidden_counts_neither_way():
    sample, theta = exact_sample()
    gmm = Known(theta).eval()
    counted = evaluate_warp(gmm, [replace(sample, truth=replace(sample.truth, hidden=None))])
    assert evaluate_warp(gmm, [sample]).column("learned", "iou")[0] > 0.999
    assert counted.column("learned", "iou")[0] < 0.99


def test_without_the_true_flow_the_oracle_is_left_out():
    sample, theta = exact_sample()
    result = evaluate_warp(Known(theta).eval(), [replace(sample, truth=None)])
    assert result.methods == ["learned", "identity"]
    assert math.isnan(result.column("learned", "flow_mean")[0])
    assert "iou_share" not in result.summary()["learned"]


def test_shape_contexts_are_measured_with_a_predicted_and_with_the_true_mask():
    sample, theta = exact_sample()
    shifted = evaluate_warp(Known(theta).eval(), [sample], target_mask=lambda batch: batch.worn_mask.roll(8, -1))
    true = evaluate_warp(Known(theta).eval(), [sample], target_mask=lambda batch: batch.worn_mask)
    assert shifted.methods == ["learned", "shape-context", "shape-context, true mask", "oracle", "affine", "identity"]
    for result in (shifted, true):
        (best,) = result.column("shape-context, true mask", "iou")
        assert best > 0.9 and best > result.column("identity", "iou")[0] + 0.02
        assert result.column("learned", "flow_mean") < result.column("shape-context, true mask", "flow_mean")
    assert shifted.column("shape-context", "iou")[0] < best - 0.1, "a wrong mask costs overlap"
    assert true.column("shape-context", "iou") == [best]
    assert true.failures == {} and "failed" not in true.table()


def test_where_shape_contexts_fail_is_counted_and_not_replaced(tmp_path):
    samples = [exact_sample(seed)[0] for seed in range(3)]

    def nothing_for_the_second(batch):
        mask = batch.worn_mask.clone()
        mask[1] = 0
        return mask

    result = evaluate_warp(Known(torch.zeros(3, 50)).eval(), samples, target_mask=nothing_for_the_second)
    assert result.failures == {"shape-context": 1}
    rows = [row for row in result.rows if row["method"] == "shape-context"]
    assert [row["failed"] for row in rows] == [False, True, False]
    assert all(math.isnan(rows[1][number]) for number in NUMBERS)
    assert all(math.isfinite(rows[index][number]) for index in (0, 2) for number in NUMBERS)
    assert result.summary()["shape-context"]["iou"].count == 2
    assert result.summary()["shape-context, true mask"]["iou"].count == 3
    assert "shape-context failed on 1 of 3 samples" in result.table()
    report = json.loads(result.write(tmp_path)[1].read_text())
    assert report["failures"] == {"shape-context": 1}


def test_a_batch_is_measured_like_its_samples():
    samples = [exact_sample(seed)[0] for seed in range(3)]
    gmm = GMM(GMM_COURSE).eval()
    nn.init.normal_(gmm.regression.linear.weight, std=0.02)
    together, alone = evaluate_warp(gmm, samples, batch_size=2), evaluate_warp(gmm, samples, batch_size=1)
    assert together.methods == ["learned", "oracle", "affine", "identity"]
    for method in together.methods:
        for number in ("iou", "flow_mean", "l1", "ssim"):
            one, other = together.column(method, number), alone.column(method, number)
            assert np.allclose(one, other, atol=2e-3), (method, number)
    assert len(evaluate_warp(gmm, samples, limit=2).column("learned", "iou")) == 2
    with pytest.raises(ValueError, match="empty"):
        evaluate_warp(gmm, [])
    with pytest.raises(ValueError, match="training mode"):
        evaluate_warp(gmm.train(), samples)


def test_paper_networks_are_measured_in_their_own_convention():
    sample, _ = exact_sample(size=(64, 48))
    batch = gmm_batch(collate([sample]))
    grid = flow_to_grid(batch.flow, (64, 48), align_corners=True)
    numbers = measure_grid(grid, batch, align_corners=True)
    assert numbers["flow_mean"][0] < 1e-4 and numbers["l1"][0] < 1e-3
    gmm = SimpleNamespace(config=replace(GMM_PAPER), warp=GMM.warp)
    assert gmm.config.align_corners


def test_best_affine_finds_an_affine_map():
    centres = pixel_centres((20, 16), align_corners=False)
    affine = torch.stack(
        [0.9 * centres[..., 0] - 0.1 * centres[..., 1] + 0.05, 0.2 * centres[..., 0] + centres[..., 1]], -1
    )
    flow = grid_to_flow(affine[None], (20, 16), align_corners=False)
    flow[..., :3, :] = torch.nan
    visible = torch.zeros(1, 1, 20, 16)
    visible[..., 2:15, 4:12] = 1
    assert torch.allclose(best_affine(flow, visible), affine[None], atol=1e-5)
    with pytest.raises(ValueError, match="sample 0 has 0 visible"):
        best_affine(flow, torch.zeros_like(visible))


def test_bootstrap():
    values = np.random.default_rng(0).normal(5, 2, 400)
    estimate = bootstrap([*values, math.nan])
    assert math.isclose(estimate.mean, values.mean()) and estimate.count == 400
    half = 1.96 * values.std() / 20  # what theory says
    assert (
        abs(estimate.high - estimate.mean - half) < 0.15 * half
        and abs(estimate.mean - estimate.low - half) < 0.15 * half
    )
    assert bootstrap([2.0, 4.0], [1.0, 2.0]).mean == 2.0
    ratio = bootstrap(values, 2 * values)
    assert math.isclose(ratio.low, 0.5) and math.isclose(ratio.high, 0.5)
    assert bootstrap([math.nan]).count == 0 and math.isnan(bootstrap([]).mean)


def test_the_report_can_be_read_again(tmp_path):
    samples = [exact_sample(seed)[0] for seed in range(2)]
    result = evaluate_warp(Known(torch.zeros(2, 50)).eval(), samples)
    text = result.table()
    assert "2 samples at 128x96" in text and all(method in text for method in result.methods)
    paths = result.write(tmp_path / "report", {"weights": {"recipe": "x"}})
    with paths[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 and float(rows[0]["iou"]) == result.rows[0]["iou"]
    report = json.loads(paths[1].read_text())
    assert report["summary"]["oracle"]["iou_share"]["mean"] == 1.0 and report["weights"] == {"recipe": "x"}


def test_files_of_a_data_set_end_to_end(data):
    dataset = open_dataset(data, split="test", pairing="paired", size=SIZE)
    system = load_system("cp-vton", weights=None)
    result = evaluate_warp(system.stages["gmm"], dataset)
    assert result.column("learned", "iou") == result.column("identity", "iou"), "an untrained course GMM does not move"
    batch = gmm_batch(collate([dataset[0], dataset[1]]))
    assert isinstance(batch, GMMBatch)
    warped, mask, _ = warp_garment(system.stages["gmm"], batch)
    assert torch.allclose(warped, batch.garment, atol=1e-4) and torch.allclose(mask, batch.garment_mask, atol=1e-4)


def test_only_the_main_piece_of_a_warped_garment_is_laid():
    mask = torch.zeros(2, 1, 8, 8)
    mask[:, :, 2:7, 2:7] = 0.9
    mask[0, 0, 0, 0] = 1  # a corner that the extrapolated spline brought back
    mask[1, 0, 1, 1] = 1  # touches the garment across a corner
    kept = main_piece(mask)
    assert kept[0].sum() == mask[0].sum() - 1 and kept[0, 0, 0, 0] == 0
    assert torch.equal(kept[1], mask[1]) and mask[0, 0, 0, 0] == 1
    assert torch.equal(main_piece(torch.zeros(1, 4, 4)), torch.zeros(1, 4, 4))
