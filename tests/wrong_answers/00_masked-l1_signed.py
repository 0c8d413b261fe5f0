def masked_l1(prediction, target, mask):
    """Forgets the absolute value: too bright here and too dark there cancel."""
    distance = (prediction - target).mean(1)
    counted = mask[:, 0]
    return ((distance * counted).sum((1, 2)) / counted.sum((1, 2))).abs()
