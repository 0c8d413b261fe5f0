def coco_pose(document, size):
    """Right about the edges, but takes a joint at (0, 0) for missing, whatever its confidence."""
    height, width = size
    points = torch.tensor(document["people"][0]["pose_keypoints_2d"], dtype=torch.float32).reshape(-1, 3)
    pose = points[list(labels.COCO_18_FROM_BODY_25)]
    x, y = pose[:, 0], pose[:, 1]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    pose[outside | ((x == 0) & (y == 0)), 2] = 0
    return pose
