# %% [markdown]
# # 05 Person representations: forgetting the old garment
#
# A try-on network has to know *who* is in the photograph and how they stand. It must not know what they wear, or it will
# learn to hand the old garment back. So before any network sees a person, we take the person apart and pass on selected
# pieces only. After this notebook you can
#
# - explain why paired training forces us to throw information away, and how a *leak* shows up;
# - build the 22 channels of CP-VTON by hand: 18 squares, one blurred body shape, three channels of reserved regions;
# - draw VITON-HD's parse-agnostic map and human-agnostic picture, stroke by stroke, equal to the library's to the pixel;
# - name a dozen places where papers and released code disagree, and say what each costs;
# - **measure** what still leaks, with something no photograph offers: the same person rendered in another garment;
# - turn a file from a phone into every annotation with one call, and say what predicted annotations leak that given ones don't;
# - break every representation on purpose, and explain what you see.
#
# Plan about three hours with the six exercises. The machine needs less than two minutes. You should have met keypoints
# and label maps (notebooks 01 to 03); everything else is explained where it turns up.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
import csv
import json
import sys
import tempfile
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from tqdm import tqdm

from vtonlib import course, represent
from vtonlib.course import Check, check_bands, colour_parse, compare, overlay, pick, show_figure, show_images, to_01
from vtonlib.course.profiles import PROJECT
from vtonlib.course.show import to_picture
from vtonlib.data import collate, open_dataset
from vtonlib.evaluation import bootstrap
from vtonlib.labels import (
    ARM_LABELS,
    BODY_25_INDEX,
    COCO_18_FROM_BODY_25,
    HEAD_LABELS,
    LIP_INDEX,
    LOWER_LABELS,
    TOP_LABELS,
)
from vtonlib.layouts.files import DamagedFile
from vtonlib.metrics import iou, masked_l1
from vtonlib.perceive import Annotator, NobodyFound, annotate, write_viton_hd
from vtonlib.perceive.densepose import densepose_picture
from vtonlib.represent import body_shape, human_agnostic, human_agnostic_mask, one_hot, parse_agnostic, pose_heatmaps
from vtonlib.sample import TryOnSample
from vtonlib.systems import load_system

settings = course.profile(PROFILE)
root = course.ensure_data(settings)
people = open_dataset(root, split="test", pairing="paired", size=settings.size)
samples = [people[index] for index in range(min(settings.samples, len(people)))]
measured = {}  # numbers that the last cell compares with their bands
print(f"{len(samples)} of {len(people)} test people, {settings.size[0]} x {settings.size[1]} pixels (height x width)")

# %% [markdown]
# ## The problem in one picture
#
# Below: somebody in a top, another top as the shop shows it, and the picture we wish for: the same person, same pose, same
# light, in the other top. In a photographed data set the third picture doesn't exist. The studio renders it, as
# `truth.unpaired`, for every test person. It will be our judge for the whole notebook.
#
# Of those whose neck, arms and trousers can be seen, we pick the person whose outline changes most between the two garments. A
# **silhouette** is the mask of everything that isn't background. In the **parse**, which holds one label (0 to 19) a
# pixel, that is `parse > 0`.


# %%
def photograph(sample):
    """(3, H, W) in [0, 1]."""
    return to_01(sample.person)


def silhouette(sample):
    """(1, H, W) in {0, 1}: 1 on the person."""
    return (sample.parse > 0).float()[None]


def complete(sample):
    """Whether neck, both arms and something below the top can be seen."""
    seen = set(sample.parse.unique().tolist())
    return {10, 14, 15} <= seen and bool(seen & set(LOWER_LABELS))


candidates = [s for s in samples if complete(s) and complete(s.truth.unpaired)] or samples
sample = max(candidates, key=lambda s: (silhouette(s) - silhouette(s.truth.unpaired)).abs().sum())
other = sample.truth.unpaired
pictures = [photograph(sample), to_01(other.garment.image), photograph(other)]
titles = ["the photograph, garment A", "garment B in the shop", "what we wish for"]
show_images(pictures, titles, alt="A person in a top; another top alone; the same person, same pose, in the other top.")

# %% [markdown]
# ## 1 Why a network must not see everything
#
# Data sets come as **pairs**: a person, and the garment that this person is wearing. Training on pairs asks a network to
# put the garment on the person, and compares the result with the photograph. The photograph is input and target at once.
#
# Let's write the laziest try-on network possible. It returns its first input. We judge it twice: *paired*, as in
# training, and *unpaired*, against what we wish for. The error is the mean absolute difference in [0, 1] (that scale is
# why `to_01` is there: `person` is stored in [-1, 1]).


# %%
def copycat(person, garment):
    """A try-on system without a single parameter."""
    return person


for kind in ("paired", "unpaired"):
    wished = [s if kind == "paired" else s.truth.unpaired for s in samples]
    errors = [(to_01(copycat(s.person, w.garment)) - photograph(w)).abs().mean() for s, w in zip(samples, wished)]
    measured[f"copycat_{kind}_error"] = np.mean(errors)
    print(f"copycat, {kind:8s}: {np.mean(errors):.3f}")

# %% [markdown]
# A perfect score in training, and useless in the shop. No loss can tell the copycat from a network that has understood the
# task, because on pairs both are right. The only cure is in the *input*: what the network is shown must not contain the
# garment that the person wears. Such an input is called **agnostic**: it doesn't know the garment.
#
# An agnostic representation has to
#
# 1. **hide** the worn garment: colour and pattern, but also its sleeves, neckline, length and width;
# 2. **keep** who it is (face, hair), the pose, the build, and whatever the new garment doesn't touch (trousers, background);
# 3. be **computable** at test time from one photograph.
#
# The first two pull in opposite directions. Each system in this course settles the argument in its own way:
#
# | system | what the network sees of the person |
# |---|---|
# | VITON (2018), CP-VTON (2018) | 18 pose maps, blurred body shape, face and hair: 22 channels |
# | MG-VTON (2019) | pose maps as discs, for the present and the *wanted* pose |
# | VITON-HD (2021) | parse-agnostic map, human-agnostic picture, skeleton picture |
# | HR-VITON (2022) | parse-agnostic map and DensePose; a human-agnostic picture that keeps the hands |
#
# ### An instrument for leaks
#
# Take a representation $R$ and compute it twice: for the person in the worn garment A, and for the very same person in
# garment B. If $R$ is agnostic, both must be *equal*. So we measure the change
#
# $$\operatorname{change}(R) = \frac{1}{N\,|\Omega|} \sum_{n=1}^{N} \sum_{p \in \Omega} \max_c \left| R_c(x_n^{A})(p) - R_c(x_n^{B})(p) \right|$$
#
# over $N$ people, the pixels $p$ of the picture $\Omega$ and the channels $c$. Zero proves that nothing of the garment
# shows, for these people. Above zero there is *something*; how much use it is to a network is a question for section 7.


# %%
def change(view, samples=samples):
    """view: sample -> (C, H, W) in [0, 1]. Mean over people and pixels of the largest change over the channels."""
    return float(np.mean([(view(s) - view(s.truth.unpaired)).abs().amax(0).mean() for s in samples]))


for view in (photograph, silhouette):
    measured[f"change_{view.__name__}"] = change(view)
    print(f"{view.__name__}: {change(view):.2%}")

# %% [markdown]
# The silhouette carries no colour and no pattern, and still it changes. Where? Orange below is person in A only, blue is
# person in B only. You read the width of sleeves, the hang of a hem, perhaps a gap between arm and waist: the outline of
# an *old garment*. A network that sees a sharp silhouette learns to fill it, and will squeeze every new garment into it.

# %%
a, b = silhouette(sample), silhouette(other)
both = torch.cat([a, (a + b) / 2, b])  # red, green, blue
titles = ["silhouette in A", "silhouette in B", "orange: A only, blue: B only"]
show_images(
    [a, b, both], titles, alt="Two silhouettes of one person; overlaid, they differ along sleeves, waist and hem."
)

# %% [markdown]
# ## 2 Body shape: a silhouette seen without glasses
#
# VITON and CP-VTON keep the build of the person and drop the cut of the clothes by **blurring**: the silhouette is reduced
# to 16 x 12 pixels and enlarged again. From 256 x 192 pixels that is a factor of 16 in both directions.
#
# ### By hand
#
# Reducing is a weighted mean. **Antialiased** bilinear reduction by a factor $s$ gives a source pixel $j$, at a distance
# $d$ from the centre of the result pixel, the weight $\max(0, 1 - d/s)$; then the weights of each result pixel are divided
# by their sum. Centres follow the convention of the whole course: the centre of result pixel $i$ lies at $(i + 0.5)\,s - 0.5$ in the source.
#
# Take one row of six pixels, `0 0 1 1 1 0`, and reduce it to three, so $s = 2$ and the centres lie at 0.5, 2.5, 4.5.
#
# - Result 1 sees pixels 1 to 4, at distances 1.5, 0.5, 0.5, 1.5: weights ¼, ¾, ¾, ¼, divided by 2. Value: ⅜ + ⅜ + ⅛ = **⅞**.
# - Result 0 sees pixels 0, 1, 2 with ¾, ¾, ¼ (there is nothing to the left), divided by 7/4. Value: **1/7**.
# - Result 2 sees pixels 3, 4, 5 with ¼, ¾, ¾. Value: **4/7**.
#
# Pillow does this whenever you call `resize` with BILINEAR, and rounds the result to bytes. Does it agree with paper?

# %%
# NBVAL_CHECK_OUTPUT
row = np.array([[0, 0, 1, 1, 1, 0]], np.uint8)
reduced = Image.fromarray(row * 255).resize((3, 1), Image.Resampling.BILINEAR)
print("Pillow / 255:", [round(value / 255, 3) for value in np.asarray(reduced)[0].tolist()])
print("on paper:    ", [round(value, 3) for value in (1 / 7, 7 / 8, 4 / 7)])

# %% [markdown]
# **Exercise 1: the weights of a reduction.** *about 15 minutes, difficulty 3 of 5.* Write `resize_weights(inputs, outputs)`,
# a matrix of `outputs` rows and `inputs` columns: row $i$ holds the weights with which the result pixel $i$ sees the source
# pixels. Each row sums to 1. Make it work for enlarging too: there the same formula holds with a triangle that is never
# narrower than one source pixel, $\max(0, 1 - d/\max(s, 1))$ with $s = \text{inputs}/\text{outputs}$ below 1.
#
# What to expect: the row `0 0 1 1 1 0` gives 1/7, 7/8, 4/7, and the identity matrix when `inputs == outputs`.
#
# <details><summary>Hint 1</summary>All distances at once: an arange of the inputs as a row, the centres as a column
# (<code>[:, None]</code>), subtract, take the absolute value. You get a matrix of the right shape.</details>
# <details><summary>Hint 2</summary>Negative weights are cut with <code>clamp(min=0)</code>;
# <code>sum(dim=1, keepdim=True)</code> has a shape that divides row by row.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "resize-weights", "grade": false, "solution": true, "locked": false, "task": false}
def resize_weights(inputs, outputs):
    """Matrix (outputs, inputs) float32 of an antialiased bilinear resize of a row of `inputs` pixels; rows sum to 1.

    Convention: result pixel i has its centre at the source's index coordinate (i + 0.5) * inputs / outputs - 0.5.
    """
    ### BEGIN SOLUTION
    scale = inputs / outputs
    centres = (torch.arange(outputs) + 0.5) * scale - 0.5
    distances = (torch.arange(inputs) - centres[:, None]).abs()
    weights = (1 - distances / max(scale, 1)).clamp(min=0)
    return weights / weights.sum(dim=1, keepdim=True)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "resize-weights_values", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def check_resize_weights(f):
    weights = f(6, 3)
    assert weights.shape == (3, 6), f"expected one row a result pixel, shape (3, 6), got {tuple(weights.shape)}"
    assert torch.allclose(weights.sum(1), torch.ones(3)), "each row should sum to 1"
    compare("row 0 0 1 1 1 0", weights @ torch.tensor([0.0, 0, 1, 1, 1, 0]), torch.tensor([1 / 7, 7 / 8, 4 / 7]))
    compare("no change of size", f(5, 5), torch.eye(5))


with Check("resize weights: the row from the paper, and the identity"):
    check_resize_weights(resize_weights)
### BEGIN HIDDEN TESTS
with Check("resize weights: three pixels enlarged to six"):
    steps = resize_weights(3, 6) @ torch.tensor([0.0, 1.0, 1.0])
    compare("enlarged", steps, torch.tensor([0.0, 0.25, 0.75, 1.0, 1.0, 1.0]))
with Check("resize weights: twelve pixels reduced to five"):
    assert (resize_weights(12, 5) > 0).sum(1).tolist() == [4, 5, 4, 5, 4], (
        "the triangle is 2 x 12 / 5 wide, cut at the ends"
    )
### END HIDDEN TESTS


# %%
def impulse_weights(inputs, outputs):
    """The same matrix, read off PyTorch's own antialiased resize by feeding it unit impulses."""
    impulses = torch.eye(inputs)[None, None]
    return F.interpolate(impulses, size=(outputs, inputs), mode="bilinear", antialias=True)[0, 0]


resize_weights = pick(resize_weights, impulse_weights, check_resize_weights)
compare("weights 256 -> 16", resize_weights(256, 16), impulse_weights(256, 16))

# %% [markdown]
# The reference here is a small trick that is worth knowing. Any linear machine gives away its matrix if you feed
# it unit impulses, one after the other. A stack of unit impulses is the identity matrix, so we let PyTorch resize *that*,
# along one side only.
#
# ### Vectorised: four matrices
#
# A picture is reduced along its columns and along its rows, and both are matrix products. With the silhouette $S$
# ($H \times W$), $D$ for the reduction and $U$ for the enlargement,
#
# $$\text{body shape} = U_h\, D_h\; S\; D_w^{\top} U_w^{\top}.$$
#
# No loop, and a fact in plain sight: whatever $S$ was, the result passes through $D_h S D_w^\top$, which has
# 16 x 12 = **192 numbers**. At 256 x 192 the silhouette had 49,152.
#
# CP-VTON's own loader uses Pillow on a picture of bytes. That rounds after each of the four products, by half a grey level at
# most, so we may differ from it by up to two levels of 255.


# %%
def shape_by_hand(sample):
    """(1, H, W) in [0, 1]."""
    height, width = sample.size
    small = resize_weights(height, 16) @ silhouette(sample)[0] @ resize_weights(width, 12).T
    return (resize_weights(16, height) @ small @ resize_weights(12, width).T)[None]


shape = shape_by_hand(sample)
compare("body shape", shape, body_shape(sample.parse))
pillow = Image.fromarray(np.asarray(sample.parse > 0, np.uint8) * 255)
for target in ((12, 16), settings.size[::-1]):  # Pillow's sizes are (width, height)
    pillow = pillow.resize(target, Image.Resampling.BILINEAR)
compare("body shape, Pillow", shape, np.asarray(pillow)[None] / 255, atol=2 / 255)
print("shape", tuple(shape.shape), f"from {shape.min():.2f} to {shape.max():.2f}")

# %% tags=["no-proof"]
pictures = [silhouette(sample), shape, shape_by_hand(other), (shape - shape_by_hand(other)).abs()]
titles = ["silhouette in A", "body shape in A", "body shape in B", "difference"]
show_images(
    pictures, titles, alt="A sharp silhouette, soft blobs of the person in two garments, faint broad differences."
)

# %% [markdown]
# ### How much did the blur hide?
#
# Fingers, collars and creases of the outline are gone. The instrument, though, is not impressed:

# %%
measured["change_body_shape"] = change(lambda s: body_shape(s.parse))
ratio = np.mean([body_shape(s.parse).sum() / silhouette(s).sum() for s in samples])
measured["blur_keeps_area"] = ratio
print(f"change: silhouette {measured['change_silhouette']:.2%}, body shape {measured['change_body_shape']:.2%}")
print(f"sum of the body shape / sum of the silhouette: {ratio:.4f}")

# %% [markdown]
# The mean change hardly drops, and the second line says why. Blurring moves light about; it doesn't remove any. A wider top
# makes a wider person, and the sum of the body shape is still the person's area almost to the pixel. So the blur hides
# **where exactly** the old outline ran, to about eight pixels, but not **how much** cloth there was. That is a real
# weakness of the representation, and section 7 will put a number on how well it can be exploited.
#
# **Paper and code, part one.** Three silhouettes go by the same name:
#
# - CP-VTON's code blurs the *whole* person, head and hair included: `parse > 0`. The course follows it.
# - VITON's code leaves out hat, hair, sunglasses and face (labels 1, 2, 4, 13), and reduces by plain averaging of areas.
# - CP-VTON+ takes the silhouette from a separate person mask (`image-mask > 0`), which also catches what the parser missed.
#
# All papers say "body shape". Weights trained with one of them are off when fed another, and nothing will warn you.


# %% tags=["no-proof"]
headless = body_shape(sample.parse * ~torch.isin(sample.parse, torch.tensor(HEAD_LABELS)))
titles = ["CP-VTON: all of the person", "VITON: without the head", "difference"]
show_images([shape, headless, shape - headless], titles, alt="A blurred body with a head, one without, and the head.")

# %% [markdown]
# ## 3 Pose: eighteen maps of one square each
#
# Keypoints tell the pose without the clothes. A convolution can't do much with 36 numbers, though; it wants maps. CP-VTON
# gives each joint a channel of its own, black but for a white **square of 11 x 11 pixels**: radius 5, both ends included.
#
# ### By hand
#
# A map of 9 x 7 pixels, a joint at $(x, y) = (3.4, 2.6)$, radius 1. The square reaches from $x = 2.4$ to $4.4$ and from
# $y = 1.6$ to $3.6$. Pillow's `rectangle` drops the fractions: columns 2 to 4, rows 1 to 3, nine pixels. Whatever the
# fraction, the square keeps its size; it jumps by whole pixels.

# %%
# NBVAL_CHECK_OUTPUT
canvas = Image.new("L", (9, 7), 0)
ImageDraw.Draw(canvas).rectangle((2.4, 1.6, 4.4, 3.6), fill=1)
print(np.asarray(canvas))

# %% [markdown]
# **Exercise 2: squares without a loop.** *about 15 minutes, difficulty 3 of 5.* Write `square_heatmaps(pose, size, radius)`
# for all joints at once. `pose` has the shape (..., K, 3): x, y in pixels and a confidence, with any number of leading
# dimensions. The result has the shape (..., K, height, width). A joint with the confidence 0 was not seen: its map is empty.
#
# What to expect: the nine ones of the toy above, and the 18 maps of a real person below.
#
# <details><summary>Hint 1</summary>A square is an *and* of two stripes: columns that lie between left and right, rows that
# lie between top and bottom. Compute the stripes (K, width) and (K, height) first.</details>
# <details><summary>Hint 2</summary><code>pose[..., 0, None]</code> has the shape (..., K, 1) and compares with an arange of the
# columns. <code>rows[..., :, None] &amp; columns[..., None, :]</code> makes the squares. Cut fractions with
# <code>torch.trunc</code>, towards zero.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "squares", "grade": false, "solution": true, "locked": false, "task": false}
def square_heatmaps(pose, size, radius=5):
    """pose (..., K, 3) x, y, confidence -> (..., K, H, W) float32 in {0, 1}; size = (height, width).

    1 from trunc(x - radius) to trunc(x + radius) and likewise in y, both ends included.
    """
    ### BEGIN SOLUTION
    height, width = size
    x, y, seen = pose[..., 0, None], pose[..., 1, None], pose[..., 2, None] > 0
    columns, rows = torch.arange(width), torch.arange(height)
    across = (columns >= torch.trunc(x - radius)) & (columns <= torch.trunc(x + radius)) & seen
    down = (rows >= torch.trunc(y - radius)) & (rows <= torch.trunc(y + radius))
    return (down[..., :, None] & across[..., None, :]).float()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "squares_values", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def check_squares(f):
    pose = torch.zeros(18, 3)
    pose[4] = torch.tensor([3.4, 2.6, 0.9])  # one joint is seen
    maps = f(pose, (7, 9), radius=1)
    assert maps.shape == (18, 7, 9), f"expected shape (18, 7, 9), got {tuple(maps.shape)}"
    assert maps.sum() == 9, f"expected nine ones for one joint that is seen, got {maps.sum():g}"
    compare("the toy", maps[4], np.asarray(canvas))


with Check("squares: the toy, one joint out of 18"):
    check_squares(square_heatmaps)
### BEGIN HIDDEN TESTS
with Check("squares: a batch, cut off at the border"):
    batch = torch.tensor([[[0.2, 5.0, 1.0]], [[7.9, 0.4, 0.5]]])
    maps = square_heatmaps(batch, (12, 8), radius=2)
    assert maps.shape == (2, 1, 12, 8), f"expected shape (2, 1, 12, 8), got {tuple(maps.shape)}"
    assert maps.sum((1, 2, 3)).tolist() == [15, 9], "squares at the border are cut off, not moved"
### END HIDDEN TESTS


# %%
def library_squares(pose, size, radius=5):
    """The library's version, for 18 or 25 joints."""
    return pose_heatmaps(pose, size, kind="square", radius=radius)


square_heatmaps = pick(square_heatmaps, library_squares, check_squares)
radius = 5 * sample.size[0] / 256  # 5 pixels in a picture 256 high
heatmaps = square_heatmaps(sample.pose[list(COCO_18_FROM_BODY_25)], sample.size, radius)
compare("18 squares", heatmaps, pose_heatmaps(sample.pose, sample.size, kind="square", radius=radius))
print("pixels of each:", heatmaps.sum((1, 2)).int().tolist())

# %% [markdown]
# Joints with 0 pixels lie below the lower edge or behind something: knees and ankles, mostly. Whoever stands at the border
# has a square that is cut off. Everybody else has 121 pixels in a picture of 256 x 192. The papers say nothing of other sizes;
# the course lets the radius shrink and grow with the height, so that a square covers the same part of an arm.
#
# MG-VTON draws discs of radius 4 instead, and pose estimators are trained on Gaussians. The library has all three. Here
# are the unions of the 18 channels, laid over the photograph:

# %%
titles = {"square": "CP-VTON: squares, 11 x 11", "disc": "MG-VTON: discs, radius 4", "gaussian": "Gaussian, sigma 3"}
radii = {kind: base * sample.size[0] / 256 for kind, base in (("square", 5), ("disc", 4), ("gaussian", 3))}
unions = [pose_heatmaps(sample.pose, sample.size, kind, radii[kind]).amax(0) for kind in titles]
pictures = [overlay(photograph(sample), union, alpha=0.9) for union in unions]
show_images(pictures, list(titles.values()), alt="A person whose joints are marked by squares, by discs, by soft dots.")
measured["change_squares"] = change(lambda s: pose_heatmaps(s.pose, s.size, kind="square"))
print(f"change of the squares between the two garments: {measured['change_squares']:.2%}")

# %% [markdown]
# A change of exactly zero: a proof, but look at what it proves. The studio reads joints off the *body* under the cloth.
# A pose estimator reads them off the picture, and a loose sleeve moves its elbow. So on photographs pose leaks a little, too.
#
# **Paper and code, part two.**
#
# - CP-VTON's loader draws a square only `if x > 1 and y > 1`. That skips missing joints, which the files note as (0, 0), but
#   also every real joint at the very left or top: a raised hand, say. The course looks at the confidence instead.
# - The confidence itself is ignored there. A joint guessed at 0.05 is as white as one seen at 0.95.
# - VITON cuts coordinates to whole numbers *before* it adds and subtracts the radius. Inside the picture that gives the
#   same squares; with another rounding (`round`, say) they would move by a pixel.
# - The default radius in the file's own self-test is 3; training and testing pass 5. Read the call, not the signature.
#
# ## 4 Reserved regions: what may stay as it is
#
# Face and hair say who it is, and no top should change them. So they are passed on as *colour*: three channels, the photograph
# where the parse says hat (1), hair (2), sunglasses (4) or face (13), and black elsewhere.
#
# **Exercise 3: cut out the head.** *about 5 minutes, difficulty 1 of 5.* Write `reserved(person, parse)`. The photograph comes
# in [-1, 1], the result is wanted in **[0, 1]**, black where nothing is reserved. It is a one-liner with a trap in it, and
# everybody steps into it once.
#
# What to expect: a head on black below. If the background comes out grey, you have met the trap.
#
# <details><summary>Hint 1</summary><code>torch.isin(parse, torch.tensor(HEAD_LABELS))</code> is the mask, (H, W). It broadcasts
# against three channels.</details>
# <details><summary>Hint 2</summary>What is 0 in [-1, 1]? Middle grey. So the order of converting and masking
# matters.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "reserved", "grade": false, "solution": true, "locked": false, "task": false}
def reserved(person, parse):
    """person (3, H, W) in [-1, 1], parse (H, W) -> (3, H, W) in [0, 1]: hat, hair, sunglasses, face; black elsewhere."""
    ### BEGIN SOLUTION
    head = torch.isin(parse, torch.tensor(HEAD_LABELS))
    return to_01(person) * head
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "reserved_values", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_reserved(f):
    parse = torch.tensor([[0, 2], [13, 5]])  # wall, hair, face, top
    person = torch.tensor([[0.0, -1.0], [0.5, 1.0]]).repeat(3, 1, 1)
    cut = f(person, parse)
    assert cut.shape == (3, 2, 2), f"expected shape (3, 2, 2), got {tuple(cut.shape)}"
    compare("four pixels", cut[0], torch.tensor([[0.0, 0.0], [0.75, 0.0]]))


with Check("reserved: black wall, black hair, face 0.75, no top"):
    check_reserved(reserved)
### BEGIN HIDDEN TESTS
with Check("reserved: every label once"):
    row = reserved(torch.ones(3, 1, 20), torch.arange(20)[None])
    assert row[0, 0].nonzero().flatten().tolist() == [1, 2, 4, 13], (
        "hat, hair, sunglasses and face are kept, nothing else"
    )
### END HIDDEN TESTS

# %%
reserved = pick(reserved, represent.reserved_regions, check_reserved)
head = reserved(sample.person, sample.parse)
compare("reserved regions", head, represent.reserved_regions(sample.person, sample.parse))
pictures = [photograph(sample), colour_parse(sample.parse), course.parse_legend(sample.parse), head]
titles = ["person", "parse", "its labels", "reserved regions"]
show_images(pictures, titles, alt="A photograph, its parse in colours with a legend, and the head alone on black.")

# %% [markdown]
# **Paper and code, part three.** CP-VTON works in [-1, 1], and a comment beside this line of its loader promises that the
# rest is filled with 0. The code computes `im * mask - (1 - mask)`: it fills with **-1**. Black, not grey. (Our
# exercise agrees with the code: black in [0, 1] *is* -1 in [-1, 1].) If you believe the comment and train on grey, official
# weights see a picture that they have never seen.
#
# The opposite fill is in use, too: the *worn garment*, cut out as the target of the warp, stands on white, +1. And
# "garment" means labels 5, 6, 7 (upper-clothes, dress, coat) to CP-VTON and 5 alone to VITON.
#
# And which labels are reserved? CP-VTON: 1, 2, 4, 13. CP-VTON+ drops hair (2) for its warp, and for its try-on
# module adds trousers, skirt and legs (9, 12, 16, 17), so that they needn't be invented.
#
# ## 5 Twenty-two channels
#
# Stack the three parts and you hold CP-VTON's person representation, the input of its geometric matching module (notebook 06):
#
# | channels | what | values |
# |---|---|---|
# | 0 to 17 | one square a joint, order COCO-18: nose, neck, right arm, left arm, right leg, left leg, eyes, ears | {0, 1} |
# | 18 | body shape | [0, 1] |
# | 19 to 21 | reserved regions, RGB | [0, 1] |
#
# Representations in `vtonlib` are in [0, 1]. CP-VTON was defined on [-1, 1], so `vtonlib.systems` doubles and subtracts one at its door.


# %%
def twenty_two(sample):
    """(22, H, W) in [0, 1]."""
    squares = square_heatmaps(sample.pose[list(COCO_18_FROM_BODY_25)], sample.size, radius=5 * sample.size[0] / 256)
    return torch.cat([squares, shape_by_hand(sample), reserved(sample.person, sample.parse)])


channels = twenty_two(sample)
compare("22 channels", channels, represent.person_representation(sample))
print(tuple(channels.shape), f"from {channels.min():.0f} to {channels.max():.0f}")
alt = "22 maps in two rows: black ones with one white square each, some empty; a soft body; a head in three greys."
show_images([list(channels[:11]), list(channels[11:])], alt=alt, height=110)

# %% [markdown]
# Here is what the network does *not* get: colour and cut of the top, but also arms, hands, trousers and the wall. CP-VTON's try-on
# module must paint those anew, from 22 channels and a warped garment. Blurry hands in its results are no accident; hands are not in
# its input. VITON-HD therefore keeps more, and pays for it with more careful erasing.
#
# ## 6 VITON-HD: erase, then show the rest
#
# ### Label 10 is the neck
#
# First a trap in the data. VITON-HD's parse files use the 20 labels of the LIP data set, with one exception. In LIP, 10 means
# **jumpsuits**. In VITON-HD's files, 10 is the skin of **neck and upper chest**. Both agnostics depend on it: the shape of
# that patch *is* the neckline of the old top, so it has to go. With a parser trained on plain LIP, there is no neck label.
# The neck becomes part of the face (13), and the face is what everybody keeps. Section 9 shows what then happens.
#
# ### The parse-agnostic map, stroke by stroke
#
# The segmentation network of VITON-HD gets the label map with the top, the neck and the arms removed. Arms, because where the skin
# begins tells the length of the sleeve. Hands may stay: they are visible in any top, and hard to invent.
#
# The recipe, in pixels of a picture that is 768 wide (at another width, multiply by width / 768):
#
# 1. Walk each arm from the *opposite* shoulder: for the left arm (label 14) right shoulder, left shoulder, left elbow, left wrist;
#    for the right arm (15) the mirror image.
# 2. Each step draws a line 100 wide, and a disc at its end: radius 150, at the wrist only 40.
# 3. Pixels of that arm's label under the strokes become background. So do, everywhere, the tops (5, 6, 7) and the neck (10).
#
# A step whose joint is missing, written (0, 0), is skipped, and the next one starts where the last good one ended.

# %%
LEFT_ARM, RIGHT_ARM = (2, 5, 6, 7), (5, 2, 3, 4)  # indices into BODY_25
print("walk for the left arm:", " > ".join(list(BODY_25_INDEX)[joint] for joint in LEFT_ARM))


def arm_strokes(pose, walk, size):
    """Mask (H, W) bool of the strokes along one arm."""
    canvas, scale = Image.new("L", size[::-1], 0), size[1] / 768
    draw, before = ImageDraw.Draw(canvas), walk[0]
    for joint in walk[1:]:
        if pose[before, :2].any() and pose[joint, :2].any():
            ends = [tuple(pose[index, :2].tolist()) for index in (before, joint)]
            draw.line(ends, fill=1, width=round(100 * scale))
            (x, y), radius = ends[1], (40 if joint == walk[-1] else 150) * scale
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
            before = joint
    return torch.from_numpy(np.array(canvas) > 0)


left, right = (arm_strokes(sample.pose, walk, sample.size) for walk in (LEFT_ARM, RIGHT_ARM))
painted = [overlay(photograph(sample), left), overlay(photograph(sample), right, colour="blue")]
titles = ["strokes of the left arm", "strokes of the right arm", "the parse that they erase from"]
alt = "A person with a broad band over shoulders and left arm, the same for the right arm, and the parse."
show_images([*painted, colour_parse(sample.parse)], titles, alt=alt)

# %% [markdown]
# Left is the *person's* left, on the right of the picture. The bands are generous: 150 of 768 pixels is a fifth of the picture's
# width around shoulder and elbow, so that no sleeve, however wide, leaves its outline behind.
#
# Below, the person whose parse-agnostic map changes most, in both garments. Look for differences between the second and
# the fourth picture: they are leaks.


# %%
def parse_agnostic_by_hand(sample):
    """(H, W) int64 LIP-20 labels without top, neck and arms."""
    agnostic = sample.parse.clone()
    for label, walk in ((14, LEFT_ARM), (15, RIGHT_ARM)):
        agnostic[arm_strokes(sample.pose, walk, sample.size) & (sample.parse == label)] = 0
    agnostic[torch.isin(sample.parse, torch.tensor([5, 6, 7, 10]))] = 0
    return agnostic


for one in samples:
    assert torch.equal(parse_agnostic_by_hand(one), parse_agnostic(one)), one.name
compare("parse-agnostic", parse_agnostic_by_hand(sample), parse_agnostic(sample), atol=0)
telling = max(samples, key=lambda s: (parse_agnostic(s) != parse_agnostic(s.truth.unpaired)).sum())
pictures = [colour_parse(labels) for s in (telling, telling.truth.unpaired) for labels in (s.parse, parse_agnostic(s))]
titles = ["parse in A", "parse-agnostic in A", "parse in B", "parse-agnostic in B"]
alt = "Label maps of one person in two garments and their agnostic versions: head, hands, and what is below the top."
show_images(pictures, titles, alt=alt)

# %%
first, second = (torch.stack([parse_agnostic(s) for s in g]) for g in (samples, [s.truth.unpaired for s in samples]))
below = torch.isin(torch.stack([first, second]), torch.tensor(LOWER_LABELS)).any(0)
share = ((first != second) & below).sum() / (first != second).sum()
print(f"{(first != second).sum()} pixels change; {share:.0%} of them are trousers, skirt or legs in A or in B")

# %% [markdown]
# Colour is gone, sleeves are gone, the neckline is gone. What is left is the **hem**: trousers are kept, and where they begin is
# where the old top ended. Nothing in the recipe hides that, neither here nor in the photograph version below.
#
# Networks take labels as channels. VITON-HD merges the 20 labels into 13 groups; the library's `one_hot` does it by
# looking up one row of a 20 x 13 table for every pixel. Neck joins the background there: two times erased is safe.

# %%
from vtonlib.labels import GROUPS_13

hot = one_hot(parse_agnostic(sample), GROUPS_13)
used = [name for (name, _), channel in zip(GROUPS_13, hot) if channel.any()]
print(tuple(hot.shape), "channels in use:", ", ".join(used))
measured["change_parse_agnostic"] = change(lambda s: one_hot(parse_agnostic(s)))
print(f"change of the parse-agnostic map: {measured['change_parse_agnostic']:.2%}")

# %% [markdown]
# ### The human-agnostic picture
#
# The later networks of VITON-HD see the photograph itself, with the garment painted over in grey (128, 128, 128). The brush
# is wide, and it follows the joints, never the cloth. With $r = 20$ pixels at a width of 768:
#
# 1. hips are moved apart until they are as far from each other as the shoulders (cloth hangs straight where hips are narrow,
#    is our guess at the reason);
# 2. a line $10r$ wide between the shoulders, discs of radius $5r$ on them;
# 3. along each arm lines $10r$ wide, with discs of radius $5r$ at elbow and wrist;
# 4. the torso: ellipses $3r \times 6r$ at the hips, lines $6r$ wide from shoulder to hip, $12r$ from hip to hip, and
#    the polygon between the four;
# 5. a square of $\pm 7r$ around the neck joint;
# 6. then face and sunglasses (13, 4) and everything below the top (9, 12, 16 to 19) are pasted back.
#
# Step 1 is yours.
#
# **Exercise 4: wider hips.** *about 10 minutes, difficulty 2 of 5.* Write `widen_hips(joints)`. Both hips move along the line
# that joins them, their midpoint stays, and their distance becomes that of the shoulders. A joint at (0, 0) is missing: if one of
# the four is missing, or the hips coincide, nothing moves. Leave the array that you were given as it is.
#
# What to expect: hips at (40, 90) and (60, 90) with shoulders 40 apart go to (30, 90) and (70, 90).
#
# <details><summary>Hint 1</summary><code>np.linalg.norm</code> gives both distances; hip minus midpoint, scaled by their
# ratio, plus midpoint is the new place.</details>
# <details><summary>Hint 2</summary>Check for missing joints <i>before</i> you divide. A joint is missing if both coordinates are 0:
# <code>(joints[four] == 0).all(axis=1).any()</code>.</details>

# %% nbgrader={"schema_version": 3, "grade_id": "hips", "grade": false, "solution": true, "locked": false, "task": false}
RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP = 2, 5, 9, 12


def widen_hips(joints):
    """joints (25, 2) x, y in the order BODY_25 -> a new array (25, 2), hips as far apart as the shoulders."""
    ### BEGIN SOLUTION
    four = [RIGHT_SHOULDER, LEFT_SHOULDER, RIGHT_HIP, LEFT_HIP]
    wide = joints.copy()
    hips, shoulders = joints[four[2:]], joints[four[:2]]
    apart = np.linalg.norm(hips[1] - hips[0])
    if apart == 0 or (joints[four] == 0).all(axis=1).any():
        return wide
    middle = hips.mean(axis=0)
    wide[four[2:]] = middle + (hips - middle) * np.linalg.norm(shoulders[1] - shoulders[0]) / apart
    return wide
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "hips_values", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def four_joints(*points):
    joints = np.zeros((25, 2))
    joints[[2, 5, 9, 12]] = points
    return joints


def check_widen_hips(f):
    moved = f(four_joints((30, 20), (70, 20), (40, 90), (60, 90)))
    compare("hips", moved[[9, 12]], [[30, 90], [70, 90]])
    cropped = four_joints((30, 20), (70, 20), (0, 0), (0, 0))
    assert not np.isnan(f(cropped)).any(), "NaN where both hips are missing"
    compare("no hips", f(cropped), cropped)


with Check("hips: from 20 to 40 apart; untouched where they are missing"):
    check_widen_hips(widen_hips)
### BEGIN HIDDEN TESTS
with Check("hips: a slanted pelvis, and the argument is left alone"):
    slanted = four_joints((10, 10), (10, 60), (20, 80), (26, 88))
    before = slanted.copy()
    compare("slanted", widen_hips(slanted)[[9, 12]], [[8, 64], [38, 104]])
    compare("argument", slanted, before)
### END HIDDEN TESTS

# %%
from vtonlib.represent.agnostic import widen_hips as library_widen_hips

widen_hips = pick(widen_hips, library_widen_hips, check_widen_hips)
joints = sample.pose[:, :2].double().numpy()
print("hips before:", joints[[9, 12]].round(1).tolist(), " after:", widen_hips(joints)[[9, 12]].round(1).tolist())


# %%
def human_mask_by_hand(sample, scale=None):
    """What VITON-HD paints grey: (1, H, W) in {0, 1}. scale: of the brush, width / 768 unless given."""
    height, width = sample.size
    r = 20 * (width / 768 if scale is None else scale)
    p = [tuple(point) for point in widen_hips(sample.pose[:, :2].double().numpy()).tolist()]
    canvas = Image.new("L", (width, height), 0)
    draw = ImageDraw.Draw(canvas)

    def line(start, end, wide):
        draw.line([p[start], p[end]], fill=1, width=round(wide))

    def box(shape, joint, x, y):
        shape((p[joint][0] - x, p[joint][1] - y, p[joint][0] + x, p[joint][1] + y), fill=1)

    line(2, 5, 10 * r)
    for start, end in ((None, 2), (2, 3), (3, 4), (None, 5), (5, 6), (6, 7)):
        if start is not None:
            line(start, end, 10 * r)
        box(draw.ellipse, end, 5 * r, 5 * r)
    for shoulder, hip in ((2, 9), (5, 12)):
        box(draw.ellipse, hip, 3 * r, 6 * r)
        line(shoulder, hip, 6 * r)
    line(9, 12, 12 * r)
    draw.polygon([p[2], p[5], p[12], p[9]], fill=1)
    box(draw.rectangle, 1, 7 * r, 7 * r)
    keep = torch.isin(sample.parse, torch.tensor([4, 13, *LOWER_LABELS]))
    return (torch.from_numpy(np.array(canvas) > 0) & ~keep).float()[None]


# %%
for one in samples:
    assert torch.equal(human_mask_by_hand(one), human_agnostic_mask(one)), one.name
compare("human-agnostic mask", human_mask_by_hand(sample), human_agnostic_mask(sample), atol=0)
agnostic = torch.where(human_mask_by_hand(sample) > 0, 128 / 255, photograph(sample))
compare("human-agnostic", agnostic, human_agnostic(sample))

# %% [markdown]
# HR-VITON starts from the same idea and changes the brush. Its $r$ is measured on the person, shoulder width / 16, so that a child
# or someone far away isn't painted over whole. And it cuts the **hands** out of the mask: pixels labelled arm that lie beyond
# the wrist. Pass `style="hr-viton"`.
#
# Two numbers describe the bargain. **Erased** is the share of the picture that is painted over: all of it must be invented.
# **Left over** is the share of the worn top that the brush missed; a flap of cloth under a raised arm is enough
# for a network to know the colour.

# %% tags=["no-proof"]
views = (photograph, human_agnostic, lambda s: human_agnostic(s, style="hr-viton"))
rows = [[view(one) for one in (s, s.truth.unpaired) for view in views] for s in (sample, telling)]
titles = ["A", "VITON-HD", "HR-VITON", "B", "VITON-HD", "HR-VITON"]
alt = "Two people, each in two garments, with torso and arms painted grey; HR-VITON shows hands, and the hem shows."
show_images(rows, titles, alt=alt, height=200)


# %%
def is_top(sample):
    """(1, H, W) bool: upper-clothes, dress, coat."""
    return torch.isin(sample.parse, torch.tensor(TOP_LABELS))[None]


def left_over(sample, mask):
    """Share of the worn top that a mask of erased pixels leaves visible."""
    return float(((1 - mask) * is_top(sample)).sum() / is_top(sample).sum())


# %%
for style in ("viton-hd", "hr-viton"):
    masks = [human_agnostic_mask(one, style) for one in samples]
    erased = measured[f"erased_{style}"] = float(torch.stack(masks).mean())
    left = measured[f"left_over_{style}"] = np.mean([left_over(one, mask) for one, mask in zip(samples, masks)])
    print(f"{style:9s} erases {erased:.1%} of the picture and leaves {left:.2%} of the top visible")

# %% [markdown]
# **Paper and code, part four.**
#
# | what one reads | what the released code does |
# |---|---|
# | VITON-HD's text: the agnostic picture keeps the hands | the discs of radius 100 at the wrists paint over most of them, and only head and lower body are pasted back; HR-VITON's code restores hands |
# | parse-agnostic and human-agnostic go together | hands stay in the first (wrist disc 40), vanish in the second (100): the two inputs contradict each other |
# | "pixels" | absolute numbers for 768 x 1024; at another size, or for a small person, they mean something else |
# | the head is kept | face and sunglasses are; **hair is not**: where the square of step 5 or a shoulder stroke crosses long hair, it goes grey |
# | hips as wide as shoulders | the hips of the pose array are changed *in place*, so whoever uses the array afterwards gets wide hips; both hips missing gives 0 / 0 |
# | noise added to the label maps is Gaussian | it is drawn into bytes and so becomes 0 or 1; notebook 08 returns to this |
#
# The library follows the code's *drawing*, with sizes that scale and missing joints that are skipped.
#
# ## 7 How much can be read off? A detective
#
# `change` says *that* something leaks. Whether it is of use, we ask a **detective**: a small model that looks at
# a representation and guesses something about the old garment that it should not know. Our question: which share $y$ of
# the picture does the worn top cover? It grows with sleeves, length and width.
#
# The detective is linear, trained in closed form (**ridge regression**): one row of features $x_n$ for each person of the *train* split,
# each map reduced to 32 x 24. There are more features than people, so we solve in the space of the people:
#
# $$w = X^{\top} \left( X X^{\top} + \lambda I \right)^{-1} (y - \bar y), \qquad \hat y(x) = \bar y + w^{\top} (x - \bar x)$$
#
# where $X$ holds the centred features $x_n - \bar x$ and $\lambda$ is a tenth of their mean squared length.
#
# How do we test it *fairly*? A tall person in a wide pose has a large top, and pose isn't secret. So we ask for the
# **difference**: test person $n$ in A and in B, same pose, same build. The truth is $\Delta_n = y_n^B - y_n^A$, the detective
# says $\hat\Delta_n$, and its score is the share of the differences that it explains:
#
# $$\text{explained} = 1 - \frac{\sum_n (\hat\Delta_n - \Delta_n)^2}{\sum_n \Delta_n^2}.$$
#
# 1 means: reads it like an open book. 0 is what one gets by answering "no difference" every time.


# %% tags=["no-proof"]
def no_hem(sample):
    """The parse-agnostic map without what lies below the top: nothing tells the hem."""
    labels = parse_agnostic(sample)
    return one_hot(labels.masked_fill(torch.isin(labels, torch.tensor(LOWER_LABELS)), 0))


REPRESENTATIONS = {
    "parse": lambda s: one_hot(s.parse),
    "silhouette": silhouette,
    "body shape": lambda s: body_shape(s.parse),
    "CP-VTON's 22 channels": represent.person_representation,
    "parse-agnostic": lambda s: one_hot(parse_agnostic(s)),
    "parse-agnostic, no hem": no_hem,
    "human-agnostic": human_agnostic,
    "18 pose squares": lambda s: pose_heatmaps(s.pose, s.size, kind="square"),
}


def clues(sample):
    """32 x 24 features of every representation, and the answer: the share of the picture that the top covers."""
    maps = {name: view(sample)[None] for name, view in REPRESENTATIONS.items()}
    return {n: F.adaptive_avg_pool2d(m, (32, 24)).flatten() for n, m in maps.items()}, is_top(sample).float().mean()


training_people = open_dataset(root, split="train", size=settings.size)
lessons = [clues(training_people[index]) for index in range(len(training_people))]
cases = [(clues(one), clues(one.truth.unpaired)) for one in map(people.__getitem__, range(len(people)))]
print(f"{len(lessons)} lessons, {len(cases)} cases; numbers:", {n: len(f) for n, f in lessons[0][0].items()})


# %% tags=["no-proof"]
def train_detective(x, y, strength=0.1):
    """Ridge regression. x (N, D), y (N,) -> a function from features (M, D) to guesses (M,)."""
    x_mean, y_mean = x.mean(0), y.mean()
    products = (x - x_mean) @ (x - x_mean).T
    ridge = strength * products.diagonal().mean() * torch.eye(len(x))
    weights = (x - x_mean).T @ torch.linalg.solve(products + ridge, y - y_mean)
    return lambda features: y_mean + (features - x_mean) @ weights


# %% tags=["no-proof"]
def explained(name):
    """Score of a detective that sees the representation `name`, on test people in two garments."""
    detective = train_detective(torch.stack([f[name] for f, _ in lessons]), torch.stack([y for _, y in lessons]))
    in_a, in_b = (torch.stack([case[side][0][name] for case in cases]) for side in (0, 1))
    truth = torch.stack([b[1] - a[1] for a, b in cases])
    return float(1 - ((detective(in_b) - detective(in_a) - truth) ** 2).sum() / (truth**2).sum())


scores = {name: explained(name) for name in REPRESENTATIONS}
for name, score in scores.items():
    print(f"{name:24s} change {change(REPRESENTATIONS[name]):7.2%}   explained {score:6.2f}")
for name in ("parse", "silhouette", "body shape", "parse-agnostic", "parse-agnostic, no hem", "18 pose squares"):
    measured["explained_" + name.replace(", ", "_").replace(" ", "_")] = scores[name]

# %% tags=["no-proof"]
figure, axis = course.new_figure(size=(6.4, 2.8))
axis.barh(list(scores), [max(score, 0) for score in scores.values()])
axis.invert_yaxis()
axis.set(xlim=(0, 1), xlabel="what a linear detective explains of the change of the top's size (0 = nothing)")
show_figure(figure, alt="Bars, one a representation; the full parse explains most, the pose squares nothing.")

# %% [markdown]
# Read the bars from top to bottom.
#
# - The **parse** is an open book: it has the top as a label. This is what the score looks like without any hiding.
# - **Silhouette and body shape** tell the size of the old top about equally well, and CP-VTON's 22 channels contain the latter.
#   The blur was meant to hide the outline, and it hides it from the *eye*. The amount of cloth survives, as section 2 made us suspect.
# - In the **parse-agnostic** map the top, its sleeves and its neckline are gone, and still a part can be explained: the hem.
# - **Without the hem** hardly anything is left. The price: trousers and skirts have to be invented.
# - The **human-agnostic** picture shows the same hem as the parse-agnostic map, and yet our detective finds next to nothing (a
#   little, with the many people of the profile `gpu`). It is *linear*, and trousers come in all colours; we would expect a
#   convolutional network to find that edge at once. **A detective who finds
#   something proves a leak. One who finds nothing proves nothing**; only a change of zero does, as for the pose.
#
# Does a leak matter? That depends on the step. For a *warp* (notebook 06) a hint at the old size is harmless, perhaps even welcome:
# the warp is trained to bring the garment to where the old one was. For *synthesis* it is poison: a network that has
# learnt "cloth ends at the trousers' edge" will cut or stretch every new top to the old length.
#
# ## 8 From a photograph
#
# So far every parse and every pose was *given*: the studio drew the person and knew. Your own photograph comes with
# nothing. Notebooks 02 to 04 trained networks for what is missing: pose with hands, human parsing, DensePose, and a mask
# for the picture of the garment. Here they take the place of the truth, and we ask what the agnostics lose by it.
#
# First a photograph as a stranger would bring it: a file from a phone, with a lot of wall in it, that lies on its side. Phones
# store the pixels as the sensor read them, and note in the file's EXIF data how to turn them (tag 274; 6 means
# a quarter turn clockwise). The naive idea is to open the file, resize it to 4 : 3 and go on.

# %% tags=["no-proof"]
desk = tempfile.TemporaryDirectory()  # all files of this section; cleared away at its end
folder = Path(desk.name)
height, width = settings.size


def touches(sample):
    """Share of the left, right and upper border of the picture that the person covers."""
    return (torch.cat([sample.parse[:, 0], sample.parse[:, -1], sample.parse[0]]) > 0).float().mean()


stranger = min([s for s in samples if complete(s)] or samples, key=touches)
wide = F.pad(stranger.person[None], (width, width // 2, height // 3, 0), mode="replicate")[0]  # the wall goes on
exif = Image.Exif()
exif[274] = 6
lying = Image.fromarray(to_picture(to_01(wide))).transpose(Image.Transpose.ROTATE_90)
lying.save(folder / "holiday.jpg", exif=exif, quality=95)
shop = F.pad(to_01(stranger.truth.unpaired.garment.image), (width // 6, width // 6, 0, 0), mode="replicate")
Image.fromarray(to_picture(shop)).save(folder / "top.png")
naive = Image.open(folder / "holiday.jpg").resize((width, height))
print("holiday.jpg holds", " x ".join(map(str, lying.size[::-1])), "pixels (height x width) and the orientation 6")

# %% tags=["no-proof"]
annotator = Annotator.load(size=settings.size)
annotated = annotator(folder / "holiday.jpg", folder / "top.png")
mine = annotated.sample
print(annotated.report.text())

# %% [markdown]
# That is all: four networks, loaded once, and one call for each photograph. Whoever has only one photograph writes
# `annotate(photo, garment)`, which loads them by itself. What it did, in order:
#
# 1. **Read.** The EXIF turn is applied, and colour profile, transparency, 50 megapixels are dealt with.
# 2. **Find.** Parse and pose of the whole photograph, reduced, are held against each other: where is a person, and is there
#    one at all?
# 3. **Frame.** A window of the wanted aspect around the person becomes the picture. Where the photograph ends it is
#    padded, never squashed.
# 4. **Annotate** that window: joints, hands, labels, DensePose, skeleton; and the garment's mask.
#
# The report says what was found, which part of the photograph became the picture, and how long each step took. The result
# is a `TryOnSample`, the very record that a data set gives. So everything in this notebook takes it as it is.

# %% tags=["no-proof"]
first = [naive, to_01(mine.person), colour_parse(mine.parse), to_01(mine.skeleton), densepose_picture(mine.densepose)]
titles = ["resized, and no more", "read and framed", "parse", "skeleton", "DensePose"]
alt = "A squashed picture of someone lying; the person upright and framed, parse in colours, skeleton, DensePose in colours."
show_images(first, titles, alt=alt, height=210)
agnostics = [body_shape(mine.parse), colour_parse(parse_agnostic(mine)), human_agnostic(mine)]
titles = ["garment", "its mask", "body shape", "parse-agnostic", "human-agnostic"]
alt = "The garment, its mask in white, a soft body, a label map without top and arms, the person with torso and arms grey."
show_images([to_01(mine.garment.image), mine.garment.mask, *agnostics], titles, alt=alt, height=210)

# %% [markdown]
# First the naive idea: on its side and squashed, no network of this course has ever seen anybody like that. In the second
# row, the agnostics need no network of their own. They are drawn from parse and pose, as before.
#
# ### Predicted against given
#
# It looks right, and pictures that look right are what this course distrusts. So we take test people whose annotations
# are known, and hide them. The picture stays as it is (`crop=False`: no window), so that every pixel can be compared.
#
# Three numbers for each person, between 0 (nothing differs) and 1: the share of pixels whose **label** differs, the share that
# differs in the **parse-agnostic** map, and of what is erased in the **human-agnostic** picture one minus the
# intersection over union. The interval is a bootstrap's: what as many other people would have given.


# %% tags=["no-proof"]
def from_networks(sample):
    """The sample with predicted annotations in the place of the given ones, on the same picture; None: nobody found."""
    try:
        found = annotator(sample.person, name=sample.name, crop=False).sample
    except NobodyFound:
        return None
    names = ("parse", "pose", "hands", "densepose", "skeleton")
    return replace(sample, **{name: getattr(found, name) for name in names})


def differences(given, predicted):
    """How far two samples of one picture are apart: number by name."""
    masks = [human_agnostic_mask(one) for one in (given, predicted)]
    return {
        "parse": float((given.parse != predicted.parse).float().mean()),
        "parse_agnostic": float((parse_agnostic(given) != parse_agnostic(predicted)).float().mean()),
        "human_agnostic": 1 - float(iou(*masks)),
    }


everyone = [(sample, from_networks(sample)) for sample in tqdm(samples, file=sys.stdout, leave=False)]
pairs = [(given, predicted) for given, predicted in everyone if predicted is not None]
print(f"{len(pairs)} of {len(everyone)} people found")
apart = [differences(given, predicted) for given, predicted in pairs]
for name in apart[0]:
    mean = bootstrap([one[name] for one in apart])
    measured[f"predicted_{name}"] = mean.mean
    print(f"{name:15s} differs by {mean.mean:.2%} [{mean.low:.2%}, {mean.high:.2%}]")


# %% tags=["no-proof"]
def marked(sample, mask):
    """The photograph in pale grey, and red where the mask is."""
    return overlay(
        (photograph(sample).mean(0, keepdim=True) * 0.5 + 0.5).expand(3, -1, -1), mask, colour="red", alpha=1
    )


order, rows = np.argsort([one["parse_agnostic"] for one in apart]), []
for given, predicted in (pairs[order[len(order) // 2]], pairs[order[-1]]):
    maps = [parse_agnostic(one) for one in (given, predicted)]
    masks = [human_agnostic_mask(one) for one in (given, predicted)]
    first = [photograph(given), *map(colour_parse, maps), marked(given, maps[0] != maps[1])]
    rows.append([*first, human_agnostic(given), human_agnostic(predicted), marked(given, masks[0] != masks[1])])
titles = ["photograph", "parse-agnostic, given", "predicted", "differ", "human-agnostic, given", "predicted", "differ"]
alt = "Two people: parse-agnostic maps and human-agnostic pictures, given and predicted, and in red where they differ."
show_images(rows, titles, alt=alt, row_titles=["median", "worst"], height=165)

# %% [markdown]
# **Where** do they differ? Each pixel has two labels, and the pair tells the place. A pixel counts for the first line of
# the list that fits. The first line is pose's alone: where both parses say the same, only a stroke can have
# made the difference.


# %% tags=["no-proof"]
def places(given, predicted):
    """Masks (H, W) bool by name; no two overlap, together they are the picture."""
    labels = torch.stack([given.parse, predicted.parse])

    def either(group):
        return torch.isin(labels, torch.tensor(group)).any(0)

    claims = {
        "same label, other stroke": labels[0] == labels[1],
        "hem": either(TOP_LABELS) & either(LOWER_LABELS),
        "neck": either((LIP_INDEX["neck"],)),
        "arms and hands": either(ARM_LABELS),
        "head": either(HEAD_LABELS),
        "below the hem": either(LOWER_LABELS),
        "elsewhere": labels[0] >= 0,
    }
    masks, free = {}, labels[0] >= 0
    for name, claim in claims.items():
        masks[name], free = claim & free, free & ~claim
    return masks


counts = {}
for given, predicted in pairs:
    differ = parse_agnostic(given) != parse_agnostic(predicted)
    for name, mask in places(given, predicted).items():
        counts[name] = counts.get(name, 0) + int((differ & mask).sum())
figure, axis = course.new_figure(size=(6.4, 2.4))
axis.barh(list(counts), [100 * count / max(1, sum(counts.values())) for count in counts.values()])
axis.invert_yaxis()
axis.set(xlabel="% of the pixels of the parse-agnostic map that differ")
show_figure(figure, alt="Bars: which places the differing pixels of the parse-agnostic maps lie in, from strokes and hem to elsewhere.")  # fmt: skip
print({name: f"{count / max(1, sum(counts.values())):.0%}" for name, count in counts.items()})

# %% [markdown]
# The parse-agnostic map is more forgiving than the parse that it is drawn from. Where one parse says top and the other background,
# or neck, both end as background, and no such pixel is in this list. It can only differ in what it keeps: hands and the arm
# beyond the strokes, the hem, whatever is below the hem, the head.
#
# ### Which step is to blame?
#
# Two networks have a hand in each agnostic. To tell them apart, give one of them the truth: parse given and pose
# predicted, then the other way round.
#
# **Exercise 5: swap annotations.** *about 10 minutes, difficulty 2 of 5.* Write `swapped(given, predicted, *steps)`: the
# sample `given`, in which the named steps, "pose", "parse" or "densepose", come from `predicted`. A step brings *everything that it made*: pose
# estimation finds joints and hands, and the skeleton picture is drawn from both. Another name is a
# `ValueError`; a silent typo would measure nothing and report that the step is harmless.
#
# What to expect: no step gives `given` again; all three give every annotation of `predicted`.
#
# <details><summary>Hint 1</summary>A dict from the step's name to the fields of the sample that it makes; "pose" has three.</details>
# <details><summary>Hint 2</summary>Samples can't be changed. <code>replace(given, **fields)</code>, imported above, gives a
# copy with other fields, and <code>getattr(predicted, "parse")</code> is the parse.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "swap-annotations", "grade": false, "solution": true, "locked": false, "task": false}
def swapped(given, predicted, *steps):
    """`given` (a TryOnSample) with what the steps make, "pose", "parse" or "densepose", from `predicted`.

    A new sample; the photograph, the garment and the truth stay. Raises ValueError for another step.
    """
    ### BEGIN SOLUTION
    made = {"pose": ("pose", "hands", "skeleton"), "parse": ("parse",), "densepose": ("densepose",)}
    fields = {}
    for step in steps:
        if step not in made:
            raise ValueError(f"step: expected one of {', '.join(made)}, got {step!r}")
        fields |= {name: getattr(predicted, name) for name in made[step]}
    return replace(given, **fields)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "swap-annotations_fields", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
FIELDS = ("person", "parse", "pose", "hands", "skeleton", "densepose")


def small_sample(value):
    """A sample of 4 x 3 pixels, every number of which is `value`."""
    shapes = ((3, 4, 3), (4, 3), (25, 3), (2, 21, 3), (3, 4, 3), (3, 4, 3))
    return TryOnSample(name="small", **{n: torch.full(s, float(value)) for n, s in zip(FIELDS, shapes)})


def from_predicted(f, *steps):
    """Names of the fields of f(given, predicted, *steps) that came from `predicted`."""
    swap = f(small_sample(0), small_sample(1), *steps)
    return [name for name in FIELDS if getattr(swap, name).max() == 1]


def check_swapped(f):
    assert from_predicted(f) == [], "without a step everything should be as given"
    for steps, expected in ((("parse",), ["parse"]), (("parse", "densepose"), ["parse", "densepose"])):
        got = from_predicted(f, *steps)
        assert got == expected, f"steps {steps}: expected {expected} from `predicted`, got {got}"


with Check("swap: no step, the parse, parse and DensePose"):
    check_swapped(swapped)
### BEGIN HIDDEN TESTS
with Check("swap: the pose brings hands and skeleton; an unknown step is refused"):
    assert from_predicted(swapped, "pose") == ["pose", "hands", "skeleton"], "joints, hands and skeleton go together"
    try:
        swapped(small_sample(0), small_sample(1), "prase")
    except ValueError:
        refused = True
    else:
        refused = False
    assert refused, "expected a ValueError for the step 'prase'"
### END HIDDEN TESTS


# %%
def swapped_by_index(given, predicted, *steps):
    """The same; `index` raises the ValueError for an unknown step."""
    fields = (("pose", "hands", "skeleton"), ("parse",), ("densepose",))
    names = [name for step in steps for name in fields[("pose", "parse", "densepose").index(step)]]
    return replace(given, **{name: getattr(predicted, name) for name in names})


swapped = pick(swapped, swapped_by_index, check_swapped)

# %% [markdown]
# ### What leaks
#
# Most pixels that differ do no harm: a stroke that is wider on the outside, a shoe called leg. What a try-on network must
# not see is the **old garment**. Section 6 counted it as *left over*, and there are two ways to leave it:
#
# - the brush, which follows the *pose*, didn't reach it: **missed**;
# - the brush painted it over, and the *parse* called it face or trousers, so it was **pasted back**.
#
# **Exercise 6: the share that leaks.** *about 10 minutes, difficulty 2 of 5.* Write `leak_share(top, strokes, kept)`, which returns both
# shares of the top as two numbers. The masks are boolean: where the top really is, where the brush painted, and
# what the parse pastes back. Every leaking pixel counts once: whatever the brush missed is missed, also where the parse would
# have kept it. A picture without a top leaks nothing.
#
# What to expect: in the toy of 6 x 4 below, one of eight pixels is missed and two are pasted back.
#
# <details><summary>Hint 1</summary>Both are an <i>and</i> of masks, counted with <code>sum()</code>, divided by the pixels of
# the top (not of the picture).</details>
# <details><summary>Hint 2</summary><code>~strokes</code> is where the brush wasn't. <code>max(1, ...)</code> in the denominator saves
# the picture without a top.</details>
#
# For people, the two masks are taken apart with a probe: of a parse without any label nothing is pasted back, and what
# is erased is the brush alone. Then a table: what is predicted, the rest being given.


# %% nbgrader={"schema_version": 3, "grade_id": "leak-share", "grade": false, "solution": true, "locked": false, "task": false}
def leak_share(top, strokes, kept):
    """Masks (..., H, W) bool -> shares of the top (missed, pasted back), two floats; (0.0, 0.0) without a top."""
    ### BEGIN SOLUTION
    count = max(1, int(top.sum()))
    missed, pasted = top & ~strokes, top & strokes & kept
    return int(missed.sum()) / count, int(pasted.sum()) / count
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "leak-share_toy", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def toy_masks():
    top, strokes, kept = torch.zeros(3, 4, 6, dtype=torch.bool)
    top[1:3, 1:5] = True  # a top of two rows and four columns
    strokes[:, 2:6] = True  # the brush misses its first column ...
    strokes[2, 1] = True  # ... but for one pixel
    kept[2, 3:5] = True  # the hem, called trousers
    return top, strokes, kept


def check_leak_share(f):
    missed, pasted = f(*toy_masks())
    assert abs(missed - 1 / 8) < 1e-6, f"expected 1/8 missed, got {missed:.4f}"
    assert abs(pasted - 2 / 8) < 1e-6, f"expected 2/8 pasted back, got {pasted:.4f}"


with Check("leak share: a toy of 6 x 4"):
    check_leak_share(leak_share)
### BEGIN HIDDEN TESTS
with Check("leak share: missed and kept at once counts once; no top, no leak"):
    top, strokes, kept = toy_masks()
    kept[1, 1] = True
    assert [round(8 * share) for share in leak_share(top, strokes, kept)] == [1, 2], "count each pixel once"
    assert tuple(leak_share(top & False, strokes, kept)) == (0.0, 0.0), "expected (0, 0) without a top"
### END HIDDEN TESTS


# %%
def leak_share_by_subtraction(top, strokes, kept):
    """The same: all that is visible, less what was missed."""
    visible, missed = (float((top & where).sum() / top.sum().clamp(min=1)) for where in (~strokes | kept, ~strokes))
    return missed, visible - missed


leak_share = pick(leak_share, leak_share_by_subtraction, check_leak_share)
FACE_AND_BELOW = (LIP_INDEX["face"], LIP_INDEX["sunglasses"], *LOWER_LABELS)


def leaks(given, drawn):
    """(missed, pasted back): shares of the top of `given` that the human-agnostic picture of `drawn` shows."""
    strokes = human_agnostic_mask(replace(drawn, parse=torch.zeros_like(drawn.parse))) > 0  # nothing to paste back
    kept = torch.isin(drawn.parse, torch.tensor(FACE_AND_BELOW))[None]
    return leak_share(is_top(given), strokes, kept)


both = np.array([sum(leaks(s, s)) for s in samples])
compare("leaks add up to `left_over`", both, np.array([left_over(s, human_agnostic_mask(s)) for s in samples]))

# %% tags=["no-proof"]
mixtures = {"nothing": (), "pose": ("pose",), "parse": ("parse",), "pose, parse": ("pose", "parse")}
print("predicted     human-agnostic differs   parse-agnostic differs   top missed   top pasted back")
leak_of = {}
for name, steps in mixtures.items():
    mixed = [(given, swapped(given, predicted, *steps)) for given, predicted in pairs]
    gap = {key: np.mean([differences(*pair)[key] for pair in mixed]) for key in ("human_agnostic", "parse_agnostic")}
    leak_of[name] = np.array([leaks(*pair) for pair in mixed])
    shares = leak_of[name].mean(0)
    print(f"{name:13s}{gap['human_agnostic']:23.2%}{gap['parse_agnostic']:25.2%}{shares[0]:13.2%}{shares[1]:18.2%}")
    measured[f"leak_{name.replace(', ', '_')}"] = shares.sum()

more = leak_of["pose, parse"].sum(1) - leak_of["nothing"].sum(1)
mean = bootstrap(more)
print(f"\npredicted annotations show {mean.mean:+.2%} [{mean.low:+.2%}, {mean.high:+.2%}] more of the old top")
print(f"somebody shows more than 1 %: {(leak_of['pose, parse'].sum(1) > 0.01).sum()} of {len(more)} people")
arms = [BODY_25_INDEX[f"{side}-{joint}"] for side in ("left", "right") for joint in ("shoulder", "elbow", "wrist")]
limits = torch.tensor([width, height]) - 0.5
inside = np.array([bool(((g.pose[arms, :2] > -0.5) & (g.pose[arms, :2] < limits)).all()) for g, _ in pairs])
for name, group in (("whole arms in the picture", inside), ("an arm that leaves it", ~inside)):
    if group.any():
        print(f"{name}, {group.sum()} people: given {leak_of['nothing'][group].sum(1).mean():.2%}, "
              f"predicted {leak_of['pose, parse'][group].sum(1).mean():.2%} of the top shown")  # fmt: skip
repaired = [((1 - human_agnostic_mask(p)) * is_top(g) * ~is_top(p)).sum() / is_top(g).sum() for g, p in pairs]
measured["leak_repaired"] = np.mean(repaired)
print(f"erased, too, what the predicted parse calls top: {np.mean(repaired):.2%} of the top shown")
given, predicted = pairs[int(more.argmax())]
visible = [(1 - human_agnostic_mask(one)) * is_top(given) for one in (given, predicted)]
pictures = [photograph(given), *map(human_agnostic, (given, predicted)), *(torch.where(v > 0, photograph(given), 1.0) for v in visible)]  # fmt: skip
titles = ["photograph", "agnostic, given", "agnostic, predicted", "top shown, given", "top shown, predicted"]
alt = "The person with the largest leak: the photograph, both agnostic pictures, and alone on white what of the old top they show."
show_images(pictures, titles, alt=alt, height=210)

# %% [markdown]
# The table separates the two by construction. The parse can't move the brush, so *missed* is the same with and without
# it; and only the parse pastes back.
#
# Look at the two groups. The studio knows where an elbow is that lies **outside the picture**, and notes its coordinates: the stroke
# reaches in and covers the sleeve. A network can only report what it sees. For an arm that leaves the picture it reports no
# elbow, and the stroke is left out; section 9 removes an elbow on purpose. OpenPose, which annotated the
# public data sets, does the same and writes (0, 0). A system that was trained on the studio's annotations meets such agnostics for the first
# time when somebody brings a photograph.
#
# There is a cheap repair for the colour: erase, besides the strokes, whatever the predicted parse calls top. The last line of numbers is
# what then still shows. The price is the reason for the strokes: where only the parse erases, the border of the grey is
# the outline of the old sleeve.
#
# A label accuracy, the number that parsers are ranked by, says nothing of this. **For try-on, judge a pose and a parse by what they let through.**
#
# ### What a try-on network makes of it
#
# Agnostics are a means. In the end a system dresses somebody: CP-VTON (notebooks 06 and 07), the same weights, the
# same new garment, on given and on predicted annotations: pose, parse, and the garment's mask by the U-Net of notebook 04, one at a
# time and together. All are judged against the same rendered truth. Differences between *people* are much larger than those that we look for, so we
# take the difference person by person, and only then the mean and its interval.


# %% tags=["no-proof"]
def dressed(people, masks):
    """CP-VTON's pictures (N, 3, H, W) in [0, 1] of people in the garments of truth.unpaired, with these masks of them."""
    worn = [replace(s, garment=replace(s.truth.unpaired.garment, mask=m), truth=None) for s, m in zip(people, masks)]
    return to_01(system.try_on(collate(worn)).tryon)


system, few = load_system("cp-vton", weights=settings.weights, config=settings.config), pairs[:8]
targets = [given.truth.unpaired for given, _ in few]
truth, tops = torch.stack([photograph(t) for t in targets]), torch.stack([is_top(t).float() for t in targets])
own, found = ([t.garment.mask for t in targets], [annotator.masker(t.garment.image[None])[0].float() for t in targets])
tried = {name: dressed([swapped(*pair, *steps) for pair in few], own) for name, steps in mixtures.items()}
tried["garment mask"] = dressed([given for given, _ in few], found)
tried["all three"] = dressed([swapped(*pair, "pose", "parse") for pair in few], found)
print(f"L1 against the truth, mean of {len(few)} people, and the difference to nothing predicted")
for name, pictures in tried.items():
    cells = []
    for region, mask in (("picture", torch.ones_like(tops)), ("garment", tops)):
        worse = masked_l1(pictures, truth, mask) - masked_l1(tried["nothing"], truth, mask)
        gap = bootstrap(worse.tolist())
        cells.append(f"{region} {float(masked_l1(pictures, truth, mask).mean()):.4f}, {gap.mean:+.4f} [{gap.low:+.4f}, {gap.high:+.4f}]")  # fmt: skip
        if name in ("pose, parse", "all three"):
            measured[f"tryon_{region}_{name.replace(', ', '_').replace(' ', '_')}"] = gap.mean
    print(f"{name:13s} " + "   ".join(cells))

# %% tags=["no-proof"]
order = (masked_l1(tried["all three"], truth, tops) - masked_l1(tried["nothing"], truth, tops)).argsort().tolist()
chosen = [[photograph(few[n][0]), to_01(targets[n].garment.image), tried["nothing"][n], tried["all three"][n], truth[n]]
          for n in (order[len(order) // 2], order[-1])]  # fmt: skip
titles = ["photograph", "garment", "try-on, given", "try-on, predicted", "truth"]
alt = "Two people dressed by CP-VTON from given and from predicted annotations, and the rendered truth of each."
show_images(chosen, titles, alt=alt, row_titles=["median", "worst"], height=210)

# %% [markdown]
# Pose and parse need not weigh much here, even where they show a lot of the old top above: this system isn't shown the
# human-agnostic picture. What CP-VTON's try-on module keeps of the photograph, in the course's configuration, is
# `kept_pixels` of notebook 07: outside HR-VITON's strokes *and* not called top by the parse. It has the repair built
# in. Besides, it sees 18 squares and a blurred shape. A system that trusts VITON-HD's agnostic has more to lose.
#
# The garment's mask is another matter. Outside of it the garment's picture is painted white before the warp, and the
# warped mask is what the try-on module composes by. A hole in it is a hole in the top.
#
# Eight people say little. `benchmarks/perceive_annotate.py` measures the same on the larger benchmark set and, as far as
# annotations go, on three real photographs whose parse and pose others made. We read its table. The photographs
# stand one by one: an average of three is no number to trust.

# %% tags=["no-proof"]
file = PROJECT / "benchmarks" / "results" / "perceive-annotate.json"
results = json.loads(file.read_text(encoding="utf-8"))
studio, photographs = (results["agreement"][name] for name in ("studio", "photographs"))
print(f"studio, {studio['people']} people, {studio['not_found']} not found:")
for name, mean in studio["summary"].items():
    print(f"  {name:22s}{mean['mean']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}]")
for number, row in enumerate(photographs["each"], 1):
    print(f"photograph {number}:", ", ".join(f"{k} {v:.3f}" for k, v in row.items() if k != "name"))

# %% tags=["no-proof"]
print(f"CP-VTON, {results['try_on']['samples']} people; the difference is in favour of predicted where it is above 0")
for row in results["try_on"]["rows"]:
    if row["region"] in ("all", "garment", "skin") and row["number"] in ("l1", "ssim", "perceptual"):
        given, predicted, gap = row["given"]["mean"], row["predicted"]["mean"], row["in_favour_of_predicted"]
        print(f"{row['pairing']:9s}{row['region']:8s}{row['number']:11s} given {given:.4f}  predicted {predicted:.4f}  "
              f"difference {gap['mean']:+.4f} [{gap['low']:+.4f}, {gap['high']:+.4f}]")  # fmt: skip

# %% [markdown]
# Above 0 the networks' annotations are better, below 0 the given ones. Where an interval holds 0, these people can't tell the
# two apart. Paired, skin gains by a leak: where a stroke is missing, more of the photograph is kept, and paired, what is kept is
# right by itself. Unpaired the gain is gone. That is why this course measures unpaired wherever it can.
#
# ### Writing it down
#
# Every system of the course opens data sets, so an annotated photograph becomes one. `write_viton_hd` writes the
# folders of VITON-HD: photograph, parse, joints as OpenPose's JSON, skeleton, DensePose, both agnostics, garment and mask, and a
# line in the file of pairs. Nothing is left half written if something goes wrong. For a whole folder of photographs there is
# the command line, which goes on after a bad file and names it:
#
# ```
# python -m vtonlib annotate photos/ --garment shirts/ --out mine
# ```

# %% tags=["no-proof"]
written = write_viton_hd(mine, folder / "mine")
print(*sorted(path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()), sep="\n")
back = open_dataset(written, split="test", pairing="unpaired", size=settings.size)[0]
compare("parse", back.parse, mine.parse, atol=0)
seen = mine.pose[:, 2] > 0
compare("joints", back.pose[seen, :2], mine.pose[seen, :2], atol=0.01)
compare("human-agnostic mask", human_agnostic_mask(back), human_agnostic_mask(mine), atol=0)
print(f"the photograph was a JPEG again: {(to_01(back.person) - to_01(mine.person)).abs().mean():.4f} mean difference")

# %% [markdown]
# Labels are stored without loss, joints to a fraction of a pixel, the photograph as a JPEG. So the agnostics, which depend on labels and joints
# alone, come back the same.
#
# ## 9 Breaking it on purpose
#
# Agnostics rest on two predictions, pose and parse. Both fail in practice, and each fails in its own way.
#
# ### A missing elbow
#
# An elbow behind a bag, or outside the picture: OpenPose writes (0, 0). What happens to the strokes?


# %% tags=["no-proof"]
def without(sample, *names):
    """The sample with some joints missing, as OpenPose files note it: (0, 0) and confidence 0."""
    pose = sample.pose.clone()
    pose[[BODY_25_INDEX[name] for name in names]] = 0
    return replace(sample, pose=pose)


def left_over_after(sample, *names):
    return left_over(sample, human_agnostic_mask(without(sample, *names)))


worst = max(samples, key=lambda s: left_over_after(s, "left-elbow"))
measured["left_over_no_elbow"] = np.mean([left_over_after(s, "left-elbow") for s in samples])
print(f"left over: {measured['left_over_viton-hd']:.2%}; without the left elbow {measured['left_over_no_elbow']:.2%}")

views = (photograph, represent.skeleton_picture, human_agnostic, lambda s: colour_parse(parse_agnostic(s)))
rows = [[view(one) for view in views] for one in (worst, without(worst, "left-elbow"))]
titles = ["photograph", "skeleton", "human-agnostic", "parse-agnostic"]
alt = "A person with all joints, and without the left elbow: then the arm of the old top comes to light."
show_images(rows, titles, row_titles=["complete", "no elbow"], alt=alt)

# %% [markdown]
# The human-agnostic drawing loses two lines at once, shoulder to elbow and elbow to wrist, as each needs that joint. The sleeve
# comes out, in full colour. The parse-agnostic walk is wiser: it steps over the elbow and draws from the shoulder straight to
# the wrist, which a bent arm may miss. Lesson: a joint that is missing makes an agnostic *less* agnostic, silently. The
# opposite failure, erasing too much, would at least be seen.
#
# ### No hips at all
#
# A picture cut off at the waist has no hips. Step 1, taken literally, then divides zero by zero and hands the result to a
# drawing routine: see the next cell. Our version, in the cell after it, leaves out every stroke that needs a hip. That is
# well defined, and still not harmless.

# %%
# NBVAL_CHECK_OUTPUT
hips, shoulder_width = np.zeros((2, 2)), 40.0
with np.errstate(invalid="ignore"):  # so that NumPy doesn't warn: the code in the wild doesn't tell either
    print(hips.mean(0) + (hips - hips.mean(0)) / np.linalg.norm(hips[1] - hips[0]) * shoulder_width)

# %% tags=["no-proof"]
hipless = without(sample, "right-hip", "left-hip")
measured["left_over_no_hips"] = np.mean([left_over_after(s, "right-hip", "left-hip") for s in samples])
print(f"without hips {measured['left_over_no_hips']:.0%} of the top stays visible")
pictures = [photograph(sample), human_agnostic(sample), human_agnostic(hipless), human_agnostic_mask(hipless)]
titles = ["photograph", "with hips", "without hips", "what is erased"]
show_images(pictures, titles, alt="Without hips, the belly of the top stays visible between two grey arms.")

# %% [markdown]
# No error, no NaN, and a large part of the old garment on display. If your photographs end at the waist, put the hips where they must
# be, below the edge: coordinates outside the picture are welcome, the strokes reach in.
#
# ### Crossed arms
#
# The studio's manifest tells who stands how. Few people cross their arms there, as such pictures are often rejected (an arm
# has sunk into the cloth). In the profile `smoke` nobody may: then you see the first person of the train split instead.


# %% tags=["no-proof"]
manifest = csv.DictReader((root / "manifest.csv").read_text(encoding="utf-8").splitlines())
crossing = {row["name"] for row in manifest if row["pose"] == "crossed"}
everybody = torch.utils.data.ConcatDataset([people, training_people])
found = [index for index, (name, _) in enumerate(people.pairs + training_people.pairs) if name in crossing]
crossed = everybody[(found or [len(people)])[0]]
print(f"{len(found)} of {len(everybody)} people cross their arms")
views = (photograph, lambda s: colour_parse(s.parse), lambda s: colour_parse(parse_agnostic(s)), human_agnostic)
pictures = [*(view(crossed) for view in views), human_agnostic(crossed, style="hr-viton"), body_shape(crossed.parse)]
titles = ["photograph", "parse", "parse-agnostic", "VITON-HD", "HR-VITON", "body shape"]
alt = "A person, arms crossed where the set has such: hands float in the parse-agnostic map and in HR-VITON's picture."
show_images(pictures, titles, alt=alt, height=210)

# %% [markdown]
# Forearms lie *on* the garment, so it is right that they go: their outline would cut the new garment in two. What remains
# are hands, floating where the arms will have to be painted back. The parse-agnostic map and HR-VITON's picture keep them;
# VITON-HD's picture doesn't. And the body shape: arms before a body are body. CP-VTON's only hint at
# crossed arms are six small squares.
#
# ### A wrong parse: the neck called face
#
# Back to label 10. We do to our data what a plain LIP parser does: all neck becomes face. Then the neckline of the old top is
# *pasted back* as part of the face, with the cloth's edge in pin-sharp focus.


# %% tags=["no-proof"]
def lip_neck(sample):
    """The sample as a parser without a neck label delivers it, and its counterfactual likewise."""
    parse = torch.where(sample.parse == LIP_INDEX["neck"], LIP_INDEX["face"], sample.parse)
    truth = sample.truth
    if truth.unpaired is not None:
        truth = replace(truth, unpaired=lip_neck(truth.unpaired))
    return replace(sample, parse=parse, truth=truth)


def neckline_change(sample):
    return ((sample.parse == LIP_INDEX["neck"]) ^ (sample.truth.unpaired.parse == LIP_INDEX["neck"])).sum()


def head_change(group):
    return change(lambda s: represent.reserved_regions(s.person, s.parse), group)


for name, group in (("change_reserved", samples), ("change_reserved_lip", [lip_neck(one) for one in samples])):
    measured[name] = head_change(group)
    print(f"{name:19s}: {measured[name]:.3%}")

collar = max(samples, key=neckline_change)
pictures = [human_agnostic(one) for s in (collar, lip_neck(collar)) for one in (s, s.truth.unpaired)]
titles = ["neck label, A", "neck label, B", "neck called face, A", "neck called face, B"]
alt = "Grey below the chin with a neck label; with the neck called face, skin down to the old neckline is visible."
show_images(pictures, titles, alt=alt)

# %% [markdown]
# ### A wrong parse: the hem called trousers
#
# Parsers like to get borders wrong. Suppose the lowest tenth of the top is taken for trousers (9). VITON-HD pastes
# trousers back, so it pastes back a strip of the old garment.


# %% tags=["no-proof"]
def hem_as_trousers(sample, share=0.1):
    """The sample with the lowest `share` of the top's rows labelled trousers."""
    rows = is_top(sample)[0].any(1).nonzero().flatten()
    strip = torch.zeros_like(sample.parse, dtype=torch.bool)
    strip[rows[-max(1, round(share * len(rows)))] :] = True
    return replace(sample, parse=torch.where(is_top(sample)[0] & strip, LIP_INDEX["pants"], sample.parse))


# %% tags=["no-proof"]
measured["left_over_wrong_hem"] = np.mean([left_over(s, human_agnostic_mask(hem_as_trousers(s))) for s in samples])
print(f"left over: {measured['left_over_viton-hd']:.2%}; with a wrong hem {measured['left_over_wrong_hem']:.2%}")
mistaken = hem_as_trousers(sample)
pictures = [photograph(sample), colour_parse(mistaken.parse), human_agnostic(sample), human_agnostic(mistaken)]
titles = ["photograph", "parse with a wrong hem", "agnostic, right parse", "agnostic, wrong parse"]
show_images(
    pictures, titles, alt="With the hem labelled trousers, a strip of the old top shows in the agnostic picture."
)

# %% [markdown]
# A strip of pattern, at the right colour and scale: all that a copycat needs.
#
# ### Antialiasing off
#
# `F.interpolate(..., mode="bilinear")` does *not* antialias unless asked. Each of the 192 coarse pixels then looks at
# four source pixels only, out of the hundreds that it stands for. We move the person by a few pixels and watch.


# %% tags=["no-proof"]
def coarse(mask, antialias):
    """(1, H, W) in {0, 1} -> (1, 16, 12)."""
    return F.interpolate(mask[None], (16, 12), mode="bilinear", antialias=antialias)[0]


step = settings.size[1] // 48
for name, antialias in (("antialiased", True), ("aliased", False)):
    moved = coarse(torch.roll(silhouette(sample), step, dims=-1), antialias)
    largest = measured[f"moved_{name}"] = float((coarse(silhouette(sample), antialias) - moved).abs().max())
    print(f"{name:11s}: moved by {step} pixels, the largest change is {largest:.2f}")

smooth, rough = (coarse(silhouette(sample), antialias) for antialias in (True, False))
titles = ["silhouette", "16 x 12, antialiased", "16 x 12, not antialiased", "difference"]
alt = "A silhouette, coarse with many greys at its border, coarse and nearly black and white, and the difference."
show_images([silhouette(sample), smooth, rough, (smooth - rough).abs()], titles, alt=alt)

# %% [markdown]
# Without antialiasing the outline comes through as hard steps, blind to what lies between its sampling points. The blob looks plausible,
# the network trains, and weights from elsewhere get inputs that they never saw.
#
# ### A brush of the wrong size
#
# Last, a bug that is quickly made when one shrinks VITON-HD to fit a GPU: brush sizes for 768 pixels on a picture that is
# much narrower. Nothing leaks then. There is also next to nothing left to recognise anybody by.

# %% tags=["no-proof"]
unscaled = human_mask_by_hand(sample, scale=1.0)
measured["erased_unscaled"] = float(np.mean([human_mask_by_hand(s, scale=1.0).mean() for s in samples]))
print(f"erased: {measured['erased_viton-hd']:.0%} of the picture; unscaled {measured['erased_unscaled']:.0%}")
pictures = [photograph(sample), human_agnostic(sample), torch.where(unscaled > 0, 128 / 255, photograph(sample))]
titles = ["photograph", "brush scaled by width / 768", "brush for 768 pixels"]
show_images(
    pictures, titles, alt="A photograph, its human-agnostic picture, and one where all but face and trousers is grey."
)

# %% [markdown]
# ### Photographs that won't do
#
# Last, what a stranger may also bring: a garment without anybody in it, two people, half a person, a text file that is
# called `.jpg`. A network has an answer to all of them; a parse of a chair is a parse. So `annotate` holds parse and pose
# against each other, and says what it makes of them: an error where there is nothing to dress, a warning where the result is doubtful.

# %% tags=["no-proof"]
friend = next((s for s in samples if s.name != stranger.name and complete(s)), samples[-1])
two = torch.cat([stranger.person, friend.person], 2)
head_and_shoulders = stranger.person[:, : height * 2 // 5, width // 6 : -width // 6]
visits = {"wall.jpg": wide[:, :, :width], "garment.jpg": stranger.garment.image, "two.jpg": two}
visits["half.jpg"] = head_and_shoulders
for name, picture in visits.items():
    Image.fromarray(to_picture(to_01(picture))).save(folder / name, quality=95)
(folder / "letter.jpg").write_text("Dear Sir or Madam, please find attached a photograph.", encoding="utf-8")


def answer(name):
    """The sample, or None, and what `annotate` says of a photograph in `folder`."""
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        try:
            found = annotate(folder / name, annotator=annotator, size=settings.size)
        except (NobodyFound, DamagedFile) as error:
            return None, [f"{type(error).__name__}: {error}".replace(f"{folder}/", "")]
    return found, [f"{type(doubt.message).__name__}: {doubt.message}" for doubt in doubts] or ["no doubts"]


# %% tags=["no-proof"]
answers = {name: answer(name) for name in (*visits, "letter.jpg")}
for name, (found, sentences) in answers.items():
    print(f"{name}: {'annotated' if found else 'refused'}", *textwrap.wrap(" ".join(sentences), 110), sep="\n    ")
shown = {name: found for name, (found, _) in answers.items() if found}
pictures = [[to_01(visits[name]), to_01(found.person), colour_parse(found.parse), human_agnostic(found)] for name, found in shown.items()]  # fmt: skip
alt = "The photographs that were annotated, and of each the window that was taken, its parse and its agnostic picture."
show_images(pictures, ["photograph", "window", "parse", "human-agnostic"], alt=alt, height=180)
desk.cleanup()

# %% [markdown]
# Refused are the wall and the letter, each with its reason. Two people are no error: the larger one is taken, and for the networks the other is
# painted grey (in the picture everybody stays). Half a person is annotated with a warning, and the picture shows why:
# no hips, so hardly a stroke over the top; and below the edge of the photograph there is only padding, its last row repeated.
#
# The garment without anybody is the hard case. Where the guard lets it through, it stands in the picture above as
# somebody in a top. All pictures that pose and parse were trained on show a person. They have learnt where a sleeve ends and an arm
# begins, not to ask whether there is an arm, and a guard made of the same networks can't know better than they do.
#
# ## Numbers against their bands
#
# The bands are wide enough for another machine, not for another idea. If one of yours lies outside, something in
# the chain has changed: the studio, a drawing rule, or an exercise that passed its tests by luck.

# %% tags=["no-proof"]
check_bands("05", measured, profile=PROFILE)

# %% [markdown]
# ## Summary
#
# - On pairs, input and target are one photograph. What the input gives away, a network will copy.
# - CP-VTON: 18 squares of 11 x 11, the silhouette through 16 x 12, head in colour; 22 channels, and no hands, arms or trousers.
# - VITON-HD: label map and photograph with torso, neck and arms erased along the joints; hem, hands and hair are its weak spots.
# - A blur hides where, not how much. The hem gives the length away in every version that keeps the trousers.
# - Agnostics fail silently, and towards *showing* the old garment: missing joints, necks called faces, hems called trousers.
# - From a photograph: read, find, frame, annotate. The agnostics are drawn, so they are as good as the parse and the pose.
# - Judge predicted annotations by what they let through. The studio knows joints outside the picture; no network does.
# - Between papers and code lie fill values, label sets, brush sizes, border rules. For weights trained elsewhere, the code counts.
#
# ## Going further
#
# - Ask the detective for the length of the sleeves instead of the size of the top. Which bars grow?
# - Replace the linear detective by a small convolutional network. What does it find in the human-agnostic picture?
# - An arm leaves the picture, and its elbow is unknown. Draw the stroke from the last joint that was seen to where the
#   predicted sleeve meets the border, and measure with `leaks`.
# - Design an agnostic that hides the hem without erasing all trousers: a fixed line below the hips, say. Measure both sides
#   of the bargain with `change`, `explained` and the erased share.
#
# ## Further reading
#
# - Han, Wu, Wu, Yu, Davis: *VITON: An Image-based Virtual Try-on Network* (2018). The clothing-agnostic person representation.
# - Wang, Zheng, Liang, Chen, Lin, Yang: *Toward Characteristic-Preserving Image-based Virtual Try-On Network* (2018), CP-VTON.
# - Minar, Tuan, Ahn, Rosin, Lai: *CP-VTON+: Clothing Shape and Texture Preserving Image-Based Virtual Try-On* (2020).
# - Dong, Liang, Shen, Wang, Lai, Zhu, Hu, Yin: *Towards Multi-pose Guided Virtual Try-on Network* (2019), MG-VTON.
# - Choi, Park, Lee, Choo: *VITON-HD: High-Resolution Virtual Try-On via Misalignment-Aware Normalization* (2021).
# - Lee, Gu, Park, Choi, Choo: *High-Resolution Virtual Try-On with Misalignment and Occlusion-Handled Conditions* (2022), HR-VITON.
