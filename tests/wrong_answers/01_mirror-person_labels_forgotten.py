def mirror_person(parse, pose):
    """Flips the labels but leaves their names: the left arm stays a left arm."""
    mirrored = pose[list(BODY_25_MIRROR)]
    there = (mirrored[:, :2] != 0).any(dim=1)
    mirrored[there, 0] = parse.shape[1] - 1 - mirrored[there, 0]
    return parse.flip(1), mirrored
