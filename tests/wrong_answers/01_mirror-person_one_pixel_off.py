def mirror_person(parse, pose):
    """width - x: the mirror stands half a pixel too far to the right."""
    mirrored = pose[list(BODY_25_MIRROR)]
    there = (mirrored[:, :2] != 0).any(dim=1)
    mirrored[there, 0] = parse.shape[1] - mirrored[there, 0]
    return torch.tensor(LIP_MIRROR)[parse.flip(1)], mirrored
