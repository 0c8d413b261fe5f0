def perceptual(features, prediction, target):
    """Nothing holds the gradient back from the target."""
    layers = zip(features.layer_weights, features(prediction), features(target), strict=True)
    return sum(weight * (ours - theirs).abs().mean() for weight, ours, theirs in layers)
