# %% [markdown]
# # 04 DensePose and garment masks
#
# Two of the pictures that a try-on system wants beside the photograph are left. **DensePose** says for every pixel of a
# person *which point of the body's surface* it shows. The **garment mask** says which pixels of a shop's picture are
# garment. One is the richest annotation in this course, the other the plainest, and both are made by a U-Net. After
# this notebook you can
#
# - read, write and mirror an IUV array, and say why a coloured DensePose JPEG is a one-way street;
# - carry a texture from one person to another with nothing but two DensePose maps;
# - write the loss of a network that classifies first and measures second;
# - find the threshold between garment and ground by Otsu's method, and say where every threshold must fail;
# - take a U2-Net apart: a U inside every stage, seven maps, a loss on each;
# - tell how much IoU one pixel of border costs, and judge "0.97" by it.
#
# You should have met parse maps (notebook 03). Plan three hours with the five exercises, in
# two parts. The machine needs about a minute and a half.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
import csv
import io
import json
import sys
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from ipywidgets import Dropdown, IntSlider, interact
from PIL import Image
from tqdm import tqdm

from vtonlib import course
from vtonlib.checkpoints import WEIGHTS_FOLDER, load_weights
from vtonlib.course import Check, check_bands, compare, overlay, pick, show_figure, show_images, to_01
from vtonlib.course.profiles import PROJECT
from vtonlib.data import open_dataset
from vtonlib.labels import ARM_LABELS, DENSEPOSE, DENSEPOSE_MIRROR, TOP_LABELS
from vtonlib.layouts.viton_hd import DENSEPOSE_PALETTE
from vtonlib.metrics import iou, label_scores, label_table
from vtonlib.perceive import densepose as library
from vtonlib.perceive.densepose import densepose_picture, point_is_known
from vtonlib.represent import label_mask

settings = course.profile(PROFILE)
root = course.ensure_data(settings)
learners, people = (open_dataset(root, split=split, pairing="paired", size=settings.size) for split in ("train", "test"))  # fmt: skip
looked_at = [people[n] for n in range(min(settings.samples, len(people)))]
measured = {}  # numbers that the last cell compares with their bands
with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
    drawn = {row["name"]: row for row in csv.DictReader(file)}
print(f"{len(people)} test people, {settings.size[0]} x {settings.size[1]} pixels (height x width); numbers are means over {len(looked_at)}")  # fmt: skip

# %% [markdown]
# `drawn` is the studio's notebook on everybody: pose, cut, fabric. Two helpers: `find` looks for the test person who
# fits a wish best, `look` shows a DensePose map as three pictures. The names of the 24 parts are printed below the
# cell. Twelve come in pairs of left and right; torso, limbs and forearms are cut into two halves each, and of the
# forearm the *inner* half is the palm's side, whichever way the arm is turned.


# %%
def find(**wanted):
    """Index of the test person who fits best; wanted: column of the manifest = values, the best one first."""

    def fit(index):
        row = drawn[people.pairs[index][0]]
        return sum(1 - values.index(row[key]) / 10 for key, values in wanted.items() if row[key] in values)

    return max(range(len(people)), key=fit)


def look(densepose):
    """A densepose (3, H, W) as three pictures: parts in colours, U and V in grey."""
    return [densepose_picture(densepose), densepose[1:2], densepose[2:3]]


print(", ".join(f"{number} {name}" for number, name in enumerate(DENSEPOSE)))

# %% [markdown]
# # Part A: DensePose
#
# ## The problem in one picture
#
# Two people, and for each: the photograph, its parse map, and the three channels of DensePose. **I** is the part, one
# of 24, in colours. **U** and **V** are two numbers between 0 and 1 that say *where on that part*, here from black to
# white.

# %%
one = people[find(pose=("hand-on-hip", "hips"))]
other = people[find(pose=("walk", "stand"), cut=("t-shirt", "tank", "v-neck"))]
rows = [[to_01(who.person), course.colour_parse(who.parse), *look(who.densepose)] for who in (one, other)]
show_images(rows, ["photograph", "parse", "I: part", "U", "V"], height=180,
            alt="Two people with their parse maps and DensePose. The parse is flat; part, U and V show front and back halves of "
            "arms and a smooth ramp on every part.")  # fmt: skip

# %% [markdown]
# The parse says: this pixel is *upper-clothes*. That is all it says, from the collar to the hem and out to the cuffs.
# DensePose says: this pixel lies on the *front of the torso, two thirds down, a little right of the middle*. The parse
# describes what is worn. DensePose describes the body below, as if the cloth were painted on the skin.
#
# Who wants this? Whoever has to say "the same place on another picture": HR-VITON and its successors feed the coloured
# parts to their networks, O-VITON takes I, U and V to shape its layouts, and one can carry cloth from one person to
# another with it, without any network. We do that in section 5.
#
# **Convention** of this course: `densepose` is (3, H, W): the part 0 to 24 (0 is the background), then u and v in
# [0, 1]. Left and right are the person's own. Where a part is known and the point isn't (a hat, glasses, a shoe), u and
# v are both 0.
#
# ## 1 By hand: an arm of 6 x 4 pixels
#
# A bare left arm hangs across a tiny picture, shoulder at the left. Two columns of upper arm (part 15, its front half),
# three of forearm (part 19, the palm's side), two rows high. On the upper arm U grows from shoulder to elbow. On the
# inner forearm the published chart runs the other way, **from the wrist to the elbow**. So U climbs, jumps at the
# elbow, and falls:

# %%
# NBVAL_CHECK_OUTPUT
arm = torch.zeros(3, 4, 6)
arm[0, 1:3] = torch.tensor([0.0, 15, 15, 19, 19, 19])
arm[1, 1:3] = torch.tensor([0, 1 / 4, 3 / 4, 5 / 6, 3 / 6, 1 / 6])
arm[2, 1, 1:], arm[2, 2, 1:] = 0.25, 0.75
for name, channel in zip("IUV", arm):
    print(name, *(" ".join(f"{value:5.2f}" for value in row) for row in channel.tolist()), sep="\n")

# %% [markdown]
# Files hold this as an **IUV array**: (H, W, 3) bytes, the part as it is, U and V times 255. What does the byte lose?
# It knows U in steps of 1/255, so with rounding the error is at most half a step, 1/510: on a forearm of 25 centimetres
# that is half a millimetre. Cut off instead of rounded, the error is twice as large and always to the same side.
#
# On paper, for the first row of the arm: $0.25 \cdot 255 = 63.75 \to 64$, $0.75 \cdot 255 = 191.25 \to 191$,
# $\tfrac56 \cdot 255 = 212.5 \to 212$ (Python and PyTorch round halves to the even number).
#
# **Exercise 1: the IUV array.** *about 5 minutes, difficulty 1 of 5.* Write `encode_iuv`.
#
# <details><summary>Hint</summary>Multiply the channels by 1, 255 and 255, round, move the channel axis to the end
# (movedim or permute), then .to(torch.uint8) and .numpy().</details>
#
# What to expect: the pixel at row 1, column 1 becomes 15, 64, 64.


# %% nbgrader={"schema_version": 3, "grade_id": "iuv-encode", "grade": false, "solution": true, "locked": false, "task": false}
def encode_iuv(densepose):
    """densepose (3, H, W): part, u, v in [0, 1] -> array (H, W, 3) uint8: part, u * 255, v * 255, rounded."""
    ### BEGIN SOLUTION
    levels = densepose * torch.tensor([1.0, 255.0, 255.0])[:, None, None]
    return levels.round().movedim(0, -1).to(torch.uint8).numpy()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "iuv-encode_arm", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_encode_iuv(f):
    iuv = f(arm)
    assert iuv.shape == (4, 6, 3) and iuv.dtype == np.uint8, f"expected (4, 6, 3) uint8, got {iuv.shape} {iuv.dtype}"
    assert iuv[1, 1].tolist() == [15, 64, 64], f"row 1, column 1: expected [15, 64, 64], got {iuv[1, 1].tolist()}"
    assert iuv[2, 2].tolist() == [15, 191, 191], f"row 2, column 2: expected [15, 191, 191], got {iuv[2, 2].tolist()}"


with Check("iuv: the arm"):
    check_encode_iuv(encode_iuv)
### BEGIN HIDDEN TESTS
with Check("iuv: random parts and points, against the library"):
    some = torch.rand(3, 7, 5, generator=torch.Generator().manual_seed(0))
    some[0] = (some[0] * 25).floor()
    compare("random map", encode_iuv(some), library.iuv_array(some), atol=0)
### END HIDDEN TESTS

# %%
encode_iuv = pick(encode_iuv, library.iuv_array, check_encode_iuv)
iuv, fine = encode_iuv(one.densepose), torch.rand(3, 64, 48) * torch.tensor([0.0, 1.0, 1.0])[:, None, None]
lost = (library.densepose_from_iuv(encode_iuv(fine)) - fine).abs().max()
print(f"{iuv.shape} {iuv.dtype}; largest error of random u and v {lost:.5f}, 1/510 is {1 / 510:.5f}")
try:
    library.densepose_from_iuv(iuv[..., ::-1])
except ValueError as error:
    print("channels the other way round:", error)

# %% [markdown]
# The last line is the trap of this format. The published `*_IUV.png` were written by OpenCV, which stores channels
# backwards. Opened with Pillow they are V, U, I. The shapes fit, the types fit, and a network trained on them learns
# from noise. A check that costs one line: **no part is above 24**.
#
# ## 2 From mesh to picture
#
# Where do I, U and V come from? From a body mesh. Somebody has cut the surface into 24 pieces that can be pressed flat
# without much stretching, and has given every vertex a part and a place (u, v) on it. That's a **chart**, as in an
# atlas: the earth doesn't fit on one sheet without tearing either. On a photograph, human annotators clicked
# correspondences to such a mesh (Guler et al. 2018: 50,000 people, about 100 points each). The studio doesn't need
# them. It knows which triangle each pixel sees.

# %% tags=["no-proof"]
from vtonlib.studio.body import body_pack
from vtonlib.studio.camera import Camera
from vtonlib.studio.cloth_shader import flat_shader
from vtonlib.studio.mesh import Mesh, Scene
from vtonlib.studio.render import passes
from vtonlib.studio.truth import densepose_image

body = body_pack()
skin = Mesh(body.canonical.vertices, body.body_faces, flat_shader((0.7, 0.7, 0.7)), 0, densepose=body.densepose_part, densepose_uv=body.densepose_uv)  # fmt: skip
rows = []
for distance in (-4.6, 4.6):  # in front of the body, behind it
    camera = Camera(eye=(0, distance, 0.1), target=(0, 0, 0.1), size=(256, 256), fov=27)
    rows.append(look(library.densepose_from_iuv(densepose_image(passes(Scene((skin,)), camera)))))
show_images([[picture[:, :, 48:208] for picture in row] for row in rows], ["I: part", "U", "V"], height=210, row_titles=["front", "back"],
            alt="The course's body mesh from the front and from behind: parts in colours, U and V in grey. Left and right limbs are mirror images.")  # fmt: skip

# %% [markdown]
# The part list, and the direction in which U and V run on each part, follow the published charts. The values between
# the corners do not: the authors got theirs by multidimensional scaling on another mesh, with terms of its own. Ours
# are length along a bone and angle around it, stretched to [0, 1]. **The same corner of a part is the same corner; the
# millimetres between aren't comparable.** So a number like "U is off by 0.03" holds among the studio's people.
#
# Read the grey pictures part by part. On the torso U grows from the neck to the hips and V from the person's left to
# their right; both halves of the torso agree on that. On the upper arm U runs from shoulder to elbow, V from the inside
# outwards. On the head V grows upwards, and U goes round: from the back of the head to the face on the right half, from
# the face to the back on the left half. That's why the face has a hard edge in U, from white to black, right along the
# nose. Nothing in the face is broken there. It is the coastline of two charts, as the date line is one of two days.
#
# Inside a triangle, u and v are mixed by **barycentric weights**: three numbers that sum to 1 and say how near the
# pixel is to each corner. Let a pixel have the weights 0.5, 0.3, 0.2, and the corners u = 0.40, 0.50, 0.60. Then $u =
# 0.20 + 0.15 + 0.12 = 0.47$. Now a triangle across the seam at the nose. On the head's right half U grows from the back
# of the head to the face, so it ends at 1; on the left half it starts from the face, at 0:

# %%
# NBVAL_CHECK_OUTPUT
weight, part = np.array([0.5, 0.3, 0.2]), np.array([23, 23, 24])  # two corners on the right half, one on the left
print(f"inside a part: u = {weight @ np.array([0.40, 0.50, 0.60]):.2f}")
u = np.array([0.98, 0.96, 0.02])
print(f"across the seam, all three: u = {weight @ u:.3f}, on the cheek")
larger = weight * (part == 23)
print(f"shares {larger.sum():.1f} and {1 - larger.sum():.1f}; u of the larger part's corners: {larger @ u / larger.sum():.4f}")  # fmt: skip

# %% [markdown]
# A mean across a seam is a point somewhere else on the head. The renderer therefore asks twice: first which part has
# the largest share, then the mean over *that part's* corners. Remember the order, **classify, then measure within the
# class**. The network will do the same for the same reason.
#
# ## 3 The naive idea: a label and a distance
#
# Pretend that you haven't read the paper. You have a parse and keypoints. A place on the arm: take the label *left
# arm*, and measure how far along the bone from joint to joint the pixel lies, and how far beside it. That gives two
# numbers as well. Where does this break?
#
# First, the label. How much of the arms does the parse call arm?

# %% tags=["no-proof"]
limbs = [torch.isin(who.densepose[0], torch.arange(15.0, 23)) for who in looked_at]
bare = [limb & (label_mask(who.parse, ARM_LABELS)[0] > 0.5) for limb, who in zip(limbs, looked_at)]
measured["bare_arm_share"] = sum(map(torch.sum, bare)).item() / sum(map(torch.sum, limbs)).item()
print(f"of all pixels on upper arms and forearms the parse calls {measured['bare_arm_share']:.0%} an arm")

# %% [markdown]
# A sleeve has the same label as the torso. So be generous and let the true part be known. We ask for the two numbers
# only, on the eight half arms: fit the *best straight line* from "along, beside" to U and to V on some training people,
# and test it on others. As a floor, what somebody says who doesn't look: always the part's mean.

# %% tags=["no-proof"]
BONES = {15: (5, 6), 17: (5, 6), 19: (6, 7), 21: (6, 7), 16: (2, 3), 18: (2, 3), 20: (3, 4), 22: (3, 4)}  # joints


def beside_the_bone(who, part):
    """Naive coordinates (N, 3) of a part's pixels: 1, along and beside the bone in bone lengths; and true u, v (N, 2)."""
    start, end = who.pose[list(BONES[part])]
    here = (who.densepose[0] == part) & point_is_known(who.densepose) & (min(start[2], end[2]) > 0)
    (y, x), bone = here.nonzero().T, end[:2] - start[:2]
    offset = torch.stack([x, y], 1) - start[:2]
    along, beside = offset @ bone, offset[:, 0] * bone[1] - offset[:, 1] * bone[0]
    return torch.stack([along * 0 + 1, along / bone.square().sum(), beside / bone.square().sum()], 1), who.densepose[1:, here].T  # fmt: skip


# %% tags=["no-proof"]
errors, groups = {"mean": [], "bone": []}, ([learners[n] for n in range(len(looked_at))], looked_at)
for part in BONES:
    (known_naive, known_uv), (naive, uv) = (map(torch.cat, zip(*(beside_the_bone(who, part) for who in group))) for group in groups)  # fmt: skip
    line = torch.linalg.lstsq(known_naive, known_uv, driver="gelsd").solution
    errors["mean"].append((known_uv.mean(0) - uv).abs())
    errors["bone"].append((naive @ line - uv).abs())
for name, title in (("mean", "always the mean"), ("bone", "along the bone")):
    measured[f"arm_u_{name}"], measured[f"arm_v_{name}"] = torch.cat(errors[name]).mean(0).tolist()
    print(f"{title:16s} U off by {measured[f'arm_u_{name}']:.3f}, V off by {measured[f'arm_v_{name}']:.3f}")

# %% [markdown]
# Along the limb a straight line does well: U is little more than the way from joint to joint. **Across the limb it
# helps far less.** An arm turns about its own axis, and then the same place beside the bone shows other skin. Nothing
# in two keypoints says how far it has turned. (You can try it: hold your forearm before you and turn the palm up and
# down. Wrist and elbow stay where they are, and all the skin between them moves.) The part itself (front half or back
# half) we had to give away for free. And on the torso there is no bone to measure from that bends as a belly does. A
# body's surface wants to be *seen*, not computed from a stick figure.
#
# ## 4 Coloured pictures, and why they can't be read back
#
# The folder `image-densepose` of VITON-HD's preprocessed data holds no I, U, V. It holds **JPEGs in which each part has
# a colour**, drawn by Detectron2. For a network that takes three more channels, that's enough. Could we read the parts
# back, by the nearest of the 25 colours? Make such a JPEG and try:


# %% tags=["no-proof"]
def read_back(colours, **how):
    """Through a JPEG and back: an array (H, W, 3) uint8 of palette colours -> part numbers (H, W), file size in bytes."""
    stream = io.BytesIO()
    Image.fromarray(colours).save(stream, "JPEG", **how)
    found = torch.from_numpy(np.asarray(Image.open(stream)).astype(np.float32))
    distance = torch.cdist(found.flatten(0, 1), torch.from_numpy(DENSEPOSE_PALETTE.astype(np.float32)))
    return distance.argmin(1).reshape(found.shape[:2]), stream.tell()


# %% tags=["no-proof"]
truth, colours = one.densepose[0].long(), DENSEPOSE_PALETTE[iuv[..., 0]]
for quality, subsampling in ((100, 0), (95, 0), (95, 2), (75, 2)):
    parts, size = read_back(colours, quality=quality, subsampling=subsampling)
    scores, wrong = label_scores(label_table(truth, parts, 25)), (parts != truth)[truth > 0].float().mean().item()
    measured[f"jpeg_{quality}_{subsampling}_wrong"] = wrong
    print(f"quality {quality:3d}, {('4:4:4', '', '4:2:0')[subsampling]}: {wrong:6.2%} of the body wrong, "
          f"{(scores.iou[1:] > 0.9).sum():2d} of {(scores.pixels[1:] > 0).sum()} parts with an IoU above 0.9, {size:6,d} bytes")  # fmt: skip

# %% tags=["no-proof"]
repainted = DENSEPOSE_PALETTE[read_back(colours, quality=95, subsampling=2)[0].numpy()]
y, x = (torch.isin(truth, torch.tensor([16, 18])).nonzero().float().mean(0).long() - settings.size[0] // 16).clamp(min=0).tolist()  # fmt: skip
zoom = (slice(y, y + settings.size[0] // 8), slice(x, x + settings.size[0] // 8))
show_images([colours, repainted, (colours != repainted).any(-1), colours[zoom], repainted[zoom]], ["parts", "read back", "wrong", "parts, enlarged", "read back, enlarged"], height=200,
            alt="The coloured parts, the parts read back from a JPEG of quality 95, where they differ: along the outlines; and a piece "
            "enlarged, whose borders have a fringe of other parts.")  # fmt: skip

# %% [markdown]
# Inside a part nearly all is well. **At every outline a fringe of other parts appears.** Between dark blue and yellow
# lies green, and green is an arm. JPEG mixes the colours of neighbours (4:2:0 keeps colour at half the size), and the
# mixture of two parts is the name of a third. Thin parts are all fringe. U and V were never in the picture.
#
# Look at the table again: with quality 95 and full colour (4:4:4) nearly all parts survive, and with Pillow's default
# subsampling, 4:2:0, only a few. Whoever tests the first and ships the second has tested nothing. And this is the kind
# case: our palette, known to the byte, without a photograph underneath. Add a photograph that shines through, or
# another version of the palette, and less survives.
#
# Two lessons. Labels go into lossless files, as *indices*: PNG. And whoever needs I, U, V (O-VITON does) has to run
# DensePose again, since the download doesn't contain it.
#
# ## 5 Correspondences: carry cloth from one person to another
#
# Now the use. Paint a chequer in (u, v) on both people. Where the fields match, so do the points of the body:


# %%
def chequer(densepose, squares=6):
    """The parts in colours with a chequer of (u, v) on each, (3, H, W) in [0, 1]."""
    cells = (densepose[1:] * squares).floor().clamp(max=squares - 1).sum(0)
    return densepose_picture(densepose) * torch.where(cells % 2 == 0, 1.0, 0.6)


show_images([to_01(one.person), chequer(one.densepose), to_01(other.person), chequer(other.densepose)], ["one", "its chart", "another", "its chart"], height=200,
            alt="Two people and a chequer pattern on the 24 parts. It bends with arms and torso; fields of the same part and place correspond.")  # fmt: skip

# %% [markdown]
# A **texture** is the same thing the other way round: for each part a square of colours indexed by u and v. To *lift* a
# texture off a photograph, look at every pixel, find its texel, and take the mean of all pixels that land there. To
# *paint* it on another person, look up each of their pixels. Let the texel's row be $\lfloor u S \rfloor$ and its
# column $\lfloor v S \rfloor$, with $S$ texels a side; $u = 1$ belongs to the last one.
#
# On paper, with our arm and $S = 2$: the upper arm's four pixels land in four different texels. Of the forearm's six
# pixels two have $u = \tfrac56$ and two $u = \tfrac12$, both in row 1, and two $u = \tfrac16$ in row 0. So the texel
# (19, row 1, column 0) is the mean of two pixels.
#
# **Exercise 2: lift a texture.** *about 15 minutes, difficulty 3 of 5.* Without a loop over pixels.
#
# <details><summary>Hint 1</summary>Give every texel one number: ((part - 1) * side + row) * side + column. The pixels
# that count are known = point_is_known(densepose); picture[:, known] is (3, N).</details>
#
# <details><summary>Hint 2</summary>torch.zeros(24 * side**2, 3).index_add(0, number, colours) sums,
# torch.bincount(number, minlength=...) counts. 0 / 0 is NaN, which is what an empty texel should be.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "lift-texture", "grade": false, "solution": true, "locked": false, "task": false}
def lift_texture(picture, densepose, side):
    """Mean colour of each texel: picture (3, H, W), densepose (3, H, W) -> (24, side, side, 3), NaN where no pixel lands.

    First axis: part 1 is at index 0. Row: floor(u * side), column: floor(v * side), at most side - 1.
    """
    ### BEGIN SOLUTION
    known = point_is_known(densepose)
    part, u, v = densepose[:, known]
    row, column = ((value * side).long().clamp(max=side - 1) for value in (u, v))
    number = ((part.long() - 1) * side + row) * side + column
    sums = torch.zeros(24 * side**2, 3).index_add(0, number, picture[:, known].T)
    counts = torch.bincount(number, minlength=24 * side**2)
    return (sums / counts[:, None]).reshape(24, side, side, 3)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "lift-texture_arm", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def lift_texture_slowly(picture, densepose, side):
    """The same, pixel by pixel."""
    texture, counts = torch.zeros(24, side, side, 3), torch.zeros(24, side, side, 1)
    for y, x in point_is_known(densepose).nonzero().tolist():
        part, u, v = densepose[:, y, x].tolist()
        place = int(part) - 1, min(int(u * side), side - 1), min(int(v * side), side - 1)
        texture[place] += picture[:, y, x]
        counts[place] += 1
    return texture / counts


def check_lift_texture(f):
    picture = torch.arange(72.0).reshape(3, 4, 6) / 72
    texture = f(picture, arm, 2)
    assert texture.shape == (24, 2, 2, 3), f"expected (24, 2, 2, 3), got {tuple(texture.shape)}"
    compare("texel (19, row 1, column 0)", texture[18, 1, 0], (picture[:, 1, 3] + picture[:, 1, 4]) / 2)
    assert texture[0].isnan().all(), "the torso isn't seen: its texels should be NaN"
    compare("all texels of the arm", texture, lift_texture_slowly(picture, arm, 2))


with Check("texture: the arm, two texels a side"):
    check_lift_texture(lift_texture)
### BEGIN HIDDEN TESTS
with Check("texture: random map with u = v = 1 and points that aren't known, three texels a side"):
    draw = torch.Generator().manual_seed(1)
    some, colours_ = torch.rand(3, 9, 8, generator=draw), torch.rand(3, 9, 8, generator=draw)
    some[0] = (some[0] * 25).floor()
    some[1:, 0], some[1:, 1] = 1.0, 0.0
    compare("random map", lift_texture(colours_, some, 3), lift_texture_slowly(colours_, some, 3))
### END HIDDEN TESTS


# %%
lift_texture = pick(lift_texture, lift_texture_slowly, check_lift_texture)
atlas = lift_texture(to_01(one.person), one.densepose, 32)
tiles = [atlas[number - 1].movedim(-1, 0) for number in (1, 2, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24)]
show_images([tiles[:6], tiles[6:]], height=90,
            alt="Twelve tiles of a texture atlas, lifted off one photograph: torso and head are well covered, the backs nearly empty.")  # fmt: skip
print(f"{(~atlas[..., 0].isnan()).float().mean():.0%} of {24 * 32**2:,} texels have a colour")

# %% [markdown]
# The tiles are torso back and front, then the upper arms' and forearms' halves, then the head. White is *never seen*.
# Note how little of the sheet is filled: one photograph shows one side of a body, and of that only what no arm hides.
# A texture that covers everything needs several pictures, or somebody who paints the rest. The atlas that DensePose's
# authors give as an example is one of SURREAL's (Varol et al. 2017), whose textures come from body scans.
#
# How fine should the texture be? Coarse texels blur; fine ones are hit by no pixel and leave holes. Paint the person
# with their own texture (how much is lost?) and another one (how much is found?):


# %% tags=["no-proof"]
def paint_texture(texture, densepose):
    """A texture (24, S, S, 3) on a person with densepose (3, H, W): (3, H, W), NaN where there is no texel to read."""
    part, (row, column) = densepose[0].long(), (densepose[1:] * len(texture[0])).long().clamp(max=len(texture[0]) - 1)
    painted = texture[(part - 1).clamp(min=0), row, column].movedim(-1, 0)
    return torch.where(point_is_known(densepose), painted, torch.nan)


for side in (4, 8, 16, 32, 64):
    atlas = lift_texture(to_01(one.person), one.densepose, side)
    loss = (paint_texture(atlas, one.densepose) - to_01(one.person)).abs().nanmean().item()
    found = (~paint_texture(atlas, other.densepose)[0].isnan())[point_is_known(other.densepose)].float().mean().item()
    measured |= {f"texture_{side}_l1": loss, f"texture_{side}_found": found}
    print(f"{side:2d} texels a side: L1 to the own photograph {loss:.3f}, {found:.0%} of the other person finds a colour")  # fmt: skip

# %% [markdown]
# Here is what it is good for. The studio's unpaired truth shows a person in *somebody else's* garment. That somebody is
# in the data set too, with a photograph. So lift the owner's texture, keep the texels of their top, paint them on the
# person, finest texels first, and compare with the truth: **a try-on without a network and without a shop's picture, in
# five lines.**


# %% tags=["no-proof"]
def dressed_by_texture(person, owner):
    """The person (3, H, W) in [0, 1] with the owner's top, carried over by DensePose, and where it was painted."""
    painted, cloth = torch.full_like(person.person, torch.nan), owner.densepose * label_mask(owner.parse, TOP_LABELS)
    for side in (128, 64, 32, 16):  # a hole in a fine texture is filled from the next coarser one
        texture = lift_texture(to_01(owner.person), cloth, side)
        painted = torch.where(painted.isnan(), paint_texture(texture, person.densepose), painted)
    return torch.where(painted.isnan(), to_01(person.person), painted), ~painted[:1].isnan()


swaps = open_dataset(root, split="test", pairing="unpaired", size=settings.size)  # the same people, other garments
owner_of = {name: index for index, (name, _) in enumerate(people.pairs)}
pairs = [(swaps[n], people[owner_of[swaps.pairs[n][1]]]) for n in range(len(looked_at))]
rows = [[to_01(owner.person), to_01(person.person), dressed_by_texture(person, owner)[0], to_01(person.truth.unpaired.person)] for person, owner in pairs[:3]]  # fmt: skip
show_images(rows, ["owner", "person", "cloth carried over", "truth"], height=165,
            alt="Three pairs: the owner of a garment, another person, that person with the owner's cloth painted on by DensePose, with holes, "
            "and the true picture of the person in that garment.")  # fmt: skip
numbers = []
for person, owner in pairs:
    (carried, where), truth = dressed_by_texture(person, owner), to_01(person.truth.unpaired.person)
    worn = label_mask(person.truth.unpaired.parse, TOP_LABELS)[0] > 0.5
    numbers.append([where[0, worn].float().mean(), *((picture - truth)[:, worn].abs().mean() for picture in (to_01(person.person), carried))])  # fmt: skip
share, untouched, carried = torch.tensor(numbers).mean(0).tolist()
measured |= {"carried_share": share, "untouched_garment_l1": untouched, "carried_garment_l1": carried}
print(f"{len(pairs)} pairs; {share:.0%} of the true garment got cloth; L1 on the garment {carried:.3f}, of the untouched photograph {untouched:.3f}")  # fmt: skip

# %% [markdown]
# The error on the garment is less than half of what one gets by leaving the photograph as it is. For something that was
# never trained that's remarkable, and it puts a number on what a *network* has to beat.
#
# Prints land on the right part of the body and bend with it. And one sees what is missing: holes where the owner's arm
# hid the cloth, coarse texels at the borders of parts, and **the old outline**. DensePose knows the
# body, not the garment: a wide sleeve becomes as wide as the sleeve that the person wore before, a skirt is cut to the
# thighs. Dense Pose Transfer (Neverova et al. 2018) starts from such a picture and trains a network to repair it. Our
# systems warp the shop's picture instead, whose cloth has no holes.
#
# ## 6 The mirrored body
#
# Training wants mirrored pictures (notebook 02 does it with keypoints, 01 with labels). Flip a DensePose map like a
# picture, and it lies three times:
#
# 1. the pixels move, `flip(-1)`;
# 2. parts change sides: a right hand becomes a left hand (`DENSEPOSE_MIRROR`);
# 3. **some coordinates turn round.** Charts of left and right *limbs* are mirror images, so an arm keeps its U and V.
#    The torso is its own mirror image: V runs across it from left to right, and what was at 0.2 is now at 0.8. On
#    hands, feet and head, U goes around, and turns too.
#
# On paper: the pixel (part 3 right hand, 0.3, 0.6) becomes (part 4, 0.7, 0.6). The torso's front isn't quite
# symmetrical in the studio: its middle line has V = 0.4786, not 0.5. So V becomes $2 \cdot 0.4786 - V$ there, cut at 0
# and 1.
#
# **Exercise 3: mirror a DensePose.** *about 10 minutes, difficulty 3 of 5.* Points that aren't known (u = v = 0) stay
# so.
#
# <details><summary>Hint 1</summary>Flip first. Then part.long() indexes torch.tensor(DENSEPOSE_MIRROR).
# torch.isin(part, torch.tensor([...])) finds the pixels whose U or V turns; decide by the part before the swap or after
# it, both lists hold both sides.</details>
#
# <details><summary>Hint 2</summary>Where u = v = 0 the mirrored point would be (1, 0): mask it with
# point_is_known.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-densepose", "grade": false, "solution": true, "locked": false, "task": false}
def mirror(densepose):
    """The DensePose (3, H, W) of the mirrored photograph.

    Parts 3 to 6, 23, 24 (hands, feet, head): u becomes 1 - u. Part 1 (torso's back): v becomes 1 - v. Part 2 (its front):
    v becomes 2 * 0.4786 - v, cut at 0 and 1. Points that aren't known stay (part, 0, 0).
    """
    ### BEGIN SOLUTION
    part, u, v = densepose.flip(-1)
    known = point_is_known(densepose.flip(-1))
    around = torch.isin(part, torch.tensor([3.0, 4, 5, 6, 23, 24])) & known
    u = torch.where(around, 1 - u, u)
    v = torch.where((part == 1) & known, 1 - v, v)
    v = torch.where((part == 2) & known, (2 * 0.4786 - v).clamp(0, 1), v)
    return torch.stack([torch.tensor(DENSEPOSE_MIRROR)[part.long()].float(), u, v])
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-densepose_row", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def check_mirror(f):
    row = torch.tensor([[3.0, 1, 2, 15, 23, 5], [0.3, 0.2, 0.2, 0.4, 0.9, 0.0], [0.6, 0.2, 0.2, 0.7, 0.5, 0.0]])[
        :, None
    ]
    expected = [[6.0, 24, 16, 2, 1, 4], [0.0, 0.1, 0.4, 0.2, 0.2, 0.7], [0.0, 0.5, 0.7, 0.7572, 0.8, 0.6]]
    compare("hand, torso, arm, head, shoe", f(row), torch.tensor(expected)[:, None])


with Check("mirror: six pixels, one of them a shoe"):
    check_mirror(mirror)
### BEGIN HIDDEN TESTS
with Check("mirror: a random map against the library, and not in place"):
    some = torch.rand(3, 6, 9, generator=torch.Generator().manual_seed(2))
    some[0] = (some[0] * 25).floor()
    some[:, 0, 0] = torch.tensor([2.0, 0.5, 1.0])  # the chest's edge, where V is cut
    before = some.clone()
    compare("random map", mirror(some), library.mirror_densepose(some))
    assert torch.equal(some, before), "the map that was given should stay as it is"
### END HIDDEN TESTS

# %%
mirror = pick(mirror, library.mirror_densepose, check_mirror)
flipped, mirrored = one.densepose.flip(-1), mirror(one.densepose)
lies = (flipped[0] != mirrored[0]) | ((flipped[1:] - mirrored[1:]).abs().amax(0) > 0.1)
measured["flip_lies"] = lies[flipped[0] > 0].float().mean().item()
print(f"flipped like a picture, {measured['flip_lies']:.0%} of the body's pixels name a wrong part or a point that is off by more than 0.1")  # fmt: skip
show_images([to_01(one.person.flip(-1)), chequer(flipped), chequer(mirrored), lies], ["mirrored photograph", "flipped only", "mirrored", "where they differ"], height=180,
            alt="A mirrored photograph, its DensePose flipped like a picture and mirrored rightly, and where the two differ: everywhere but along the middle of the torso.")  # fmt: skip

# %% [markdown]
# ## 7 The network and its loss
#
# A U-Net with five levels reads the photograph. Its head gives 25 logits a pixel, *which part*, and beside them, at
# half the size, 24 pairs of U and V: **one pair for each part, everywhere**. At a pixel only the pair of the winning
# part is read. Why so wasteful? Because of the seam. One single U for all parts would have to jump from 1 to 0 at the
# nose, and networks draw jumps as ramps: for a few pixels they would say 0.5, the ear. With a U for each half of the
# head both stay smooth, and the jump is made by the classification, which is good at jumps. Classify, then measure.
#
# Two more details. The first convolution halves the picture at once, since the first level of a U-Net takes most of the
# time and tells the least; the head then gives every place of that half-size level *four* values, one for each of its
# pixels (a sub-pixel convolution), so outlines stay as fine as the picture. And at the bottom the mean over the whole
# picture is added to every place. Whether somebody is seen from behind can't be told from a sleeve; it can be told from
# a head that has no face, somewhere else in the picture.

# %%
from vtonlib.perceive.densepose import DensePoseConfig, DensePoseMaps, DensePoseNet

torch.manual_seed(0)
net = DensePoseNet(DensePoseConfig())
maps = net(torch.zeros(2, 3, 128, 96))
print({name: tuple(values.shape) for name, values in maps._asdict().items()})
print(f"{sum(p.numel() for p in net.parameters()):,} parameters; sides must be multiples of {net.multiple}")

# %% [markdown]
# The loss has three terms:
#
# - **part**: cross-entropy, with weights for rare parts (the square root of the inverse frequency, cut at 4);
# - **overlap**: 1 minus a soft IoU, the mean over the parts that occur. The back of a thigh is a sliver of a few pixels
#   at an outline, and counts as much as the chest in the mean IoU; cross-entropy alone hardly notices it;
# - **surface**: the mean of $|\Delta u|$ and $|\Delta v|$, *read at the true part*, and only where the point is known.
#
# Why at the true part, not at the one that wins? While the network still takes a thigh for a calf, the U of calves
# would be pulled towards a thigh's. At the true part every pair learns its own part and nothing else, from the first
# step. (Guler et al. do the same, with a smooth L1.) And a hat's pixels have a part, but u = v = 0 there means "nobody
# knows", not "the corner of the chart". Counted, they would teach every cap to lie at one corner of the head.
#
# **Exercise 4: the surface loss.** *about 15 minutes, difficulty 3 of 5.* Pixels where nothing counts at all (padding)
# carry the part 255; they are never known.
#
# <details><summary>Hint 1</summary>values.gather(1, index) reads one channel a pixel; index is (B, 1, H, W), int64.
# Channel 0 belongs to part 1.</details>
#
# <details><summary>Hint 2</summary>Where the point isn't known, index 0 will do: torch.where(known, part - 1, 0).
# Divide by the number of known pixels times two, and by 1 at least.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "surface-loss", "grade": false, "solution": true, "locked": false, "task": false}
def surface_loss(u, v, part, surface, known):
    """Mean of |u - true u| and |v - true v| over the known pixels, read at the true part; a scalar, 0 if none is known.

    u, v (B, 24, H, W): channel k belongs to part k + 1; part (B, H, W) int64, 0..24 or 255; surface (B, 2, H, W): true
    u and v; known (B, H, W) bool.
    """
    ### BEGIN SOLUTION
    index = torch.where(known, part - 1, 0)[:, None]
    guess = torch.cat([u.gather(1, index), v.gather(1, index)], 1)
    error = (guess - surface).abs() * known[:, None]
    return error.sum() / (2 * known.sum()).clamp(min=1)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "surface-loss_arm", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
from vtonlib.systems import densepose_training as training


def library_surface_loss(u, v, part, surface, known):
    """The library's, which reads maps of half the size: every second value, so u and v must come in equal 2 x 2 cells."""
    batch = training.SurfaceBatch(None, part, surface, known)
    return training.surface_loss(DensePoseMaps(None, u[..., ::2, ::2], v[..., ::2, ::2]), batch)


def check_surface_loss(f):
    part, surface = arm[:1].long(), arm[None, 1:]
    known = part > 0
    known[0, 1, 5] = False  # a watch
    u = torch.zeros(1, 24, 4, 6)
    u[:, 14], u[:, 18] = 0.5, 1.0  # part 15, part 19
    compare(
        "the arm", f(u, u * 0 + 0.5, part, surface, known), torch.tensor((4 / 4 + 2 / 6 + 2 / 2 + 5 / 6 + 9 / 4) / 18)
    )
    nothing = f(u, u, part * 0 + 255, surface, torch.zeros_like(known))
    assert nothing == 0, f"with no known pixel the loss should be 0, got {nothing}"


with Check("surface loss: the arm, one pixel of it unknown"):
    check_surface_loss(surface_loss)
### BEGIN HIDDEN TESTS
with Check("surface loss: random maps against the library"):
    draw = torch.Generator().manual_seed(3)
    u, v = (torch.rand(2, 24, 3, 4, generator=draw).repeat_interleave(2, 2).repeat_interleave(2, 3) for _ in range(2))
    part, surface = torch.randint(0, 25, (2, 6, 8), generator=draw), torch.rand(2, 2, 6, 8, generator=draw)
    known = (part > 0) & (torch.rand(2, 6, 8, generator=draw) < 0.7)
    part[~known & (part > 12)] = 255
    compare("random maps", surface_loss(u, v, part, surface, known), library_surface_loss(u, v, part, surface, known))
### END HIDDEN TESTS

# %%
surface_loss = pick(surface_loss, library_surface_loss, check_surface_loss)
flat = torch.full((1, 24, 4, 6), 0.5)
print(f"one half everywhere, on the arm: {surface_loss(flat, flat, arm[:1].long(), arm[None, 1:], arm[:1] > 0):.4f}")

# %% [markdown]
# ## 8 Train it for a minute, then look at the checkpoint
#
# The batches are moved, turned, mirrored (with section 6) and re-lit. The cache holds the garments as well; part B will
# train on them.

# %% tags=["no-proof"]
from vtonlib.systems import garment_mask_training as mask_training
from vtonlib.systems.memory import PackedCache
from vtonlib.training import batch_indices

small = open_dataset(root, split="train", pairing="paired", size=(128, 96))
cache = PackedCache(small, range(min(4 * settings.samples, len(small))), lambda sample: training.pack(sample) | mask_training.pack(sample))  # fmt: skip
recipe = training.RECIPES["laptop"]
frequency = training.class_weights(training.part_pixels(cache), recipe.weight_cap)
batch = training.augment(cache.batch(range(4)), recipe, torch.Generator().manual_seed(1))
maps = torch.cat([torch.where(batch.part < 25, batch.part, 0)[:, None], batch.surface], 1)
show_images([[to_01(picture).clamp(0, 1) for picture in batch.picture], [chequer(each) for each in maps]], height=150,
            alt="Four training pictures, turned, moved and re-lit, and their DensePose maps moved with them.")  # fmt: skip
print(f"{len(cache)} training people; weights of the parts from {frequency.min():.2f} to {frequency.max():.2f}")

# %% tags=["no-proof"]
optimiser, draw, history = torch.optim.Adam(net.parameters(), lr=3e-3), torch.Generator().manual_seed(0), []
for step in tqdm(range(settings.steps // 2), file=sys.stdout, leave=False, desc="densepose"):
    rows = cache.batch(batch_indices(step, length=len(cache), batch_size=settings.batch_size, seed=0))
    terms = training.densepose_terms(net, training.augment(rows, recipe, draw), recipe, frequency)
    optimiser.zero_grad()
    sum(terms.values()).backward()
    optimiser.step()
    history.append([terms[name].item() for name in ("part", "overlap", "surface")])

# %% tags=["no-proof"]
figure, axis = course.new_figure(size=(5.5, 2.4))
for name, values in zip(("part", "overlap", "surface"), zip(*history)):
    axis.plot(values, label=name)
    measured[f"train_{name}"] = sum(values[-5:]) / len(values[-5:])
axis.set_xlabel("step")
axis.set_ylabel("loss")
axis.legend()
show_figure(figure, alt="Three falling loss curves over the steps of the short training: part, overlap and surface.")

# %% tags=["no-proof"]
shipped = library.load_densepose()
estimators = {"a few steps": library.DensePoseEstimator(net), "checkpoint": shipped}
rows = [[to_01(who.person), chequer(who.densepose), *(chequer(estimator(who.person)) for estimator in estimators.values())] for who in (one, other)]  # fmt: skip
show_images(rows, ["photograph", "truth", *estimators], height=165,
            alt="Two photographs with the chequered truth, what the barely trained network sees, and what the checkpoint sees.")  # fmt: skip

# %% [markdown]
# Compare the columns from the outside in: where is somebody, which large part, which side, which half, and only then
# the chequer inside. In about this order such a network learns. U and V begin at one half everywhere, and as long as
# they have not left it, there are hardly any fields. (We show chequers for a reason. An error of 0.05 in U can't be
# seen in a grey ramp; in a chequer of six fields it shifts a line by a third of a field.)
#
# A test that needs no truth at all: if the checkpoint sees a mirrored photograph, does it give the mirrored map? It has
# no way to know left from right but by looking.

# %% tags=["no-proof"]
agree = []
for who in looked_at[:12]:
    there, back = shipped(who.person), mirror(shipped(who.person.flip(-1)))
    agree.append((there[0] == back[0])[(there[0] > 0) | (back[0] > 0)].float().mean().item())
measured["mirror_agreement"] = sum(agree) / len(agree)
print(f"photograph and mirrored photograph get the same part at {measured['mirror_agreement']:.1%} of the body")

# %% [markdown]
# ## 9 Numbers
#
# For every test person, a table of pixels by true part and guessed part; all of them summed; from it the IoU of every
# part. And the error of U and V where the part is right. Beside it again the floor: the mean of the part.


# %% tags=["no-proof"]
def score(guess_of):
    """Table of parts (25, 25) over the test people, and the mean error of u and v where the part is right."""
    table, sums = torch.zeros(25, 25, dtype=torch.int64), torch.zeros(4, dtype=torch.float64)
    for who in looked_at:
        truth, guess = training.unpacked({key: value[None] for key, value in training.pack(who).items()}), guess_of(who)  # fmt: skip
        table += label_table(truth.part[0], guess[0].long(), 25)
        sums += training.surface_errors(guess[None], truth)
    return label_scores(table), (sums[0] / (2 * sums[1]).clamp(min=1)).item()


everybody = training.unpacked(cache.batch(range(len(cache))))
means = torch.stack([everybody.surface.movedim(1, -1)[everybody.known & (everybody.part == k)].mean(0) for k in range(25)]).nan_to_num(0.5)  # fmt: skip
guessers = {"mean of the true part": lambda who: torch.cat([who.densepose[:1], means[who.densepose[0].long()].movedim(-1, 0)])}  # fmt: skip
guessers |= {name: (lambda who, estimator=estimator: estimator(who.person)) for name, estimator in estimators.items()}
results = {name: score(guess_of) for name, guess_of in guessers.items()}

# %% tags=["no-proof"]
for name, (scores, error) in results.items():
    measured[f"uv_{name.split()[-1]}"], miou = error, scores.iou[1:].nanmean().item()
    measured |= {} if name.startswith("mean") else {f"miou_{name.split()[-1]}": miou}
    print(f"{name:21s} mean IoU of {(scores.pixels[1:] > 0).sum()} parts {miou:.3f}; U, V off by {error:.3f} where the part is right")  # fmt: skip

# %% tags=["no-proof"]
scores, _ = results["checkpoint"]
order = [k for k in scores.pixels[1:].argsort(descending=True).add(1).tolist() if scores.pixels[k] > 0]
figure, axis = course.new_figure(size=(6.5, 4.2))
axis.barh([f"{DENSEPOSE[k]}, {scores.pixels[k]:,} px" for k in order], scores.iou[order])
axis.tick_params(axis="y", labelsize=7)
axis.invert_yaxis()
axis.set_xlabel("IoU")
show_figure(figure, alt="A bar for the IoU of each part, the largest part at the top, with its number of pixels.")

# %% [markdown]
# Read the bars from the top: the order is by size. Large parts do well. At the bottom are the backs of thighs and
# torso, and on people who face the camera they *are* outlines: a strip one or two pixels wide, where one pixel of
# border is half the part. The mean over parts counts a strip of 50 pixels as much as the chest. That's why benchmarks
# name several means; here are those of the larger test sets, from the file that the benchmark writes.

# %% tags=["no-proof"]
benchmark = json.loads((PROJECT / "benchmarks" / "results" / "perceive-densepose.json").read_text())
for each in benchmark["data"]:
    print(f"{each['name']}, {each['people']} people: mean IoU of {each['parts']} parts {each['miou']:.3f}, of the {each['common_parts']} common ones {each['miou_common']:.3f}, "
          f"weighted by pixels {each['miou_weighted']:.3f}\n    U, V off by {each['uv_where_right']['error']:.3f} (mean of the part: {each['uv_where_right']['mean_of_part']:.3f}); "
          f"part of the other side {each['other_side']:.2%}, of the other half {each['other_half']:.2%}")  # fmt: skip
print(f"target for the mean over all parts: {benchmark['target']:.2f}")

# %% [markdown]
# Three numbers to compare in each block: the mean over *all* parts, over the *common* ones, and weighted by pixels. The
# same network, the same pictures; what differs is who votes. And two kinds of error by name: *the other side* is left
# for right, a whole limb at once, and *the other half* is front for back. The first would put a sleeve on the wrong
# arm. The second mostly moves a seam. And where the first mean misses its target, ask which parts pull it down before
# you train any longer.
#
# Photographs of real people have no true DensePose: those that exist were clicked, or come from a network. So for
# photographs this course gives pictures (made by the benchmark, kept out of the repository) and no number.
#
# Is the naive idea beaten? Ask the checkpoint for the same arms as in section 3. For fairness at the true pixels of
# each half arm, whichever part it says there.

# %% tags=["no-proof"]
arms = []
for who in looked_at[:12]:
    guess, here = shipped(who.person), torch.isin(who.densepose[0], torch.arange(15.0, 23)) & point_is_known(who.densepose)  # fmt: skip
    arms.append(torch.cat([(guess[1:, here] - who.densepose[1:, here]).abs(), (guess[:1, here] != who.densepose[:1, here]).float()]))  # fmt: skip
arms = torch.cat(arms, 1)
measured["arm_u_network"], measured["arm_v_network"], wrong = arms.mean(1).tolist()
measured["arm_u_found"], measured["arm_v_found"] = arms[:2, arms[2] == 0].mean(1).tolist()
for name, title in (("bone", "line, part given away"), ("found", "network, where it found the part"), ("network", f"network, {wrong:.0%} in a wrong part")):  # fmt: skip
    print(f"{title:33s} U off by {measured[f'arm_u_{name}']:.3f}, V off by {measured[f'arm_v_{name}']:.3f}")

# %% [markdown]
# The line had been told the part, so its fair rival is the second row. The third row has to find the part as well, and pays
# in full where it finds another: for a pixel on the seam between two halves of a sleeve the right place on the wrong half
# counts as far away. Without the part the line has no row at all.
#
# ## 10 Where DensePose fails
#
# **The back.** This notebook's test people all face the camera. One more person, drawn now, from the front and from
# behind; the pixels of the torso are counted by what the checkpoint calls them.

# %% tags=["no-proof"]
from vtonlib.studio.session import Sitting, texture_detail, top_of

takes = Sitting.draw(3, 3, settings.size).stage(0, [top_of(3, 3, texture_detail(settings.size))], [], views=[0.0, 180.0])  # fmt: skip
rows = []
for title, (taken,) in zip(("front", "back"), takes):
    photograph = torch.from_numpy(taken.photograph().copy()).movedim(-1, 0) / 127.5 - 1
    truth, guess = library.densepose_from_iuv(densepose_image(taken.passes)), shipped(photograph)
    torso = (truth[0] == 1) | (truth[0] == 2)
    measured[f"{title}_called_back"] = (guess[0] == 1)[torso].float().mean().item()
    print(f"from the {title}: {measured[f'{title}_called_back']:.0%} of the torso's pixels are called torso-back, {(guess[0] == 2)[torso].float().mean():.0%} torso-front")  # fmt: skip
    rows.append([to_01(photograph), chequer(truth), chequer(guess)])
show_images(rows, ["photograph", "truth", "checkpoint"], row_titles=["front", "back"], height=165,
            alt="One person from the front and from behind, with true and estimated DensePose as chequered parts.")  # fmt: skip

# %% [markdown]
# Cloth tells chest and back hardly apart. What decides is the head, a face or hair, at the other end of the picture; hence
# the mean over the picture at the bottom of the network. And it has to be *learnt*: shop photographs contain next to no
# backs, so this checkpoint's training data has 160 people photographed from five sides beside them. Whatever a data set
# doesn't contain, a network trained on it will call by the nearest name that it knows.
#
# **Crossed arms and loose cloth.** Is it the pose that makes a person hard? For each test person, the share of the
# body's pixels with the right part; below, the hardest with their pose and cut, and what is wrong on them.

# %% tags=["no-proof"]
rights = []
for n, who in enumerate(looked_at):
    guess, row = shipped(who.person)[0], drawn[people.pairs[n][0]]
    rights.append((((guess == who.densepose[0])[who.densepose[0] > 0]).float().mean().item(), n, f"{row['pose']}, {row['cut']}"))  # fmt: skip
measured["right_part"] = sum(right for right, *_ in rights) / len(rights)
print(f"right part at {measured['right_part']:.1%} of a body on average; easiest: {max(rights)[2]}, {max(rights)[0]:.1%}")  # fmt: skip
print("hardest:", "; ".join(f"{about}, {right:.1%}" for right, _, about in sorted(rights)[:4]))
cases = {"crossed": people[find(pose=("crossed", "clasp"))], "dress": people[find(cut=("long-dress", "sleeved-dress", "shirt-dress", "dress"))]}  # fmt: skip
cases |= {name: looked_at[n] for name, (_, n, _) in zip(("hardest", "second"), sorted(rights))}
rows = []
for who in cases.values():
    guess = shipped(who.person)
    rows.append([to_01(who.person), chequer(who.densepose), chequer(guess), overlay(to_01(who.person), (guess[0] != who.densepose[0]).float(), colour="red")])  # fmt: skip
show_images(rows, ["photograph", "truth", "checkpoint", "wrong part"], row_titles=list(cases), height=120,
            alt="Four people: crossed arms, a dress, and the two with the most wrong pixels; truth, estimate, and the wrong parts in red.")  # fmt: skip

# %% [markdown]
# Three kinds of red are worth telling apart:
#
# - **Outlines of parts**, a pixel or two everywhere. The border between two halves of a sleeve is drawn nowhere on the
#   cloth; the network infers it, and so would you.
# - **Arms on the torso.** A sleeve before a top of the same fabric has no contour but a fold.
# - **Loose skirts.** The truth paints each bit of cloth as the nearest leg. Between the legs, in the middle of a skirt,
#   that is a decision of whoever defined the truth, and no picture shows it.
#
# Before you build on DensePose, ask which of the three your application cares about. A network that takes the coloured
# parts as three of many channels forgives the first. A texture transfer doesn't.
#
# # Part B: garment masks
#
# ## 11 The naive idea: what isn't white
#
# A shop's picture has a white ground. So the garment is what isn't white. Two toys of 6 x 4 pixels show how far that
# carries. The ground is *nearly* white (0.97). First a navy top (0.20); then a white shirt (0.95), with its own soft
# shadow below (0.85):

# %%
# NBVAL_CHECK_OUTPUT
ground, shadow = 0.97, 0.85
garment = torch.zeros(4, 6)
garment[1:3, 1:5] = 1
for name, cloth in (("navy top", 0.20), ("white shirt", 0.95)):
    picture = torch.where(garment > 0, cloth, ground)
    picture[3, 1:] = ground if name == "navy top" else shadow
    values = [iou((1 - picture > t)[None], garment[None]).item() for t in (0.02, 0.04, 0.1, 0.2)]
    print(f"{name:11s} IoU at a distance from white of 0.02, 0.04, 0.1, 0.2:", "  ".join(f"{value:.2f}" for value in values))  # fmt: skip

# %% [markdown]
# A word on the first column: at 0.02 the ground itself, 0.03 away from white, is in. A shop's white is a matter of its
# lamps; the studio's lies between 0.91 and 1.
#
# The navy top doesn't mind where the threshold lies. For the shirt no threshold is right: below 0.05 everything darker
# than pure white comes in, ground and shadow with it; from 0.05 on, the shirt itself is gone, and the *shadow* is the
# garment. **The shadow is darker than the cloth.** Brightness can't put them in order, whatever the threshold.
#
# Two repairs suggest themselves. Measure the distance not from white but from *this picture's ground*, the median
# colour of its border. And let each picture choose its own threshold.
#
# The classical way to choose is **Otsu's** (1979). Any threshold cuts the histogram into two classes with shares $w_0,
# w_1$ and means $\mu_0, \mu_1$. Take the threshold with the largest **variance between the classes**,
#
# $$\sigma_b^2(t) = w_0(t)\, w_1(t)\, \big(\mu_0(t) - \mu_1(t)\big)^2 ,$$
#
# far apart and both of some size. With 256 grey values that's 255 candidates.
#
# On paper: four pixels of 0, two of 3, two of 5. Cut after 0: $w_0 = w_1 = \tfrac12$, means 0 and 4, so $\tfrac14 \cdot
# 16 = 4$. Cut after 3: $w_0 = \tfrac34$, $w_1 = \tfrac14$, means 1 and 5, so $\tfrac{3}{16} \cdot 16 = 3$. Otsu cuts
# after 0.
#
# **Exercise 5: Otsu's threshold.** *about 15 minutes, difficulty 3 of 5.* All thresholds at once, with cumulative sums.
#
# <details><summary>Hint 1</summary>cumsum of the shares gives w0 for "up to t"; cumsum of shares times values gives w0
# times mu0.</details>
#
# <details><summary>Hint 2</summary>With w = w0, m = w0 mu0 and M the mean of all: the variance is (M w - m)^2 / (w (1 -
# w)). Where w is 0 or 1 there is no second class: leave those out, clamp the denominator and multiply by (w > 0) & (w <
# 1).</details>
#
# What to expect: the toy above gives 0, the last value of the lower class. If several cuts tie, take the first.


# %% nbgrader={"schema_version": 3, "grade_id": "threshold-otsu", "grade": false, "solution": true, "locked": false, "task": false}
def otsu(counts):
    """Otsu's threshold from a histogram: counts (K,) of the values 0..K-1 -> int, the last value of the lower class."""
    ### BEGIN SOLUTION
    share = counts.double() / counts.sum()
    below = share.cumsum(0)
    moment = (share * torch.arange(len(counts))).cumsum(0)
    between = (moment[-1] * below - moment).square() / (below * (1 - below)).clamp(min=1e-12)
    both = (counts.cumsum(0) > 0) & (counts.cumsum(0) < counts.sum())
    return (between * both).argmax().item()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "threshold-otsu_toy", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def otsu_slowly(counts):
    """The same by its definition, one threshold after the other."""
    values, best, chosen = torch.arange(len(counts)).double(), -1.0, 0
    for t in range(len(counts) - 1):
        low, high = counts[: t + 1].double(), counts[t + 1 :].double()
        if low.sum() == 0 or high.sum() == 0:
            continue
        means = [(part * value).sum() / part.sum() for part, value in ((low, values[: t + 1]), (high, values[t + 1 :]))]
        between = (low.sum() * high.sum() / counts.sum() ** 2 * (means[0] - means[1]) ** 2).item()
        if between > best + 1e-9:
            best, chosen = between, t
    return chosen


def check_otsu(f):
    toy = torch.tensor([4, 0, 0, 2, 0, 2])
    assert f(toy) == 0, f"four pixels of 0, two of 3, two of 5: expected 0, got {f(toy)}"
    two_hills = torch.tensor([0, 5, 9, 5, 0, 0, 1, 6, 8, 3])
    assert f(two_hills) == 3, f"two hills around 2 and 8: expected 3, got {f(two_hills)}"


with Check("otsu: the toy, and two hills"):
    check_otsu(otsu)
### BEGIN HIDDEN TESTS
with Check("otsu: random histograms, some with empty ends, against the definition"):
    draw = torch.Generator().manual_seed(4)
    for _ in range(20):
        some = torch.randint(0, 40, (16,), generator=draw)
        some[:3], some[14:] = 0, 0
        assert otsu(some) == otsu_slowly(some), f"{some.tolist()}: expected {otsu_slowly(some)}, got {otsu(some)}"
### END HIDDEN TESTS

# %%
otsu = pick(otsu, otsu_slowly, check_otsu)


def distance_from_ground(picture):
    """Largest distance of a channel from the median colour of the border: (3, H, W) in [-1, 1] -> (H, W), 0 to 255."""
    border = torch.cat([picture[:, 0], picture[:, -1], picture[:, :, 0], picture[:, :, -1]], 1)
    return ((picture - border.median(1).values[:, None, None]).abs().amax(0) * 127.5).round().clamp(max=255)


def by_otsu(picture):
    distance = distance_from_ground(picture)
    return distance > otsu(torch.bincount(distance.long().flatten(), minlength=256))


naive = {"not white": lambda picture: (1 - picture).amax(0) * 127.5 > 25, "not the border": lambda picture: distance_from_ground(picture) > 16, "Otsu": by_otsu}  # fmt: skip

# %% [markdown]
# First the averages, on the studio's shop pictures as they are and on other grounds. Then four pictures by themselves: the
# darkest garment, the palest, the palest once more with a fifth of its distance from white (a shirt as white as shirts
# are), and one that we cut out by its true mask and laid on another ground.

# %% tags=["no-proof"]
shops, masks = [who.garment for who in looked_at], torch.stack([who.garment.mask for who in looked_at])
wild = replace(mask_training.RECIPES["laptop"], own_ground=0.0)  # no garment stays on the shop's ground
packed = [mask_training.pack(who) for who in looked_at]
packed = {key: torch.stack([row[key] for row in packed]) for key in packed[0]}
scenes = mask_training.shop_scenes(packed, settings.size, wild, torch.Generator().manual_seed(0))
for kind, pictures, targets in (("the shop's ground", [shop.image for shop in shops], masks), ("other grounds", scenes.picture, scenes.mask)):  # fmt: skip
    scores = {name: torch.stack([iou(method(picture)[None], mask)[0] for picture, mask in zip(pictures, targets)]) for name, method in naive.items()}  # fmt: skip
    print(f"mean IoU of {len(shops)} garments on {kind}:", ", ".join(f"{name} {each.mean():.3f}" for name, each in scores.items()))  # fmt: skip

# %% tags=["no-proof"]
bright = torch.tensor([shop.image.amin(0)[shop.mask[0] > 0.5].mean() for shop in shops])
chosen = {name: (shops[k].image, masks[k]) for name, k in (("dark", bright.argmin()), ("palest", bright.argmax()))}
chosen["bleached"] = (1 - 0.2 * (1 - chosen["palest"][0]), chosen["palest"][1])
chosen["other ground"] = (scenes.picture[0], scenes.mask[0])
rows = [[to_01(picture).clamp(0, 1), mask, *(method(picture) for method in naive.values())] for picture, mask in chosen.values()]  # fmt: skip
for name, (_, mask, *found) in zip(chosen, rows):
    print(f"{name:13s}", "  ".join(f"{way} {iou(guess[None], mask).item():.3f}" for way, guess in zip(naive, found)))
show_images(rows, ["picture", "true mask", *naive], row_titles=list(chosen), height=130,
            alt="Four pictures of garments, their true masks and three naive masks. The dark one is right nearly everywhere, the bleached one is not, "
            "and the one on another ground is a mosaic.")  # fmt: skip

# %% [markdown]
# Be fair to the threshold: on clean grounds a fixed distance from white, or from the border, is hard to beat. The studio's
# shop has an even ground and few garments that are really white. So why more? Read the lower rows:
#
# - **Otsu is no safe choice.** It finds the best cut of the histogram into *two* heaps, and a garment with a dark print on
#   pale cloth is two heaps by itself. Then the cut goes round the print. Choosing anew for each picture costs more than
#   it brings, where one level fits all.
# - **Bleached**, the cloth comes as near to the ground as the level itself, and pieces of it vanish, or all of it.
# - **On another ground** the fixed levels are lost: "white" and "the border" are questions about a shop. Otsu asks about
#   two heaps, which is a better question there, and still no mask.
#
# ### A slider
#
# Drag the level and look for the best one by eye. On which garments is there a wide range of good levels, on which
# none?


# %% tags=["no-proof"]
def cut_out(level, which):
    picture, mask = chosen[which]
    guess = distance_from_ground(picture) > level
    cut = torch.where(guess, to_01(picture).clamp(0, 1), torch.tensor([1.0, 0.0, 1.0])[:, None, None])
    text = f"{which}, level {level}: IoU {iou(guess[None], mask).item():.3f}"
    show_images([cut], [text], height=260, alt=f"The garment cut out by a threshold, the rest magenta. {text}.")


slider = interact(cut_out, level=IntSlider(16, min=0, max=120), which=Dropdown(options=list(chosen)))

# %% tags=["no-proof"]
figure, axis = course.new_figure(size=(5.5, 2.6))
for name, (picture, mask) in chosen.items():
    distance = distance_from_ground(picture)
    axis.plot(range(0, 121, 2), [iou((distance > level)[None], mask).item() for level in range(0, 121, 2)], label=name)  # fmt: skip
axis.set(xlabel="level of 255", ylabel="IoU")
figure.legend(loc="outside right upper")
show_figure(figure, alt="IoU by level for four pictures: a wide plateau for the dark garment, a narrower one for the palest, a peak for the bleached one, no good level on "
            "another ground.")  # fmt: skip

# %% [markdown]
# The width of the plateau is the contrast of the picture. One level for all pictures has to lie on all plateaus at
# once. A threshold sees one pixel at a time. **What it lacks isn't a better number, it's a neighbourhood:** white cloth
# between two seams is cloth because of the seams.
#
# ## 12 What counts as garment?
#
# A mask is also a convention, and it has to be said before one measures. VITON-HD's masks count the cloth, the neck
# label, and **the inside of the back that shows through the collar**. They don't count a hanger, the shadow, or the
# ground that shows between a sleeve and the body. The studio does the same. For a warp the inside of the collar is a
# nuisance: it is never seen on a person, yet it belongs to the mask; systems learn to hide it behind the neck.

# %% tags=["no-proof"]
ghosts = [k for k, shop in enumerate(shops) if drawn[shop.name]["shop_style"] == "ghost" and drawn[shop.name]["sleeve"] != "0.0"][:3]  # fmt: skip
row, half = [], settings.size[1] // 5
for mask, shop in ((masks[k], shops[k]) for k in ghosts):
    outlined = overlay(to_01(shop.image), F.max_pool2d(mask[None], 3, 1, 1)[0] - mask, colour="blue", alpha=1.0)
    top, x = max(mask[0].any(1).nonzero()[0].item() - 8, 0), mask[0].nonzero()[:, 1].float().mean().long().item()
    row += [outlined, outlined[top : top + 2 * half, max(x - half, 0) : x + half]]
show_images([row], ["outline of the mask", "collar"] * len(ghosts), height=150,
            alt="Garments with the outline of their mask in blue, and their collars enlarged: the inside of the back belongs to the mask.")  # fmt: skip

# %% [markdown]
# An inside of the back occurs where a garment is shown as if worn by nobody (a *ghost mannequin*: photographed on a
# dummy, which is then erased). Laid flat, there is often none. A data set that mixes both mixes two kinds of masks.
#
# ## 13 What one pixel of border costs
#
# Targets for masks are numbers like 0.97. How good is that? Move a mask's whole border by a pixel, outwards or inwards,
# and measure. Expect, for a mask of area $A$ and outline length $P$, a loss of about $P / A$: one row of pixels along
# the outline, against the area. At twice the size $P$ doubles and $A$ is four times as large, so the loss halves.

# %% tags=["no-proof"]
for height in (64, 128, 256, 512):
    scaled = (F.interpolate(masks, (height, height * 3 // 4), mode="bilinear", antialias=True) > 0.5).float()
    grown, shrunk = F.max_pool2d(scaled, 3, 1, 1), -F.max_pool2d(-scaled, 3, 1, 1)
    large, less = (iou(changed, scaled).mean().item() for changed in (grown, shrunk))
    outline, area = (each.sum((1, 2, 3)).mean().item() for each in (scaled - shrunk, scaled))
    measured |= {f"border_{height}_large": large, f"border_{height}_small": less}
    print(f"height {height:3d}: a pixel too large {large:.3f}, a pixel too small {less:.3f}; outline {outline:5.0f} of {area:6.0f} pixels")  # fmt: skip

# %% [markdown]
# At 256 x 192 a whole pixel of border costs about as much as the target of 0.97 allows; at twice the size, half of it.
# Three consequences:
#
# - **An IoU says nothing without the size it was measured at.** We measure at the size of the files.
# - At 256 x 192, a network has to find the border to *less than a pixel* on average. A mask decided at half the size
#   and enlarged can't do that. So our networks enlarge their *logits*, whose values know where between two pixels an
#   outline runs, and the studio's soft masks teach them to.
# - Two people who draw the same mask differ by a pixel here and there. An IoU of 1 isn't on offer on real pictures.
#
# ## 14 Two networks: a U-Net, and U's inside a U
#
# Both have about 1.1 million parameters. The **U-Net** you know: five levels, two convolutions each on the way down,
# one on the way up. **U2-Net** (Qin et al. 2020) asks: why should a level see only 3 x 3 pixels at a time? Each of
# its stages is a small U-Net itself, the **RSU**, residual U-block. In the first stage, at full size, it goes seven
# heights deep and back, so that already there a pixel can know whether it lies inside a sleeve. The *residual*: what
# the inner U says is added to what went in.
#
# Here is an RSU of height 4 by hand. Follow the sizes: halve, halve, a dilated convolution at the bottom instead of a
# third halving, then enlarge, join, convolve.

# %% tags=["no-proof"]
from vtonlib.perceive import garment_mask as masking
from vtonlib.perceive.u2net import CONFIGS, RSU, U2Net


def rsu_by_hand(block, x):
    """The forward pass of RSU-4, written out; block: an `RSU(4, ...)`. Gives its output and the sizes on the way."""
    given = block.rebnconvin(x)
    e1 = block.rebnconv1(given)
    e2 = block.rebnconv2(F.max_pool2d(e1, 2, ceil_mode=True))
    e3 = block.rebnconv3(F.max_pool2d(e2, 2, ceil_mode=True))
    bottom = block.rebnconv4(e3)  # dilation 2: sees as far as one halving more would, and loses no places
    d3 = block.rebnconv3d(torch.cat([bottom, e3], 1))
    d2 = block.rebnconv2d(torch.cat([F.interpolate(d3, e2.shape[2:], mode="bilinear"), e2], 1))
    d1 = block.rebnconv1d(torch.cat([F.interpolate(d2, e1.shape[2:], mode="bilinear"), e1], 1))
    return d1 + given, {"given": given, "e1": e1, "e2": e2, "e3": e3, "bottom": bottom, "d3": d3, "d2": d2, "d1": d1}


torch.manual_seed(0)
block, x = RSU(4, 3, 16, 64).eval(), torch.randn(1, 3, 22, 18)  # sides that halve to odd numbers: 11 x 9, then 6 x 5
ours, levels = rsu_by_hand(block, x)
print(", ".join(f"{name} {tuple(level.shape[1:])}" for name, level in levels.items()))
compare("RSU-4 by hand", ours, block(x))

# %% [markdown]
# The residual is why the block's first convolution has as many channels as its last. With nothing learnt inside, the
# block passes on what it got, and the inner U only has to say what to *change*.
#
# Odd sizes are rounded *up* when halved (`ceil_mode`), and enlarging goes to the size of the skip, not by a factor of
# 2. That's why a U2-Net takes pictures of any size.
#
# Deep down in the network the maps are small already. There a block of another kind, RSU-4F, replaces every halving by
# dilations 1, 2, 4, 8. The whole: six stages down (RSU-7, 6, 5, 4, 4F, 4F), five up. Now count:

# %% tags=["no-proof"]
networks = {name: masking.build_network(masking.GarmentMaskConfig(network=name)) for name in masking.NETWORKS}
with torch.device("meta"):
    large = U2Net(CONFIGS["u2net"])
for name, network in (*networks.items(), ("u2net", large)):
    layers = sum(isinstance(layer, torch.nn.Conv2d) for layer in network.modules())
    print(f"{name:7s}{sum(p.numel() for p in network.parameters()):12,d} parameters in {layers:3d} convolutions")

# %% [markdown]
# The U-Net has 16 convolutions, U2-NetP seven times as many with the same number of parameters: narrow and deep against
# wide and shallow. Most of the 119 wait for the one before, which is one reason why it takes longer.
#
# 1,131,181 and 44,009,869 parameters: to the last one those of the released code, so the published weights load as they
# are. With U2-NetP every stage has 16 channels inside and 64 outside.
#
# ### A loss on seven maps
#
# A hundred convolutions in a row learn slowly at the far end. So U2-Net reads a map off each of six depths, and a
# seventh mixes them: the answer. **Deep supervision** puts the same binary cross-entropy on all seven, and every depth
# gets a gradient of its own. In the paper the seven are summed with weight 1; ours is the mean, which only rescales.
#
# Take the cross-entropy from *logits* $x$, not from probabilities. $-t \log \sigma(x) - (1 - t) \log(1 - \sigma(x))$ is
# infinite as soon as $\sigma(x)$ rounds to 0 or 1, which in float32 happens from about $x = 17$ on. Rearranged it is
# harmless:
#
# $$\max(x, 0) - x\,t + \log\big(1 + e^{-|x|}\big).$$
#
# On paper: $x = 0$ costs $\log 2 \approx 0.69$ whatever $t$ is. $x = 100$, $t = 0$ costs 100, and not infinity.


# %% tags=["no-proof"]
def deep_supervision(maps, mask):
    """Mean over maps and pixels of the cross-entropy: maps, a list of logits (B, 1, H, W); mask (B, 1, H, W) in [0, 1]."""
    logits = torch.stack(maps)
    return (logits.clamp(min=0) - logits * mask + torch.log1p((-logits.abs()).exp())).mean()


mask, maps = garment[None, None], [torch.zeros(1, 1, 4, 6), torch.full((1, 1, 4, 6), 100.0), torch.randn(1, 1, 4, 6)]
theirs = torch.stack([F.binary_cross_entropy_with_logits(each, mask) for each in maps]).mean()
compare("seven maps, here three", deep_supervision(maps, mask), theirs)

# %% [markdown]
# ## 15 Training on grounds that no shop has
#
# A network that only ever saw white grounds learns "what isn't white", the naive idea with a million parameters. So two
# thirds of the training garments are cut out by their true masks and laid on something else: plain grounds with a soft
# shadow, patterns, the rooms and streets behind the studio's people. A third of the grounds has a rod across, like a
# rail. A quarter of the garments is *bleached* towards white, since pale on white is what masks fail on first. Half the
# pictures get the errors of JPEG.

# %% tags=["no-proof"]
pictures, targets = mask_training.shop_scenes(packed, settings.size, mask_training.RECIPES["laptop"], torch.Generator().manual_seed(5))  # fmt: skip
show_images([[to_01(picture).clamp(0, 1) for picture in pictures[:7]], list(targets[:7])], height=140,
            alt="Training pictures: garments on white, on patterns, before rooms, bleached, turned; below, their masks.")  # fmt: skip

# %% [markdown]
# Now train both for about the same *time*. A step of U2-NetP takes three to four times as long as one of the U-Net: the
# parameters are equal in number, but it applies them at full size more often.


# %% tags=["no-proof"]
def mask_step(network, optimiser, rows, draw):
    """One step on garments of the cache at 64 x 48; the loss."""
    scene = mask_training.shop_scenes(rows, (64, 48), mask_training.RECIPES["laptop"], draw)
    loss = deep_supervision(masking.mask_logits(network, scene.picture), scene.mask)
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    return loss.item()


curves = {}
for name, network in networks.items():
    optimiser, draw = torch.optim.Adam(network.train().parameters(), lr=2e-3), torch.Generator().manual_seed(0)
    steps = tqdm(range(settings.steps // 2 if name == "unet" else max(settings.steps // 8, 1)), file=sys.stdout, leave=False, desc=name)  # fmt: skip
    batches = (cache.batch(batch_indices(step, length=len(cache), batch_size=settings.batch_size, seed=1)) for step in steps)  # fmt: skip
    curves[name] = [mask_step(network, optimiser, rows, draw) for rows in batches]
    network.eval()

# %% tags=["no-proof"]
figure, axis = course.new_figure(size=(5.5, 2.4))
for name, losses in curves.items():
    axis.plot(np.linspace(0, 1, len(losses)), losses, label=f"{name}, {len(losses)} steps")
    measured[f"mask_loss_{name}"] = sum(losses[-5:]) / len(losses[-5:])
axis.set(xlabel="share of the time", ylabel="cross-entropy")
axis.legend()
show_figure(figure, alt="Cross-entropy of both networks over the same time: both fall, the U-Net takes four times as many steps.")  # fmt: skip

# %% tags=["no-proof"]
maskers = {name: masking.load_garment_mask(name) for name in masking.NETWORKS}
barely = {name: masking.GarmentMasker(name, lambda pictures, network=network: masking.course_values(network, (64, 48), pictures)) for name, network in networks.items()}  # fmt: skip
rows = [[to_01(scenes.picture[k]).clamp(0, 1), *(masker.probabilities(scenes.picture[k])[0] for masker in (*barely.values(), *maskers.values()))] for k in range(3)]  # fmt: skip
show_images(rows, ["picture", *(f"{name}, {len(curves[name])} steps" for name in barely), *(f"{name}, checkpoint" for name in maskers)], height=150,
            alt="Three garments on other grounds; probabilities of the two barely trained networks, clouds, and of the checkpoints.")  # fmt: skip

# %% [markdown]
# ### Seven maps
#
# What each depth of U2-NetP says, from the mixture (first) to the deepest:

# %% tags=["no-proof"]
u2netp = masking.build_network(masking.GarmentMaskConfig(network="u2netp")).eval()
load_weights(WEIGHTS_FOLDER / masking.weights_file("u2netp"), u2netp)
with torch.no_grad():
    seven = dict(zip(("mixture", *(f"depth {n}" for n in range(1, 7))), masking.mask_logits(u2netp, scenes.picture[:1])))  # fmt: skip
show_images([[to_01(scenes.picture[0]).clamp(0, 1), *(level.sigmoid()[0] for level in seven.values())]], ["picture", *seven], height=150,
            alt="A garment on another ground and seven maps: sharp in the mixture and depth 1, ever coarser down to depth 6.")  # fmt: skip
print("IoU:", ", ".join(f"{name} {iou(level > 0, scenes.mask[:1]).item():.3f}" for name, level in seven.items()))

# %% [markdown]
# The deepest map has a place for every 32 pixels. It can't draw a border, and it decides what is a garment at all. The
# shallow ones draw the border. The mixture weighs them all; on a single picture it needn't be the best of them.
#
# ## 16 The comparison
#
# Everything on the same garments: on the shop's ground, and on others. Masks go through `one_piece` first: only the
# largest connected piece, and small holes filled.

# %% tags=["no-proof"]
few = max(len(shops) // 3, 3)
sets = {"shop": (torch.stack([shop.image for shop in shops[:few]]), masks[:few]), "other grounds": (scenes.picture[:few], scenes.mask[:few])}  # fmt: skip
methods = {name: (lambda batch, method=method: torch.stack([method(picture)[None] for picture in batch]).float()) for name, method in naive.items()}  # fmt: skip
methods |= {name: (lambda batch, masker=masker: (masker.probabilities(batch) > 0.5).float()) for name, masker in maskers.items()}  # fmt: skip
found = {(kind, name): method(pictures) for kind, (pictures, _) in sets.items() for name, method in methods.items()}
for (kind, name), guess in found.items():
    raw, tidy = (iou(each, sets[kind][1]) for each in (guess, masking.one_piece(guess)))
    measured[f"{name.replace(' ', '_')}_{kind.split()[0]}"] = tidy.mean().item()
    print(f"{few} on {kind:14s} {name:15s} IoU {tidy.mean():.3f}, worst {tidy.min():.3f}; untidied {raw.mean():.3f}")

# %% tags=["no-proof"]
pictures, targets = sets["other grounds"]
tidied = {name: masking.one_piece(found["other grounds", name]) for name in methods}
rows = []
for k in dict.fromkeys(iou(tidied[name], targets).argmin().item() for name in maskers):
    guesses, true = (guess[k, 0] for guess in tidied.values()), (targets[k, 0] > 0.5).float()
    rows.append([to_01(pictures[k]).clamp(0, 1), *(torch.stack([guess * (1.3 - true), 0.3 * guess, true * (1.3 - guess)]).clamp(0, 1) for guess in guesses)])  # fmt: skip
show_images(rows, ["picture", *methods], height=150, alt="The pictures on which a network is worst, and where each method errs: red too much, blue too little.")  # fmt: skip

# %% [markdown]
# How to read the table: *untidied* is what the network says, the mean is after `one_piece`. Where both differ, the
# network found islands. The *worst* of a few says more about what will go wrong than a mean of many.
#
# Red is too much, blue too little. The thresholds need a shop. The networks need one less, and where they err, they err
# by *regions*: a stripe of the ground in the colour of the cloth, a sleeve before something of its own colour.
#
# Which of the two networks is better? Look at the counts before you say so. Here are the results of the benchmark, with
# many more garments, and with the six shop pictures of VITON-HD that we have, each by itself. Six pictures decide
# little; that's why no average stands alone.

# %% tags=["no-proof"]
benchmark = json.loads((PROJECT / "benchmarks" / "results" / "perceive-garment-mask.json").read_text())
for name, entry in benchmark["backends"].items():
    for kind, numbers in entry.items():
        if kind != "left_out":
            each = ", ".join(f"{value:.3f}" for value in numbers.get("each", {}).values())
            print(f"{name:8s} {kind:12s} IoU {numbers['iou']:.3f}, worst {numbers['worst']:.3f}, n = {numbers['pictures']}   {each}")  # fmt: skip
print(
    "not measured:", ", ".join(name for name, entry in benchmark["backends"].items() if "left_out" in entry) or "none"
)
print("targets:", benchmark["targets"])

# %% [markdown]
# Two readings. The row *border* is no network, it is our threshold. On most of the photographs it is as good as the
# networks, and on one it isn't; among 450 studio garments its worst is next to nothing. **That's the case for a
# network: not the mean, the worst.**
#
# And both networks were trained for the same quarter of an hour, in which U2-NetP made 530 steps and the U-Net 1,350. So
# the table compares them *at equal cost*, not at their best. With weeks on a GPU, as in the paper, the order may be
# another; with a laptop, the plain U-Net is hard to beat.
#
# ### Beside them: Tracer-B7
#
# The tools that made the masks of several data sets come as packages. **carvekit** runs U2-Net or, by default,
# **Tracer-B7** (Lee et al. 2022): an EfficientNet-B7 as encoder, 66 million parameters trained on ImageNet before, and
# on top three kinds of attention. One traces *edges*, from the shallowest features and in the frequency domain; one
# refines objects in the joined deeper features; one drops channels that say little. **rembg** runs U2-Net by ONNX. All
# find the *salient object*, whatever stands out, be it a shirt or a dog.
#
# The course has them behind the same function as its own. They aren't installed with it, and they fetch their weights
# from the network. What can't be had is an error that says how to get it, never another mask in its place:

# %% tags=["no-proof"]
for backend in ("carvekit", "rembg", "u2net"):
    try:
        masking.load_garment_mask(backend)
        print(f"{backend}: here")
    except (ImportError, FileNotFoundError, RuntimeError) as error:
        print(f"{type(error).__name__}: {str(error).split(' (')[0]}")

# %% [markdown]
# ## 17 Breaking it on purpose
#
# **White on white.** Take the palest garment and bleach the whole picture further and further, until cloth and ground differ by a
# hundredth of what they did. Pictures are rounded to bytes after that, as a file would: what is lost is lost.

# %% tags=["no-proof"]
pale, kept = shops[bright.argmax()], (1.0, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01)
bleached = torch.stack([((2 - share * (1 - pale.image)) * 127.5).round() / 127.5 - 1 for share in kept])
figure, axis = course.new_figure(size=(5.5, 2.6))
for name in ("not the border", *maskers):
    values = iou(masking.one_piece(methods[name](bleached)), pale.mask[None].expand(len(kept), -1, -1, -1))
    axis.plot(kept, values, marker="o", label=name)
    measured[f"bleached_{name.split()[-1]}"] = values[kept.index(0.05)].item()
axis.set(xscale="log", xlabel="contrast that is left", ylabel="IoU")
axis.legend()
show_figure(figure, alt="IoU against the contrast that is left, on a logarithmic axis, for a threshold and both networks: all fall, the threshold first.")  # fmt: skip

# %% [markdown]
# The threshold of 16 falls as soon as the cloth is nearer to the ground than that. The networks hold on longer: an outline
# is a long thing, and they have seen bleached garments. In the end nothing is there to be seen. If a network still draws
# something then, it isn't seen but *expected*, a garment-shaped blob in the middle; an IoU doesn't tell the two apart.
#
# Now three pictures that no training prepared for: two garments side by side; a garment on a hanger; and a person, who
# wears one. Above them the bleached one, at two hundredths.

# %% tags=["no-proof"]
halves = (settings.size[0], settings.size[1] // 2)
two = [torch.cat([F.interpolate(each[None], halves)[0] for each in pair], 2) for pair in ((shops[0].image, shops[1].image), masks[:2])]  # fmt: skip
hung, middle, top = shops[0].image.clone(), settings.size[1] // 2, masks[0, 0].any(1).nonzero()[0].item()
hung[:, max(top - 20, 0) : top + 6, middle - 2 : middle + 2] = -0.4  # a hook
hung[:, top : top + 4, middle - middle // 3 : middle + middle // 3] = -0.4  # a bar
worn = people[find(pose=("stand", "hips"), cut=("t-shirt", "polo", "tank"))]
broken = {"white on white": (bleached[kept.index(0.02)], pale.mask), "two garments": two, "a hanger": (hung, masks[0]), "worn": (worn.person, label_mask(worn.parse, TOP_LABELS))}  # fmt: skip

# %% tags=["no-proof"]
rows = []
for title, (picture, mask) in broken.items():
    rows.append([to_01(picture).clamp(0, 1), mask.float()])
    for name, masker in maskers.items():
        raw = (masker.probabilities(picture) > 0.5).float()
        rows[-1] += [raw[0], overlay(to_01(picture).clamp(0, 1), masking.one_piece(raw)[0])]
        score_raw, measured[f"broken_{title.split()[-1]}_{name}"] = (iou(each, mask[None]).item() for each in (raw, masking.one_piece(raw)))  # fmt: skip
        print(f"{title:15s} {name:7s} IoU {measured[f'broken_{title.split()[-1]}_{name}']:.3f}, untidied {score_raw:.3f}")  # fmt: skip
show_images(rows, ["picture", "garment", "unet, untidied", "unet", "u2netp, untidied", "u2netp"], row_titles=list(broken), height=115,
            alt="Four hard pictures: white on white, two garments, a garment on a hanger, a person; the masks of both networks before and after tidying.")  # fmt: skip

# %% [markdown]
# - **White on white.** You can hardly see the garment either. What is found is what of the outline is left.
# - **Two garments.** Where a network keeps them apart, the tidying is the culprit: `one_piece` keeps the larger of two. It
#   rests on an assumption, *one garment a picture*, that is true in a shop's catalogue and nowhere else; `tidy=False`
#   switches it off. Networks have learnt the same assumption, and may grow a bridge between the two.
# - **A hanger.** The convention says no, and a hook isn't cloth. The training grounds have rods *behind* garments, not
#   hangers *in* them.
# - **Worn.** There is no right answer in the network's world: it was taught "the garment in the picture", and never saw
#   a person. What it marks is its guess at what stands out. For a worn garment one asks a *parser* (notebook 03).
#
# ## 18 Paper and code
#
# | | in the paper | in released code and data |
# |---|---|---|
# | DensePose, inputs of try-on | a map of parts with U and V | VITON-HD's folder: JPEG colours of the parts, 3 channels; HR-VITON feeds them as they are, and says that they can't be reproduced exactly and need not |
# | DensePose, U and V in O-VITON | numbers in [0, 1] | an open re-implementation casts them to bytes without scaling: all but the value 1 become 0 |
# | DensePose, channel order | I, U, V | files written by OpenCV: V, U, I for everybody else |
# | U2-Net, loss | seven terms with weights, all 1 | the sum; ours is the mean |
# | U2-Net, input | RGB | squashed to 320 x 320 whatever the aspect, **divided by the picture's largest value**, then ImageNet's mean and deviation |
# | U2-Net, output | probabilities | stretched: the smallest value of each picture becomes 0, the largest 1. An *empty* picture gets an object too |
# | garment masks of VITON-HD | not described | HR-VITON's authors name a tool of the family above; of the six that we have, one has a hole, the gap between a sleeve and the body |
#
# The stretch in the last but one line is the sort of thing that costs a day. Without it the published network looks
# timid; with it, it can never say "nothing here". `published_input` and `published_output` in `vtonlib.perceive.u2net`
# do what the release does; the course's own weights are used without.
#
# ## Numbers against their bands
#
# The last cell compares what you measured with what we did, with room for another machine.

# %% tags=["no-proof"]
check_bands("04", measured, profile=PROFILE)

# %% [markdown]
# ## Summary
#
# - DensePose gives every pixel of a person a **part and a place on it**. It describes the body below the cloth, and two
#   maps together are a correspondence.
# - **Classify first, then measure within the class**: in the renderer, in the network, in the loss. A mean across a
#   seam is a point that doesn't exist.
# - IUV goes into **lossless files**, in a known channel order. A coloured JPEG is for looking, and for networks that
#   only look.
# - Mirroring **moves, renames, and turns coordinates**; each of the three is forgotten now and then.
# - A carried texture is a try-on without a network. It knows the body and not the garment, and has holes where nobody
#   looked.
# - A threshold on colour needs contrast; **a shadow can be darker than the cloth**. Otsu finds the best cut of a
#   histogram, not the garment.
# - **One pixel of border** is about three hundredths of IoU at 256 x 192. State the size with the number.
# - U2-Net puts a **U into every stage** and a **loss on every depth**. Equal parameters, more time.
# - A mask is a **convention**: inside of the collar yes, hanger no, one garment a picture.
#
# ## Going further
#
# - Train with u = v = 0 *counted* on hats, and look at the heads. How far does the error reach?
# - Carry the texture with the *estimated* maps instead of the true ones: where does the picture get worse first?
# - Load the published `u2netp.pth` (`load_garment_mask("u2netp", weights=...)`) and put it in the table. It never saw a
#   garment in particular.
# - A mask has two kinds of errors, the wrong border and the wrong region. Write a measure that tells them apart (IoU
#   within a band around the outline, *boundary IoU*), and rank the methods again.
#
# ## Further reading
#
# - R. A. Güler, N. Neverova, I. Kokkinos, *DensePose: dense human pose estimation in the wild*, 2018.
# - N. Neverova, R. A. Güler, I. Kokkinos, *Dense pose transfer*, 2018: texture transfer, then a network that repairs.
# - A. Neuberger et al., *Image based virtual try-on network from unpaired data* (O-VITON), 2020: I, U and V as an
#   input.
# - S. Lee et al., *High-resolution virtual try-on with misalignment and occlusion-handled conditions* (HR-VITON), 2022:
#   coloured parts as an input.
# - O. Ronneberger, P. Fischer, T. Brox, *U-Net*, 2015.
# - X. Qin et al., *U2-Net: going deeper with nested U-structure for salient object detection*, 2020.
# - M. S. Lee, W. Shin, S. W. Han, *TRACER: extreme attention guided salient object tracing network*, 2022.
# - N. Otsu, *A threshold selection method from gray-level histograms*, 1979.
# - In this course: notebook 03 for parsing, 05 for what is made from DensePose and masks, 12 for O-VITON.
