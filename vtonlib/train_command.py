"""`python -m vtonlib train STAGE`: what can be trained, its arguments, and how they change a recipe."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path


def positive(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of 1 or more, got {text!r}")
    return int(text)


def not_negative(text: str) -> float:
    """A finite number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of 0 or more, got {text!r}")
    return value


# What can be trained: stage -> the module with RECIPES and the function, that function, what else it is told.
TRAINABLE = {
    "gmm": ("vtonlib.systems.cp_vton_training", "train_gmm"),
    "tom": ("vtonlib.systems.tom_training", "train_tom"),
    "viton-mask": ("vtonlib.systems.viton_training", "train_mask"),
    "matcher": ("vtonlib.systems.matcher_training", "train_matcher"),
    "features": ("vtonlib.systems.features_training", "train_features"),
    "pose": ("vtonlib.systems.pose_training", "train_pose"),
    "parsing": ("vtonlib.systems.parsing_training", "train_parsing"),
    "densepose": ("vtonlib.systems.densepose_training", "train_densepose"),
    "garment-mask": ("vtonlib.systems.garment_mask_training", "train_garment_mask"),
    "mg-parsing": ("vtonlib.systems.mg_vton.conditional_parsing_training", "train_conditional_parsing"),
    "mg-gmm": ("vtonlib.systems.mg_vton.mask_warp_training", "train_mask_warp"),
    "mg-matcher": ("vtonlib.systems.mg_vton.parse_matching", "train_parse_matcher"),
    "mg-warp-gan": ("vtonlib.systems.mg_vton.warp_gan_training", "train_warp_gan"),
    "mg-refinement": ("vtonlib.systems.mg_vton.refinement_training", "train_refinement"),
}
# Fields of a recipe that have an argument of their own; None leaves the recipe's value.
RECIPE_CHOICES = (
    "mask_weight",
    "flow_weight",
    "l1_weight",
    "softmax_weight",
    "adversarial_weight",
    "matching_weight",
    "perceptual_weight",
    "mask_loss",
    "features",
    "kept",
    "made_with",
    "network",
    "size",
)


def train(arguments: argparse.Namespace) -> None:
    """Train one network; started again with the same folder, it goes on where it stopped.

    `torchrun --nproc_per_node 2 -m vtonlib train ...` shares every batch between two processes.
    """
    from dataclasses import fields, replace
    from importlib import import_module

    from vtonlib.parallel import is_main_process, launcher

    module = import_module(TRAINABLE[arguments.stage][0])
    recipe = module.RECIPES[arguments.profile]
    known = {field.name for field in fields(recipe)}
    given = {name: getattr(arguments, name, None) for name in RECIPE_CHOICES}
    changes = {name: value for name, value in given.items() if value is not None and name in known}
    if "stages" in known:
        changes["stages"] = trained_stages(recipe.stages, arguments)
    else:
        changes["stage"] = trained_stages((recipe.stage,), arguments)[0]
    named = {"name": arguments.name} if arguments.stage == "features" else {}
    path = getattr(module, TRAINABLE[arguments.stage][1])(
        data_root=arguments.data,
        out=arguments.out,
        recipe=replace(recipe, **changes),
        command=shlex.join([*launcher(), "-m", "vtonlib", *arguments.words]),
        weights=arguments.weights,
        limit=arguments.limit,
        **named,
    )
    if is_main_process():
        print(f"weights: {path} ({path.stat().st_size / 2**20:.2f} MB)")


def trained_stages(stages, arguments: argparse.Namespace) -> tuple:
    """The recipe's stages with the device, seed and steps of the command line."""
    from dataclasses import replace

    stages = tuple(replace(stage, device=arguments.device, seed=arguments.seed) for stage in stages)
    if arguments.steps is None:
        return stages
    if len(arguments.steps) != len(stages):
        raise ValueError(f"--steps: expected {len(stages)} numbers, one a stage, got {len(arguments.steps)}")
    return tuple(replace(stage, steps=steps) for stage, steps in zip(stages, arguments.steps, strict=True))


def add_train_arguments(stages) -> None:
    """The arguments of `train STAGE`, for each stage a parser in `stages`."""

    def add(
        name: str, about: str, profiles: tuple[str, ...] = ("smoke", "laptop", "gpu"), *, several: bool = False
    ) -> argparse.ArgumentParser:
        command = stages.add_parser(name, help=about, description=f"Train {about}. {train.__doc__}")
        folders = {"nargs": "+", "help": "folders of one or more data sets with a train split"} if several else {}
        folders = {"help": "folder of a data set with a train split", **folders}
        command.add_argument("--data", type=Path, required=True, **folders)
        command.add_argument(
            "--out", type=Path, required=True, help="folder of the run: states, logs, pictures, weights"
        )
        command.add_argument("--profile", choices=profiles, default="laptop")
        command.add_argument("--steps", type=positive, nargs="+", help="steps of each stage instead of the profile's")
        command.add_argument("--limit", type=positive, help="use only the first so many samples")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
        command.add_argument("--weights", type=Path, help="where the weights go; by default a file in OUT")
        command.set_defaults(run=train)
        return command

    command = add("gmm", "CP-VTON's geometric matching module", ("smoke", "laptop", "gpu", "paper"))
    command.add_argument("--mask-weight", type=not_negative, help="of the masks' distance; 0 = as in the paper")
    command.add_argument(
        "--flow-weight", type=not_negative, help="of the distance to the true flow; 0 = as in the paper"
    )
    command = add("tom", "CP-VTON's try-on module", ("smoke", "laptop", "gpu", "paper"))
    command.add_argument("--l1-weight", type=not_negative)
    command.add_argument("--perceptual-weight", type=not_negative)
    command.add_argument("--mask-weight", type=not_negative)
    command.add_argument(
        "--mask-loss", choices=("paper", "released", "worn"), help="what the composition mask is held to"
    )
    command.add_argument("--features", choices=("course", "vgg19"), help="network of the perceptual loss")
    add("viton-mask", "the garment mask that VITON's shape contexts aim at, from the person representation")
    add("matcher", "affine-then-TPS matching on synthetic transformations")
    command = add("features", "a feature network: course (for losses) or judge (for measuring)")
    command.add_argument("--name", choices=("course", "judge"), required=True)
    add("pose", "the pose estimator: body and hands", several=True)
    add("parsing", "the human parser", several=True)
    add("densepose", "the DensePose estimator", several=True)
    command = add("garment-mask", "a network that cuts a garment out of its picture", several=True)
    command.add_argument("--network", choices=("unet", "u2netp"))
    with_paper = ("smoke", "laptop", "gpu", "paper")
    command = add("mg-parsing", "MG-VTON's conditional parsing network and its critic", with_paper)
    for name in ("--adversarial-weight", "--l1-weight", "--softmax-weight"):
        command.add_argument(name, type=not_negative)
    command = add("mg-gmm", "MG-VTON's matching of the garment's mask with a drawn parse", with_paper)
    command.add_argument("--flow-weight", type=not_negative, help="of the true flow; 0 = as in the paper")
    add("mg-matcher", "the map between two parses by which Warp-GAN moves features")
    command = add("mg-warp-gan", "MG-VTON's Warp-GAN and its critic, on its other networks", with_paper)
    for name in ("--adversarial-weight", "--l1-weight", "--perceptual-weight", "--matching-weight"):
        command.add_argument(name, type=not_negative)
    command.add_argument("--made-with", help="folder of the other networks; by default the course's")
    command = add("mg-refinement", "MG-VTON's refinement render, on its other networks", with_paper)
    for name in ("--l1-weight", "--perceptual-weight", "--mask-weight"):
        command.add_argument(name, type=not_negative)
    command.add_argument("--made-with", help="folder of the other networks; by default the course's")
