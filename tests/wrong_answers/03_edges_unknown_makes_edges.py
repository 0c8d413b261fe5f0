def edges(parse):
    """Draws an edge around everything that nobody knows."""
    known, result = parse >= 0, torch.zeros_like(parse, dtype=torch.bool)
    down = (parse[:, 1:] != parse[:, :-1]) & known[:, 1:] & known[:, :-1]
    across = (parse[:, :, 1:] != parse[:, :, :-1]) & known[:, :, 1:] & known[:, :, :-1]
    result[:, 1:] |= down
    result[:, :-1] |= down
    result[:, :, 1:] |= across
    result[:, :, :-1] |= across
    return result
