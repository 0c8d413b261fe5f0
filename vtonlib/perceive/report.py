"""What was found in a photograph, for a person to read."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Report:
    """What `Annotator` found and did.

    name: of the sample; photo: height and width of the photograph as it was read; window: the part of it that became
    the picture (left, top, right, bottom in its pixels); size, padding: of the picture. people: how many were found;
    joints: seen ones of 25; hand_points: seen ones of 42; missing: parts of the body of which not enough is seen; cut:
    edges of the photograph at which the person is cut off. notes: what was done to the file; warnings: what makes the
    annotations doubtful. seconds: by step.
    """

    name: str
    photo: tuple[int, int]
    window: tuple[int, int, int, int]
    size: tuple[int, int]
    padding: tuple[int, int, int, int]
    people: int
    joints: int
    hand_points: int
    missing: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())

    def text(self) -> str:
        """The report in a few lines, the warnings last."""
        left, top, right, bottom = self.window
        lines = [
            f"{self.name}: {self.people} {'person' if self.people == 1 else 'people'}, {self.joints} of 25 joints, "
            f"{self.hand_points} of 42 hand points",
            f"  photograph {self.photo[0]} x {self.photo[1]}, of it {bottom - top} x {right - left} from row {top} and "
            f"column {left}, as {self.size[0]} x {self.size[1]}",
        ]
        if any(self.padding):
            lines.append("  padded by {} left, {} top, {} right, {} bottom".format(*self.padding))
        if self.missing:
            lines.append(f"  not seen: {', '.join(self.missing)}")
        steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in self.seconds.items())
        lines.append(f"  {self.total:.2f} s ({steps})")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)
