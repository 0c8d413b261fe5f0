# %% [markdown]
# # 03 Human parsing: twenty labels
#
# Every try-on system of this course asks the same question first, of every pixel: *what is this?* Hair, face, left arm,
# top, trousers, wall. A picture that answers it is a **parse map**, and the network that draws it is a **human
# parser**. After this notebook you can
#
# - score a parse map, and say why pixel accuracy flatters and which labels a mean IoU averages over;
# - say what colour and place know about a label, and what only the rest of the picture knows;
# - work out a receptive field and a pyramid pooling by hand;
# - write the two losses that go beyond cross-entropy: Lovasz-softmax, and edges;
# - use mirror images without mixing up left and right;
# - average nets and refine labels in cycles, and predict which label errors that repairs and which it can't;
# - break results down by groups of people, with intervals, and say what such a table can't tell;
# - take published weights whose label 10 means something else than yours.
#
# You should know convolutions and cross-entropy. Notebook 01 has the 20 labels. Plan two to three hours with the six
# exercises. The machine needs about a minute and a half.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
import csv
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from ipywidgets import FloatSlider, interact
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.functional import rotate
from tqdm import tqdm

from vtonlib import course
from vtonlib.course import Check, check_bands, colour_parse, compare, pick, show_figure, show_images, to_01
from vtonlib.course.profiles import PROJECT
from vtonlib.data import open_dataset
from vtonlib.labels import ARM_LABELS, LIP, LIP_MIRROR
from vtonlib.metrics import label_scores, label_table
from vtonlib.perceive.parsing import IGNORED, EdgeParser, HumanParser, edges_of, load_parser, resized
from vtonlib.represent import cloth_on_person, human_agnostic, reserved_regions
from vtonlib.systems.memory import PackedCache, from_bytes
from vtonlib.systems.parsing_training import (
    ParsingAugmentation,
    ParsingRecipe,
    augment,
    class_weights,
    label_pixels,
    lovasz_gradient,
    lovasz_softmax,
    pack,
    parser_terms,
)
from vtonlib.training import batch_indices

settings = course.profile(PROFILE)
root = course.ensure_data(settings)
people = open_dataset(root, split="test", pairing="paired", size=settings.size)
tested = [people[index] for index in range(min(len(people), 60 if PROFILE != "gpu" else 250))]
few = tested[: settings.samples]  # for what takes longer
measured = {}  # numbers that the last cell compares with their bands
print(f"{len(tested)} test people, {settings.size[0]} x {settings.size[1]} pixels (height x width)")

# %% [markdown]
# The studio's own list of what it drew helps to find examples: `find` gives the test person who fits best. A second
# helper draws small tables of labels and of numbers.

# %%
with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
    drawn = {row["name"]: row for row in csv.DictReader(file)}


def find(**wanted):
    """The test person who fits best; wanted: column of the manifest = values, the best one first."""

    def fit(sample):
        row = drawn[sample.name]
        return sum(1 - values.index(row[key]) / 10 for key, values in wanted.items() if row[key] in values)

    return max(tested, key=fit)


def show_tables(tables, titles, *, alt, colours="viridis", top=None):
    """Tables of numbers (H, W) side by side, coloured by value from 0 to top (None: the largest of each)."""
    figure, axes = course.new_figure(1, len(tables), size=(2.1 * len(tables), 1.7))
    for axis, table, title in zip(axes, tables, titles):
        axis.imshow(table.double(), cmap=colours, vmin=0, vmax=top or float(table.max()), alpha=0.55)
        axis.set_title(title)
        axis.axis("off")
        for (y, x), value in zip(torch.ones_like(table).nonzero().tolist(), table.flatten().tolist()):
            axis.text(x, y, f"{value:.2g}", ha="center", va="center", fontsize=8)
    show_figure(figure, alt=alt)


# %% [markdown]
# ## The problem in one picture
#
# Below: a photograph, its parse map as the studio knows it, and three things that try-on systems make of the map. The
# **reserved regions** are what must stay as it is: head and hair. The **worn garment**, cut out, is what a warp is
# trained to reach. The **agnostic** picture has top, neck and arms erased. Notebook 05 builds them all.
#
# The second row is the same with two errors in the parse: the hair is background, and the left forearm has the label of
# the top. Both are usual: dark hair before a dark wall, a sleeve and a tanned arm. Follow them to the right.

# %%
sample = find(sleeve_kind=("short", "none", "cap"), pose=("hips", "hand-on-hip", "stand"), cut=("tank", "t-shirt"))
wrong = replace(sample, parse=torch.where(sample.parse == 2, 0, torch.where(sample.parse == 14, 5, sample.parse)))
rows = []
for one in (sample, wrong):
    made = [reserved_regions(one.person, one.parse), cloth_on_person(one.person, one.parse)[0], human_agnostic(one)]
    rows.append([to_01(one.person), colour_parse(one.parse), course.parse_legend(one.parse, height=200), *made])
show_images(rows, ["photograph", "parse map", "labels", "reserved", "worn garment", "agnostic"], height=200,
            row_titles=["right", "wrong"], alt="A person, the coloured parse map, its labels, the head cut out, the top cut out, and the person "
            "with torso and arms grey; below, from the wrong parse, a head without hair and a top with an arm of skin.")  # fmt: skip

# %% [markdown]
# In the second row the hair is lost from what is reserved, so a try-on system would have to invent it. The worn garment
# has a sleeve made of skin, so a warp is trained to pull cloth over it. The agnostic picture hardly notices: VITON-HD
# draws what it erases from the joints as well. No later step looks at the photograph again to check; **every later step
# trusts the parse.** So this chapter asks two things. How does one get a parse map from a photograph? And how does one
# find out how far it can be trusted?
#
# The labels are those of LIP (Gong et al. 2017), as VITON-HD uses them. Left and right are the *person's own*. Some of
# the twenty are in nearly every picture here, some, as gloves and sunglasses, hardly ever, and that will be a problem
# of its own.
#
# ## 1 By hand: one number for a label map
#
# Before we build a parser we need to judge one. A person of 6 x 4 pixels, four labels: 0 background, 1 hair, 2 top, 3
# arm. Two parsers have a try. The *lazy* one knows only background and top. The *blurry* one knows all labels and loses
# the right edge of the top.

# %%
# NBVAL_CHECK_OUTPUT
truth = torch.tensor([[0, 0, 1, 1, 0, 0],
                      [0, 2, 2, 2, 2, 0],
                      [3, 2, 2, 2, 2, 0],
                      [0, 2, 2, 2, 2, 0]])  # fmt: skip
lazy = torch.where(truth == 2, 2, 0)
blurry = truth.clone()
blurry[1:, 4] = 0
for name, guess in (("lazy", lazy), ("blurry", blurry)):
    print(f"{name:7s} {(guess == truth).sum()} of {truth.numel()} pixels right, accuracy {(guess == truth).float().mean():.3f}")  # fmt: skip

# %%
show_tables([truth, lazy, blurry], ["truth", "lazy", "blurry"], colours="Set3", top=3,
            alt="Three tables of 6 by 4 labels. The lazy one has no hair and no arm; the blurry one lacks a column of the top.")  # fmt: skip

# %% [markdown]
# The same **pixel accuracy**, the share of pixels that are right. Yet one of the two has never heard of hair. Accuracy
# counts pixels, and most pixels are background: a parser that says "background" everywhere is right for half of a usual
# photograph.
#
# So count pixels in a table: row = true label, column = guessed label. For the lazy parser
#
# | | guessed 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | **true 0** | 9 | 0 | 0 | 0 |
# | **true 1** | 2 | 0 | 0 | 0 |
# | **true 2** | 0 | 0 | 12 | 0 |
# | **true 3** | 1 | 0 | 0 | 0 |
#
# From the table come three numbers for each label $k$. With $n_{kk}$ on the diagonal, the row's sum $t_k$ (pixels that
# are $k$) and the column's sum $g_k$ (pixels called $k$):
#
# $$\text{recall} = \frac{n_{kk}}{t_k}, \qquad \text{precision} = \frac{n_{kk}}{g_k}, \qquad
# \text{IoU} = \frac{n_{kk}}{t_k + g_k - n_{kk}} .$$
#
# The **intersection over union** counts both kinds of error, missed pixels and false ones. For the lazy parser: the
# background has 9 / (9 + 12 - 9) = 0.75, the top 1, hair and arm 0. The mean is 0.4375. For the blurry one: background
# 9 / 12, top 9 / 12, hair and arm 1. The mean is 0.875. Same accuracy, twice the **mean IoU**: every label has the same
# vote, however small.
#
# **Exercise 1: IoU of every label.** *about 10 minutes, difficulty 2 of 5.* Write `iou_of_labels(parse, guess, count)`.
# Pixels whose true label is 255 ("nobody knows", for example padding) don't count, whatever was guessed there. A label
# that doesn't occur in the truth has no IoU: NaN.
#
# <details><summary>Hint 1</summary>Throw out the uncounted pixels of both maps first: known = parse != 255;
# parse[known].</details>
#
# <details><summary>Hint 2</summary>torch.bincount(parse * count + guess, minlength=count**2).reshape(count, count) is
# the whole table at once. A loop over labels is fine too: twenty is few.</details>
#
# What to expect: the lazy parser 0.75, 0, 1, 0.


# %% nbgrader={"schema_version": 3, "grade_id": "iou-table", "grade": false, "solution": true, "locked": false, "task": false}
def iou_of_labels(parse, guess, count):
    """Intersection over union of each label, (count,) float64; NaN for a label that the truth doesn't have.

    parse, guess: int64 of one shape; pixels with parse == 255 don't count.
    """
    ### BEGIN SOLUTION
    known = parse != 255
    table = torch.bincount(parse[known] * count + guess[known], minlength=count**2).reshape(count, count)
    hits, true, guessed = table.diagonal().double(), table.sum(1), table.sum(0)
    return torch.where(true > 0, hits / (true + guessed - hits), torch.nan)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "iou-table_toy", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def library_iou_of_labels(parse, guess, count):
    return label_scores(label_table(parse, guess, count, parse != IGNORED)).iou


def check_iou_of_labels(f):
    compare("lazy", f(truth, lazy, 4), torch.tensor([0.75, 0.0, 1.0, 0.0]))
    compare("blurry", f(truth, blurry, 4), torch.tensor([0.75, 1.0, 0.75, 1.0]))
    compare("a fifth label", f(truth, lazy, 5), torch.tensor([0.75, 0.0, 1.0, 0.0, torch.nan]))
    unknown = torch.where(truth == 1, 255, truth)
    compare("hair unknown", f(unknown, lazy, 4), torch.tensor([0.9, torch.nan, 1.0, 0.0]))


with Check("IoU: two parsers, a label that doesn't occur, pixels that don't count"):
    check_iou_of_labels(iou_of_labels)
### BEGIN HIDDEN TESTS
with Check("IoU: random maps with unknown pixels"):
    draw = torch.Generator().manual_seed(0)
    one, two = torch.randint(7, (2, 12, 9), generator=draw), torch.randint(7, (2, 12, 9), generator=draw)
    one[0, :3] = 255
    compare("random", iou_of_labels(one, two, 7), library_iou_of_labels(one, two, 7))
### END HIDDEN TESTS

# %%
iou_of_labels = pick(iou_of_labels, library_iou_of_labels, check_iou_of_labels)
dressed = blurry.clone()
dressed[3, 1:4] = 4  # three pixels of a label that the truth doesn't have
ious = iou_of_labels(truth, dressed, 20)
zeros = ious.nan_to_num(0)
print(f"mean over the 4 labels that occur     {ious.nanmean():.3f}")
print(f"mean over those and the guessed fifth {zeros[:5].mean():.3f}")
print(f"mean over all 20, missing ones as 0   {zeros.mean():.3f}")

# %% [markdown]
# One guess, three "mean IoUs". **Which labels are averaged** has to be said with the number. `vtonlib` takes the first:
# the labels that occur in the truth. The wrongly guessed dress then has no vote of its own; it costs the top, which it
# was taken from.
#
# A second choice hides behind it. Add up the tables of all people and take *one* IoU of each label, or take an IoU for
# every photograph and average those? We add up, as is usual. For a label that only few wear it makes a difference: one
# photograph with two misplaced pixels of a glove has IoU 0 there, and in the sum it is two pixels.
#
# ## 2 A naive parser
#
# How far does one get without a network that looks around? Three ideas, each one line of thought:
#
# - **colour**: each label has a mean colour; take the nearest. Skin is skin-coloured.
# - **place**: the studio's people stand in the middle; at each place take the label that is most frequent there.
# - **both**: show a small classifier the colour *and* the place of one pixel, and train it.
#
# We learn all three on training people at 64 x 48.

# %% tags=["no-proof"]
train_set = open_dataset(root, split="train", pairing="paired", size=(128, 96))
cache = PackedCache(train_set, range(min(len(train_set), 6 * settings.samples, 144)), pack)
everybody = cache.batch(range(len(cache)))
small_pictures = F.interpolate(from_bytes(everybody["person"]), (64, 48), mode="area")
small_parse = everybody["parse"][:, ::2, ::2].long()
test_pictures = torch.stack([F.interpolate(one.person[None], (64, 48), mode="area")[0] for one in tested])
test_parse = torch.stack([F.interpolate(one.parse[None, None].float(), (64, 48))[0, 0].long() for one in tested])
print(f"{len(cache)} training people, {len(tested)} test people, {small_parse.numel():,} training pixels at 64 x 48")

# %% tags=["no-proof"]
one_hot = F.one_hot(small_parse, 20).movedim(-1, 1).float()  # (N, 20, H, W)
means = torch.einsum("nkhw,nchw->kc", one_hot, small_pictures) / one_hot.sum((0, 2, 3))[:, None].clamp(min=1)
means[one_hot.sum((0, 2, 3)) == 0] = 9.0  # never seen: far from every colour
nearest = (test_pictures[:, None] - means[:, :, None, None]).square().sum(2).argmin(1)
mode = one_hot.sum(0).argmax(0).expand_as(test_parse)
print("mean colour in [-1, 1]:", {LIP[k]: [round(v, 2) for v in means[k].tolist()] for k in (0, 2, 5, 13)})


# %% tags=["no-proof"]
def colour_and_place(pictures):
    """(N, 3, H, W) -> (N, H, W, 5): red, green, blue, x and y of every pixel, all in [-1, 1]."""
    y, x = torch.meshgrid(*(torch.linspace(-1, 1, n) for n in pictures.shape[2:]), indexing="ij")
    return torch.cat([pictures, torch.stack([x, y]).expand(len(pictures), -1, -1, -1)], 1).movedim(1, -1)


# %% tags=["no-proof"]
torch.manual_seed(0)
classifier = nn.Sequential(nn.Linear(5, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 20))
optimiser = torch.optim.Adam(classifier.parameters(), lr=5e-3)
shown, wanted = colour_and_place(small_pictures).flatten(0, 2), small_parse.flatten()

# %% tags=["no-proof"]
for _ in tqdm(range(5 * settings.steps), file=sys.stdout, leave=False, desc="pixels"):
    some = torch.randint(len(wanted), (2048,))
    loss = F.cross_entropy(classifier(shown[some]), wanted[some], ignore_index=IGNORED)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()

# %% tags=["no-proof"]
with torch.no_grad():
    both = classifier(colour_and_place(test_pictures)).argmax(-1)
naive = {"background": torch.zeros_like(test_parse), "colour": nearest, "place": mode, "both": both}
for name, guess in naive.items():
    scores = label_scores(label_table(test_parse, guess, 20))
    measured |= {f"naive_{name}_accuracy": scores.accuracy, f"naive_{name}_miou": scores.mean_iou}
    print(f"{name:11s} accuracy {scores.accuracy:.3f}   mean IoU {scores.mean_iou:.3f}")
with torch.no_grad():
    moved = classifier(colour_and_place(test_pictures.roll(8, -1))).argmax(-1)
scores = label_scores(label_table(test_parse.roll(8, -1), moved, 20))
measured["naive_moved_miou"] = scores.mean_iou
print(f"both, people moved to the right by 8 of 48 columns: mean IoU {scores.mean_iou:.3f}")

# %% tags=["no-proof"]
rows = []
for n in (0, 1, 2):
    maps = (test_parse, *list(naive.values())[1:])
    rows.append([to_01(test_pictures[n]), *(colour_parse(each[n]) for each in maps)])
show_images(rows, ["photograph", "truth", "colour", "place", "both"], height=150,
            alt="Three people: nearest colours speckle the picture with all labels, places give everybody one blurred average person, and both "
            "together give a rough silhouette with smeared borders.")  # fmt: skip

# %% [markdown]
# Look at the first line of numbers before the pictures: *background everywhere* is right for about half of all pixels.
# Its mean IoU says what it is worth.
#
# Colour alone puts every label everywhere: a pink top is skin, a dark skirt is sunglasses. Place alone has one average
# person in the head and draws it for everybody. Both together do surprisingly well in the profile `laptop` (in `smoke`
# the classifier is hardly trained): a dark spot at the height of the head is hair, the skin at the left and right are
# arms. But they live on everybody standing in the same place. Move the people by a sixth of the width, and the last
# line shows what is left. What can none of them know? Look at one pixel, dark brown, at the height of the chest. Hair
# or coat? It depends on **what is around it**. The classifier isn't too small or trained too briefly: the answer isn't
# in its five numbers.
#
# ## 3 How much must one see?
#
# So give it neighbours. How many? Cover the picture with a hole and ask yourself. Below, squares cut out around a
# forearm, of growing size.

# %% tags=["no-proof"]
armed = [one for one in tested if all((one.parse == k).sum() > one.parse.numel() / 400 for k in ARM_LABELS)][:2]
rows = []
for one, label in zip(armed, (14, 15)):
    y, x = (one.parse == label).nonzero().float().mean(0).round().long().tolist()
    padded = F.pad(to_01(one.person), (96, 96, 96, 96), value=0.5)
    sides = [one.size[0] // part for part in (16, 8, 4, 2)]
    rows.append([padded[:, y + 96 - s // 2 : y + 96 + s // 2, x + 96 - s // 2 : x + 96 + s // 2] for s in sides])
show_images(rows, [f"a {part} of the height" for part in ("16th", "8th", "4th", "half")], height=150,
            alt="Cut-outs around two arms: in the smallest only skin, in the largest the person around it.")  # fmt: skip

# %% [markdown]
# In the first column there is a surface, maybe skin. In the second, an arm. *Whose left arm*? That can't be seen on the
# arm at any size. A left forearm in a mirror is a right forearm. It takes the body it hangs on, and whether that body
# faces us: the face, the feet, the neckline. **A parser has to see the whole person to name a pixel of an arm**, and
# has to be exact to a pixel where arm and top meet. These two wishes pull in opposite directions, and the architecture
# is the treaty between them.
#
# The **receptive field** of a layer is the square of input pixels that one of its values depends on. It grows with
# every layer: a convolution with kernel $k$ adds $(k-1)$ times the spacing of its input, in pixels of the picture, and
# a stride $s$ multiplies the spacing by $s$. On paper, for three 3 x 3 convolutions with stride 2: 3, then 3 + 2·2 = 7,
# then 7 + 2·4 = 15. By code, for the course's parser:


# %%
def receptive_field(convolutions):
    """(side, spacing) behind a chain of convolutions given as (kernel, stride), in pixels of the input."""
    side, spacing = 1, 1
    for kernel, stride in convolutions:
        side, spacing = side + (kernel - 1) * spacing, spacing * stride
    return side, spacing


# %%
compare("three with stride 2", torch.tensor(receptive_field([(3, 2)] * 3)), torch.tensor([15, 8]))
chain = [(3, 2), (3, 1)]  # stage 1; each further stage: one with stride 2, then a residual block of two
for stage in range(1, 6):
    side, spacing = receptive_field(chain)
    print(f"stage {stage}: a value every {spacing:2d} pixels, sees {side:3d} x {side}")
    chain += [(3, 2), (3, 1), (3, 1)]

# %% [markdown]
# The square of the last stage is wider than the picture of 256 x 192, but centred on its place: from a corner it
# doesn't reach the other one. And in practice it is far smaller, as pixels near its border reach the centre on few
# paths and hardly count (Luo et al. 2016 measured that it looks like a Gaussian). Besides, there is a value only every
# 32 pixels, the size of a hand. So two things are missing: the *whole* picture, and the *fine* places.
#
# ## 4 The network
#
# `EdgeParser` is a small relative of CE2P (Ruan et al. 2019), the network that SCHP builds on. Four parts:
#
# 1. an **encoder**: five stages, each half as large as the one before;
# 2. a **context module** on top, which sees the whole picture;
# 3. a **decoder**, back to fine maps, with skips from the encoder as in a U-Net;
# 4. an **edge branch**, which looks for the borders between labels and lends its features to the labels.

# %%
torch.manual_seed(0)
net, shapes = EdgeParser(), []
named = {f"stage {n}": part for n, part in enumerate(net.stages, 1)} | {"context": net.context}
named |= {f"join {n}": part for n, part in enumerate(net.joins, 1)} | {"fine": net.fine, "edge branch": net.edge_mix}
named |= {"fusion": net.fusion, "labels": net.labels}

# %%
for name, part in named.items():
    part.register_forward_hook(lambda m, x, y, name=name: shapes.append((name, tuple(y.shape[1:]), m)))
net(torch.zeros(2, 3, 256, 192))
for name, shape, part in shapes:
    print(f"{name:12s} -> {shape!s:15s} {sum(p.numel() for p in part.parameters()):9,} parameters")
print(f"{'all':12s}    {'':15s} {sum(p.numel() for p in net.parameters()):9,}")

# %% [markdown]
# Most parameters sit in the last stages, where maps are small and channels are many. Labels are predicted at *half* the
# size and enlarged: a quarter of the work, and the borders are a bilinear line between two values rather than a
# staircase.
#
# ### Pyramid pooling by hand
#
# How does a place learn what the rest of the picture holds? The simplest message is the **mean over the picture**,
# given to every place. It says "a face is visible somewhere", not where. So PSPNet (Zhao et al. 2017) takes means over
# grids of 1 x 1, 2 x 2, 3 x 3 and 6 x 6 cells: coarse news from everywhere, finer news from here. Each grid is enlarged
# bilinearly to the map's size and laid beside the map as further channels.
#
# A map of 4 rows and 6 columns with one hot pixel, of value 24. With 1 x 1 cell: 1 everywhere. With 2 x 2: one of the
# four cells has 6 pixels, so 24 / 6 = 4, the others 0. With 3 x 3 the four rows don't divide by three. PyTorch's rule:
# cell $i$ of $b$ takes the rows from $\lfloor i\,H/b \rfloor$ up to, without, $\lceil (i+1)\,H/b \rceil$. For $H = 4$,
# $b = 3$: rows 0-1, 1-2, 2-3. **Cells overlap**, and none is empty.
#
# **Exercise 2: means over cells.** *about 10 minutes, difficulty 2 of 5.* Write `cell_means(x, cells)`.
#
# <details><summary>Hint 1</summary>Whole numbers only: the first row of cell i is i * H // cells, and the row behind
# its last is -(-(i + 1) * H // cells), which rounds up.</details>
#
# <details><summary>Hint 2</summary>Two loops over cells are fine, they are few. Write x[:, :, top:bottom,
# left:right].mean((2, 3)) into an empty result.</details>
#
# What to expect: the hot pixel in row 1, column 2 gives 4 in the upper left one of 2 x 2 cells.


# %% nbgrader={"schema_version": 3, "grade_id": "pyramid-pool", "grade": false, "solution": true, "locked": false, "task": false}
def cell_means(x, cells):
    """Means over a grid of cells x cells: (B, C, H, W) -> (B, C, cells, cells). Cells may overlap, see above."""
    ### BEGIN SOLUTION
    height, width = x.shape[2:]
    result = x.new_zeros(*x.shape[:2], cells, cells)
    for i in range(cells):
        for j in range(cells):
            rows = slice(i * height // cells, -(-(i + 1) * height // cells))
            columns = slice(j * width // cells, -(-(j + 1) * width // cells))
            result[:, :, i, j] = x[:, :, rows, columns].mean((2, 3))
    return result
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "pyramid-pool_cells", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def library_cell_means(x, cells):
    return F.adaptive_avg_pool2d(x, cells)


hot = torch.zeros(1, 1, 4, 6)
hot[0, 0, 1, 2] = 24.0


def check_cell_means(f):
    compare("1 x 1", f(hot, 1)[0, 0], torch.ones(1, 1))
    compare("2 x 2", f(hot, 2)[0, 0], torch.tensor([[4.0, 0.0], [0.0, 0.0]]))
    compare("3 x 3, overlapping rows", f(hot, 3)[0, 0, :, 1], torch.tensor([6.0, 6.0, 0.0]))


with Check("cell means: one hot pixel in three grids"):
    check_cell_means(cell_means)
### BEGIN HIDDEN TESTS
with Check("cell means: sizes that don't divide, several channels, more cells than rows"):
    some = torch.rand(2, 3, 5, 7, generator=torch.Generator().manual_seed(1))
    for cells in (2, 3, 4, 6):
        compare(f"{cells} cells", cell_means(some, cells), library_cell_means(some, cells))
### END HIDDEN TESTS

# %%
cell_means = pick(cell_means, library_cell_means, check_cell_means)
spread = [resized(cell_means(hot, cells), (4, 6))[0, 0] for cells in (1, 2, 3)]
show_tables([hot[0, 0], *spread], ["map", "1 x 1", "2 x 2", "3 x 3"],
            alt="A table with one value of 24; spread over cells it is 1 everywhere, a quarter with 4 that fades, and a finer patch.")  # fmt: skip

# %% [markdown]
# In the network each grid first passes a 1 x 1 convolution that picks what is worth telling. Now a question that one
# can measure: change one pixel in a far corner of the picture; does the other corner's label notice? We ask the
# course's trained checkpoint, with and without the message from the grids, by the gradient of one corner's logits with
# respect to the picture.


# %%
def influence(net, mute):
    """How much each pixel of a picture (H, W) moves the logits in the upper left corner, the largest 1."""
    picture = (to_01(sample.person)[None] * 2 - 1).requires_grad_()
    hooks = [side.register_forward_hook(lambda m, x, y: y * 0) for side in net.context.sides] if mute else []
    net(picture)[0][0, :, 2, 2].square().sum().backward()
    for hook in hooks:
        hook.remove()
    moved = picture.grad[0].abs().sum(0)
    return moved / moved.max()


# %%
parser = load_parser()
moved = {name: influence(parser.net, mute) for name, mute in (("pyramid", False), ("no pyramid", True))}
for name, by in moved.items():
    measured[f"reach_{name.replace(' ', '_')}"] = (by > 0).float().mean().item()
    print(
        f"{name:10s} {(by > 0).float().mean():.0%} of the pixels have an influence, {(by > 0.01).float().mean():.1%} at least a hundredth of the largest"
    )
show_images([by.clamp(min=1e-6).log10() / 6 + 1 for by in moved.values()], list(moved), height=170,
            alt="Two maps, on a logarithmic scale, of what the upper left corner depends on: bright there; with the pyramid faint grey "
            "everywhere, without it black beyond a square.")  # fmt: skip

# %% [markdown]
# White is the largest influence, black a millionth of it or nothing. Most of what decides about the corner lies close
# to it: that is the second number. With the pyramid the rest of the picture has a say as well, a faint one. Without it,
# the influence ends at the receptive field and is fainter within, and a hand in the lower corner can't be told about
# the face.
#
# ## 5 The loss
#
# ### Labels that are rare
#
# The loss of every pixel is the cross-entropy $-\log p_{\text{true label}}$. Take the mean over pixels and each label
# weighs as much as it has pixels. How many has it?

# %% tags=["no-proof"]
pixels = label_pixels(cache)
share, weights = pixels / pixels.sum(), class_weights(pixels, 4.0)
order = share.argsort(descending=True).tolist()
figure, axis = course.new_figure(size=(7.5, 2.6))
axis.bar(range(20), share[order].clamp(min=1e-6), color="tab:blue")
axis.set_yscale("log")
axis.set_xticks(range(20), [LIP[k] for k in order], rotation=60, ha="right")
axis.set_ylabel("share of pixels")
show_figure(figure, alt="Bars on a logarithmic scale: the background has most pixels, the rarest labels thousands of times fewer.")  # fmt: skip
for k in order[:3] + order[-3:]:
    print(f"{LIP[k]:14s} share {share[k]:.5f}   weight {weights[k]:.2f}   weight x share {weights[k] * share[k]:.5f}")

# %% [markdown]
# Some labels have a thousandth of the background's pixels, some none at all in so few people. A network can ignore them
# for a long time and lose next to nothing. The usual cure is a **weight for each label**. With the full inverse $1/f_k$
# of the frequency every label would have the same say, and a doubtful pixel would be called a glove: a classifier
# trained with weights $w_k$ learns $p_k \propto w_k f_k$ where the picture tells nothing, so with $1/f_k$ it starts
# from "all twenty are equally likely". The course takes the square root, $w_k \propto 1/\sqrt{f_k}$, cut at 4, a
# compromise that one has to try out.
#
# ### A loss that looks like the score
#
# We will be judged by IoU. Why not train by it? Because IoU counts pixels, and counting has no gradient. The **Lovasz
# extension** (Berman et al. 2018) makes one of it. By hand, one label, five pixels. Two of them truly are arm; the net
# says "arm" with these probabilities:
#
# | pixel | A | B | C | D | E |
# |---|---|---|---|---|---|
# | truth | arm | arm | not | not | not |
# | probability | 0.9 | 0.3 | 0.6 | 0.2 | 0.05 |
# | error | 0.1 | 0.7 | 0.6 | 0.2 | 0.05 |
#
# Sort by error: B, C, D, A, E. Now imagine getting the pixels wrong in this order, one after the other, and watch 1 -
# IoU. Only B wrong: of the arm's two pixels one is left, union 2, so 1 - 1/2 = 0.5. B and C wrong: intersection 1,
# union 3, so 0.667. With D: 1 - 1/4 = 0.75. With A: nothing is left, 1. With E: stays 1. The steps are 0.5, 0.167,
# 0.083, 0.25, 0: **what each further error costs, given those before.** The loss is the sum of error times step:
#
# $$0.7 \cdot 0.5 + 0.6 \cdot 0.167 + 0.2 \cdot 0.083 + 0.1 \cdot 0.25 + 0 = 0.492 .$$
#
# If all errors are 0 or 1, it is exactly 1 - IoU. In between it is linear piece by piece, and its gradient is the
# steps.
#
# **Exercise 3: Lovasz of one label.** *about 15 minutes, difficulty 3 of 5.*
#
# <details><summary>Hint 1</summary>errors, order = (truth - p).abs().sort(descending=True); then the truth in that
# order: truth[order].</details>
#
# <details><summary>Hint 2</summary>With cumsum: after k errors the intersection is (all true ones) - (true ones among
# the k), the union is (all true ones) + (false ones among the k). Then differences of 1 - intersection / union, with a
# 0 before the first.</details>
#
# <details><summary>Hint 3</summary>torch.diff(jaccard, prepend=torch.zeros(1)). The gradient should flow through the
# errors.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "lovasz", "grade": false, "solution": true, "locked": false, "task": false}
def lovasz_of_label(p, truth):
    """Lovasz extension of 1 - IoU for one label, a scalar.

    p (N,): probability of the label; truth (N,) float, 1 where it is the label, at least one 1.
    """
    ### BEGIN SOLUTION
    errors, order = (truth - p).abs().sort(descending=True)
    ordered = truth[order]
    intersection = ordered.sum() - ordered.cumsum(0)
    union = ordered.sum() + (1 - ordered).cumsum(0)
    steps = torch.diff(1 - intersection / union, prepend=torch.zeros(1))
    return (errors * steps).sum()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "lovasz_five", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def library_lovasz_of_label(p, truth):
    errors, order = (truth - p).abs().sort(descending=True)
    return (errors * lovasz_gradient(truth[order])).sum()


five_truth, five_p = torch.tensor([1.0, 1, 0, 0, 0]), torch.tensor([0.9, 0.3, 0.6, 0.2, 0.05])


def check_lovasz_of_label(f):
    compare("five pixels", f(five_p, five_truth), torch.tensor(0.35 + 0.1 + 0.05 / 3 + 0.025))
    compare("certain guesses: 1 - IoU", f((five_p > 0.5).float(), five_truth), torch.tensor(2 / 3))
    p = five_p.clone().requires_grad_()
    f(p, five_truth).backward()
    assert p.grad is not None, "a gradient should flow to the probabilities"
    compare("gradient: the steps", p.grad, torch.tensor([-0.25, -0.5, 1 / 6, 1 / 12, 0.0]))


with Check("Lovasz: five pixels, certain guesses, the gradient"):
    check_lovasz_of_label(lovasz_of_label)
### BEGIN HIDDEN TESTS
with Check("Lovasz: random pixels"):
    draw = torch.Generator().manual_seed(3)
    p, true = torch.rand(40, generator=draw), (torch.rand(40, generator=draw) < 0.3).float()
    compare("random", lovasz_of_label(p, true), library_lovasz_of_label(p, true))
### END HIDDEN TESTS

# %%
lovasz_of_label = pick(lovasz_of_label, library_lovasz_of_label, check_lovasz_of_label)
draw = torch.Generator().manual_seed(4)
some_p, some_labels = torch.rand(60, 3, generator=draw).softmax(1), torch.randint(3, (60,), generator=draw)
by_label = torch.stack([lovasz_of_label(some_p[:, k], (some_labels == k).float()) for k in range(3)])
compare("mean over labels", by_label.mean(), lovasz_softmax(some_p, some_labels))

# %% [markdown]
# What is it good for? A toy: 1000 pixels, of which 10 are glove and 990 top. The net has learned what is cheapest to
# learn: it says "top" everywhere, with 90 %. How is the gradient shared out between the ten and the rest?

# %%
# NBVAL_CHECK_OUTPUT
glove = (torch.arange(1000) < 10).long()
for name, loss in (("cross-entropy", F.cross_entropy), ("Lovasz", lambda z, k: lovasz_softmax(z.softmax(1), k))):
    logits = torch.tensor([0.9, 0.1]).log().repeat(1000, 1).requires_grad_()
    loss(logits, glove).backward()
    pull = logits.grad.abs().sum(1)
    print(f"{name:14s} {pull[:10].sum() / pull.sum():.0%} of the gradient is on the 1 % of pixels that are glove")

# %% [markdown]
# In the cross-entropy the ten weigh more than their number, as they are more wrong; still, nearly all of the gradient
# is spent on making 990 right pixels a little more right. In Lovasz-softmax each label that occurs has one vote, as in
# the mean IoU, and the glove's vote goes to the pixels of the glove. It is used beside the cross-entropy, not alone:
# where many pixels are wrong alike, their order is chance, and so is the gradient. And it is a loss of a *batch*: the
# mean of the IoUs of small batches isn't the IoU of the whole set.
#
# ### Edges
#
# Many errors of a parser lie within a few pixels of a border; section 8 will count how many. So CE2P asks a second
# question of the same features: *is here a border between two labels?* The answer is supervised, and its truth costs
# nothing; it is drawn from the labels.
#
# **Exercise 4: edges of a label map.** *about 10 minutes, difficulty 2 of 5.* A pixel is on an edge if one of its four
# neighbours has another label, so an edge is two pixels wide, one on each side. Pixels of 255 make no edge, and neither
# does the border of the picture.
#
# <details><summary>Hint 1</summary>Compare the map without its last row with the map without its first row: both pixels
# of a pair that differs are edges.</details>
#
# <details><summary>Hint 2</summary>torch.roll brings the last row to the top, and then the picture's upper border would
# be compared with its lower one.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "edges", "grade": false, "solution": true, "locked": false, "task": false}
def edges(parse):
    """Where labels meet: (B, H, W) int64 -> (B, H, W) bool, true on both sides; 255 makes no edge."""
    ### BEGIN SOLUTION
    known, result = parse != 255, torch.zeros_like(parse, dtype=torch.bool)
    down = (parse[:, 1:] != parse[:, :-1]) & known[:, 1:] & known[:, :-1]
    across = (parse[:, :, 1:] != parse[:, :, :-1]) & known[:, :, 1:] & known[:, :, :-1]
    result[:, 1:] |= down
    result[:, :-1] |= down
    result[:, :, 1:] |= across
    result[:, :, :-1] |= across
    return result
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "edges_toy", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_edges(f):
    expected = torch.tensor([[0, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 1]])
    compare("the toy of section 1", f(truth[None])[0].int(), expected.int())
    one_label = torch.full((1, 3, 4), 5)
    assert not f(one_label).any(), "a map of one label has no edge, not at the picture's border either"
    one_label[0, 0] = 255
    assert not f(one_label).any(), "pixels of 255 should make no edge"


with Check("edges: the toy, one label, unknown pixels"):
    check_edges(edges)
### BEGIN HIDDEN TESTS
with Check("edges: random maps against the library"):
    some = torch.randint(3, (2, 9, 7), generator=torch.Generator().manual_seed(6))
    some[0, 2:4, 3] = 255
    compare("random", edges(some).int(), edges_of(some).int())
### END HIDDEN TESTS

# %%
edges = pick(edges, edges_of, check_edges)
border = edges(sample.parse[None])[0]
away = {reach: F.max_pool2d(border[None, None].float(), 2 * reach + 1, 1, reach)[0, 0] for reach in (2, 4)}
print(f"on an edge: {border.float().mean():.1%} of the pixels; within 4 pixels of one: {away[4].mean():.0%}")
show_images([to_01(sample.person), colour_parse(sample.parse), border.float(), away[4]], height=180,
            titles=["photograph", "parse map", "edges", "within 4 pixels"],
            alt="A person, the parse map, white lines where labels meet, and a broad band around these lines.")  # fmt: skip

# %% [markdown]
# Few pixels are edge, so each side weighs as much as the other has pixels. The branch is not there for its answer,
# which nobody uses at test time. It is there for its *features*, which have learned where borders run and are given to
# the labels ("fusion" in the table of shapes).
#
# The whole loss, as the course trains: weighted cross-entropy + ½ Lovasz-softmax + edges.
#
# ## 6 A short training, and the shipped checkpoint
#
# Now train for as long as the profile allows. Pictures are 128 x 96, changed at random: mirrored, nearer or further
# away, turned, in other light. The people of the studio stand upright in the middle; photographs don't.

# %% tags=["no-proof"]
torch.manual_seed(0)
young, recipe = EdgeParser(), ParsingRecipe(sizes=(), stages=(), lovasz_pixels=8000)
optimiser = torch.optim.Adam(young.parameters(), lr=2e-3)
generator, curves = torch.Generator().manual_seed(0), []
for step in tqdm(range(settings.steps), file=sys.stdout, leave=False, desc="training"):
    batch = cache.batch(batch_indices(step, length=len(cache), batch_size=settings.batch_size, seed=0))
    changed = augment(from_bytes(batch["person"]), batch["parse"].long(), ParsingAugmentation(), generator)
    terms = parser_terms(young.train(), *changed, recipe, weights=weights)
    optimiser.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 20) * (1 - step / settings.steps)
    optimiser.zero_grad()
    sum(terms.values()).backward()
    optimiser.step()
    curves.append([term.item() for term in terms.values()])

# %% tags=["no-proof"]
curves, window = torch.tensor(curves), max(1, settings.steps // 12)
figure, axes = course.new_figure(1, 3, size=(8.5, 2.2))
for axis, curve, title in zip(axes, curves.T, terms):
    axis.plot(curve.unfold(0, window, 1).mean(-1))
    axis.set(title=title, xlabel="step", ylim=(0, None))
show_figure(figure, alt="Running means of the three terms of the loss over the steps.")
measured["loss_falls"] = (curves[-window:].sum(1).mean() / curves[:window].sum(1).mean()).item()
print(f"the sum at the end is {measured['loss_falls']:.2f} of what it was at the beginning")

# %% [markdown]
# The course's checkpoint was trained in the same way for much longer, on two studio sets, first at 128 x 96 and then at
# 256 x 192, where people in rare clothes (a dress, a hat) came up to four times as often (Gupta et al. 2019). `load_parser()` gives it behind a face that takes pictures of any size. Its metadata say what it is and how
# to make it again.

# %% tags=["no-proof"]
print(f"{sum(p.numel() for p in parser.net.parameters()):,} parameters, works at {parser.size[0]} x {parser.size[1]}")

# %% tags=["no-proof"]
beginner = HumanParser(young, size=(128, 96))
rows = []
for one in tested[:3]:
    guesses = [beginner(one.person)[0], parser(one.person)[0]]
    rows.append([to_01(one.person), *(colour_parse(each) for each in (one.parse, *guesses))])
show_images(rows, ["photograph", "truth", f"{settings.steps} steps", "shipped"], height=190,
            alt="Three people with the true parse map, that of the net trained for a few steps, and that of the shipped parser.")  # fmt: skip

# %% [markdown]
# What has the beginner learned? Look at it in this order: background against person; head, torso, legs as large areas;
# then hair against face. Sleeves are still taken for arms, as arms are what is most often at that place, and an arm's
# side is the side of the picture where it is. Small labels come last. In the profile `smoke` there are four steps and
# nothing to see.


# %% tags=["no-proof"]
def table_of(guess, sample):
    """Pixels by true (row) and guessed (column) label of one person, without the padding."""
    left, top, right, bottom = sample.padding
    inner = (slice(top, sample.size[0] - bottom), slice(left, sample.size[1] - right))
    return label_table(sample.parse[inner], guess[inner], 20)


# %% tags=["no-proof"]
tables = torch.stack([table_of(parser(one.person)[0], one) for one in tested])
young_scores = label_scores(sum(table_of(beginner(one.person)[0], one) for one in few))
scores = label_scores(tables.sum(0))
measured |= {"young_miou": young_scores.mean_iou, "miou": scores.mean_iou, "accuracy": scores.accuracy}
print(
    f"{settings.steps} steps: accuracy {young_scores.accuracy:.3f}, mean IoU {young_scores.mean_iou:.3f}, {len(few)} people"
)
print(f"shipped:   accuracy {scores.accuracy:.3f}, mean IoU {scores.mean_iou:.3f}, {len(tested)} people")

# %% [markdown]
# Put the beginner beside the pixel classifier of section 2. On people who all stand in the same place, five numbers a
# pixel are about as good as a convolutional network that has seen a few hundred pictures. The network was shown people
# moved, scaled and turned, a harder task, and it pays off later.
#
# ## 7 Left, right, and the mirror
#
# A mirrored photograph is a photograph of somebody who exists just as well. So it is the cheapest training data there
# is, and a cheap improvement at test time: parse the picture and its mirror image, mirror the second result back, and
# take the mean of the probabilities. There is one trap. In the mirror the left arm *is a right arm*: the person's own
# left is now on the other side. After mirroring the map back, the channels of left and right have to be **swapped**:
# `LIP_MIRROR` says for every label which one it becomes.
#
# **Exercise 5: the mirror trick.** *about 10 minutes, difficulty 2 of 5.*
#
# <details><summary>Hint 1</summary>picture.flip(-1) mirrors; the probabilities are maps too, so they are flipped back
# in the same way.</details>
#
# <details><summary>Hint 2</summary>Channels are swapped by an index: probabilities[:, list(LIP_MIRROR)].</details>


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-labels", "grade": false, "solution": true, "locked": false, "task": false}
def with_mirror(probabilities_of, picture):
    """Mean of the probabilities of a picture and of its mirror image, (B, 20, H, W).

    probabilities_of: a function from pictures (B, 3, H, W) to probabilities (B, 20, H, W).
    """
    ### BEGIN SOLUTION
    mirrored = probabilities_of(picture.flip(-1)).flip(-1)
    return (probabilities_of(picture) + mirrored[:, list(LIP_MIRROR)]) / 2
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-labels_sides", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def library_with_mirror(probabilities_of, picture):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.device_of = nn.Parameter(torch.zeros(1))

        def forward(self, inside):
            return (probabilities_of(inside).clamp(min=1e-9).log(),)

    return HumanParser(Net(), size=tuple(picture.shape[-2:]), flip=True).probabilities(picture)


def toy_parser(picture):
    """Bright pixels are arms: a left one in the right half of the picture, a right one in the left half; the rest 0."""
    half, bright = picture.shape[-1] // 2, picture.mean(1) > 0
    result = torch.full((len(picture), 20, *picture.shape[-2:]), 1e-3)
    result[:, 0] += (~bright).float()
    result[:, 15, :, :half] += bright[..., :half].float()
    result[:, 14, :, half:] += bright[..., half:].float()
    return result / result.sum(1, keepdim=True)


def check_with_mirror(f):
    picture = torch.full((1, 3, 4, 6), -1.0)
    picture[..., 1:, 0] = 1.0  # one arm, at the left border: the person's right one
    found = f(toy_parser, picture)
    compare("sums to 1", found.sum(1), torch.ones(1, 4, 6))
    compare("a parser without a side of its own", found, toy_parser(picture))


with Check("mirror: a parser that treats both sides alike gives the same as before"):
    check_with_mirror(with_mirror)
### BEGIN HIDDEN TESTS
with Check("mirror: random probabilities"):
    draw = torch.Generator().manual_seed(7)
    mixing, some = torch.randn(20, 3, generator=draw), torch.rand(2, 3, 8, 6, generator=draw) * 2 - 1
    tilt = torch.linspace(0, 1, 6)

    def random_parser(picture):
        return (torch.einsum("kc,bchw->bkhw", mixing, picture) * (1 + tilt)).softmax(1)

    compare("random", with_mirror(random_parser, some), library_with_mirror(random_parser, some), atol=1e-4)
### END HIDDEN TESTS

# %%
with_mirror = pick(with_mirror, library_with_mirror, check_with_mirror)
ways = {
    "plain": parser.probabilities,
    "with mirror": lambda picture: with_mirror(parser.probabilities, picture[None]),
    "not swapped": lambda picture: (
        (parser.probabilities(picture) + parser.probabilities(picture.flip(-1)).flip(-1)) / 2
    ),
}

# %% tags=["no-proof"]
for name, way in ways.items():
    found = label_scores(sum(table_of(way(one.person).argmax(1)[0], one) for one in few))
    arms = found.iou[list(ARM_LABELS)].nanmean().item()
    measured |= {f"{name.replace(' ', '_')}_miou": found.mean_iou, f"{name.replace(' ', '_')}_arms": arms}
    print(f"{name:12s} mean IoU {found.mean_iou:.4f}   arms {arms:.4f}   {len(few)} people")

# %% [markdown]
# The first two lines say what the trick is worth, for twice the time: compare them before you use it. The third is the
# bug. Nothing crashes, everything but the sides of arms, legs and shoes stays right, and in a mean over twenty labels
# the loss is easily taken for "needs more training". If you train with mirrored pictures and forget the swap, half of
# the examples say left and half say right, and the net learns that the sides can't be told.
#
# ### Where does a parser look for the side?
#
# Section 3 claimed that the side can't be seen on the arm. Ask the trained network. We show it the arms of each person
# as usual, and once more with *everything else painted grey*; then we count pixels that are called *some* arm, and
# among those the ones with the right side.


# %% tags=["no-proof"]
def arm_pixels(covered):
    """Share of arm pixels called an arm, and of those the share with the right side."""
    some = right = total = 0
    for one in tested:
        arm = torch.isin(one.parse, torch.tensor(ARM_LABELS))
        near = F.max_pool2d(arm[None].float(), 5, 1, 2)[0] > 0
        guess = parser(torch.where(near, one.person, 0.0) if covered else one.person)[0]
        called = arm & torch.isin(guess, torch.tensor(ARM_LABELS))
        total, some, right = total + arm.sum(), some + called.sum(), right + (called & (guess == one.parse)).sum()
    return (some / total).item(), (right / some.clamp(min=1)).item()


for name, covered in (("whole picture", False), ("arms only", True)):
    some, right = arm_pixels(covered)
    measured |= {f"{name.split()[0]}_some_arm": some, f"{name.split()[0]}_right_side": right}
    print(f"{name:14s} {some:.1%} of the arm pixels are called an arm; of these {right:.1%} the right one")

# %% [markdown]
# Half of the sides right is what a coin would give. What stays above that, with everything else gone, comes from the
# arm's *place in the picture* (and perhaps a thumb): the studio's people mostly face the camera, so an arm on the right
# side of the picture is a left one. That is a rule that somebody seen from behind breaks.
#
# ## 8 The numbers, label by label

# %% tags=["no-proof"]
order = scores.pixels.argsort(descending=True).tolist()
print(f"{len(tested)} test people: accuracy {scores.accuracy:.3f}, mean IoU {scores.mean_iou:.3f}")
for k in order:
    if scores.pixels[k]:
        owners = int((tables[:, k].sum(1) > 0).sum())
        print(f"{LIP[k]:14s} IoU {scores.iou[k]:.3f}  recall {scores.recall[k]:.3f}  precision {scores.precision[k]:.3f}  "
              f"{int(scores.pixels[k]):9,} pixels of {owners} people")  # fmt: skip
rest = [k for k in order if LIP[k] not in ("hat", "dress")]
measured["miou_without_hat_and_dress"] = scores.iou[rest].nanmean().item()
print(f"mean IoU without hat and dress {measured['miou_without_hat_and_dress']:.3f}; aimed at with all: 0.85")

# %% tags=["no-proof"]
total = tables.sum(0).double()
mistaken = total / total.sum(1, keepdim=True).clamp(min=1)
mistaken.fill_diagonal_(0)
worst = mistaken.flatten().argsort(descending=True)[:8].tolist()
for place in worst:
    true, guessed = divmod(place, 20)
    print(f"{mistaken[true, guessed]:6.1%} of {LIP[true]:14s} is taken for {LIP[guessed]}")

# %% tags=["no-proof"]
near, far = [], []
for one in few:
    band, wrong = F.max_pool2d(edges(one.parse[None]).float(), 5, 1, 2)[0] > 0, parser(one.person)[0] != one.parse
    near.append((wrong & band).sum())
    far.append((wrong & ~band).sum())
measured["errors_at_edges"] = (sum(near) / (sum(near) + sum(far))).item()
print(f"{measured['errors_at_edges']:.0%} of all errors lie within 3 pixels of a true border")

# %% [markdown]
# Read the table by the last column. It isn't the number of pixels that makes a label weak: legs are few pixels here,
# and are found well. It is how many *people* the training saw with it, and whether another label looks the same.
#
# - **Hat**: what is called a hat mostly is one, and many hats are called hair. Few wear one.
# - **Dress**: the weakest label, with thousands of pixels. Its upper half is a top, its lower half a skirt, and what
#   would decide, that nothing separates them, is a thin line at the waist. You may have noticed blue patches in the
#   middle of tops above: that is this doubt, and nothing in the network says that one garment has one label. Each pixel
#   decides by itself.
#
# The project had aimed at a mean of 0.85 on the studio. The line below the table says what these two labels, which few
# people wear, cost. A mean over labels gives them the same vote as the face.
#
# Does it matter for a try-on? Not equally. Top taken for dress changes little, as both are "the garment" to most
# systems; hair taken for a hat too, as both are kept. Neck for face decides whether a collar can be drawn. The last
# line says how many errors are of another kind: borders that are off by a pixel or three.
#
# ### For whom does it work?
#
# A mean over people hides who is served worse. The studio knows of everybody what photographs rarely say: skin tone (a
# scale from 0, lightest, to 6), body shape, pose. So break the results down. Two rules first.
#
# **Compare by the same labels.** A group in which nobody wears gloves would win in a mean over labels that occur. We
# average over eight labels that nearly everybody has.
#
# **A difference needs an interval.** With twenty people in a group, some difference is certain. The **bootstrap** asks
# how much the number would wobble: draw as many people from the group as it has, with replacement, compute the number
# again, a thousand times; the middle 95 % of the results are the interval. People are drawn, not pixels: pixels of one
# person are no independent witnesses.

# %% tags=["no-proof"]
COMMON = [LIP.index(name) for name in ("background", "hair", "upper-clothes", "pants", "neck", "face")] + [14, 15]


def common_iou(tables):
    """Mean IoU over the labels that nearly everybody has, of sums of tables (..., 20, 20)."""
    hits, true = tables.diagonal(dim1=-2, dim2=-1), tables.sum(-1)
    iou = torch.where(true > 0, hits / (true + tables.sum(-2) - hits), torch.nan)
    return iou[..., COMMON].nanmean(-1)


# %% tags=["no-proof"]
def bootstrap(tables, draws=1000):
    """Lower and upper end of the 95 % interval of `common_iou`, for tables (N, 20, 20) of N people."""
    chosen = torch.randint(len(tables), (draws, len(tables)), generator=torch.Generator().manual_seed(0))
    times = torch.stack([row.bincount(minlength=len(tables)) for row in chosen]).double()
    drawn = (times @ tables.flatten(1).double()).unflatten(1, (20, 20))
    return common_iou(drawn).quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()


# %% tags=["no-proof"]
low, high = bootstrap(tables)
measured["common_miou"] = common_iou(tables.sum(0)).item()
print(f"all {len(tested)}: {measured['common_miou']:.3f}, 95 % interval {low:.3f} to {high:.3f}")

# %% tags=["no-proof"]
results = PROJECT / "benchmarks" / "results"
bench = json.loads((results / "perceive-parsing.json").read_text(encoding="utf-8"))
names = {"skin_tone": "skin tone", "weight": "weight", "height": "height", "yaw": "turned (degrees)", "pose": "pose"}


def in_order(groups):
    """(name in words, numbers) of the groups of an attribute, from low to high."""
    words = {name: f"below {name[3:]}" if name.startswith("to ") else name for name in groups}
    words |= {name: f"from {name[:-3]}" for name in groups if name.endswith(" to")}
    rank = {"below": 0, "from": 2}
    return [
        (words[name], groups[name]) for name in sorted(groups, key=lambda name: rank.get(words[name].split()[0], 1))
    ]


# %% tags=["no-proof"]
for set_name, one in bench["studio"].items():
    print(f"{set_name}: {one['people']} people, mean IoU {one['miou']:.3f}, accuracy {one['accuracy']:.3f}")
    for attribute in ("skin_tone", "weight", "height", "yaw") if one["groups"] else ():
        for group, numbers in in_order(one["groups"][attribute]):
            span = "[{:.3f}, {:.3f}]".format(*numbers["common_miou_interval"])
            print(f"  {names[attribute]:17s} {group:13s} {numbers['people']:4d} people  {numbers['common_miou']:.3f} {span}"
                  f"  least accurate person {numbers['lowest_accuracy']:.3f}")  # fmt: skip

# %% tags=["no-proof"]
set_name = max(
    (name for name in bench["studio"] if bench["studio"][name]["groups"]),
    key=lambda name: bench["studio"][name]["people"],
)
groups = bench["studio"][set_name]["groups"]
lines = [(f"{names[a]}: {g} ({n['people']})", n) for a in names for g, n in in_order(groups[a]) if n["people"] >= 5]
lines.reverse()
figure, axis = course.new_figure(size=(6.5, 0.18 * len(lines) + 0.7))
for place, (_, numbers) in enumerate(lines):
    axis.plot(numbers["common_miou_interval"], [place] * 2, color="tab:blue", linewidth=2)
    axis.plot(numbers["common_miou"], place, "o", color="tab:blue", markersize=4)
axis.set_yticks(range(len(lines)), [text for text, _ in lines], fontsize=7)
axis.set_ylim(-0.7, len(lines) - 0.3)
axis.set_xlabel(f"mean IoU over eight common labels, {set_name}")
show_figure(
    figure, alt="One line for each group of five people or more, with its mean IoU and its 95 percent interval."
)


# %% tags=["no-proof"]
def extremes(groups, attribute):
    """Of the groups of ten or more: names of the lowest and the highest, their difference, and its 95 % half width."""
    kept = [(name, n) for name, n in in_order(groups[attribute]) if n["people"] >= 10]
    low, high = (choose(kept, key=lambda item: item[1]["common_miou"]) for choose in (min, max))
    halves = [(n["common_miou_interval"][1] - n["common_miou_interval"][0]) / 2 for _, n in (low, high)]
    difference = high[1]["common_miou"] - low[1]["common_miou"]
    return low[0], high[0], difference, (halves[0] ** 2 + halves[1] ** 2) ** 0.5


# %% tags=["no-proof"]
for attribute in names:
    for set_name, one in bench["studio"].items():
        low, high, difference, half = extremes(one["groups"], attribute)
        verdict = "more than chance" if difference > half else "open"
        print(f"{names[attribute]:17s} {set_name:10s} lowest {low:13s} highest {high:13s} {difference:.3f} +- {half:.3f}  {verdict}")  # fmt: skip
dark = sum(float(row["skin_tone"]) >= 4 for row in drawn.values())
print(f"in this profile's data set {dark} of {len(drawn)} people have a skin tone from 4")

# %% [markdown]
# How to read this. Two intervals that overlap a little can still belong to a real difference: what counts is the
# interval of the *difference*, whose half width is the root of the sum of squares, as the groups are different people.
# Two cautions, though. We picked the lowest and the highest group of each attribute, which makes differences look
# larger than they are, most of all among the many poses. And there are ten lines: at 95 % one of twenty is "more than
# chance" by chance. So look at **whether the same group is lowest in both sets.** They share no person.
#
# - **Body shape** fails that test: the weight that is lowest in one set is the highest or near it in the other, and
#   height is open in both. These people show no difference of that kind.
# - **Crossed arms** pass it: among the poses of ten or more they are lowest in both sets, by far. Hands lie on sleeves,
#   left lies right of right, and few training people stand so.
# - **Skin tone** passes it, too. The darkest of the three groups is the lowest in both sets, each time by more than the
#   uncertainty of the difference, though not by much more. That is a
#   finding, and not a nice one. The attributes are drawn independently in the studio, so it isn't secretly one of pose.
#   Two causes are at hand: fewer people of this group are drawn, for training as for testing, and dark hair beside dark
#   skin in dim light has weaker borders. The table can't tell them apart; training with equal shares could.
#
# And what the table **can't** say: these people are rendered. Their skin has the studio's shader and the studio's
# lamps, their bodies come from one body model. How a *photograph* of a dark-skinned person is parsed depends on
# exposure, on a camera's processing and on who was in the training photographs, and none of it is in this experiment.
# For that one needs photographs of many people, with their consent and their own words about who they are.
#
# ## 9 Photographs
#
# The studio is the place where truth is free. The aim are photographs. The project was checked with very few: three
# people of VITON-HD's public test split, and one street photograph that SCHP's authors publish. Their pixels stay out
# of this notebook, as they may not be passed on, so you see numbers only, read from the project's results. What they
# are compared with was made by other parsers, not by hand.

# %% tags=["no-proof"]
photographs = bench["photographs"]
print(f"{'photograph':12s} mean IoU  accuracy     pixels  labels")
for name, one in (photographs["each"] | bench["pairs"]).items():
    pixels_of = sum(entry["pixels"] for entry in one["labels"].values())
    print(f"{name:12s} {one['miou']:8.3f}  {one['accuracy']:8.3f}  {pixels_of:9,}  {len(one['labels']):6}")
print(f"{'first three':12s} {photographs['miou']:8.3f}  {photographs['accuracy']:8.3f}")
goals = [bench[f"real_{name}"] for name in ("floor", "target", "accuracy_target")]
print("aimed at: mean IoU {} at least, {} hoped for, accuracy {}".format(*goals))

# %% tags=["no-proof"]
columns = {"the three": photographs["labels"]} | {"fourth": bench["pairs"]["demo"]["labels"]}
columns |= {name: one["labels"] for name, one in bench["studio"].items()}
print(f"{'IoU':14s}" + "".join(f"{title:>11s}" for title in columns))
for label in LIP:
    cells = [f"{each[label]['iou']:.2f}" if label in each else "-" for each in columns.values()]
    if cells[:2] != ["-", "-"]:
        print(f"{label:14s}" + "".join(f"{cell:>11s}" for cell in cells))

# %% [markdown]
# The first three together reach what we aimed at, and their mean IoU is about as high as that of the plain studio.
# Don't conclude that photographs are as easy: **the mean is over other labels.** Nobody in the three wears a hat or a
# dress, the studio's weakest labels. Compare label by label, in the second table, and the distance is there: hair,
# tops, necks and faces are all lower than in `benchmark`. That distance is the **domain gap**.
#
# The fourth fails, and arms are hardly found. It is unlike everything the parser was trained on: a wide picture, in
# which the person becomes small once it is padded to the network's shape; a man seen from the side, where the studio
# turns people by 30 degrees at most; hands stretched out, and an overcoat above a shirt and a tie.
#
# Four photographs decide little. One skirt taken for trousers moves such a mean by several points, so don't compare two
# parsers by it, and don't believe a third digit. What such a list is good for is finding *kinds* of error.
#
# What closes a gap of this kind, in the order of what it costs: changes of the training pictures that resemble cameras
# (light, grain, blur, people cut off), more varied rooms, poses and clothes in the studio, and photographs with labels.
#
# ## 10 Labels that are wrong: self-correction
#
# Photographs with labels, then. LIP has 50,000 of them, drawn by people in a hurry, and it shows: left and right
# swapped, a coat labelled as a top, feet forgotten, outlines that cut corners. SCHP (Li et al. 2020) asks: a net
# trained on such labels makes *fewer* errors than they have, as errors without a pattern are hard to learn. Can the net
# then **correct its own labels**? It trains in **cycles**. After each, two running means take the result in:
#
# $$\hat w_m = \frac{m}{m+1}\, \hat w_{m-1} + \frac{1}{m+1}\, w_m, \qquad
# \hat y_m = \frac{m}{m+1}\, \hat y_{m-1} + \frac{1}{m+1}\, p_m .$$
#
# The first is **model averaging**: $w_m$ are the weights at the end of cycle $m$, where the learning rate has fallen to
# 0 before it starts high again. The second is **label refinement**: $p_m$ are the probabilities that the *mean* net
# gives, and $\hat y_m$ are what the next cycle is trained on. Labels are now soft: 0.6 arm, 0.4 top.
#
# ### Model averaging by hand
#
# Why average? Each cycle ends somewhere near the bottom of the valley, pushed aside by the last batches. A valley in
# one dimension, $\tfrac12 w^2$. A cycle takes the weight most of the way down and pushes it aside at random:

# %%
draw, ends = torch.Generator().manual_seed(2), []
for _ in range(400):  # four hundred independent runs of six cycles
    w, run = 0.0, []
    for _ in range(6):
        w = 0.3 * w + torch.randn(1, generator=draw).item()  # a cycle: pulled to the bottom, pushed at random
        run.append(w)
    ends.append(run)
ends = torch.tensor(ends)
count = torch.arange(1, 7)
means_of = ends.cumsum(1) / count
for name, numbers in (("end of cycle m", ends), ("mean of m ends", means_of)):
    print(f"{name}: loss " + "  ".join(f"{value:.3f}" for value in (0.5 * numbers.square()).mean(0).tolist()))

# %% [markdown]
# The ends of the cycles stay as far from the bottom as the noise pushes them; their mean comes closer with each one. It
# works as long as all ends lie in *one* valley, which is why cycles start from one another and not anew.
#
# There is a trap in networks with batch normalisation. Its running mean and variance belong to *one* net's activations;
# the mean net has others. They must be **estimated anew** by running training pictures through the mean net. Forget it
# and the averaged net can be worse than each of the nets in it.
#
# ### Label refinement by hand
#
# Four annotated pixels of an arm. The annotator called the second one "top", the net is sure of "arm" for all:
#
# | after cycle | 0 | 1 | 2 | 3 |
# |---|---|---|---|---|
# | label, share of arm, pixel 1 | 1 | 0.95 | 0.933 | 0.925 |
# | label, share of arm, pixel 2 (wrong) | 0 | **0.45** | **0.6** | **0.675** |
#
# with $p = 0.9$ for arm. After one cycle the mean is $\tfrac12 \cdot 0 + \tfrac12 \cdot 0.9$, almost even; after two
# the label has flipped. **An annotator's vote counts as much as one prediction.** With a net that is less sure, $p =
# 0.5$, three cycles give 0.375, and nothing flips.
#
# **Exercise 6: refine labels.** *about 10 minutes, difficulty 2 of 5.* One catch: where nobody knows the label, beyond
# the photograph, all twenty are 0, and it must stay so; there the net's opinion is worth nothing.
#
# <details><summary>Hint</summary>known = labels.sum(-3, keepdim=True) > 0.5 has one channel and goes along with
# torch.where.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "refine-labels", "grade": false, "solution": true, "locked": false, "task": false}
def refine_labels(labels, prediction, cycle):
    """The soft labels after cycle 1, 2, ...: a running mean of the labels and of all predictions.

    labels, prediction (..., K, H, W): probabilities; labels are all 0 where nobody knows, and stay 0 there.
    """
    ### BEGIN SOLUTION
    mean = cycle / (cycle + 1) * labels + 1 / (cycle + 1) * prediction
    return torch.where(labels.sum(-3, keepdim=True) > 0.5, mean, labels)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "refine-labels_cycles", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def library_refine_labels(labels, prediction, cycle):
    from vtonlib.systems.self_correction import refined

    return refined(labels, prediction, cycle)


def check_refine_labels(f):
    labels = torch.zeros(2, 1, 3)  # two labels, three pixels: top, arm, nobody knows
    labels[0, 0, 0] = labels[1, 0, 1] = 1.0
    sure = torch.tensor([0.1, 0.9])[:, None, None].expand(2, 1, 3)
    found = labels
    for cycle in (1, 2, 3):
        found = f(found, sure, cycle)
    compare("share of arm after three cycles", found[1, 0], torch.tensor([0.675, 0.925, 0.0]))
    compare("sums", found.sum(0)[0], torch.tensor([1.0, 1.0, 0.0]))


with Check("refine: three cycles, and a pixel that nobody knows"):
    check_refine_labels(refine_labels)
### BEGIN HIDDEN TESTS
with Check("refine: random labels, cycle 4"):
    draw = torch.Generator().manual_seed(8)
    some, guess = torch.rand(2, 2, 5, 6, 4, generator=draw).softmax(2)
    some[..., 0] = 0
    compare("random", refine_labels(some, guess, 4), library_refine_labels(some, guess, 4))
### END HIDDEN TESTS

# %% [markdown]
# ### An experiment with damage on purpose
#
# Whether this repairs labels can't be seen on LIP: nobody has the true ones. Here we do. `damage_labels` makes the
# errors of hurried annotators, and remembers where: **sides** swapped, a label **confused** with another, a small part
# **missing**, a wandering **outline**; each in a share of the people. And one error in *everybody's* labels alike: hair
# is drawn too large (**systematic**). Before you go on, predict: which of the five can be repaired?

# %%
refine_labels = pick(refine_labels, library_refine_labels, check_refine_labels)
from vtonlib.systems.label_damage import KINDS, Damage, damage_labels, label_repair

whole = torch.stack([one.parse for one in few])
damaged, kind = damage_labels(whole, torch.Generator().manual_seed(0), Damage())
for number, name in enumerate(KINDS[1:], 1):
    touched = int(((kind == number).flatten(1).sum(1) > 0).sum())
    print(f"{name:11s} {(kind == number).float().mean():.2%} of all pixels, in {touched} of {len(few)} people")

# %% tags=["no-proof"]
shown_kinds = [n for n in (1, 2, 3, 4) if (kind == n).any()]
picked = [(kind == n).flatten(1).sum(1).argmax().item() for n in shown_kinds]
rows = [[to_01(few[n].person), colour_parse(whole[n]), colour_parse(damaged[n]), (kind[n] > 0).float()] for n in picked]
show_images(rows, ["photograph", "true labels", "damaged", "where"], height=165, row_titles=[KINDS[n] for n in shown_kinds],
            alt="People with true labels, damaged labels, and the places of the damage: an arm or leg, a garment, a small part, outlines; "
            "around the hair in all of them.")  # fmt: skip

# %% [markdown]
# First in small: a few people, 64 x 48, as many steps as the profile allows, three cycles. This net is young, so expect
# its opinion to be worth little. It is here to see the machine work, and to see what happens when refinement starts
# **too early**.

# %% tags=["no-proof"]
from vtonlib.systems.self_correction import RECIPES, cycles, first_training, hard_labels, soft_labels

laptop = RECIPES["laptop"]
steps = {"first": max(2, settings.steps), "cycle": max(1, settings.steps // 4)}
stages = {name: replace(getattr(laptop, name), steps=n, warm_up=min(10, n)) for name, n in steps.items()}
small = replace(laptop, size=(64, 48), cycles=3, statistics=5, **stages)
levels = F.interpolate(everybody["person"].float(), (64, 48), mode="area").round().to(torch.uint8)
wrong_parse, wrong_kind = damage_labels(small_parse, torch.Generator().manual_seed(1), Damage())
with tempfile.TemporaryDirectory() as folder:
    soft, first = soft_labels(wrong_parse), Path(folder) / "first"
    start = first_training(small, levels, soft, first, seed=0)
    states = list(cycles(small, start, levels, soft, Path(folder) / "cycles", refine=True, seed=0))

# %% tags=["no-proof"]
print("cycle  damaged pixels right now  undamaged pixels broken  wrong in all")
for state in states:
    repair = label_repair(small_parse, wrong_kind, hard_labels(state.labels))
    print(f"{state.cycle:5d} {repair['repaired']:25.1%} {repair['broken']:24.1%} {repair['wrong_after']:13.1%}")
measured |= {"small_repaired": repair["repaired"], "small_broken": repair["broken"]}

# %% [markdown]
# Two columns belong together, and papers like to show the first one only. After cycle 1 nothing has changed, and can't
# have: label and prediction count the same, and even a prediction of 1 only draws level. From cycle 2 on labels flip.
# Repairing is no art: who overwrites all labels with predictions "repairs" a good part of the damage. The price stands
# in the second column, **labels that were right and are wrong now**, and as there are many more right labels than wrong
# ones, a small share of them outweighs a large repair. Compare the last column with its first line: there the balance
# is drawn, and in the profile `laptop` it is negative. SCHP starts its cycles after 100 of 150 epochs, and this is why.
#
# ### The whole experiment
#
# Now with more people and far more steps. `benchmarks/self_correction.py` trains the same net, with the same
# number of steps, on clean labels, on damaged ones, and on damaged ones with self-correction, several times with
# another seed, and judges it on people it has never seen, by true labels. It takes too long to run here, so we read its
# results.

# %% tags=["no-proof"]
experiment = json.loads((results / "self-correction.json").read_text(encoding="utf-8"))
summary, seeds = experiment["summary"], len(experiment["seeds"])
print(
    f"{experiment['trained_on']} people to train on, {experiment['held_out']} to judge by, {seeds} seeds; mean IoU, mean +- deviation"
)
for name, entry in summary["held_out_miou"].items():
    print(f"  {name:20s} {entry['mean']:.3f} +- {entry['deviation']:.3f}")
print("labels of the training people: wrong pixels, and pixels that were right and are wrong now")
for name, entry in summary["training_labels"].items():
    print(f"  {name:30s} {entry['wrong_after']['mean']:.2%}   {entry['broken']['mean']:.2%}")

# %% tags=["no-proof"]
refined_labels = summary["training_labels"]["refined"]
kinds = {name: entry for name, entry in refined_labels["kinds"].items() if entry is not None}
figure, axis = course.new_figure(size=(5.5, 2.4))
axis.bar(range(len(kinds)), [100 * e["mean"] for e in kinds.values()], yerr=[100 * e["deviation"] for e in kinds.values()],
         capsize=3)  # fmt: skip
axis.set_xticks(range(len(kinds)), list(kinds))
axis.set_ylabel("% repaired")
show_figure(figure, alt="Bars: the share of damaged pixels that refinement repaired, for each kind of damage.")
for name, entry in kinds.items():
    size_of = summary["damaged_pixels"][name]["mean"]
    print(
        f"{name:11s} {size_of:.2%} of all pixels were damaged, {entry['mean']:.0%} +- {entry['deviation']:.0%} of them repaired"
    )

# %% [markdown]
# Compare with your prediction. What differs *from person to person* has no pattern: a swapped side is, for a net that
# sees all people, noise around a clear majority, and most of it is repaired. Outlines are repaired by half, as the net
# is unsure at a border itself. What is the same in *everybody's* labels is a pattern like any other: the net learns it,
# predicts it, and confirms most of it. **Self-correction can't repair what all annotators do alike**, and no experiment
# on LIP could have shown that, as there the labels one would count against share the error.
#
# Now the price, in the table above it. More than half of the damage is repaired, and yet *more* pixels are wrong
# afterwards than before, as good labels were overwritten. So at this size the experiment speaks **against** refining:
# the labels, damaged as they are, are better than the net. SCHP refines with a net that was trained for 100 epochs on
# LIP's 30,000 training pictures before the first cycle. The rule to take home: labels can only be corrected by something
# that is right more often than they are, and whether it is can be measured before, in the line "predicted outright".
#
# Then look at the nets in the first table. The mean of the nets of all cycles is *worse* than the last one, on clean
# labels and on damaged ones. The likely reason: a net that still gets better is ahead of the mean of its past. Averaging
# pays when the ends of the cycles scatter around one place, as in the toy valley. Two negative results, then, for a
# small net and a short training. Put each difference beside the deviations before you believe it.
#
# ## 11 The full-size network, and label 10
#
# What one uses in practice are the weights that SCHP's authors publish: **A-CE2P**, a ResNet-101 with the four parts
# that we have met, at 473 x 473. The course builds it layer by layer with the same names, so that the published file
# fits. On PyTorch's `meta` device that costs no memory.

# %%
from vtonlib.perceive.a_ce2p import ACE2P, load_schp

with torch.device("meta"):
    full = ACE2P()
answer = full.eval()(torch.empty(1, 3, 473, 473, device="meta"))
print(f"A-CE2P: {sum(p.numel() for p in full.parameters()):,} parameters, {len(full.state_dict())} names")
print({name: tuple(each.shape[1:]) for name, each in answer._asdict().items()})
try:
    load_schp("exp-schp-201908261155-lip.pth")
except FileNotFoundError as error:
    print(f"FileNotFoundError: {str(error).split('.pth: ')[1]}")

# %% [markdown]
# 66,723,928 parameters, more than fifty times ours. Its answer is "fused", labels from the features of both branches,
# at a quarter of the picture's size.
#
# The published weights come with a trap of one number. They speak LIP's labels, and so does VITON-HD, except for one:
# **label 10 is jumpsuits in LIP, and neck in VITON-HD.** LIP has no neck; that skin is face. Feed such a map to a
# try-on system unconverted, and the neck is *face*, so it is kept as it is, whatever the new collar should cover. And
# somebody in a jumpsuit has a neck from shoulder to ankle. So it has to be converted, and half of it has to be guessed:
# where below the chin does the neck begin? `viton_hd_from_lip` cuts at a share of the way from nose to neck joint.
#
# We can measure that guess on the studio: merge neck into face as LIP has it, find it again, compare.

# %% tags=["no-proof"]
from vtonlib.perceive.lip_labels import lip_from_viton_hd, viton_hd_from_lip

as_lip = [lip_from_viton_hd(one.parse) for one in tested]
again = [viton_hd_from_lip(parse, one.pose) for parse, one in zip(as_lip, tested)]
found = label_scores(sum(label_table(one.parse, parse, 20) for one, parse in zip(tested, again)))
missed = label_scores(sum(label_table(one.parse, parse, 20) for one, parse in zip(tested, as_lip)))
measured |= {"neck_iou": found.iou[10].item(), "face_iou": found.iou[13].item()}
print(
    f"neck found again: IoU {found.iou[10]:.3f} (face {found.iou[13]:.3f}); not converted: neck {missed.iou[10]:.3f}, face {missed.iou[13]:.3f}"
)
maps = [sample.parse, lip_from_viton_hd(sample.parse), viton_hd_from_lip(lip_from_viton_hd(sample.parse), sample.pose)]
agnostics = [human_agnostic(replace(sample, parse=each)) for each in maps]
show_images([[to_01(sample.person), *map(colour_parse, maps)], [to_01(sample.person), *agnostics]],
            ["photograph", "VITON-HD's labels", "LIP's: neck is face", "converted"], height=180,
            alt="A person's parse map with a brown neck, one in which the neck is blue as the face, and one converted back; below, agnostic "
            "pictures.")  # fmt: skip

# %% [markdown]
# ## 12 Breaking it on purpose
#
# Seven ways to be unlike the training pictures. Truth is known for each, as we change the label map along with the
# picture. In the row "mirrored" the map is mirrored *without* swapping labels: there it is the truth that is wrong. Compare
# each picture with "as it is": what is wrong there already, a top and a skirt taken for one dress say, is section 8's
# doubt and not the fault of the change.


# %% tags=["no-proof"]
def beside(sample, other):
    """Two people in one picture, each half as wide, and its labels."""
    width = sample.size[1] // 4
    pictures = torch.cat([one.person[:, :, width:-width] for one in (sample, other)], 2)
    return pictures, torch.cat([one.parse[:, width:-width] for one in (sample, other)], 1)


def broken(sample, other):
    """name -> picture (3, H, W) in [-1, 1], labels (H, W)."""
    person, parse = sample.person, sample.parse
    return {
        "as it is": (person, parse),
        "no colour": (person.mean(0, keepdim=True).expand(3, -1, -1), parse),
        "dark": (to_01(person) * 0.25 * 2 - 1, parse),
        "upside down": (person.flip(-1, -2), parse.flip(-1, -2)),
        "lying": (rotate(person[None], 90, fill=0.0)[0], rotate(parse[None], 90, fill=IGNORED)[0]),
        "two people": beside(sample, other),
        "mirrored": (person.flip(-1), parse.flip(-1)),
    }


# %% tags=["no-proof"]
sums = {}
for n, one in enumerate(few):
    for name, (picture, parse) in broken(one, few[n - 1]).items():
        guess = parser(picture)[0]
        sums[name] = sums.get(name, 0) + label_table(parse, guess, 20, parse != IGNORED)
for name, table in sums.items():
    found = label_scores(table)
    measured[f"broken_{name.replace(' ', '_')}"] = found.mean_iou
    arms, top = found.iou[list(ARM_LABELS)].nanmean(), found.iou[5]
    print(f"{name:12s} mean IoU {found.mean_iou:.3f}   top {top:.3f}   arms {arms:.3f}   accuracy {found.accuracy:.3f}")

# %% tags=["no-proof"]
views = broken(sample, tested[1])
rows = [
    [to_01(picture) for picture, _ in views.values()],
    [colour_parse(parser(picture)[0]) for picture, _ in views.values()],
]
show_images(rows, list(views), height=165, alt="One person as it is, grey, dark, upside down, lying, beside another person, and mirrored; below, what "
            "the parser makes of each.")  # fmt: skip

# %% [markdown]
# - **No colour**: face and hair hold, arms are lost nearly completely. So the parser knows bare skin by its colour, and
#   takes a grey arm for a sleeve. Training changed the strength of colours, by up to 40 %, and never took them away.
# - **Dark**: training changes light by about a third, this is three quarters less. How much is lost says how far
#   robustness reaches beyond what was trained.
# - **Upside down** and **lying**: training turns people by 12 degrees at most. A convolution doesn't know that a turned
#   head is a head. An `annotate` that ignores the EXIF orientation of a phone's photograph gets exactly this.
# - **Two people**: nothing in the network counts people. Each pixel is labelled by itself, so both are parsed, as far
#   as sides can be told; and a try-on would then dress both. Who the person is, must be decided before.
# - **Mirrored**: arms and legs are near 0 while everything else is as before. The parser is right and our map is wrong.
#   If you ever see *exactly the sides* fail, look for a mirror without a swap.
#
# ## 13 Play
#
# Turn the picture and change its light. Look for the angle at which hair begins to be lost, and at which left and right
# arm change places. Without a running kernel the sliders do nothing; the cell after them shows six positions.


# %% tags=["no-proof"]
def turned(angle, light):
    """The sample turned by degrees, with its brightness multiplied, and its parse map as a picture."""
    picture = rotate((to_01(sample.person)[None] * light).clamp(0, 1) * 2 - 1, angle, fill=0.0)[0]
    return to_01(picture), colour_parse(parser(picture)[0])


def turn(angle, light):
    show_images(
        list(turned(angle, light)),
        height=330,
        alt=f"A person turned by {angle} degrees, light {light}, and its parse map.",
    )


slider = interact(
    turn, angle=FloatSlider(0, min=-180, max=180, step=5), light=FloatSlider(1, min=0.05, max=2, step=0.05)
)

# %% tags=["no-proof"]
spots = [(0, 1.0), (20, 1.0), (45, 1.0), (90, 1.0), (0, 0.1), (0, 2.0)]
columns = [turned(*spot) for spot in spots]
show_images([[picture for picture, _ in columns], [parse for _, parse in columns]], height=165,
            titles=[f"{angle} degrees, light {light:g}" for angle, light in spots],
            alt="A person turned by 0, 20, 45 and 90 degrees, very dark, and very bright, with the parse map of each below.")  # fmt: skip

# %% [markdown]
# ## 14 Paper and code
#
# | | in the paper | in the released code |
# |---|---|---|
# | labels | LIP's 20, label 10 *jumpsuits* | the same; VITON-HD's files use 10 for *neck* |
# | colours | | SCHP writes Pascal VOC's bit palette, VITON-HD's and CP-VTON+'s pictures have another: read the *indices*, never the colours |
# | normalisation | batch normalisation | "in-place activated": the scale is $\lvert w\rvert + \epsilon$, a CUDA extension that no longer compiles |
# | colour order | | blue, green, red |
# | resizing | | corner pixels onto corner pixels (`align_corners=True`); a half-pixel version shifts every border |
# | loss | cross-entropy, Lovasz, edges, consistency | ½ cross-entropy + ½ Lovasz on both answers; weights 1, 1, 0.1 |
# | self-correction | by cycles | from epoch 100 of 150 on, cycles of 10 epochs |
#
# The course leaves out the **consistency term**, which asks that the edges of the guessed labels are the guessed edges,
# and predicts at half the size. The published LIP weights are reported with a mean IoU of 59.36 on LIP's validation
# set. Don't put that beside our studio number: other people, other labels, other difficulty.
#
# ## Numbers against their bands

# %% tags=["no-proof"]
check_bands("03", measured, profile=PROFILE)

# %% [markdown]
# ## Summary
#
# - **Everything downstream trusts the parse.** So know its score, and know of which labels and whom the score is a
#   mean.
# - Pixel accuracy counts background. **IoU** counts both kinds of error and gives every label one vote; say which
#   labels are averaged.
# - Colour and place don't name a pixel: its **surroundings** do, up to the whole picture. Left and right can't be seen
#   on the arm. Pyramid pooling brings the whole picture to every place, skips and edges bring the border back.
# - **Lovasz-softmax** gives every label the same say in the gradient; cross-entropy gives it to the large ones.
# - The mirror is free data, with one condition: **swap left and right**.
# - A **breakdown** needs equal labels, intervals, and a sentence about what it can't show.
# - **Self-correction** averages nets, and labels with predictions. It removes what differs from person to person and
#   confirms what is wrong in everybody's labels. Count what it breaks, too.
# - Label **10** is neck here and jumpsuits in LIP.
#
# ## Going further
#
# - Train with the full inverse frequency as weights and look where gloves appear.
# - Write the consistency term: the edges of the guessed labels, made soft, against the guessed edges.
# - Damage the labels so that 60 % of the people have their sides swapped. What does refinement make of the rest?
# - Put the predicted parse into notebook 05's agnostic, and count how much of the old garment shows.
#
# ## Further reading
#
# - K. Gong et al., *Look into Person: self-supervised structure-sensitive learning* (LIP), 2017.
# - T. Ruan et al., *Devil in the details: towards accurate single and multiple human parsing* (CE2P), 2019.
# - P. Li et al., *Self-correction for human parsing* (SCHP), 2020, sections 3.1 and 3.2.
# - H. Zhao et al., *Pyramid scene parsing network*, 2017, section 3.2.
# - M. Berman, A. Rannen Triki, M. Blaschko, *The Lovasz-softmax loss*, 2018.
# - W. Luo et al., *Understanding the effective receptive field in deep convolutional neural networks*, 2016.
# - P. Izmailov et al., *Averaging weights leads to wider optima and better generalization* (SWA), 2018.
# - In this course: notebook 01 for the labels, 05 for what is made of the parse, 08 for a network that draws parse
#   maps.
