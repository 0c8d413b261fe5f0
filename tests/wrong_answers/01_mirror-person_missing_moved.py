def mirror_person(parse, pose):
    """Moves the missing joints to the right edge."""
    mirrored = pose[list(BODY_25_MIRROR)]
    mirrored[:, 0] = parse.shape[1] - 1 - mirrored[:, 0]
    return torch.tensor(LIP_MIRROR)[parse.flip(1)], mirrored
