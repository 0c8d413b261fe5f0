def iou_of_labels(parse, guess, count):
    """Counts the pixels of the intersection twice in the union."""
    known = parse != 255
    table = torch.bincount(parse[known] * count + guess[known], minlength=count**2).reshape(count, count)
    hits, true, guessed = table.diagonal().double(), table.sum(1), table.sum(0)
    return torch.where(true > 0, hits / (true + guessed), torch.nan)
