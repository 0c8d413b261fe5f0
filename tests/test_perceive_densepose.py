"""DensePose: the small U-Net, decoding at any size, charts in the mirror, IUV files, losses, training from files."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.labels import DENSEPOSE_MIRROR
from vtonlib.layouts.viton_hd import DENSEPOSE_PALETTE
from vtonlib.perceive.densepose import (
    FILE,
    DensePoseConfig,
    DensePoseEstimator,
    DensePoseMaps,
    DensePoseNet,
    decode,
    densepose_from_iuv,
    densepose_picture,
    iuv_array,
    load_densepose,
    mirror_densepose,
    point_is_known,
    swap_sides,
    working_size,
)
from vtonlib.perceive.small_unet import SmallUNet, SmallUNetConfig
from vtonlib.systems.densepose_training import (
    IGNORED,
    RECIPES,
    SurfaceBatch,
    augment,
    densepose_terms,
    pack,
    soft_overlap,
    surface_errors,
    surface_loss,
    train_densepose,
    unpacked,
)
from vtonlib.systems.memory import NO_AUGMENTATION, PackedCache

SMALL = DensePoseConfig(widths=(8, 8, 8, 8, 8))
STILL = replace(RECIPES["smoke"], augmentation=NO_AUGMENTATION)


def some_densepose(size=(12, 10), seed=0) -> torch.Tensor:
    """Parts at random; U, V on the levels that a file has, off the ends; a tenth of the points not known."""
    generator = torch.Generator().manual_seed(seed)
    part = torch.randint(0, 25, size, generator=generator).float()
    surface = torch.randint(20, 220, (2, *size), generator=generator) / 255
    known = (part > 0) & (torch.rand(size, generator=generator) > 0.1)
    return torch.cat([part[None], surface * known])


# ---- the network ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
def test_small_unet_keeps_the_size_and_refuses_what_it_cant_halve(stride):
    config = SmallUNetConfig(in_channels=4, out_channels=3, widths=(8, 8, 8), first_stride=stride)
    network = SmallUNet(config)
    assert config.multiple == 4 * stride
    assert network(torch.zeros(2, 4, 16, 24)).shape == (2, 3, 16, 24)
    assert network.features(torch.zeros(2, 4, 16, 24)).shape == (2, 8, 16 // stride, 24 // stride)
    with pytest.raises(ValueError, match=f"multiples of {4 * stride}, got 18x16"):
        network(torch.zeros(1, 4, 18, 16))
    with pytest.raises(ValueError, match=r"expected \(B, 4, H, W\), got \(1, 3, 16, 16\)"):
        network(torch.zeros(1, 3, 16, 16))
    for wrong in ({"widths": (8,)}, {"first_stride": 3}):
        with pytest.raises(ValueError, match="SmallUNetConfig: expected"):
            SmallUNetConfig(**wrong)


@pytest.mark.parametrize("stride", [1, 2])
def test_nothing_is_shifted_by_halving_and_enlarging(stride):
    """With kernels that are their own mirror images, the mirrored picture gives the mirrored maps."""
    torch.manual_seed(0)
    network = SmallUNet(SmallUNetConfig(out_channels=2, widths=(6, 6, 6), first_stride=stride)).eval()
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.copy_((layer.weight + layer.weight.flip(-1)) / 2)
        head = network.head  # the values for the pixels of a row of a cell are alike
        head.weight.copy_(head.weight[:: stride**2].repeat_interleave(stride**2, 0))
        head.bias.copy_(head.bias[:: stride**2].repeat_interleave(stride**2, 0))
    picture = torch.rand(1, 3, 16, 24)
    maps = network(picture)
    assert maps.std() > 1e-3
    assert torch.allclose(network(picture.flip(-1)), maps.flip(-1), atol=1e-5)


def test_the_course_network_is_small():
    network = DensePoseNet(DensePoseConfig())
    assert sum(weight.numel() for weight in network.parameters()) <= 1_200_000
    maps = network(torch.zeros(1, 3, 64, 96))
    shapes = [tuple(each.shape) for each in maps]
    assert shapes == [(1, 25, 64, 96), (1, 24, 32, 48), (1, 24, 32, 48)]


# ---- decoding and the estimator ------------------------------------------------------------------------------------


def test_decoding_reads_u_and_v_of_the_part_that_wins():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 25, 8, 12, generator=generator)
    u, v = torch.rand(2, 2, 24, 4, 6, generator=generator)
    densepose = decode(DensePoseMaps(logits, u, v), (8, 12))
    part = logits.argmax(1)
    assert torch.equal(densepose[:, 0].long(), part)
    for channel, values in ((1, u), (2, v)):
        whole = functional.interpolate(values, (8, 12), mode="bilinear", align_corners=False)
        padded = torch.cat([torch.zeros(2, 1, 8, 12), whole], 1)
        assert torch.allclose(densepose[:, channel], padded.gather(1, part[:, None])[:, 0], atol=1e-5)
    box = decode(DensePoseMaps(logits, u, v), (4, 3), (0.25, 0.5, 0.5, 1.0))
    assert torch.allclose(box, densepose[:, :, 4:, 3:6], atol=1e-5)


class Bright(torch.nn.Module):
    """A network that sees part 7 where the picture is bright, with U across and V down the picture it is given."""

    multiple = 32

    def forward(self, picture):
        self.seen = picture
        on = picture.mean(1, keepdim=True)
        logits = torch.cat([-on, *[torch.full_like(on, -9.0)] * 6, on, *[torch.full_like(on, -9.0)] * 17], 1)
        half = [side // 2 for side in picture.shape[-2:]]
        v, u = torch.meshgrid(*((torch.arange(n) + 0.5) / n for n in half), indexing="ij")
        return DensePoseMaps(logits, u.expand(len(picture), 24, -1, -1), v.expand(len(picture), 24, -1, -1))


@pytest.mark.parametrize("size", [(64, 48), (90, 200), (300, 70), (40, 400), (1100, 825)])
def test_the_estimator_gives_things_where_they_are_at_any_size(size):
    height, width = size
    picture = torch.full((3, height, width), -1.0)
    rows, columns = slice(height // 4, height // 2), slice(width // 3, width)
    picture[:, rows, columns] = 1.0
    network = Bright()
    densepose = DensePoseEstimator(network)(picture)
    truth, guess = picture[0] > 0, densepose[0] == 7
    assert densepose.shape == (3, height, width)
    step = max(1, round(height / network.seen.shape[-2]), round(width / network.seen.shape[-1]))
    wrong = functional.max_pool2d((truth != guess)[None].float(), 1)[0].nonzero()
    edges = (
        (wrong - torch.tensor([[height // 4, width // 3]]))
        .abs()
        .minimum((wrong - torch.tensor([[height // 2, width]])).abs())
    )
    assert not len(wrong) or int(edges.min(1).values.max()) <= step, "only the outline may differ"
    inside = point_is_known(densepose)
    across = densepose[1].masked_fill(~inside, torch.nan).nanmean(0)[columns]
    assert (across.diff()[across.diff().isfinite()] >= 0).all()


def test_the_aspect_is_kept_and_padded_to_what_the_network_takes():
    assert working_size((1024, 768), 32) == (256, 192)
    assert working_size((100, 100), 32) == (256, 256)
    assert working_size((100, 1000), 32) == (64, 512)
    assert working_size((4000, 10), 32) == (256, 32)
    network = Bright()
    picture = torch.rand(2, 3, 128, 75) * 2 - 1  # 256 x 150 at its height, so 21 columns on either side
    DensePoseEstimator(network)(picture)
    assert network.seen.shape == (2, 3, 256, 160)
    assert torch.equal(network.seen[..., :5], network.seen[..., 5:6].expand(-1, -1, -1, 5)), "the border is repeated"
    assert not torch.equal(network.seen[..., 5], network.seen[..., 6])


def test_what_is_no_picture_is_refused():
    estimator = DensePoseEstimator(DensePoseNet(SMALL))
    for wrong, message in (
        (torch.zeros(1, 40, 40), r"picture: expected floats \(3, H, W\)"),
        (torch.zeros(3, 40, 0), r"got torch\.float32 \(3, 40, 0\)"),
        (torch.full((3, 40, 40), 255.0), r"expected values in \[-1, 1\], got 255 to 255"),
        (torch.full((3, 40, 40), torch.nan), "got nan to nan"),
    ):
        with pytest.raises(ValueError, match=message):
            estimator(wrong)


def test_a_batch_is_as_each_of_its_pictures():
    torch.manual_seed(0)
    estimator = DensePoseEstimator(DensePoseNet(SMALL))
    pictures = torch.rand(2, 3, 50, 40) * 2 - 1
    together = estimator(pictures)
    assert together.shape == (2, 3, 50, 40)
    single = torch.stack([estimator(picture) for picture in pictures])
    assert (together[:, 0] == single[:, 0]).float().mean() > 0.999
    assert together[:, 0].max() <= 24 and together[:, 1:].min() >= 0 and together[:, 1:].max() <= 1


# ---- mirror, pictures, files ---------------------------------------------------------------------------------------


def test_twice_mirrored_is_as_before():
    densepose = some_densepose()
    mirrored = mirror_densepose(densepose)
    assert not torch.equal(mirrored, densepose)
    assert torch.allclose(mirror_densepose(mirrored), densepose, atol=1e-6)
    assert torch.equal(point_is_known(mirrored), point_is_known(densepose).flip(-1)), "what isn't known stays so"


def test_the_mirrored_body_is_that_of_the_studio():
    """Vertices of the studio's body against their mirror images: parts and charts, by its own table."""
    from scipy.spatial import cKDTree

    from vtonlib.studio.body import body_pack

    pack_ = body_pack()
    vertices, part = pack_.canonical.vertices, pack_.densepose_part.astype(np.int64)
    distance, image = cKDTree(vertices).query(vertices * [-1, 1, 1])
    there = distance < 1e-3
    densepose = torch.from_numpy(np.concatenate([part[:, None], pack_.densepose_uv], 1).T[:, None]).float()
    swapped = swap_sides(densepose)[:, 0].numpy()
    same = (swapped[0] == part[image]) & there
    assert same.mean() > 0.99
    assert np.abs(vertices[there & ~same, 0]).max() < 1e-4, "only the body's middle line belongs to one side"
    error = np.abs(swapped[1:] - pack_.densepose_uv[image].T).max(0)
    assert all((error[same & (part == k)] > 0.003).mean() < 0.005 for k in range(1, 25)), "all but where angles wrap"
    assert set(np.unique(part[same])) == set(range(1, 25))


def test_a_studio_sample_as_iuv_array_is_the_file_it_came_from(studio_root):
    dataset = open_dataset(studio_root, split="test", size=None)
    sample = dataset[0]
    stored = np.asarray(Image.open(next((studio_root / "test" / "densepose-iuv").glob(f"{sample.name}.png"))))
    assert np.array_equal(iuv_array(sample.densepose), stored)
    assert torch.allclose(densepose_from_iuv(stored), sample.densepose, atol=1e-6)


def test_iuv_round_trip_and_what_is_refused():
    densepose = some_densepose()
    iuv = iuv_array(densepose)
    assert iuv.shape == (12, 10, 3) and iuv.dtype == np.uint8
    assert torch.allclose(densepose_from_iuv(iuv), densepose, atol=1e-6)
    with pytest.raises(ValueError, match="is it V, U, I"):
        densepose_from_iuv(np.ascontiguousarray(iuv[..., ::-1]))
    with pytest.raises(ValueError, match=r"iuv: expected \(H, W, 3\) uint8, got \(12, 10, 3\) float32"):
        densepose_from_iuv(iuv.astype(np.float32))
    with pytest.raises(ValueError, match="one densepose"):
        iuv_array(densepose[None])
    with pytest.raises(ValueError, match="u and v in"):
        iuv_array(densepose * torch.tensor([1.0, 255.0, 255.0])[:, None, None])
    with pytest.raises(ValueError, match="whole parts from 0 to 24"):
        iuv_array(densepose + 0.5)


def test_the_picture_has_the_colours_of_the_layout():
    densepose = some_densepose()
    picture = densepose_picture(torch.stack([densepose, densepose.flip(-1)]))
    assert picture.shape == (2, 3, 12, 10)
    levels = (picture[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)
    assert np.array_equal(levels, DENSEPOSE_PALETTE[densepose[0].long().numpy()])


# ---- the losses ----------------------------------------------------------------------------------------------------


def test_soft_overlap_is_one_minus_iou_where_guesses_are_certain():
    part = torch.tensor([[[0, 0, 1, 1, 2, IGNORED]]])
    guess = torch.tensor([[[0, 1, 1, 1, 3, 3]]])
    scores = functional.one_hot(guess, 4).permute(0, 3, 1, 2).float().clamp(min=1e-12).log()
    wanted = 1 - np.mean([1 / 2, 2 / 3, 0])  # labels 0, 1, 2; 3 doesn't occur
    assert float(soft_overlap(scores, part)) == pytest.approx(wanted, abs=1e-5)
    assert float(soft_overlap(scores, torch.full_like(part, IGNORED))) == 0
    everywhere_right = functional.one_hot(part.clamp(max=3), 4).permute(0, 3, 1, 2).float().clamp(min=1e-12).log()
    assert float(soft_overlap(everywhere_right, part)) == pytest.approx(0, abs=1e-5)


def test_u_and_v_are_learned_at_the_true_part_and_where_they_are_known():
    densepose = some_densepose((8, 8))
    part, known = densepose[None, 0].long(), point_is_known(densepose)[None]
    batch = SurfaceBatch(torch.zeros(1, 3, 8, 8), part, densepose[None, 1:], known)
    u = torch.full((1, 24, 4, 4), 0.3, requires_grad=True)
    v = torch.full((1, 24, 4, 4), 0.3)
    loss = surface_loss(DensePoseMaps(torch.zeros(1, 25, 8, 8), u, v), batch)
    assert float(loss.detach()) == pytest.approx(float((densepose[1:, known[0]] - 0.3).abs().mean()), abs=1e-6)
    loss.backward()
    touched = torch.zeros(24, 4, 4, dtype=torch.bool)
    for row, column in known[0].nonzero().tolist():
        touched[int(densepose[0, row, column]) - 1, row // 2, column // 2] = True
    assert not u.grad[0][~touched].any() and u.grad[0][touched].bool().float().mean() > 0.9
    nothing = batch._replace(known=torch.zeros_like(known))
    assert float(surface_loss(DensePoseMaps(torch.zeros(1, 25, 8, 8), u.detach(), v), nothing)) == 0


def test_errors_of_u_and_v():
    densepose = torch.tensor([[2.0, 2.0, 0.0, 6.0], [0.5, 0.5, 0.0, 0.0], [0.5, 0.25, 0.0, 0.0]]).reshape(1, 3, 1, 4)
    batch = SurfaceBatch(torch.zeros(1, 3, 1, 4), densepose[:, 0].long(), densepose[:, 1:], point_is_known(densepose))
    guess = torch.tensor([[2.0, 1.0, 0.0, 6.0], [0.5, 0.5, 0.0, 0.9], [0.25, 0.5, 0.0, 0.9]]).reshape(1, 3, 1, 4)
    assert surface_errors(guess, batch).tolist() == [0.25, 1.0, 0.5, 2.0]  # the foot's point isn't known


# ---- data and training ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache(studio_root):
    dataset = open_dataset(studio_root, split="train", size=(64, 64))  # 64x48 within, so there is padding
    return PackedCache(dataset, range(4), pack)


def test_padding_does_not_count_and_the_rest_is_the_sample(cache, studio_root):
    sample = open_dataset(studio_root, split="train", size=(64, 64))[0]
    batch = unpacked(cache.batch([0]))
    assert sample.padding == (8, 0, 8, 0)
    assert (batch.part[..., :8] == IGNORED).all() and (batch.part[..., 56:] == IGNORED).all()
    assert torch.equal(batch.part[0, :, 8:56].float(), sample.densepose[0, :, 8:56])
    assert torch.allclose(batch.surface[0], sample.densepose[1:], atol=1e-6)
    assert torch.equal(batch.known[0], point_is_known(sample.densepose))


def test_a_mirrored_training_picture_has_the_mirrored_truth(cache, studio_root):
    strength = replace(NO_AUGMENTATION, mirror=1.0)
    recipe = replace(RECIPES["smoke"], augmentation=strength, light=0.0, saturation=0.0)
    batch = augment(cache.batch(range(4)), recipe, torch.Generator().manual_seed(0))
    wanted = mirror_densepose(open_dataset(studio_root, split="train", size=(64, 64))[2].densepose)
    counted = batch.part[2] != IGNORED
    assert torch.equal(batch.part[2][counted].float(), wanted[0][counted])
    assert torch.allclose(batch.surface[2][:, counted], wanted[1:, counted], atol=1e-5)
    still = augment(cache.batch(range(4)), STILL, torch.Generator().manual_seed(0))
    left = sum(int((still.part == k).sum()) for k in range(1, 25))
    assert left == sum(int((batch.part == DENSEPOSE_MIRROR[k]).sum()) for k in range(1, 25))


def test_beyond_the_picture_nothing_counts(cache):
    recipe = replace(STILL, augmentation=replace(NO_AUGMENTATION, shift=0.9))
    batch = augment(cache.batch(range(4)), recipe, torch.Generator().manual_seed(1))
    before = unpacked(cache.batch(range(4)))
    assert (batch.part == IGNORED).sum() > (before.part == IGNORED).sum()
    assert not batch.known[batch.part == IGNORED].any()
    assert batch.picture.isfinite().all() and batch.picture.abs().max() <= 1


def test_a_few_steps_lower_every_term(cache):
    torch.manual_seed(0)
    net = DensePoseNet(SMALL)
    batch = unpacked(cache.batch(range(4)))
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-2)
    history = []
    for _ in range(10):
        terms = densepose_terms(net, batch, STILL)
        history.append({name: float(value.detach()) for name, value in terms.items()})
        optimiser.zero_grad()
        sum(terms.values()).backward()
        optimiser.step()
    for name, first in history[0].items():
        assert history[-1][name] < 0.99 * first, name


def test_training_from_files_to_weights_and_again(studio_root, tmp_path):
    options = {"recipe": RECIPES["smoke"], "command": "a line", "limit": 12}
    path = train_densepose([studio_root, studio_root], tmp_path / "run", **options)
    metadata = read_metadata(path)
    assert (metadata["system"], metadata["stage"], metadata["command"]) == ("perceive", "densepose", "a line")
    assert len(metadata["data"]) == 2 and metadata["metrics"]["held out, 64x64"]["held_out"] == 2
    assert (tmp_path / "run" / "64x64" / "pictures" / "000002.png").is_file()
    before = path.read_bytes()
    path.unlink()
    assert train_densepose([studio_root, studio_root], tmp_path / "run", **options).read_bytes() == before
    estimator = load_densepose(path)
    assert estimator.network.config == RECIPES["smoke"].config and not estimator.network.training
    assert estimator(torch.zeros(3, 64, 48)).shape == (3, 64, 48)
    with pytest.raises(ValueError, match="another run"):
        train_densepose([studio_root], tmp_path / "run", **options)
    with pytest.raises(ValueError, match="a stage for each"):
        replace(RECIPES["smoke"], sizes=((64, 64),))


def test_a_killed_run_ends_with_the_same_weights(studio_root, tmp_path, monkeypatch):
    options = {"recipe": RECIPES["smoke"], "command": "a line", "limit": 8}
    whole = train_densepose([studio_root], tmp_path / "whole", **options).read_bytes()
    import vtonlib.systems.densepose_training as module

    asked, original = [], module.augment

    def killed(*arguments):
        asked.append(1)
        if len(asked) == 3:  # in the first step of the second size
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(module, "augment", killed)
    with pytest.raises(KeyboardInterrupt):
        train_densepose([studio_root], tmp_path / "killed", **options)
    monkeypatch.setattr(module, "augment", original)
    assert train_densepose([studio_root], tmp_path / "killed", **options).read_bytes() == whole


def test_files_that_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.safetensors: no such weights file; it is made by: python -m"):
        load_densepose(tmp_path / "none.safetensors")
    about = {"system": "perceive", "stage": "pose", "config": {}}
    path = save_weights(tmp_path / "pose.safetensors", DensePoseNet(SMALL), about)
    with pytest.raises(ValueError, match="stage 'densepose', got 'perceive', 'pose'"):
        load_densepose(path)


def test_the_course_weights_find_people_of_the_studio(studio_root):
    assert (WEIGHTS_FOLDER / FILE).stat().st_size <= 2.5 * 2**20
    estimator, dataset = load_densepose(), open_dataset(studio_root, split="test", size=(256, 192))
    shares = []
    for index in range(4):
        sample = dataset[index]
        guess, body = estimator(sample.person)[0], sample.densepose[0] > 0
        shares.append(float((guess == sample.densepose[0])[body].float().mean()))
    assert np.mean(shares) > 0.75
