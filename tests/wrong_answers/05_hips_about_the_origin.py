RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP = 2, 5, 9, 12


def widen_hips(joints):
    """Scales the hips about the picture's corner instead of their midpoint."""
    four = [RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP]
    wide = joints.copy()
    hips, shoulders = joints[four[2:]], joints[four[:2]]
    apart = np.linalg.norm(hips[1] - hips[0])
    if apart == 0 or (joints[four] == 0).all(axis=1).any():
        return wide
    wide[four[2:]] = hips * np.linalg.norm(shoulders[1] - shoulders[0]) / apart
    return wide
