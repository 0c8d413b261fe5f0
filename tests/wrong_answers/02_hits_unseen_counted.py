def hits(predicted, true, share=0.1):
    """Counts joints that the picture doesn't show."""
    distance = (predicted[..., :2] - true[..., :2]).norm(dim=-1)
    torso = (true[..., 5, :2] - true[..., 8, :2]).norm(dim=-1)
    found = (distance <= share * torso[..., None]) & (predicted[..., 2] > 0)
    counted = (true[..., [5, 8], 2] > 0).all(-1, keepdim=True).expand_as(found)
    return torch.where(counted, found.float(), math.nan)
