RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP = 2, 5, 9, 12


def widen_hips(joints):
    """Divides by the hips' distance, whatever it is: 0 / 0 where both are missing."""
    four = [RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP]
    wide = joints.copy()
    hips, shoulders = joints[four[2:]], joints[four[:2]]
    middle = hips.mean(axis=0)
    with np.errstate(invalid="ignore"):
        ratio = np.linalg.norm(shoulders[1] - shoulders[0]) / np.linalg.norm(hips[1] - hips[0])
        wide[four[2:]] = middle + (hips - middle) * ratio
    return wide
