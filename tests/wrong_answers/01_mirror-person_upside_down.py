def mirror_person(parse, pose):
    """Flips the rows."""
    mirrored = pose[list(BODY_25_MIRROR)]
    there = (mirrored[:, :2] != 0).any(dim=1)
    mirrored[there, 1] = parse.shape[0] - 1 - mirrored[there, 1]
    return torch.tensor(LIP_MIRROR)[parse.flip(0)], mirrored
