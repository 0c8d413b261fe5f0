def iou_of_labels(parse, guess, count):
    """Recall: false pixels of the label cost nothing."""
    known = parse != 255
    table = torch.bincount(parse[known] * count + guess[known], minlength=count**2).reshape(count, count)
    hits, true = table.diagonal().double(), table.sum(1)
    return torch.where(true > 0, hits / true, torch.nan)
