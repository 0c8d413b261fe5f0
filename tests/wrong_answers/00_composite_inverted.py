def composite(mask, top, bottom):
    """The mask's polarity is the wrong way round."""
    return mask * bottom + (1 - mask) * top
