def place_loss(scores, absent, target):
    """The softmax runs over the keypoints in place of the places."""
    answers = torch.cat([scores.flatten(2), absent[..., None]], 2).log_softmax(1)
    cells, nowhere = answers[..., :-1], answers[..., -1]
    in_picture = target.sum((2, 3)) > 0
    return torch.where(in_picture, -(target.flatten(2) * cells).sum(2), -nowhere)
