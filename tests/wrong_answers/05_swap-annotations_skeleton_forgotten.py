def swapped(given, predicted, *steps):
    """Takes the joints and leaves the skeleton picture that was drawn from others."""
    for step in steps:
        if step not in ("pose", "parse", "densepose"):
            raise ValueError(f"step: expected pose, parse or densepose, got {step!r}")
    return replace(given, **{step: getattr(predicted, step) for step in steps})
