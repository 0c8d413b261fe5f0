def labels_from_colours(colours):
    """Takes brightness for the label."""
    return np.asarray(Image.fromarray(colours).convert("L")).astype(np.int64)
