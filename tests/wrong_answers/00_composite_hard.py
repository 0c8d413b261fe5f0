def composite(mask, top, bottom):
    """Cuts soft masks at one half."""
    return torch.where(mask > 0.5, top, bottom)
