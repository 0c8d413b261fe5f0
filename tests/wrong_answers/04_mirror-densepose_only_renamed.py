def mirror(densepose):
    """Pixels move and parts change sides, and no coordinate turns round."""
    part, u, v = densepose.flip(-1)
    return torch.stack([torch.tensor(DENSEPOSE_MIRROR)[part.long()].float(), u, v])
