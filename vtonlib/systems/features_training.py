"""Training the course's two feature networks on the studio (see `vtonlib.features` for what they are for).

"course": a parser. Its decoder, which is thrown away, turns the five maps into 20 labels; the loss is cross-entropy.
"judge": has to tell which of the in-shop pictures of a batch a person wears, from the features that lie on the worn
garment, and where the 18 joints are. So colours, prints, sleeves and limbs matter to it, and labels don't.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from vtonlib.checkpoints import load_weights, save_weights
from vtonlib.data import open_dataset
from vtonlib.features import CONFIGS, FeatureNet
from vtonlib.labels import LIP
from vtonlib.metrics import label_scores, label_table
from vtonlib.parallel import is_main_process, wait_for_everyone
from vtonlib.represent import cloth_on_person, pose_heatmaps
from vtonlib.sample import TryOnSample
from vtonlib.systems.memory import Augmentation, SampleCache, augment
from vtonlib.systems.runs import belongs_to_run, data_description, small_stage, train_caches, train_in
from vtonlib.training import TrainConfig, resolve_device

RECIPE_VERSION = "features/1"


@dataclass(frozen=True, kw_only=True)
class FeaturesRecipe:
    """How a feature network is trained: at one size, for one stage; light, the largest change of brightness and
    contrast of a picture (share); pose_weight and temperature are the judge's."""

    size: tuple[int, int] = (128, 96)
    stage: TrainConfig
    light: float = 0.2
    pose_weight: float = 20.0
    temperature: float = 0.1
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(shift=0.08, scale=0.15, rotation=8.0))


RECIPES = {
    "smoke": FeaturesRecipe(stage=small_stage(2, 4)),
    "laptop": FeaturesRecipe(stage=small_stage(900, 12, validate_every=300)),
    "gpu": FeaturesRecipe(stage=small_stage(8000, 32, validate_every=1000)),
}


class ParserHead(nn.Module):
    """The decoder of the parser: each map as 32 channels, summed from coarse to fine, then 20 labels."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.sides = nn.ModuleList(nn.Conv2d(width, 32, 1) for width in widths)
        self.mix = nn.ModuleList(nn.Conv2d(32, 32, 3, 1, 1) for _ in widths)
        self.labels = nn.Conv2d(32, len(LIP), 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Five maps -> logits (B, 20, H, W)."""
        x = 0.0
        for features, side, mix in reversed(list(zip(maps, self.sides, self.mix, strict=True))):
            if torch.is_tensor(x):
                x = functional.interpolate(x, features.shape[-2:], mode="bilinear", align_corners=False)
            x = functional.relu(mix(x + side(features)))
        return self.labels(x)


class JudgeHead(nn.Module):
    """Two small read-outs of the judge: an embedding of a garment, and joints."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.embed = nn.ModuleList(nn.Linear(width, 64) for width in widths)
        self.joints = nn.ModuleList(nn.Conv2d(width, 18, 1) for width in widths[2:])

    def embedding(self, maps: list[Tensor], mask: Tensor) -> Tensor:
        """Mean of each map over a mask (B, 1, H, W) in [0, 1] -> one unit vector (B, 64) for the garment."""
        total = 0.0
        for features, layer in zip(maps, self.embed, strict=True):
            weight = functional.interpolate(mask, features.shape[-2:], mode="area")
            mean = (features * weight).sum((2, 3)) / weight.sum((2, 3)).clamp(min=1e-3)
            total = total + layer(mean)
        return functional.normalize(total, dim=1)

    def heatmaps(self, maps: list[Tensor]) -> Tensor:
        """Joints (B, 18, H / 4, W / 4)."""
        size = maps[2].shape[-2:]
        logits = [layer(features) for features, layer in zip(maps[2:], self.joints, strict=True)]
        return sum(functional.interpolate(each, size, mode="bilinear", align_corners=False) for each in logits)


class Trainee(nn.Module):
    """The feature network with the head that is thrown away after training."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.features = FeatureNet(CONFIGS[name])
        widths = CONFIGS[name].widths
        self.head = ParserHead(widths) if name == "course" else JudgeHead(widths)


def relight(picture: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness and contrast of each picture (B, 3, H, W) in [-1, 1], and of its colours, at random."""
    draws = (torch.rand(3, len(picture), 3, 1, 1, generator=generator) * 2 - 1).to(picture) * strength
    gain = 1 + draws[0, :, :1] + draws[1] / 3
    return (picture * gain + draws[2, :, :1]).clamp(-1, 1)


def filmed(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the pictures (B,3,H,W) a little blurred, all with some grain: cameras differ more than renders do."""
    draws = torch.rand(3, len(pictures), 1, 1, 1, generator=generator).to(pictures)
    soft = functional.avg_pool2d(functional.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, 1)
    grain = 0.04 * draws[2] * torch.randn(pictures.shape, generator=generator).to(pictures)
    return (pictures + draws[0] * (draws[1] < 0.5) * (soft - pictures) + grain).clamp(-1, 1)


def recoloured(pictures: Tensor, saturation: float, light: float, generator: torch.Generator) -> Tensor:
    """The strength of the colours of each picture (B,3,H,W) changed by up to `saturation` (share), then `relight` and
    `filmed`."""
    strength = 1 + (2 * torch.rand(len(pictures), 1, 1, 1, generator=generator) - 1) * saturation
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * strength.to(pictures)
    return filmed(relight(pictures, light, generator), generator)


def feature_terms(trainee: Trainee, batch: TryOnSample, recipe: FeaturesRecipe) -> dict[str, Tensor]:
    """The loss of either network: "parse", or "match" and "pose"."""
    maps = trainee.features(batch.person)
    if trainee.name == "course":
        return {"parse": functional.cross_entropy(trainee.head(maps), batch.parse)}
    _, worn_mask = cloth_on_person(batch.person, batch.parse)
    garments = trainee.head.embedding(trainee.features(batch.garment.image), batch.garment.mask)
    scores = trainee.head.embedding(maps, worn_mask) @ garments.T / recipe.temperature
    own = torch.arange(len(scores), device=scores.device)
    match = (functional.cross_entropy(scores, own) + functional.cross_entropy(scores.T, own)) / 2
    size = tuple(maps[2].shape[-2:])
    step = batch.size[0] / size[0]
    pose = torch.cat([(batch.pose[..., :2] + 0.5) / step - 0.5, batch.pose[..., 2:]], -1)
    target = pose_heatmaps(pose, size, kind="gaussian", radius=1.5)
    joints = recipe.pose_weight * functional.mse_loss(trainee.head.heatmaps(maps), target)
    return {"match": match, "pose": joints}


def validation(cache: SampleCache, recipe: FeaturesRecipe, device: torch.device) -> Callable:
    """A callback for `train`: on samples held out, the parser's pixel accuracy and mean IoU over labels that occur, or
    the judge's share of people whose garment is found first among all."""

    def validate(trainee: Trainee) -> tuple[dict[str, float], None]:
        batch = cache.batch(range(len(cache)), device=device)
        if trainee.name == "course":
            guess = torch.cat([trainee.head(trainee.features(part)).argmax(1) for part in batch.person.split(16)])
            scores = label_scores(label_table(batch.parse, guess, len(LIP)))
            return {"accuracy": scores.accuracy, "miou": scores.mean_iou}, None
        _, worn_mask = cloth_on_person(batch.person, batch.parse)
        worn = trainee.head.embedding(trainee.features(batch.person), worn_mask)
        shop = trainee.head.embedding(trainee.features(batch.garment.image), batch.garment.mask)
        found = (worn @ shop.T).argmax(1) == torch.arange(len(worn), device=worn.device)
        return {"found_first": float(found.double().mean()), "among": len(worn)}, None

    return validate


@torch.no_grad()
def set_scales(features: FeatureNet, pictures: Tensor) -> None:
    """Set `scales` so that the mean absolute value of each map over these pictures (B, 3, H, W) is 1."""
    features.scales.fill_(1.0)
    totals = [torch.stack([each.abs().mean() for each in features(part)]) for part in pictures.split(16)]
    features.scales.copy_(torch.stack(totals).mean(0))


def train_features(
    name: str,
    data_root: str | Path,
    out: str | Path,
    *,
    recipe: FeaturesRecipe,
    command: str,
    weights: str | Path | None = None,
    limit: int | None = None,
) -> Path:
    """Train the feature network `name` ("course" or "judge") on a data set's train split; returns the weights file.

    Called again with the same folder `out`, it goes on where it stopped. weights: where the file goes, by default
    `out`/features-NAME.safetensors. Raises ValueError for an unknown name and as `vtonlib.training.train` does.
    """
    if name not in CONFIGS:
        raise ValueError(f"features: expected one of {', '.join(CONFIGS)} to train, got {name!r}")
    out, device = Path(out), resolve_device(recipe.stage.device)
    dataset = open_dataset(data_root, split="train", pairing="paired", size=recipe.size)
    about = {
        "system": "features",
        "stage": name,
        "config": {**asdict(CONFIGS[name]), "widths": list(CONFIGS[name].widths)},
        "recipe": {"version": RECIPE_VERSION, **asdict(recipe)},
        "data": data_description(dataset, limit),
    }
    belongs_to_run(out / "run.json", about)
    cache, held_out = train_caches(data_root, recipe.size, limit, progress=recipe.stage.progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.stage.seed)
        trainee = Trainee(name)

    def make_batch(indices: list[int], generator: torch.Generator) -> TryOnSample:
        batch = augment(cache.batch(indices, device=device), recipe.augmentation, generator)
        return replace(batch, person=relight(batch.person, recipe.light, generator))

    target = Path(weights) if weights is not None else out / f"features-{name}.safetensors"
    path, scores = train_in(
        out,
        recipe.stage,
        {"system": "features", "stage": name},
        module=trainee,
        loss=lambda module, batch: feature_terms(module, batch, recipe),
        make_batch=make_batch,
        length=len(cache),
        validate=validation(held_out, recipe, device),
        held_out=len(held_out),
    )
    if is_main_process():
        load_weights(path, trainee)
        features = trainee.eval().features
        set_scales(features, cache.batch(range(min(64, len(cache))), device=device).person)
        save_weights(target, features, {**about, "command": command, "metrics": scores})
    wait_for_everyone()
    return target
