def leak_share(top, strokes, kept):
    """NaN for a picture without a top."""
    missed, pasted = (top & ~strokes).sum() / top.sum(), (top & strokes & kept).sum() / top.sum()
    return float(missed), float(pasted)
