"""MG-VTON (Dong et al., ICCV 2019): a person in another garment and in another pose, in five networks.

`conditional_parsing` draws the parse of the person in the new pose, `mask_warp` bends the garment onto it, `warp_gan`
paints the person, `refinement` says where the bent garment shows; `system` makes them one. `triplets` feeds them.
"""

SYSTEM = "mg-vton"


def weights_name(stage: str) -> str:
    """Name of the weights file of a stage, such as "parsing", in whatever folder it lies."""
    return f"{SYSTEM}-{stage}.safetensors"
