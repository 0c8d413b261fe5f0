"""VITON's guess of where the garment will be: what it sees, what it is held to, its file and its training."""

import pytest
import torch
from exact import SIZE, exact_sample
from torch.nn import functional

from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata, save_weights
from vtonlib.data import open_dataset
from vtonlib.metrics import iou
from vtonlib.sample import collate
from vtonlib.systems.cp_vton_warp import gmm_batch
from vtonlib.systems.viton import MASK_FILE, MaskPredictor, load_mask_predictor
from vtonlib.systems.viton_training import RECIPES, mask_terms, train_mask


def test_prediction_has_the_size_of_the_batch_and_sees_no_worn_garment():
    sample = exact_sample(size=(256, 192))[0]
    predictor = load_mask_predictor(None)
    batch = gmm_batch(collate([sample]))
    mask = predictor.predict(batch)
    assert mask.shape == (1, 1, 256, 192) and mask.min() > 0 and mask.max() < 1
    assert predictor(batch).shape == (1, 1, 128, 96)
    other = gmm_batch(collate([exact_sample(size=(256, 192))[0]]))
    other.worn.zero_()
    other.worn_mask.zero_()
    assert torch.equal(predictor.predict(other), mask)


def test_hidden_pixels_do_not_count():
    batch = gmm_batch(collate([exact_sample(0)[0], exact_sample(1)[0]]))
    predictor = load_mask_predictor(None)
    loss = mask_terms(predictor, batch)["mask"]
    each = functional.binary_cross_entropy_with_logits(predictor(batch), batch.worn_mask, reduction="none")
    assert batch.hidden.any() and torch.allclose(loss, each[batch.hidden < 0.5].mean())


def test_the_course_weights_find_the_garment(studio_root):
    metadata = read_metadata(WEIGHTS_FOLDER / MASK_FILE)
    assert metadata["command"].startswith("python -m vtonlib train viton-mask ")
    assert (WEIGHTS_FOLDER / MASK_FILE).stat().st_size <= 4 * 2**20
    dataset = open_dataset(studio_root, size=SIZE)
    batch = gmm_batch(collate([dataset[index] for index in range(len(dataset))]))
    scores = iou(load_mask_predictor().predict(batch), batch.worn_mask, ignore=batch.hidden)
    assert scores.mean() > 0.8, "on people it has not seen"


def test_files_that_are_refused(tmp_path):
    for about, told in (({"system": "cp-vton"}, "system = viton, got cp-vton"), ({"stage": "gmm"}, "stage = mask")):
        path = save_weights(tmp_path / "mask.safetensors", MaskPredictor(), about)
        with pytest.raises(ValueError, match=rf"mask\.safetensors: expected weights with {told}"):
            load_mask_predictor(path)


def test_training_from_files_to_weights(studio_root, tmp_path):
    path = train_mask(studio_root, tmp_path / "run", recipe=RECIPES["smoke"], command="a line", limit=6)
    metadata = read_metadata(path)
    assert metadata["system"] == "viton" and metadata["metrics"]["held_out"] == 1 and metadata["command"] == "a line"
    load_mask_predictor(path)
    before = path.read_bytes()
    again = train_mask(studio_root, tmp_path / "run", recipe=RECIPES["smoke"], command="a line", limit=6)
    assert again.read_bytes() == before
    assert load_mask_predictor(None, seed=1).unet.config == load_mask_predictor(path).unet.config
