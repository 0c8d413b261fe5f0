"""MG-VTON's five networks by stage: the class, its config, its weights file; how one is built and loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vtonlib.checkpoints import WEIGHTS_FOLDER, load_trained
from vtonlib.systems.mg_vton import SYSTEM, weights_name
from vtonlib.systems.mg_vton.conditional_parsing import (
    PARSING_COURSE,
    PARSING_PAPER,
    ConditionalParser,
    ConditionalParsingConfig,
)
from vtonlib.systems.mg_vton.mask_warp import MASK_WARP_COURSE, MASK_WARP_PAPER, MaskWarp, MaskWarpConfig
from vtonlib.systems.mg_vton.parse_matching import PARSE_MATCHER_COURSE, PARSE_MATCHER_PAPER
from vtonlib.systems.mg_vton.refinement import REFINEMENT_COURSE, REFINEMENT_PAPER, Refinement, RefinementConfig
from vtonlib.systems.mg_vton.warp_gan import WARP_GAN_COURSE, WARP_GAN_PAPER, WarpGAN, WarpGANConfig
from vtonlib.training import config_from
from vtonlib.warp import AffineTPSMatcher, MatcherConfig

Frozen = dict[str, nn.Module]


@dataclass(frozen=True)
class Network:
    """One stage: its name, how its module is made from a config, the class of the config, the two configs."""

    stage: str
    build: Callable[[Any], nn.Module]
    config: type
    course: Any
    paper: Any

    @property
    def file(self) -> str:
        """Name of its weights file."""
        return weights_name(self.stage)


NETWORKS = {
    network.stage: network
    for network in (
        Network("parsing", ConditionalParser, ConditionalParsingConfig, PARSING_COURSE, PARSING_PAPER),
        Network("gmm", MaskWarp, MaskWarpConfig, MASK_WARP_COURSE, MASK_WARP_PAPER),
        Network("matcher", AffineTPSMatcher, MatcherConfig, PARSE_MATCHER_COURSE, PARSE_MATCHER_PAPER),
        Network("warp-gan", WarpGAN, WarpGANConfig, WARP_GAN_COURSE, WARP_GAN_PAPER),
        Network("refinement", Refinement, RefinementConfig, REFINEMENT_COURSE, REFINEMENT_PAPER),
    )
}


def new_network(stage: str, config: str, seed: int) -> nn.Module:
    """A stage's network with random weights; config: "course" or "paper". The caller's generator stays as it was."""
    network = NETWORKS[stage]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return network.build(getattr(network, config))


def load_network(stage: str, folder: str | Path | None, device: torch.device) -> tuple[nn.Module, dict]:
    """A stage's trained network, frozen, and its metadata, from a folder named as in NETWORKS; None: the course's.

    Its config is the one that the file states, so that a variant of a stage can take its place.
    Raises FileNotFoundError, with the command that makes it, for a file that isn't there; ValueError for one of another
    system or stage, a damaged one, or other tensors.
    """
    network = NETWORKS[stage]
    path = Path(WEIGHTS_FOLDER if folder is None else folder) / network.file

    def build(config: dict) -> nn.Module:
        return network.build(config_from(network.config, config))

    command = f"python -m vtonlib train mg-{stage} --data data/poses --out runs/mg-{stage} --weights {path}"
    module, metadata = load_trained(path, build, system=SYSTEM, stage=stage, command=command)
    return module.to(device), metadata


def load_frozen(stages: Sequence[str], folder: str | Path | None, device: torch.device) -> Frozen:
    """Several stages' networks, see `load_network`."""
    return {stage: load_network(stage, folder, device)[0] for stage in stages}


def about_stages(stages: Sequence[str], folder: str | Path | None) -> dict:
    """What a later stage's metadata says of the networks that it was trained on: command and recipe of each."""
    metadata = {stage: load_network(stage, folder, torch.device("cpu"))[1] for stage in stages}
    return {stage: {key: about.get(key) for key in ("command", "recipe")} for stage, about in metadata.items()}
