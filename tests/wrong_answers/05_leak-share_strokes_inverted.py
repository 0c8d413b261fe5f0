def leak_share(top, strokes, kept):
    """Takes the strokes for what is shown."""
    count = max(1, int(top.sum()))
    return int((top & strokes).sum()) / count, int((top & ~strokes & kept).sum()) / count
