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
# - break every representation on purpose, and explain what you see.
#
# Plan about two hours with the four exercises. The machine needs less than two minutes. You should have met keypoints
# and label maps (notebooks 01 to 03); everything else is explained where it turns up.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from vtonlib.course import (
    Check, check_bands, colour_parse, compare, ensure_data, new_figure, overlay, parse_legend, pick, profile,
    show_figure, show_images, to_01,
)  # fmt: skip
from vtonlib.data import open_dataset
from vtonlib.labels import BODY_25_INDEX, COCO_18_FROM_BODY_25, GROUPS_13, HEAD_LABELS, LIP, LOWER_LABELS, TOP_LABELS

settings = profile(PROFILE)
root = ensure_data(settings)
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
# We pick the person whose outline changes most between the two garments, so that there is something to see. A
# **silhouette** is the mask of everything that isn't background. In the **parse**, which holds one label (0 to 19) a
# pixel, that is `parse > 0`.

# %%
def silhouette(sample):
    """(1, H, W) in {0, 1}: 1 on the person."""
    return (sample.parse > 0).float()[None]


def outline_change(sample):
    """Pixels that belong to the person in one of the two garments only."""
    return (silhouette(sample) - silhouette(sample.truth.unpaired)).abs().sum()


sample = max(samples, key=outline_change)
other = sample.truth.unpaired
show_images(
    [to_01(picture) for picture in (sample.person, other.garment.image, other.person)],
    ["the photograph", "the new garment", "what we wish for"],
    alt="A rendered person in a top, another top alone as a shop shows it, and the same person in the same pose in that "
    "other top.",
)

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


def mean_error(pairs):
    return float(np.mean([(to_01(tried) - to_01(target)).abs().mean() for tried, target in pairs]))


paired = mean_error((copycat(s.person, s.garment), s.person) for s in samples)
unpaired = mean_error((copycat(s.person, s.truth.unpaired.garment), s.truth.unpaired.person) for s in samples)
measured["copycat_unpaired_error"] = unpaired
print(f"copycat, paired:   {paired:.3f}\ncopycat, unpaired: {unpaired:.3f}")

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
# over $N$ people, the pixels $p$ of the picture $\Omega$ and the channels $c$. Zero proves that nothing of the garment is
# left. Above zero there is *something*; how much use it is to a network is a question for section 7.

# %%
def change(represent, samples=samples):
    """Mean over people and pixels of the largest change over the channels; represent: sample -> (C, H, W) in [0, 1]."""
    gaps = [(represent(s) - represent(s.truth.unpaired)).abs().amax(0).mean() for s in samples]
    return float(torch.stack(gaps).mean())


def photograph(sample):
    return to_01(sample.person)


measured["change_photograph"] = change(photograph)
measured["change_silhouette"] = change(silhouette)
print(f"photograph: {change(photograph):.2%}   silhouette: {change(silhouette):.2%}")

# %% [markdown]
# The silhouette carries no colour and no pattern, and still it changes. Where? Orange below is person in A only, blue is
# person in B only. You read the width of sleeves, the hang of a hem, perhaps a gap between arm and waist: the outline of
# an *old garment*. A network that sees a sharp silhouette learns to fill it, and will squeeze every new garment into it.

# %%
both = overlay(
    overlay(torch.full_like(sample.person, 0.93), silhouette(sample) * silhouette(other), colour="black", alpha=0.35),
    silhouette(sample) * (1 - silhouette(other)),
    alpha=1,
)
both = overlay(both, silhouette(other) * (1 - silhouette(sample)), colour="blue", alpha=1)
show_images(
    [silhouette(sample), silhouette(other), both],
    ["silhouette in A", "silhouette in B", "orange: A only, blue: B only"],
    alt="Two silhouettes of one person in two garments; laid over each other they differ along sleeves, waist and hem.",
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
# Pillow does this whenever you call `resize` with BILINEAR, in exact 8-bit steps. Does it agree?

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
# (`[:, None]`), subtract, take the absolute value. You get a matrix of the right shape.</details>
# <details><summary>Hint 2</summary>Negative weights are cut with `clamp(min=0)`; `sum(dim=1, keepdim=True)` has a
# shape that divides row by row.</details>

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
    assert (resize_weights(12, 5) > 0).sum(1).tolist() == [4, 5, 4, 5, 4], "the triangle is 2 x 12 / 5 wide, cut at the ends"
### END HIDDEN TESTS

# %% [markdown]
# The reference for this exercise is a small trick that is worth knowing. Any linear machine gives away its matrix if you feed
# it unit impulses, one after the other. A stack of unit impulses is the identity matrix, so we let PyTorch resize *that*,
# along one side only.

# %%
def impulse_weights(inputs, outputs):
    """The same matrix, read off PyTorch's own antialiased resize."""
    impulses = torch.eye(inputs)[None, None]
    return F.interpolate(impulses, size=(outputs, inputs), mode="bilinear", antialias=True)[0, 0]


resize_weights = pick(resize_weights, impulse_weights, check_resize_weights)
compare("weights 256 -> 16", resize_weights(256, 16), impulse_weights(256, 16))
compare("weights 16 -> 256", resize_weights(16, 256), impulse_weights(16, 256))

# %% [markdown]
# ### Vectorised: four matrices
#
# A picture is reduced along its columns and along its rows, and both are matrix products. With the silhouette $S$
# ($H \times W$), $D$ for the reduction and $U$ for the enlargement,
#
# $$\text{body shape} = U_h\, D_h\; S\; D_w^{\top} U_w^{\top}.$$
#
# No loop, and a fact in plain sight: whatever $S$ was, the result passes through $D_h S D_w^\top$, which has
# 16 x 12 = **192 numbers**. At 256 x 192 the silhouette had 49,152.

# %%
def shape_by_hand(sample):
    """(1, H, W) in [0, 1]."""
    person = silhouette(sample)[0]
    height, width = person.shape
    small = resize_weights(height, 16) @ person @ resize_weights(width, 12).T
    return (resize_weights(16, height) @ small @ resize_weights(12, width).T)[None]


from vtonlib.represent import body_shape

shape = shape_by_hand(sample)
compare("body shape", shape, body_shape(sample.parse))
print("shape", tuple(shape.shape), f"from {shape.min():.2f} to {shape.max():.2f}")

# %% [markdown]
# CP-VTON's own loader uses Pillow on a picture of bytes. That rounds twice, after the reduction and after the enlargement, so
# we may differ by about one grey level out of 255, and do:

# %%
height, width = settings.size
pillow = Image.fromarray(np.asarray(sample.parse > 0, np.uint8) * 255)
for target in ((12, 16), (width, height)):  # Pillow's sizes are (width, height)
    pillow = pillow.resize(target, Image.Resampling.BILINEAR)
compare("body shape, Pillow", shape, np.asarray(pillow)[None] / 255, atol=1.5 / 255)
show_images(
    [silhouette(sample), shape, shape_by_hand(other), (shape - shape_by_hand(other)).abs()],
    ["silhouette", "body shape in A", "body shape in B", "difference"],
    alt="A sharp silhouette, two soft blobs of the same person in two garments, and the blobs' difference: broad faint "
    "patches along the sides instead of sharp lines.",
)

# %% [markdown]
# ### How much did the blur hide?
#
# Fingers, collars and creases of the outline are gone. The instrument, though, is not impressed:

# %%
measured["change_body_shape"] = change(lambda s: body_shape(s.parse))
ratio = np.mean([float(body_shape(s.parse).sum() / silhouette(s).sum()) for s in samples])
measured["blur_keeps_area"] = ratio
print(f"change of the silhouette: {measured['change_silhouette']:.2%}, of the body shape: {measured['change_body_shape']:.2%}")
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

# %%
def shape_of(person):
    return body_shape(person.long())


headless = shape_of((sample.parse > 0) & ~torch.isin(sample.parse, torch.tensor(HEAD_LABELS)))
show_images(
    [shape, headless, (shape - headless).abs()],
    ["CP-VTON: everybody but the wall", "VITON: without the head", "difference"],
    alt="The blurred body with a head, the blurred body without, and their difference: the head as a bright blob.",
)

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
from vtonlib.represent import pose_heatmaps


def library_squares(pose, size, radius=5):
    """The library's version, for 18 or 25 joints."""
    return pose_heatmaps(pose, size, kind="square", radius=radius)


square_heatmaps = pick(square_heatmaps, library_squares, check_squares)
coco = sample.pose[list(COCO_18_FROM_BODY_25)]  # CP-VTON's 18 of the 25 joints
heatmaps = square_heatmaps(coco, sample.size)
compare("18 squares", heatmaps, pose_heatmaps(sample.pose, sample.size, kind="square"))
print("pixels of each:", heatmaps.sum((1, 2)).int().tolist())

# %% [markdown]
# Joints with 0 pixels lie below the lower edge or behind something: knees and ankles, mostly. Whoever stands at the border
# has a square that is cut off. Everybody else has 121 pixels.
#
# MG-VTON draws discs of radius 4 instead, and pose estimators are trained on Gaussians. The library has all three. Here
# are the unions of the 18 channels, laid over the photograph:

# %%
kinds = {"square": "CP-VTON: squares, 11 x 11", "disc": "MG-VTON: discs, radius 4", "gaussian": "Gaussian, sigma 3"}
unions = [pose_heatmaps(sample.pose, sample.size, kind=kind).amax(0) for kind in kinds]
show_images(
    [overlay(photograph(sample), union, alpha=0.9) for union in unions],
    list(kinds.values()),
    alt="The photograph three times with its joints marked: by squares, by discs, by soft dots.",
)
print(f"change of the squares between the two garments: {change(lambda s: square_heatmaps(s.pose, s.size)):.2%}")

# %% [markdown]
# A change of exactly zero: a proof, but look at what it proves. The studio reads joints off the *body* under the cloth.
# A pose estimator reads them off the picture, and a loose sleeve moves its elbow. So on photographs pose leaks a little, too.
#
# **Paper and code, part two.**
#
# - CP-VTON's loader draws a square only `if x > 1 and y > 1`. That skips missing joints, which the files note as (0, 0), but
#   also every real joint at the very left or top: a raised hand, say. The course looks at the confidence instead.
# - The confidence itself is ignored there. A joint guessed at 0.05 is as white as one seen at 0.95.
# - VITON cuts coordinates to whole numbers *before* it adds and subtracts the radius. That agrees with Pillow on
#   positive numbers, and differs left of the border.
# - The default radius in the file's own self-test is 3; training and testing pass 5. Read the call, not the signature.
#
# ## 4 Reserved regions: what may stay as it is
#
# Face and hair say who it is, and no top should change them. So they are passed on as *colour*: three channels, the photograph
# where the parse says hat (1), hair (2), sunglasses (4) or face (13), and black elsewhere.

# %% [markdown]
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
    assert row[0, 0].nonzero().flatten().tolist() == [1, 2, 4, 13], "hat, hair, sunglasses and face are kept, nothing else"
### END HIDDEN TESTS

# %%
from vtonlib.represent import reserved_regions

reserved = pick(reserved, reserved_regions, check_reserved)
head = reserved(sample.person, sample.parse)
compare("reserved regions", head, reserved_regions(sample.person, sample.parse))
show_images(
    [photograph(sample), colour_parse(sample.parse), parse_legend(sample.parse), head],
    ["person", "parse", "its labels", "reserved regions"],
    alt="The photograph, its parse in colours with a legend, and the head alone on black.",
)

# %% [markdown]
# **Paper and code, part three.** CP-VTON works in [-1, 1], and a comment beside this line of its loader promises that the
# rest is filled with 0. The code computes `im * mask - (1 - mask)`: it fills with **-1**. Black, not grey. (Our
# exercise agrees with the code: black in [0, 1] *is* -1 in [-1, 1].) If you believe the comment and train on grey, official
# weights see a picture that they have never seen.
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
from vtonlib.represent import person_representation


def twenty_two(sample):
    """(22, H, W) in [0, 1]."""
    squares = square_heatmaps(sample.pose[list(COCO_18_FROM_BODY_25)], sample.size)
    return torch.cat([squares, shape_by_hand(sample), reserved(sample.person, sample.parse)])


channels = twenty_two(sample)
compare("22 channels", channels, person_representation(sample))
print(tuple(channels.shape), f"from {channels.min():.0f} to {channels.max():.0f}")
show_images(
    [list(channels[:11]), list(channels[11:])],
    alt="The 22 channels in two rows: black maps with one white square each, some empty; a soft body; a head in three greys.",
    height=110,
)

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
# The neck becomes part of the face (13), and the face is what everybody keeps. Section 8 shows what then happens.
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
print([[LIP[label], *(name for name, i in BODY_25_INDEX.items() if i in walk)] for label, walk in ((14, LEFT_ARM[1:]),)])


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
show_images(
    [overlay(photograph(sample), left), overlay(photograph(sample), right, colour="blue"), colour_parse(sample.parse)],
    ["strokes of the left arm", "strokes of the right arm", "the parse that they erase from"],
    alt="The photograph with a broad band over shoulders and left arm, the same for the right arm, and the parse.",
)

# %% [markdown]
# Left is the *person's* left, on the right of the picture. The bands are generous: 150 of 768 pixels is a fifth of the picture's
# width around shoulder and elbow, so that no sleeve, however wide, leaves its outline behind.

# %%
from vtonlib.represent import one_hot, parse_agnostic


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

# %% [markdown]
# The same person in both garments. Look for differences between the second and the fourth picture, they are leaks:

# %%
show_images(
    [colour_parse(labels) for labels in (sample.parse, parse_agnostic(sample), other.parse, parse_agnostic(other))],
    ["parse in A", "parse-agnostic in A", "parse in B", "parse-agnostic in B"],
    alt="Label maps of one person in two garments with their agnostic versions: head, hands and what lies below the top "
    "are left. The upper edge of the trousers or skirt differs between the two.",
)
parse_gaps = (parse_agnostic(s) != parse_agnostic(s.truth.unpaired) for s in samples)
lower = [(gap & (torch.isin(s.parse, torch.tensor(LOWER_LABELS)) | torch.isin(s.truth.unpaired.parse, torch.tensor(LOWER_LABELS))))
         .sum() / gap.sum().clamp(min=1) for s, gap in zip(samples, parse_gaps)]  # fmt: skip
print(f"{np.mean(lower):.0%} of the changed pixels are trousers, skirts or legs in one of the two pictures")
