def composite(mask, top, bottom):
    """Adds the top without making room for it."""
    return mask * top + bottom
