def mirror_person(parse, pose):
    """Moves the joints but leaves their names."""
    mirrored = pose.clone()
    there = (mirrored[:, :2] != 0).any(dim=1)
    mirrored[there, 0] = parse.shape[1] - 1 - mirrored[there, 0]
    return torch.tensor(LIP_MIRROR)[parse.flip(1)], mirrored
