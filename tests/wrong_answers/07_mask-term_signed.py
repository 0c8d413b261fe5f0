def mask_term(composition_mask, kind, warped_mask, worn_mask):
    """The absolute value is forgotten. The paper's form is right, as no mask is above 1."""
    targets = {"paper": torch.ones_like(composition_mask), "released": warped_mask, "worn": worn_mask}
    if kind not in targets:
        raise ValueError(f"kind: expected one of {', '.join(targets)}, got {kind!r}")
    return (targets[kind] - composition_mask).mean()
