def mask_term(composition_mask, kind, warped_mask, worn_mask):
    """Another kind is taken for "paper" instead of refused."""
    targets = {"released": warped_mask, "worn": worn_mask}
    return (composition_mask - targets.get(kind, torch.ones_like(composition_mask))).abs().mean()
