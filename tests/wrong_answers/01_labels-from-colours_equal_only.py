def labels_from_colours(colours):
    """Looks for the equal colour; where there is none, argmax of all False says background."""
    return (colours[..., None, :] == np.array(LIP_PALETTE)).all(-1).argmax(-1)
