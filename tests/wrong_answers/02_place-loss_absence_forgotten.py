def place_loss(scores, absent, target):
    """Has no answer "not in this picture": what is not seen costs nothing, so a map never learns to be empty."""
    cells = scores.flatten(2).log_softmax(2)
    return -(target.flatten(2) * cells).sum(2)
