def masked_l1(prediction, target, mask):
    """Divides by all pixels, not by those under the mask."""
    return ((prediction - target).abs() * mask).mean((1, 2, 3))
