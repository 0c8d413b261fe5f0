def leak_share(top, strokes, kept):
    """Counts what the brush missed and the parse would keep as both."""
    count = max(1, int(top.sum()))
    return int((top & ~strokes).sum()) / count, int((top & kept).sum()) / count
