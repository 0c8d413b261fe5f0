"""A rater's page of a human study: what was given, two pictures, three buttons, and one to take the last answer back.

`StudyPage` is all of it; it needs a running kernel. For a page that is only read, `trial_pictures` gives what one
question shows.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

from vtonlib.human_study import Rating, Trial

BUTTONS = {"left": "A is better", "same": "no difference", "right": "B is better"}


class StudyPage:
    """A rating with its widgets: `box` is what is displayed.

    height: of the two pictures, in pixels of the page. clock: seconds, for how long a question took.
    """

    def __init__(self, rating: Rating, *, height: int = 320, clock: Callable[[], float] = time.monotonic) -> None:
        from ipywidgets import Button, HBox, Label, VBox

        self.rating, self.height, self.clock = rating, height, clock
        self.buttons = {choice: Button(description=text) for choice, text in BUTTONS.items()}
        self.back = Button(description="take back")
        for choice, button in self.buttons.items():
            button.on_click(lambda _, choice=choice: self.answer(choice))
        self.back.on_click(lambda _: self.take_back())
        self.progress, self.question = Label(), Label(rating.question)
        self.above, self.pair = HBox(), HBox()
        row = HBox([*self.buttons.values(), self.back])
        self.box = VBox([Label(rating.title), self.progress, self.above, self.question, self.pair, row])
        self.draw()

    def answer(self, choice: str) -> None:
        """What a button does: answer, save, go on."""
        self.rating.answer(choice, self.clock() - self._since)
        self.draw()

    def take_back(self) -> None:
        """The last answer is taken back, and its question comes again."""
        self.rating.undo()
        self.draw()

    def draw(self) -> None:
        """Show the question at hand, or thanks at the end."""
        from ipywidgets import Label

        trial, done, count = self.rating.current, len(self.rating.rows), len(self.rating.trials)
        self.progress.value = f"question {done + 1} of {count}" if trial else f"{count} of {count}: thank you"
        for button in self.buttons.values():
            button.disabled = trial is None
        self.back.disabled = done == 0
        self._since = self.clock()
        if trial is None:
            self.above.children = ()
            self.pair.children = (Label(f"Hand in this file: {self.rating.path}"),)
            return
        self.above.children = tuple(self._image(name, self.height // 2) for name in self.rating.shown(trial))
        sides = zip("AB", (trial.left, trial.right), strict=True)
        self.pair.children = tuple(part for letter, name in sides for part in (Label(letter), self._image(name)))

    def _image(self, name: str, height: int | None = None):
        from ipywidgets import Image as Shown

        return Shown(value=self.rating.picture(name), format="png", height=height or self.height)


def rate(rating: Rating, *, height: int = 320) -> StudyPage:
    """Show a rater's page, and return it."""
    from IPython.display import display

    page = StudyPage(rating, height=height)
    display(page.box)
    return page


def trial_pictures(rating: Rating, trial: Trial) -> list[np.ndarray]:
    """What a question shows, for a figure: what is given, then A and B, each (H,W,3) uint8."""
    names = (*rating.shown(trial), trial.left, trial.right)
    return [np.asarray(Image.open(io.BytesIO(rating.picture(name))).convert("RGB")) for name in names]
