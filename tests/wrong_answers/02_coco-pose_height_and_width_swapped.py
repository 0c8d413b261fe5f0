def coco_pose(document, size):
    """Takes the size for (width, height)."""
    width, height = size
    points = torch.tensor(document["people"][0]["pose_keypoints_2d"], dtype=torch.float32).reshape(-1, 3)
    pose = points[list(labels.COCO_18_FROM_BODY_25)]
    x, y = pose[:, 0], pose[:, 1]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    pose[outside, 2] = 0
    return pose
