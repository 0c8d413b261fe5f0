def mask_term(composition_mask, kind, warped_mask, worn_mask):
    """CP-VTON's and CP-VTON+'s targets swapped."""
    targets = {"paper": torch.ones_like(composition_mask), "released": worn_mask, "worn": warped_mask}
    if kind not in targets:
        raise ValueError(f"kind: expected one of {', '.join(targets)}, got {kind!r}")
    return (composition_mask - targets[kind]).abs().mean()
