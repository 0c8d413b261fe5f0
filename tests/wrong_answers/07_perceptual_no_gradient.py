def perceptual(features, prediction, target):
    """Both maps are taken without gradient: a number to look at, but nothing can learn from it."""
    with torch.no_grad():
        wanted, seen = features(target), features(prediction)
    layers = zip(features.layer_weights, seen, wanted, strict=True)
    return sum(weight * (ours - theirs).abs().mean() for weight, ours, theirs in layers)
