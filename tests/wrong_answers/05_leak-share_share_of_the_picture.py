def leak_share(top, strokes, kept):
    """Divides by the pixels of the picture."""
    missed, pasted = top & ~strokes, top & strokes & kept
    return int(missed.sum()) / top.numel(), int(pasted.sum()) / top.numel()
