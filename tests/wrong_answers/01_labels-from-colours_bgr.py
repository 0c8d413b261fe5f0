def labels_from_colours(colours):
    """Blue first, as OpenCV has it."""
    gaps = colours[..., ::-1].astype(np.int64)[..., None, :] - np.array(LIP_PALETTE)
    return (gaps**2).sum(-1).argmin(-1)
