def perceptual(features, prediction, target):
    """The mean squared difference, as Johnson et al. have it; CP-VTON takes the absolute one."""
    with torch.no_grad():
        wanted = features(target)
    layers = zip(features.layer_weights, features(prediction), wanted, strict=True)
    return sum(weight * (ours - theirs).square().mean() for weight, ours, theirs in layers)
