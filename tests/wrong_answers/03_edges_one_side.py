def edges(parse):
    """Marks only one of the two pixels that differ."""
    known, result = parse != 255, torch.zeros_like(parse, dtype=torch.bool)
    down = (parse[:, 1:] != parse[:, :-1]) & known[:, 1:] & known[:, :-1]
    across = (parse[:, :, 1:] != parse[:, :, :-1]) & known[:, :, 1:] & known[:, :, :-1]
    result[:, 1:] |= down
    result[:, :, 1:] |= across
    result[:, :, :-1] |= across
    return result
