RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP = 2, 5, 9, 12


def widen_hips(joints):
    """Changes the array that it was given, as the released code does."""
    four = [RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP]
    hips, shoulders = joints[four[2:]], joints[four[:2]]
    apart = np.linalg.norm(hips[1] - hips[0])
    if apart == 0 or (joints[four] == 0).all(axis=1).any():
        return joints
    middle = hips.mean(axis=0)
    joints[four[2:]] = middle + (hips - middle) * np.linalg.norm(shoulders[1] - shoulders[0]) / apart
    return joints
