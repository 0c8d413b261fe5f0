"""Garment masks: backends and their messages, sizes, tidying, the scenes that networks learn from, their training."""

import builtins
import json
import sys
import types
from dataclasses import replace

import pytest
import torch
from PIL import Image
from synthetic import REAL, needs_real

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.metrics import iou
from vtonlib.perceive.fitting import fitted
from vtonlib.perceive.garment_mask import (
    BACKENDS,
    NETWORKS,
    GarmentMaskConfig,
    GarmentMasker,
    build_network,
    course_values,
    garment_mask,
    load_garment_mask,
    mask_logits,
    one_piece,
    weights_file,
)
from vtonlib.perceive.u2net import U2NETP, U2Net, published_input, published_output
from vtonlib.systems.garment_mask_scenes import (
    backgrounds,
    bleached,
    compressed,
    cosines,
    edge_filled,
    room_behind,
    shaded,
)
from vtonlib.systems.garment_mask_training import RECIPES, MaskBatch, mask_terms, pack, shop_scenes, train_garment_mask
from vtonlib.systems.memory import NO_AUGMENTATION, PackedCache

TINY = {"widths": (4, 6, 8), "size": (64, 48)}


def tiny(network: str = "unet", **other) -> GarmentMaskConfig:
    return GarmentMaskConfig(network=network, **{**TINY, **other})


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---- networks and pictures of any size -----------------------------------------------------------------------------


def test_networks_of_the_same_size():
    counts = {}
    for network in NETWORKS:
        module = build_network(GarmentMaskConfig(network=network))
        counts[network] = sum(weight.numel() for weight in module.parameters())
        maps = mask_logits(module.eval(), torch.zeros(1, 3, 64, 64))
        assert [tuple(each.shape) for each in maps] == [(1, 1, 64, 64)] * (7 if network == "u2netp" else 1)
    assert counts["u2netp"] == 1_131_181 and counts["unet"] == pytest.approx(counts["u2netp"], rel=0.05)


def test_configs_that_are_refused():
    with pytest.raises(ValueError, match="expected one of unet, u2netp, got 'vnet'"):
        GarmentMaskConfig(network="vnet")
    with pytest.raises(ValueError, match=r"multiples of 16 from 32 on, got \(250, 192\)"):
        GarmentMaskConfig(size=(250, 192))


@pytest.mark.parametrize("size", [(64, 48), (90, 90), (40, 130), (201, 77)])
def test_pictures_are_padded_never_squashed(size):
    picture = torch.linspace(-1, 1, size[1]).expand(1, 3, *size)
    inside, (left, top, right, bottom) = fitted(picture, (64, 48), "border")
    assert inside.shape == (1, 3, 64, 48) and min(left, top) >= 0 and right <= 48 and bottom <= 64
    assert right - left == 48 or bottom - top == 64
    assert (bottom - top) / (right - left) == pytest.approx(size[0] / size[1], rel=0.05)
    assert torch.equal(inside[..., top, :left], inside[..., top, left : left + 1].expand(-1, -1, left))
    assert float(inside[..., left:right].diff(dim=-1).min()) >= -1e-6, "the picture's slope goes on"


def test_a_mask_lies_where_the_picture_has_its_garment():
    """With a network that says what is dark, the outline comes back to a pixel at any size."""

    class Dark(torch.nn.Module):
        def forward(self, picture):
            return -4 * picture[:, :1]

    masker = GarmentMasker("dark", lambda pictures: course_values(Dark(), (64, 48), pictures))
    for height, width in ((128, 96), (301, 200), (64, 128)):
        picture = torch.ones(2, 3, height, width)
        picture[:, :, height // 4 : height // 2, width // 3 : 2 * width // 3] = -1
        mask = masker(picture)
        assert mask.shape == (2, 1, height, width) and set(mask.unique().tolist()) == {0.0, 1.0}
        grown = torch.nn.functional.max_pool2d(mask, 5, 1, 2), 1 - torch.nn.functional.max_pool2d(1 - mask, 5, 1, 2)
        true = (picture[:, :1] < 0).float()
        assert (true <= grown[0]).all() and (grown[1] <= true).all()
    assert masker(picture[0]).shape == (1, 1, 64, 128)


def test_pictures_that_are_refused():
    masker = GarmentMasker("any", lambda pictures: pictures[:, :1])
    for picture in (torch.zeros(1, 1, 8, 8), torch.zeros(8, 8), torch.zeros(0, 3, 8, 8)):
        with pytest.raises(ValueError, match="picture: expected"):
            masker(picture)
    with pytest.raises(ValueError, match="values in \\[-1, 1\\], got 0 to 255"):
        masker(torch.tensor([0.0, 255.0]).expand(3, 4, 2))
    with pytest.raises(ValueError, match="got nan"):
        masker(torch.full((3, 4, 4), torch.nan))


def test_one_piece():
    mask = torch.zeros(3, 1, 60, 60)
    mask[0, 0, 10:50, 10:50] = 1
    mask[0, 0, 2:4, 2:4] = 1  # a speck
    mask[0, 0, 20, 20] = 0  # a pinhole, a 1600th of the mask
    mask[0, 0, 30:40, 30:40] = 0  # a gap
    mask[1, 0, 5:10, 5:10] = mask[1, 0, 10:15, 10:15] = 1  # joined at a corner
    tidy = one_piece(mask)
    assert tidy[0, 0, 2:4, 2:4].sum() == 0 and tidy[0, 0, 20, 20] == 1 and tidy[0, 0, 30:40, 30:40].sum() == 0
    assert torch.equal(tidy[1], mask[1]) and tidy[2].sum() == 0
    assert one_piece(mask, largest=False)[0, 0, 2, 2] == 1 and one_piece(mask, fill=False)[0, 0, 20, 20] == 0
    assert tidy.dtype == mask.dtype
    with pytest.raises(ValueError, match="one_piece: expected masks"):
        one_piece(mask[:, 0])


# ---- backends ------------------------------------------------------------------------------------------------------


def test_backends_and_weights_that_are_refused(tmp_path):
    with pytest.raises(ValueError, match=f"expected one of {', '.join(BACKENDS)}, got 'sam'"):
        load_garment_mask("sam")
    with pytest.raises(
        FileNotFoundError, match=r"no\.safetensors: no such weights file; it is made by: python -m vton"
    ):
        load_garment_mask("unet", tmp_path / "no.safetensors")
    with pytest.raises(FileNotFoundError, match="'u2net': no weights"):
        load_garment_mask("u2net")
    with pytest.raises(FileNotFoundError, match=r"u2net\.pth: no such weights file$"):
        load_garment_mask("u2net", tmp_path / "u2net.pth")
    with pytest.raises(ValueError, match="'rembg' brings its own weights"):
        load_garment_mask("rembg", tmp_path / "u2net.onnx")
    other = save_weights(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"system": "perceive", "stage": "pose"})
    for backend in ("unet", "u2netp"):
        with pytest.raises(
            ValueError, match=rf"other\.safetensors: expected .* 'garment-mask-{backend}', got 'perceive', 'pose'"
        ):
            load_garment_mask(backend, other)


@pytest.mark.parametrize(("backend", "module"), [(b, b.split("-")[0]) for b in BACKENDS[3:]])
def test_a_package_that_is_not_installed(backend, module, monkeypatch):
    real_import = builtins.__import__

    def without(name, *arguments, **keywords):
        if name.split(".")[0] == module:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real_import(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=f"'{backend}' needs a package that does not come with the course: pip insta"):
        load_garment_mask(backend)


class Offline:
    def __init__(self, *arguments, **keywords):
        raise ConnectionError("no route to host")


def as_package(monkeypatch, path: str, **names) -> None:
    """Enter a module, and the packages that it is in, as if they were installed."""
    parts = path.split(".")
    for count in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:count]), types.ModuleType(".".join(parts[:count])))
    for name, value in names.items():
        setattr(sys.modules[path], name, value)


@pytest.mark.parametrize(
    ("backend", "path", "name", "file"),
    [
        ("rembg", "rembg", "new_session", r"u2net\.onnx in ~/\.u2net"),
        ("carvekit", "carvekit.ml.wrap.tracer_b7", "TracerUniversalB7", r"tracer_b7\.pth in ~/\.cache/carvekit"),
        ("carvekit-u2net", "carvekit.ml.wrap.u2net", "U2NET", r"u2net\.pth in ~/\.cache/carvekit"),
    ],
)
def test_a_package_without_a_network(backend, path, name, file, monkeypatch):
    as_package(monkeypatch, path, **{name: Offline})
    with pytest.raises(OSError, match=rf"'{backend}': .* put {file}.*ConnectionError: no route to host"):
        load_garment_mask(backend)


def dark_mask(image: Image.Image) -> Image.Image:
    assert image.mode == "RGB"
    return image.convert("L").point(lambda level: 255 if level < 100 else 0)


def test_what_packages_are_given_and_give(monkeypatch):
    class Wrapped:
        def __init__(self, device, batch_size):
            assert (device, batch_size) == ("cpu", 1)

        def __call__(self, images):
            return [dark_mask(image) for image in images]

    def remove(image, *, session, only_mask):
        assert session == "u2net session" and only_mask
        return dark_mask(image)

    as_package(monkeypatch, "rembg", new_session=lambda name: f"{name} session", remove=remove)
    as_package(monkeypatch, "carvekit.ml.wrap.tracer_b7", TracerUniversalB7=Wrapped)
    monkeypatch.setitem(sys.modules, "carvekit.ml.wrap.u2net", types.ModuleType("carvekit.ml.wrap.u2net"))
    sys.modules["carvekit.ml.wrap.u2net"].U2NET = Wrapped
    picture = torch.ones(2, 3, 20, 30)
    picture[:, :, 5:15, 10:20] = -0.9
    for backend in BACKENDS[3:]:
        assert torch.equal(garment_mask(picture, backend), (picture[:, :1] < 0).float())


def test_a_published_network_sees_and_answers_as_in_its_release(tmp_path):
    torch.manual_seed(0)
    network = U2Net(U2NETP).eval()
    torch.save(network.state_dict(), tmp_path / "u2netp.pth")
    picture = torch.rand(1, 3, 40, 30, generator=generator()) * 2 - 1
    with torch.no_grad():
        wanted = published_output(network(published_input(picture))[0], (40, 30))
    assert torch.allclose(load_garment_mask("u2netp", tmp_path / "u2netp.pth").probabilities(picture), wanted)


# ---- scenes --------------------------------------------------------------------------------------------------------


def test_a_cut_out_has_no_seam_of_its_old_ground():
    mask = torch.zeros(1, 1, 24, 24)
    mask[..., 6:18, 6:18] = 1
    garment = torch.where(mask > 0, torch.tensor([0.5, -0.5, -1.0])[:, None, None], 1.0)
    garment = torch.nn.functional.avg_pool2d(garment, 3, 1, 1)  # a soft outline, which has white in it
    filled = edge_filled(garment, mask)
    under = filled[..., 5:19, 5:19]
    assert torch.allclose(under, torch.tensor([0.5, -0.5, -1.0])[:, None, None].expand_as(under), atol=1e-5)
    strap = torch.zeros(1, 1, 24, 24)
    strap[..., 10:12] = 1
    assert torch.equal(edge_filled(garment, strap), garment), "too thin to have an inside"


def test_a_room_without_its_person():
    person, parse = torch.full((3, 64, 48), 0.5), torch.zeros(64, 48, dtype=torch.int64)
    parse[16:, 12:36] = 5
    person[:, 14:, 10:38] = -1.0
    room = room_behind(person, parse)
    assert room.shape == (3, 32, 24) and torch.allclose(room, torch.full_like(room, 0.5), atol=1e-5)
    assert torch.equal(room_behind(person, torch.full_like(parse, 5)), torch.zeros(3, 32, 24)), "nothing but a person"


def test_grounds_are_of_many_kinds_and_repeat_with_their_seed():
    rooms = torch.rand(60, 3, 16, 12, generator=generator()) * 2 - 1
    ground = backgrounds(rooms, (64, 48), generator(1))
    assert torch.equal(ground, backgrounds(rooms, (64, 48), generator(1)))
    assert ground.shape == (60, 3, 64, 48) and float(ground.min()) >= -1 and float(ground.max()) <= 1
    spread = ground.std((2, 3)).mean(1)
    assert (spread < 0.05).sum() > 5 and (spread > 0.2).sum() > 10
    assert ((ground.mean((1, 2, 3)) > 0.5) & (spread < 0.2)).sum() > 5, "a shop's near white"


def test_a_shadow_darkens_and_bleaching_spares_most():
    mask = torch.zeros(8, 1, 64, 48)
    mask[:, :, 20:40, 15:30] = 1
    ground = torch.full((8, 3, 64, 48), 0.8)
    shadow = shaded(ground, mask, generator())
    assert (shadow <= ground + 1e-6).all() and float(shadow.min()) > -1 + 1.8 * 0.64 and (shadow < 0.79).any()
    kept = bleached(400, generator())
    assert 0.65 < float((kept == 1).double().mean()) < 0.85 and float(kept.min()) >= 0.1


def test_errors_of_compression_are_small_and_in_blocks():
    assert torch.allclose(cosines() @ cosines().T, torch.eye(8), atol=1e-6)
    pictures = torch.rand(16, 3, 32, 24, generator=generator()) * 1.6 - 0.8
    error = (compressed(pictures, generator(2)) - pictures).abs().amax((1, 2, 3))
    assert 3 <= int((error < 1e-5).sum()) <= 13 and 0.02 < float(error.max()) < 0.8
    flat = torch.full((4, 3, 16, 16), 0.3)
    assert (compressed(flat, generator(3)) - flat).abs().max() <= 5 * 2 / 255 / 8 / 2 + 1e-5
    with pytest.raises(ValueError, match="multiples of 8, got 20x16"):
        compressed(torch.zeros(1, 3, 20, 16), generator())


@pytest.fixture(scope="module")
def cache(studio_root):
    return PackedCache(open_dataset(studio_root, split="train", size=(64, 48)), range(8), pack)


def test_scenes_keep_picture_and_mask_together(cache):
    """Where a garment was laid on another ground, the outline of the mask is one of the picture, too."""
    recipe = replace(RECIPES["smoke"], own_ground=0.0, light=0.0)
    batch = shop_scenes(cache.batch(range(8)), (64, 48), recipe, generator())
    assert batch.picture.shape == (8, 3, 64, 48) and batch.mask.shape == (8, 1, 64, 48)
    assert float(batch.picture.min()) >= -1 and float(batch.picture.max()) <= 1
    assert ((batch.mask > 0) & (batch.mask < 1)).any(), "outlines cross pixels"
    again = shop_scenes(cache.batch(range(8)), (64, 48), recipe, generator())
    assert torch.equal(batch.picture, again.picture) and torch.equal(batch.mask, again.mask)
    steep = batch.picture.diff(dim=-1).abs().mean(1)
    outline = (batch.mask[:, 0].diff(dim=-1).abs() > 0.5).float()
    here, shifted = ((steep * at).sum() / at.sum() for at in (outline, outline.roll(4, -1)))
    assert here > 1.5 * shifted
    small = shop_scenes(cache.batch(range(2)), (32, 24), recipe, generator())
    assert small.picture.shape == (2, 3, 32, 24)


def test_the_loss_is_least_at_the_soft_target():
    class Says(torch.nn.Module):
        def __init__(self, logits):
            super().__init__()
            self.logits = logits

        def forward(self, picture):
            return self.logits

    torch.manual_seed(0)
    target = torch.rand(2, 1, 16, 16) * 0.9 + 0.05
    batch, recipe = MaskBatch(torch.zeros(2, 3, 16, 16), target), RECIPES["smoke"]
    at = mask_terms(Says(torch.logit(target)), batch, recipe)
    assert float(at["overlap"]) == pytest.approx(0, abs=1e-5)
    for move in (0.3, -0.3):
        off = mask_terms(Says(torch.logit(target) + move), batch, recipe)
        assert off["overlap"] > at["overlap"] and off["mask"] > at["mask"]
    square = torch.zeros(1, 1, 32, 32)
    square[..., 8:24, 8:24] = 1
    wrong = []
    for place in (8, 16):  # one wrong pixel, at the outline and in the middle
        logits = torch.where(square > 0, 6.0, -6.0)
        logits[..., place, 16] = -6.0
        wrong.append(float(mask_terms(Says(logits), MaskBatch(torch.zeros(1, 3, 32, 32), square), recipe)["mask"]))
    assert wrong[0] > 2 * wrong[1]


# ---- training and the weights that come of it ----------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
def test_training_from_files_to_masks(network, studio_root, tmp_path):
    recipe = replace(RECIPES["smoke"], network=network)
    arguments = {"recipe": recipe, "command": "a line", "limit": 6}
    path = train_garment_mask([studio_root, studio_root], tmp_path / "run", **arguments)
    assert path.name == weights_file(network)
    metadata = read_metadata(path)
    json.dumps(metadata, allow_nan=False)
    assert metadata["system"] == "perceive" and metadata["stage"] == f"garment-mask-{network}"
    assert len(metadata["data"]) == 2 and metadata["command"] == "a line"
    assert metadata["metrics"]["held out, 128x96"]["held_out"] == 2
    before = path.read_bytes()
    assert train_garment_mask([studio_root, studio_root], tmp_path / "run", **arguments).read_bytes() == before
    mask = garment_mask(torch.zeros(3, 50, 70), network, path)
    assert mask.shape == (1, 1, 50, 70)
    other = "u2netp" if network == "unet" else "unet"
    with pytest.raises(ValueError, match="expected weights of system 'perceive'"):
        load_garment_mask(other, path)
    with pytest.raises(ValueError, match="holds another run"):
        train_garment_mask([studio_root], tmp_path / "run", **arguments)


def test_recipes_that_are_refused():
    for sizes in (((64, 48), (64, 48)), ((64, 64),)):
        with pytest.raises(ValueError, match="sizes: expected different ones of the aspect"):
            replace(RECIPES["smoke"], sizes=sizes)


def test_a_killed_training_goes_on_to_the_same_weights(studio_root, tmp_path, monkeypatch):
    from vtonlib.systems import garment_mask_training as module

    recipe = RECIPES["smoke"]
    recipe = replace(recipe, stages=tuple(replace(stage, checkpoint_every=1) for stage in recipe.stages))
    arguments = {"recipe": recipe, "command": "a line", "limit": 6}
    whole = train_garment_mask([studio_root], tmp_path / "whole", **arguments).read_bytes()
    calls, real = [], module.mask_terms

    def dies(*given):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(module, "mask_terms", dies)
    with pytest.raises(KeyboardInterrupt):
        train_garment_mask([studio_root], tmp_path / "killed", **arguments)
    assert not (tmp_path / "killed" / weights_file("unet")).exists()
    monkeypatch.setattr(module, "mask_terms", real)
    assert train_garment_mask([studio_root], tmp_path / "killed", **arguments).read_bytes() == whole


def test_a_network_learns_garments(cache):
    """A tiny U-Net, sixty steps on eight garments on plain grounds: it must know them far better than before."""
    torch.manual_seed(0)
    network, rows = build_network(tiny()), cache.batch(range(8))
    recipe = replace(RECIPES["smoke"], own_ground=1.0, augmentation=NO_AUGMENTATION)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for step in range(60):
        loss = sum(mask_terms(network, shop_scenes(rows, (64, 48), recipe, generator(step)), recipe).values())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])


@pytest.mark.parametrize("network", NETWORKS)
def test_the_course_weights_that_come_with_the_library(network, studio_root):
    path = WEIGHTS_FOLDER / weights_file(network)
    assert path.stat().st_size <= 2.5 * 2**20
    assert f"train garment-mask --network {network}" in read_metadata(path)["command"]
    dataset = open_dataset(studio_root, size=(128, 96))
    garments = [dataset[index].garment for index in range(4)]
    masks = load_garment_mask(network)(torch.stack([garment.image for garment in garments]))
    assert float(iou(masks, torch.stack([garment.mask for garment in garments])).mean()) > 0.9


@needs_real
@pytest.mark.real
@pytest.mark.parametrize("network", NETWORKS)
def test_the_six_real_garments(network):
    dataset = open_dataset(REAL, split="test", pairing="unpaired", size=None)
    masker, found = load_garment_mask(network), {}
    for index, (_, name) in enumerate(dataset.pairs):
        if name not in found:
            garment = dataset[index].garment
            found[name] = float(iou(masker(garment.image), garment.mask[None]))
    assert len(found) == 6 and sum(found.values()) / 6 >= 0.95, found
