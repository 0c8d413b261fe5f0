# %% [markdown]
# # 02 Pose: keypoints, heatmaps, skeletons, and a network that finds them
#
# A try-on network has to know how somebody stands: where the shoulders are, which way an elbow bends, whether a hand
# lies on the hip. Every system in this course gets that from a handful of **keypoints**, and each turns them into
# something else before a network sees them. After this notebook you can
#
# - read what the pose estimator OpenPose writes, tell *hidden* from *outside* from *missing*, and go from its 25 joints
#   to the 18 of older systems;
# - say where exactly a keypoint lies, and keep it there when the picture is resized;
# - say what a map has that a list of numbers lacks, and show it in an experiment;
# - draw squares, discs and Gaussians by hand and then without a loop, equal to the library's;
# - read a map **backwards**, to a fraction of a pixel, and measure what each kind of map has lost;
# - draw and judge the coloured skeleton: what it keeps that heatmaps don't, and the other way round;
# - score a pose with PCK, and name what this score can't see;
# - build a network that goes from a photograph to 67 keypoints: why it is an hourglass, what it is asked while it
#   learns, and what it sees when it is barely trained;
# - read its maps, ask the mirror for a second opinion, and judge body, hands and hips with numbers that are fair;
# - write OpenPose's JSON and read that of others;
# - break all of it on purpose.
#
# **Two parts.** Sections 1 to 11 are about the representation and need no trained network; sections 12 to 17 build the
# estimator. Plan two hours with four exercises for the first, an hour and a half with two for the second. The machine
# needs about a minute and a half.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from ipywidgets import Dropdown, FloatSlider, interact
from PIL import Image, ImageDraw
from torch import nn

from vtonlib import course, labels
from vtonlib.checkpoints import WEIGHTS_FOLDER, read_metadata
from vtonlib.course import Check, check_bands, compare, overlay, pick, show_figure, show_images, to_01
from vtonlib.data import open_dataset
from vtonlib.layouts.files import DamagedFile, encode_keypoints, read_keypoints, read_parse
from vtonlib.metrics import iou
from vtonlib.perceive.keypoints import blur, decode_heatmaps, pck, torso_length
from vtonlib.perceive.pose import (
    POINTS_MIRROR,
    PoseConfig,
    PoseNet,
    heatmaps_of,
    load_pose,
    log_probabilities,
    point_sigmas,
    shift_hips,
)
from vtonlib.represent import draw_skeleton, pose_heatmaps, skeleton_picture
from vtonlib.studio.session import Sitting, top_of
from vtonlib.systems.pose_data import PoseAugmentation, augment_pose, pose_batch
from vtonlib.systems.pose_scores import fit_hips, leave_one_out
from vtonlib.systems.pose_training import target_maps
from vtonlib.training import resolve_device

settings = course.profile(PROFILE)
root = course.ensure_data(settings)
people = open_dataset(root, split="test", pairing="paired", size=settings.size)
measured = {}  # numbers that the last cell compares with their bands
print(f"{len(people)} test people, {settings.size[0]} x {settings.size[1]} pixels (height x width)")

# %% [markdown]
# ## The problem in one picture
#
# Below, one person four times: the photograph; the keypoints, joined by bones; the same keypoints as **heatmaps**, 18
# pictures with one bright spot each, here laid over one another; and as a **skeleton picture**, whose colours tell the
# bones apart.
#
# The keypoints are the source. The other two are what networks are fed with: heatmaps in VITON, CP-VTON and MG-VTON,
# the skeleton picture in VITON-HD and MV-VTON. All three hold the *pose* and nothing of the clothes, which is why
# notebook 05 will build a person's description on them. Of the first test people we show the one with most points of
# the hands in view.

# %%
samples = [people[index] for index in range(min(settings.samples, len(people), 24))]
sample = max(samples, key=lambda one: (one.hands[..., 2] > 0).sum())
photograph, height = to_01(sample.person), sample.size[0]
union = pose_heatmaps(sample.pose, sample.size, "gaussian", 3 * height / 256).amax(0)
pictures = [photograph, course.draw_pose(photograph, sample.pose), union, skeleton_picture(sample)]
titles = ["photograph", "keypoints and bones", "18 heatmaps, laid over one another", "skeleton picture"]
alt = "A person; the same with dots at the joints; bright spots on black; a coloured stick figure with fingers."
show_images(pictures, titles, alt=alt)

# %% [markdown]
# ## 1 What a pose estimator writes
#
# **OpenPose** (Cao et al. 2019) is the estimator that made most data sets of this field. It looks at a photograph and
# writes, for each person,
#
# - **25 body joints** in an order called **BODY_25**: nose, neck, both arms, mid-hip, both legs, eyes and ears, feet;
# - **21 points a hand**, found by a second network (Simon et al. 2017): the wrist, then four points each, from base to
#   tip, for thumb, index, middle, ring and little finger;
# - 70 points of the face, if asked. The course doesn't need them.
#
# Each point is a triple: x, y and a **confidence**. The triples stand in a JSON file, one flat list for each part. Left
# and right are the person's own: whoever looks at you has the right shoulder on the *left* of the picture.
#
# The studio writes the same files. We open one with nothing but Python's `json`. 75 numbers are 25 triples, 63 numbers
# are 21 triples. The data sets of 2018 have the same idea under other names: VITON's JSON calls its list
# `pose_keypoints` (no `_2d`) and has 18 triples. Dress Code has 18 rows of *four* numbers, for a picture of 384 x 512
# whatever the size of the photograph. Read a file before you trust a loader.
#
# Then we draw all the points of this person with their numbers, also those that the picture doesn't show.

# %%
folder = root / "test" / "openpose_json"
document = json.loads((folder / f"{sample.name}_keypoints.json").read_text(encoding="utf-8"))
person = document["people"][0]
print("version", document["version"], "|", len(document["people"]), "person | keys:")
print({key: len(value) for key, value in person.items() if "2d" in key})
print("the first two points:", person["pose_keypoints_2d"][:6])

# %%
body = torch.tensor(person["pose_keypoints_2d"]).reshape(25, 3)
hands = [torch.tensor(person[f"hand_{side}_keypoints_2d"]).reshape(21, 3) for side in ("left", "right")]


def plot_points(axis, points, bones):
    """Numbered points: green = visible, orange = hidden behind something, white = outside of the picture."""
    for bone in bones:
        axis.plot(*points[list(bone), :2].T, color="0.75", lw=1)
    for index, (x, y, confidence) in enumerate(points.tolist()):
        fill = "limegreen" if confidence > 0.5 else "orange" if confidence > 0 else "white"
        axis.plot(x, y, "o", color=fill, markeredgecolor="0.3", markersize=5)
        axis.annotate(str(index), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)


figure, axes = course.new_figure(1, 2, size=(7.6, 6.0))
axes[0].imshow(photograph.mean(0), cmap="gray", alpha=0.5)
plot_points(axes[0], body, labels.BODY_25_LIMBS)
plot_points(axes[1], max(hands, key=lambda points: points[:, 2].sum()), labels.HAND_LIMBS)
axes[0].set(title="BODY_25", aspect="equal", ylim=(body[:, 1].max() + 5, -5))
axes[1].set(title="a hand: 0 wrist, 1 to 4 thumb, 17 to 20 little finger", aspect="equal")
axes[1].invert_yaxis()
show_figure(
    figure, alt="A person with joints 0 to 24, knees and feet below the picture's edge; a hand with points 0 to 20."
)

# %% [markdown]
# There are four kinds of points, and a file tells them apart by the confidence only:
#
# | | in the studio's files | in OpenPose's own files |
# |---|---|---|
# | **visible** (green) | 0.95 | roughly 0.5 to 1; for hands now and then a little above 1 |
# | **hidden** behind an arm or a fold (orange) | 0.35; the place is exact | lower, and the place is a guess |
# | **outside** of the picture (white) | 0; the coordinates are kept | mostly written as missing, but fingers below the edge come with a confidence above 0 |
# | **missing**: not found | does not occur | exactly (0, 0, 0) |
#
# So a confidence of 0 means *don't draw this*, and a place outside the picture means the same, whatever the confidence
# says. The course's reader, `read_keypoints`, makes one rule of both: **a point outside keeps its coordinates and gets
# the confidence 0.** Why keep the coordinates? Because a bone that leaves the picture still has a direction: notebook
# 05 erases arms along it.
#
# How often does each kind occur? We read the files of all test people and count.

# %%
files = sorted(folder.glob("*_keypoints.json"))
poses = torch.stack([torch.from_numpy(read_keypoints(file, settings.size)[0]) for file in files])  # (N, 25, 3)
sure = poses[..., 2]
kinds = {"visible": sure > 0.5, "hidden": (sure > 0) & (sure <= 0.5), "outside": sure == 0}
for name in ("nose", "right-elbow", "right-wrist", "left-elbow", "left-wrist", "right-hip", "right-knee"):
    shares = {kind: mask[:, labels.BODY_25_INDEX[name]].float().mean() for kind, mask in kinds.items()}
    print(f"{name:12s}", ", ".join(f"{kind} {share:4.0%}" for kind, share in shares.items()))
measured["seen_share"] = (sure > 0).float().mean().item()

# %% [markdown]
# The studio frames people as shops do, from the head to the thighs. So knees and feet are always outside. Elbows and
# wrists are *sometimes*, and that is what a try-on has to cope with. Hips are often hidden: they lie under the top,
# which also means that an estimator has to guess them.
#
# ### From 25 to 18
#
# VITON and CP-VTON used an older OpenPose with the joints of the COCO data set plus a neck: **COCO-18**. BODY_25 is the
# same list with the mid-hip inserted at place 8 and six points of the feet at the end. Going back means dropping these,
# with the index map
#
# `0 1 2 3 4 5 6 7 | 9 10 11 12 13 14 | 15 16 17 18`
#
# Nothing is averaged, nothing is moved. It is still a place for a silent bug. Whoever takes *the first 18* keeps the
# mid-hip, loses the left ear, and has every joint from the right hip on in the wrong channel: the channel of the right
# knee then shows the right hip. All shapes fit, nothing complains.
#
# **Exercise 1: from the file to 18 joints.** *about 10 minutes, difficulty 2 of 5.* Write `coco_pose(document, size)`.
# It takes the JSON document and the size of the picture, (height, width), and returns the 18 joints of the first person
# in the order COCO-18. A joint outside the picture keeps its coordinates and gets the confidence 0. The picture reaches
# from -0.5 to width - 0.5 across, and from -0.5 to height - 0.5 down: the pixel (0, 0) has its *centre* at 0.
#
# What to expect: the same as the library's reader followed by the index map.
#
# <details><summary>Hint 1</summary><code>torch.tensor(list).reshape(-1, 3)</code> makes rows of three. Indexing rows with
# <code>list(labels.COCO_18_FROM_BODY_25)</code> picks and orders them in one step.</details>
# <details><summary>Hint 2</summary>Four comparisons joined by <code>|</code> make a mask (18,) of what lies outside;
# <code>pose[outside, 2] = 0</code>. Don't ask whether x and y are 0: in the corner of a picture there may be a
# hand.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "coco-pose", "grade": false, "solution": true, "locked": false, "task": false}
def coco_pose(document, size):
    """OpenPose JSON document (BODY_25), size (height, width) -> (18, 3) float32 x, y, confidence in the order COCO-18.

    The first person's. Outside [-0.5, width - 0.5] x [-0.5, height - 0.5] the confidence is 0; coordinates are kept.
    """
    ### BEGIN SOLUTION
    height, width = size
    points = torch.tensor(document["people"][0]["pose_keypoints_2d"], dtype=torch.float32).reshape(-1, 3)
    pose = points[list(labels.COCO_18_FROM_BODY_25)]
    x, y = pose[:, 0], pose[:, 1]
    outside = (x < -0.5) | (x > width - 0.5) | (y < -0.5) | (y > height - 0.5)
    pose[outside, 2] = 0
    return pose
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "coco-pose_toy", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def library_coco_pose(document, size):
    """The same by way of a file and the library's reader."""
    with tempfile.TemporaryDirectory() as place:
        file = Path(place, "pose.json")
        file.write_text(json.dumps(document), encoding="utf-8")
        return torch.from_numpy(read_keypoints(file, size)[0])[list(labels.COCO_18_FROM_BODY_25)]


def document_of(pose):
    """The JSON document that holds a pose (25, 3)."""
    return json.loads(encode_keypoints(pose.numpy(), None))


def check_coco_pose(function):
    toy_pose = torch.tensor([[float(index), 2.0, 0.9] for index in range(25)])  # x tells the joint
    pose = function(document_of(toy_pose), (12, 16))
    assert pose.shape == (18, 3), f"expected 18 rows of x, y, confidence, got shape {tuple(pose.shape)}"
    compare("x of the 18 joints", pose[:, 0], torch.tensor([*range(8), *range(9, 19)]).float())
    seen = pose[:, 2] > 0
    assert seen.tolist() == [True] * 15 + [False] * 3, f"x up to 15.5 lies in a picture 16 wide, got {seen.tolist()}"


with Check("coco_pose: the order, and what lies outside"):
    check_coco_pose(coco_pose)
### BEGIN HIDDEN TESTS
with Check("coco_pose: the corner, below the edge, missing"):
    tricky = torch.full((25, 3), 5.0)
    tricky[0], tricky[3], tricky[4], tricky[7] = torch.tensor(
        [[0.0, 0.0, 0.8], [0, 0, 0], [3.0, 11.6, 0.7], [-0.4, 11.4, 0.3]]
    )
    found = coco_pose(document_of(tricky), (12, 16))[[0, 3, 4, 7]]
    compare("confidences", found[:, 2], torch.tensor([0.8, 0.0, 0.0, 0.3]))
    compare("coordinates are kept", found[:, :2], tricky[[0, 3, 4, 7], :2])
### END HIDDEN TESTS

# %%
coco_pose = pick(coco_pose, library_coco_pose, check_coco_pose)
compare("18 joints, ours and library's", coco_pose(document, settings.size), library_coco_pose(document, settings.size))
COCO_18 = tuple(labels.BODY_25[index] for index in labels.COCO_18_FROM_BODY_25)
print(COCO_18)

# %% [markdown]
# > **Paper and code.** The loaders of CP-VTON and VITON-HD read `people[0]` and look no further. Nobody found: an
# > `IndexError` in the middle of training. Two people in the picture: whoever is listed first, and that need not be the
# > one in front. The course's reader refuses both and names the file.
#
# ## 2 Where exactly is a keypoint?
#
# Convention of the course: **index coordinates**. The centre of the first pixel is (0, 0), the centre of the next (1,
# 0). A picture that is $W$ pixels wide reaches from -0.5 to $W - 0.5$. OpenPose's files hold these, too.
#
# Resize the picture by a factor $s$, and every keypoint has to follow. To where? On paper, with four pixels that become
# two: the first new pixel covers the old pixels 0 and 1, so its centre, 0, lies where 0.5 was. The second covers 2 and
# 3: 1 lies where 2.5 was. Hence
#
# $$x' = (x + 0.5)\,s - 0.5,$$
#
# which sends 0.5 to 0 and 2.5 to 1. The tempting $x' = s\,x$ sends 0.5 to 0.25, too far by $(1 - s)/2$ of a *new*
# pixel. Don't believe it, measure it: we draw a soft spot at a known place, reduce the picture by averaging blocks of
# pixels, and ask for the spot's **centroid**, its centre of mass.


# %%
def resize_pose(pose, factor):
    """Keypoints (..., 3) of a picture that is resized by `factor`. Convention: index coordinates; confidence stays."""
    return torch.cat([(pose[..., :2] + 0.5) * factor - 0.5, pose[..., 2:]], -1)


# %%
def centroid(maps):
    """Centre of mass (..., 2), x and y, of maps (..., H, W); NaN for an empty map."""
    across, down = torch.arange(maps.shape[-1]).float(), torch.arange(maps.shape[-2]).float()
    return torch.stack([maps.sum(-2) @ across, maps.sum(-1) @ down], -1) / maps.sum((-2, -1))[..., None]


spot = torch.tensor([[101.3, 90.8, 1.0]]).repeat(18, 1)
large = pose_heatmaps(spot, (256, 192), "gaussian", 8.0)[:1]
for times in (2, 4, 8):
    centre, right = centroid(F.avg_pool2d(large, times))[0, 0].item(), resize_pose(spot, 1 / times)[0, 0].item()
    print(f"x = 101.3, 1/{times}: measured {centre:.3f}, formula {right:.3f}, naive {101.3 / times:.3f}")
measured["half_pixel_gap"] = centre - right

# %%
poses = resize_pose(poses[:60], 256 / settings.size[0])[:, list(labels.COCO_18_FROM_BODY_25)]  # (N, 18, 3)
seen = poses[..., 2] > 0
RADII = {"square": 5.0, "disc": 4.0, "gaussian": 3.0}  # in a picture 256 high


def at(height, kind, pose=poses):
    """Heatmaps (..., 18, height, height * 3 / 4) of poses given at 256 x 192; the radius follows the picture's size."""
    factor = height / 256
    return pose_heatmaps(resize_pose(pose, factor), (height, height * 3 // 4), kind, RADII[kind] * factor)


print("maps of everybody:", tuple(at(64, "gaussian").shape), "= (people, joints, height, width)")

# %% [markdown]
# The formula is right to the last digit. The naive one is off by 0.25, 0.375, 0.44 pixels of the small picture; at 1/8
# that is three and a half pixels of the large one. Who resizes naively both ways never notices, as the errors cancel
# among keypoints. They don't cancel between the keypoints and the *picture*, and there a network meets a constant
# offset.
#
# From here on all poses of this notebook, of at most 60 people, refer to a picture of 256 x 192, whatever the profile,
# and `at(height, kind)` draws their maps at any other size.
#
# ## 3 Why maps? Why not 36 numbers?
#
# 18 joints are 36 numbers. 18 heatmaps at 256 x 192 are 884,736. Why would anybody blow up the data by a factor of
# 24,576?
#
# Because of what a convolution can do. It applies the same small filter everywhere, so whatever it has learned *here*
# it knows *there*: move the input, and the output moves along. This is called **translation equivariance**,
#
# $$f(\mathrm{shift}(\text{maps})) = \mathrm{shift}(f(\text{maps})).$$
#
# For that, the pose must *lie on the picture*: then moving the person and moving the maps are one and the same thing.
# In a list of numbers, moving the person changes 18 entries, and a network has to learn from examples that this means
# "the same, over there". First the property itself: three pixels to the right, then random filters. Nothing here has
# been trained.

# %%
still = resize_pose(poses[0], 1 / 8)  # in a picture of 32 x 24
moved = still + torch.tensor([3.0, 0.0, 0.0])
before, after = (pose_heatmaps(pose, (32, 24), "gaussian", 1.0) for pose in (still, moved))
compare("maps of the moved person", after[..., 3:], before[..., :-3])
filters = torch.randn(4, 18, 5, 5, generator=torch.Generator().manual_seed(0))
compare("after random filters", F.conv2d(after, filters)[..., 3:], F.conv2d(before, filters)[..., :-3], atol=1e-4)

# %% [markdown]
# ### An experiment
#
# Does it matter in practice? Here is a task that CP-VTON, MG-VTON and VITON-HD all solve in one way or another: given
# the pose, *where will the top be?* The target is the mask of the worn top, reduced to 32 x 24. Three students:
#
# 1. **numbers**: a fully connected network with 54 inputs (x, y, and seen or not) and 768 outputs, one a pixel;
# 2. **shifted**: the same, but during training everybody is moved left or right at random, so that it *can* learn what
#    moving means;
# 3. **maps**: four small convolutions on 18 Gaussian maps of 32 x 24.
#
# All see the same people of the train split, for the same number of steps. The examination is held on the test split:
# people as they stand, and the same people moved to the side, up to a quarter of the picture's width. Before you run
# it, guess: who is best where?


# %% tags=["no-proof"]
def load_lessons(split, most=180):
    """Poses (N, 18, 3) and masks of the top (N, 1, 32, 24) in [0, 1], both for a picture of 32 x 24."""
    pose, masks = [], []
    for file in sorted((root / split / "openpose_json").glob("*_keypoints.json"))[:most]:
        name = file.name.removesuffix("_keypoints.json")
        parse = torch.from_numpy(read_parse(root / split / "image-parse-v3" / f"{name}.png", settings.size))
        masks.append(torch.isin(parse, torch.tensor(labels.TOP_LABELS)).float())
        pose.append(torch.from_numpy(read_keypoints(file, settings.size)[0])[list(labels.COCO_18_FROM_BODY_25)])
    masks = F.adaptive_avg_pool2d(torch.stack(masks)[:, None], (32, 24))
    return resize_pose(torch.stack(pose), 32 / settings.size[0]), masks


def move(pose, masks, right):
    """Everybody moved to the right (left if negative) by whole pixels; who leaves the picture is not seen any more."""
    pose = pose + torch.tensor([float(right), 0.0, 0.0])
    outside = (pose[..., 0] < -0.5) | (pose[..., 0] > 23.5)
    pose[..., 2] = pose[..., 2].masked_fill(outside, 0)
    return pose, F.pad(masks, (right, -right, 0, 0))


lessons, examination = load_lessons("train"), load_lessons("test")
print(len(lessons[0]), "lessons,", len(examination[0]), "in the examination")


def as_numbers(pose):
    """(N, 54): x and y in [-1, 1] and 1 for each joint that is seen, zeros for others."""
    known = (pose[..., 2:] > 0).float()
    return (torch.cat([pose[..., :2] / torch.tensor([12.0, 16.0]) - 1, known], -1) * known).flatten(1)


def as_maps(pose):
    return pose_heatmaps(pose, (32, 24), "gaussian", 1.0)


def fully_connected():
    return nn.Sequential(nn.Linear(54, 256), nn.ReLU(), nn.Linear(256, 768), nn.Unflatten(1, (1, 32, 24)))


def convolutional(width=12):
    """Four convolutions 5 x 5 with zero padding, 18 channels in and one out."""
    layers = [nn.Conv2d(channels, width, 5, padding=2) for channels in (18, width, width)]
    return nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())), nn.Conv2d(width, 1, 5, padding=2))


# %% tags=["no-proof"]
def train(build, view, shift=0, steps=120):
    """Adam on the binary cross-entropy, 32 people a step; shift: largest random move, in pixels. -> pose to mask."""
    torch.manual_seed(0)
    network, random = build(), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(network.parameters(), 3e-3)
    for _ in range(steps):
        chosen = torch.randint(len(lessons[0]), (32,), generator=random)
        right = int(torch.randint(-shift, shift + 1, (1,), generator=random))
        pose, masks = move(lessons[0][chosen], lessons[1][chosen], right)
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(network(view(pose)), masks).backward()
        optimiser.step()
    print(f"{sum(p.numel() for p in network.parameters()):7,} parameters trained on {view.__name__}, shift {shift}")
    return lambda pose: (network(view(pose)).detach() > 0).float()


# %% tags=["no-proof"]
students = {"numbers": train(fully_connected, as_numbers), "shifted": train(fully_connected, as_numbers, shift=6),
            "maps": train(convolutional, as_maps)}  # fmt: skip
moves, marks = range(7), {}
for name, student in students.items():
    exams = [move(*examination, right) for right in moves]
    marks[name] = [iou(student(pose), (masks > 0.5).float()).mean().item() for pose, masks in exams]
    measured[f"iou_{name}"], measured[f"iou_{name}_moved"] = marks[name][0], marks[name][-1]
    print(f"{name:8s} IoU as they stand {marks[name][0]:.2f}, moved by a quarter of the width {marks[name][-1]:.2f}")

# %% tags=["no-proof"]
figure, axis = course.new_figure(size=(5.6, 2.6))
for name, line in marks.items():
    axis.plot(moves, line, "o-", label=name)
axis.set(xlabel="everybody moved to the right by ... pixels (of 24)", ylabel="IoU of the top", ylim=(0, 1))
axis.legend()
show_figure(
    figure, alt="IoU against the move: maps stay level, numbers fall, numbers trained with shifts are lower and level."
)

# %% tags=["no-proof"]
pose, masks = move(examination[0][:1], examination[1][:1], 6)
pictures = [as_maps(pose)[0].amax(0), masks[0], *(student(pose)[0] for student in students.values())]
titles = ["pose, moved", "the top", *students]
show_images(pictures, titles, height=150, alt="A moved pose, the mask of the top there, and three predictions of it.")

# %% [markdown]
# As they stand, there is little between *numbers* and *maps*: people are framed alike, and that suits the numbers.
# Moved, *numbers* draws the top where tops used to be. *Shifted* has learned to follow, and pays for it, since the same
# network now has to know every position: with as many steps it is behind from the start. *Maps* doesn't notice the
# move, and has a fraction of the parameters. No augmentation taught it that; it cannot do otherwise.
#
# Two honest remarks. Convolutions with zero padding can feel the border, so equivariance ends there. And numbers are
# not wrong everywhere: where *attention* mixes all places anyway, a short list of vectors is fine. MV-VTON's networks
# turn the skeleton picture into 256 of them (notebook 13).
#
# ## 4 Three shapes
#
# ### By hand
#
# A map of 6 x 4 pixels and a joint at $(x, y) = (3.4, 1.6)$: between columns 3 and 4, between rows 1 and 2.
#
# - **Square**, radius 1 (CP-VTON: 5). From $x - 1$ to $x + 1$ and from $y - 1$ to $y + 1$, as Pillow's `rectangle`
#   draws it: fractions are cut off, both ends are included. 2.4 to 4.4 gives columns 2 to 4; 0.6 to 2.6 gives rows 0 to
#   2. With radius 5 that makes 11 x 11 pixels.
# - **Disc**, radius 1.5 (MG-VTON: 4). 1 where $(c - x)^2 + (r - y)^2 \le 1.5^2$ for column $c$ and row $r$. Do two on
#   paper: the pixel (2, 1) has $1.4^2 + 0.6^2 = 2.32$, more than 2.25, so 0. The pixel below, (2, 2), has $1.4^2 +
#   0.4^2 = 2.12$: 1.
# - **Gaussian**, $\sigma = 1$: $\exp(-d^2 / 2\sigma^2)$. For the pixel (3, 2) we have $d^2 = 0.4^2 + 0.4^2 = 0.32$ and
#   $e^{-0.16} = 0.85$.
#
# The second cell lets a joint walk from x = 7 to x = 8 in five steps, on larger maps. Each row is one kind.

# %%
# NBVAL_CHECK_OUTPUT
joint_x, joint_y = 3.4, 1.6
canvas = Image.new("L", (6, 4))
ImageDraw.Draw(canvas).rectangle((joint_x - 1, joint_y - 1, joint_x + 1, joint_y + 1), fill=1)
squared = [[(column - joint_x) ** 2 + (row - joint_y) ** 2 for column in range(6)] for row in range(4)]
toy = {"square": torch.tensor(np.array(canvas)).float()}
toy["disc"] = torch.tensor([[float(d <= 1.5**2) for d in row] for row in squared])
toy["gaussian"] = torch.tensor([[math.exp(-d / 2) for d in row] for row in squared])
for name, table in toy.items():
    print(f"{name}:", *(" ".join(f"{value:4.2f}" for value in row) for row in table.tolist()), sep="\n  ")

# %%
places = (7.0, 7.25, 7.5, 7.75, 8.0)
walk = torch.tensor([[place, 5.0, 1.0] for place in places] + [[0.0, 0.0, 0.0]] * 13)
shapes = {"square": 3, "disc": 3, "gaussian": 1.8}
rows = [list(pose_heatmaps(walk, (11, 16), kind, radius)[:5]) for kind, radius in shapes.items()]
alt = "Squares that don't change until x = 8 and then jump; discs whose outline changes; Gaussians that glide."
show_images(rows, [f"x = {place}" for place in places], row_titles=list(shapes), height=100, alt=alt)

# %% [markdown]
# Look for the joint in the tables. In the square you would say (3, 1): the middle of a 3 x 3 block. In the disc there
# is a hint: its fullest row is row 2. The Gaussian's largest value is at (3, 2), and the numbers around it lean to the
# right and up. Keep that in mind for section 5.
#
# And the walk: the square stands still and then jumps, as truncation forgets the fraction. The disc changes its
# *outline*, a few pixels at a time. The Gaussian glides, and every pixel of it changes a little. So the three don't
# hold the same information, although all say "about here".
#
# For CP-VTON's warp with its 25 control points that hardly matters. For a network that is trained to *produce* maps it
# matters a great deal. A square as a target asks for a hard edge at a place that jumps; a Gaussian's values tell the
# network how far it is off. So estimators are trained on Gaussians.
#
# ### Without a loop
#
# All three need only a *row* of numbers, one for each column of pixels, and a *column* of numbers, one for each row:
#
# - the square is an **and** of two stripes (notebook 05 has it as an exercise);
# - the Gaussian is a **product**, since $e^{a + b} = e^a e^b$: $\exp(-\tfrac{(c-x)^2}{2\sigma^2}) \cdot
#   \exp(-\tfrac{(r-y)^2}{2\sigma^2})$, one row times one column;
# - the disc is neither, but $(c-x)^2 \le \rho^2 - (r-y)^2$ is a **comparison** of a row with a column.
#
# That is a statement about shapes: 18 joints at 256 x 192 take 18 · 448 = 8,064 exponentials instead of 884,736. It is
# also one about the maps: as matrices, square and Gaussian have rank 1. The disc has not, as we will see.
#
# **Exercise 2: discs.** *about 15 minutes, difficulty 3 of 5.* Write `disc_heatmaps(pose, size, radius)` for any number
# of leading dimensions. A joint with the confidence 0 has an empty map.
#
# What to expect: the disc of the toy; and for a joint that is not seen not one lonely pixel.
#
# <details><summary>Hint 1</summary><code>x = pose[..., 0, None]</code> has the shape (..., K, 1). Subtracted from an arange of the columns it
# gives (..., K, W). Square it. The same for the rows: (..., K, H).</details>
# <details><summary>Hint 2</summary><code>down[..., :, None] + across[..., None, :]</code> is (..., K, H, W): compare with the radius
# squared. Join with <code>(pose[..., 2] &gt; 0)[..., None, None]</code> by <code>&amp;</code>.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "discs", "grade": false, "solution": true, "locked": false, "task": false}
def disc_heatmaps(pose, size, radius=4.0):
    """pose (..., K, 3) x, y, confidence -> (..., K, H, W) float32 in {0, 1}: 1 within `radius`; size = (height, width).

    Convention: index coordinates, the centre of the first pixel is (0, 0). The radius itself is included.
    """
    ### BEGIN SOLUTION
    height, width = size
    across = (torch.arange(width) - pose[..., 0, None]) ** 2
    down = (torch.arange(height) - pose[..., 1, None]) ** 2
    inside = down[..., :, None] + across[..., None, :] <= radius**2
    return (inside & (pose[..., 2] > 0)[..., None, None]).float()
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "discs_toy", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def library_discs(pose, size, radius=4.0):
    """The library's, for 18 or 25 joints."""
    return pose_heatmaps(pose, size, "disc", radius)


def check_discs(function):
    pose = torch.zeros(18, 3)
    pose[4] = torch.tensor([joint_x, joint_y, 0.4])  # one joint is seen, not very surely
    maps = function(pose, (4, 6), radius=1.5)
    assert maps.shape == (18, 4, 6), f"expected shape (18, 4, 6), got {tuple(maps.shape)}"
    compare("the toy", maps[4], toy["disc"])
    assert maps.sum() == maps[4].sum(), "17 joints were not seen: their maps should be empty"


with Check("discs: the toy, one joint out of 18"):
    check_discs(disc_heatmaps)
### BEGIN HIDDEN TESTS
with Check("discs: a batch, whole coordinates, outside of the picture"):
    batch = torch.tensor([[[5.0, 5.0, 1.0], [-1.0, 4.0, 1.0]], [[2.5, 9.2, 0.3], [0.0, 0.0, 0.0]]])
    maps = disc_heatmaps(batch, (12, 11), radius=2.0)
    assert maps.sum((2, 3)).tolist() == [[13, 4], [14, 0]], f"pixels of four discs: {maps.sum((2, 3)).tolist()}"
### END HIDDEN TESTS


# %%
def gaussian_heatmaps(pose, size, sigma=3.0):
    """pose (..., K, 3) -> (..., K, H, W) float32 in [0, 1]: one row times one column."""
    across = torch.exp((torch.arange(size[1]) - pose[..., 0, None]) ** 2 / (-2 * sigma**2))
    down = torch.exp((torch.arange(size[0]) - pose[..., 1, None]) ** 2 / (-2 * sigma**2))
    return down[..., :, None] * (across * (pose[..., 2:] > 0))[..., None, :]


disc_heatmaps = pick(disc_heatmaps, library_discs, check_discs)
compare("discs, ours and library's", disc_heatmaps(poses[:4], (256, 192)), at(256, "disc", poses[:4]))
compare("Gaussians, ours and theirs", gaussian_heatmaps(poses[:4], (256, 192)), at(256, "gaussian", poses[:4]))
print("rank of a nose as a matrix:", {kind: torch.linalg.matrix_rank(at(256, kind)[0, 0]).item() for kind in RADII})

# %% [markdown]
# ### The radius belongs to the picture
#
# "11 x 11" and "radius 4" are pixels of a picture 256 high; the papers say nothing about other sizes. Below, the upper
# row has a radius of 5 pixels whatever the picture; in the lower row it is scaled with the height.

# %%
pose_256 = resize_pose(coco_pose(document, settings.size), 256 / height)  # our person at 256 x 192
sizes, rows = [(high, high * 3 // 4) for high in (64, 128, 256)], []
for radii in ([5.0, 5.0, 5.0], [5.0 / 4, 5.0 / 2, 5.0]):
    maps = [pose_heatmaps(resize_pose(pose_256, s[0] / 256), s, "square", r).amax(0) for s, r in zip(sizes, radii)]
    small = [F.interpolate(photograph[None], s, mode="bilinear", antialias=True)[0].clamp(0, 1) for s in sizes]
    rows.append([overlay(picture, union, alpha=0.8) for picture, union in zip(small, maps)])
alt = "A person with squares at three sizes: with a fixed radius they cover the small picture, scaled they look alike."
show_images(rows, [f"{s[0]} x {s[1]}" for s in sizes], row_titles=["radius 5", "scaled"], height=180, alt=alt)

# %% [markdown]
# Unscaled, the squares of a small picture swallow each other. And a network that was trained on one size sees something
# else at another. The course scales everywhere (notebook 05). But look at what shrinking does to a *disc*: with a
# radius below $\sqrt{1/2} \approx 0.71$ it can fall between four pixels and be **empty**. We will count how often.
#
# ## 5 Reading a map backwards
#
# A map is drawn from a point. Can we get the point back? An estimator predicts maps, and somebody has to turn them into
# keypoints, so we need that anyway. It is also the fairest way to ask what a map *holds*. Three ways:
#
# - **argmax**: the brightest pixel. Whole pixels only, and in a flat square it is whichever comes first.
# - **centroid**: the centre of mass, as in section 2.
# - **parabola**: the brightest pixel and its two neighbours, in the *logarithm*. For a Gaussian, $\log h = -(c - x)^2 /
#   2\sigma^2 + \dots$ is a parabola in $c$, and three values determine a parabola and its vertex. With $l_-$, $l_0$,
#   $l_+$ before, at and after the brightest pixel $c_0$,
#
# $$x = c_0 + \frac{l_- - l_+}{2\,(l_- - 2\,l_0 + l_+)} .$$
#
# The toy: row 2 has its maximum at column 3. The logarithms at columns 2, 3, 4 are $-\tfrac12 (1.4^2 + 0.4^2) = -1.06$,
# then $-0.16$ and $-0.26$. So $\frac{-1.06 + 0.26}{2\,(-1.06 + 0.32 - 0.26)} = \frac{-0.80}{-2.00} = 0.4$ and $x =
# 3.4$. The point is back, exactly, and we didn't need to know $\sigma$.
#
# **Exercise 3: decode.** *about 20 minutes, difficulty 4 of 5.* Write `decode(heatmaps)` with the parabola, in x and in
# y. Return the pose's own format: x, y and a confidence, for which we take the **height of the peak**. An empty map
# then has the confidence 0 by itself; its x and y mean nothing.
#
# Two details decide whether it works. Where the brightest pixel lies at the border, it has one neighbour only: move all
# three inwards by a pixel, the parabola is the same. And where the three are equal (a plateau), the denominator is 0:
# stay at the middle one.
#
# What to expect: the joints that we drew, to a thousandth of a pixel. Then we measure all three ways: everybody's
# joints, drawn as each kind of map at four sizes, read back, and taken back to 256 x 192. The error is the distance to
# the true joint in *those* pixels; at height 64 one pixel of the map is four of them.
#
# <details><summary>Hint 1</summary><code>peak, place = heatmaps.flatten(-2).max(-1)</code>; then x is <code>place % width</code> and y is
# <code>place // width</code>. <code>clamp(1, width - 2)</code> moves the three inwards.</details>
# <details><summary>Hint 2</summary>The value at (x, y) of every map is
# <code>heatmaps.flatten(-2).gather(-1, (y * width + x)[..., None])[..., 0]</code>; before the logarithm,
# <code>clamp(min=1e-12)</code>. Wrap that in a small function of x and y.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "decode", "grade": false, "solution": true, "locked": false, "task": false}
def decode(heatmaps):
    """heatmaps (..., H, W) >= 0, H and W >= 3 -> keypoints (..., 3): x, y in index coordinates, height of the peak."""
    ### BEGIN SOLUTION
    height, width = heatmaps.shape[-2:]
    peak, place = heatmaps.flatten(-2).max(-1)
    x, y = (place % width).clamp(1, width - 2), (place // width).clamp(1, height - 2)

    def value(column, row):
        picked = heatmaps.flatten(-2).gather(-1, (row * width + column)[..., None])[..., 0]
        return picked.clamp(min=1e-12).log()

    def vertex(before, here, after):
        bend = before - 2 * here + after
        return torch.where(bend < -1e-6, (before - after) / (2 * bend), 0.0)

    fine_x = x + vertex(value(x - 1, y), value(x, y), value(x + 1, y))
    fine_y = y + vertex(value(x, y - 1), value(x, y), value(x, y + 1))
    return torch.stack([fine_x, fine_y, peak], -1)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "decode_points", "grade": true, "solution": false, "locked": true, "points": 4, "task": false}
def fitted_decode(heatmaps):
    """The same idea in one system: log h = a + bx + cy + dx^2 + ey^2 through the peak and its four neighbours."""
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.flatten(0, -3)
    peak, place = flat.flatten(1).max(1)
    x, y = (place % width).clamp(1, width - 2), (place // width).clamp(1, height - 2)
    u, v = torch.tensor([[0, -1, 1, 0, 0], [0, 0, 0, -1, 1]])  # the five pixels: across, down
    patch = flat.flatten(1).gather(1, (y[:, None] + v) * width + x[:, None] + u).clamp(min=1e-12).log()
    slopes = patch @ torch.linalg.inv(torch.stack([u * 0 + 1, u, v, u**2, v**2], 1).float()).T
    steps = torch.where(slopes[:, 3:] < -1e-6, -slopes[:, 1:3] / (2 * slopes[:, 3:]), 0.0)
    return torch.cat([torch.stack([x, y], 1) + steps, peak[:, None]], 1).unflatten(0, heatmaps.shape[:-2])


def check_decode(function):
    pose = torch.tensor([[3.4, 1.6, 1.0], [7.0, 8.75, 1.0], [9.2, 2.5, 1.0]] + [[0.0, 0.0, 0.0]] * 15)
    points = function(gaussian_heatmaps(pose, (12, 11), 1.5))
    assert points.shape == (18, 3), f"expected one row x, y, peak a map, shape (18, 3), got {tuple(points.shape)}"
    compare("x and y of three joints", points[:3, :2], pose[:3, :2], atol=1e-3)
    assert (points[:3, 2] > 0.8).all() and (points[3:, 2] == 0).all(), (
        "the third number is the peak's height; 0 if empty"
    )


with Check("decode: three joints between pixels, fifteen empty maps"):
    check_decode(decode)
### BEGIN HIDDEN TESTS
with Check("decode: at and beyond the border, a batch"):
    border = torch.tensor([[[0.2, 0.0, 1.0]], [[9.9, 11.3, 1.0]], [[-0.4, 6.0, 1.0]]])
    compare(
        "three joints at the border",
        decode(gaussian_heatmaps(border, (12, 11), 1.5))[..., :2],
        border[..., :2],
        atol=1e-3,
    )
with Check("decode: plateaus stay where they are"):
    plateaus = torch.zeros(2, 9, 9)
    plateaus[0, 3:6, 2:5], plateaus[1] = 1.0, 1.0
    found = decode(plateaus)
    assert torch.isfinite(found).all(), f"three equal values should give no step, got {found.tolist()}"
    assert 2 <= found[0, 0] <= 4 and 3 <= found[0, 1] <= 5, f"a block of ones gave {found[0].tolist()}"
### END HIDDEN TESTS

# %%
decode = pick(decode, fitted_decode, check_decode)
found = decode(at(64, "gaussian"))
compare("parabolas and one system", found[seen], fitted_decode(at(64, "gaussian"))[seen], atol=1e-3)
print(f"peaks: {found[seen][:, 2].min():.2f} to 1 where a joint is seen, {found[~seen][:, 2].max():g} elsewhere")


# %%
def argmax(maps):
    """Brightest pixel (..., 2), x and y: the first one if there are several."""
    place = maps.flatten(-2).argmax(-1)
    return torch.stack([place % maps.shape[-1], place // maps.shape[-1]], -1).float()


DECODERS = {"argmax": argmax, "centroid": centroid, "parabola": lambda maps: decode(maps)[..., :2]}


def offsets(maps, way):
    """Read back minus true, (N, 18, 2) in pixels of a picture 256 high; NaN for joints not seen and for empty maps."""
    factor = maps.shape[-2] / 256
    points = (DECODERS[way](maps) + 0.5) / factor - 0.5
    drawn = seen & (maps.amax((-2, -1)) > 0)
    return torch.where(drawn[..., None], points - poses[..., :2], math.nan)


def error(maps, way):
    return offsets(maps, way).norm(dim=-1).nanmean().item()


heights, errors = (256, 128, 64, 32), {}
print("mean error, height of the map:" + "".join(f"{high:>8d}" for high in heights))
for kind in RADII:
    for way in DECODERS:
        errors[kind, way] = [error(at(high, kind), way) for high in heights]
        print(f"{kind:>20s}, {way:8s}" + "".join(f"{value:8.3f}" for value in errors[kind, way]))
bias = offsets(at(256, "square"), "centroid").nanmean((0, 1))
measured["square_bias"] = bias.mean().item()
print(f"mean offset of the squares at 256: ({bias[0]:.2f}, {bias[1]:.2f})")
empty = {high: (at(high, "disc").amax((-2, -1)) == 0)[seen].float().mean().item() for high in heights}
measured["discs_empty_at_32"] = empty[32]
print("discs that are empty:", {high: f"{share:.0%}" for high, share in empty.items()})

# %% tags=["no-proof"]
figure, axis = course.new_figure(size=(6.0, 3.0))
for kind, way in (("square", "centroid"), ("disc", "centroid"), *(("gaussian", way) for way in DECODERS)):
    axis.plot(heights, [max(value, 1e-3) for value in errors[kind, way]], "o-", label=f"{kind}, {way}")
    measured[f"error_{kind}_{way}_at_64"] = errors[kind, way][2]
axis.set(xscale="log", yscale="log", xticks=heights, xticklabels=heights, ylim=(7e-4, 12))
axis.set(xlabel="height of the map", ylabel="mean error in pixels\n(0.001: exact)")
axis.minorticks_off()
axis.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
show_figure(
    figure, alt="Error against the map's height, logarithmic: squares worst, Gaussians with parabola at the bottom."
)

# %% [markdown]
# A lot to read in one figure.
#
# - **Squares** know the joint to a pixel of *their* size. And they are **biased**: truncation rounds down, so on
#   average the square lies half a pixel too far to the left and too high. Half a pixel of the *map*: at 64 it is two
#   pixels of the picture. Rounding would remove the bias at no cost. A network trained on squares learns the offset and
#   lives with it, as long as nobody "repairs" the drawing afterwards.
# - **Discs** are better than one would think: their outline holds the fraction. They get worse fast when they get
#   smaller, and at height 32 a good part of them has vanished altogether (the last line), with no error message.
# - **Gaussians** read by **argmax** are good to half a pixel of the map in x and in y, and no better. Estimators that
#   did so were limited by their decoder, not by their network; Zhang et al. (2020) made a paper of it.
# - **Gaussians** read by **parabola** are exact at *every* size. A Gaussian at 32 x 24 holds the position as precisely
#   as one at 256 x 192. It isn't the resolution that limits the precision, it's the decoder. This is why an estimator
#   can work at 64 x 48 and still be accurate to a pixel.
# - Argmax and parabola make no sense on squares and discs: the first of many equal pixels is a corner.
#
# ### With noise, and at the border
#
# Nobody predicts exact Gaussians. We add noise to the maps at 64 x 48, as a network's output has it (standard deviation
# 0.05, cut to [0, 1]), and read them again.
#
# A second test, without noise: a joint comes in from beyond the left border. Where does each reading put it?

# %%
clean = at(64, "gaussian")
noisy = (clean + 0.05 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
for way in DECODERS:
    measured[f"noisy_{way}"] = error(noisy, way)
    print(
        f"{way:9s} without noise {errors['gaussian', way][2]:6.2f}, with noise {measured[f'noisy_{way}']:6.2f} pixels"
    )
wrist = noisy[0, 7]
large = wrist.repeat_interleave(8, 0).repeat_interleave(8, 1)
marked = course.draw_points(large, (torch.stack([argmax(wrist), centroid(wrist)]) + 0.5) * 8 - 0.5, radius=6)
titles = ["a wrist, clean", "with noise", "dots: argmax on the wrist, centroid elsewhere"]
alt = "A bright spot; the same under faint noise; a dot on the spot and another far off, towards the picture's middle."
show_images([clean[0, 7], wrist, marked], titles, alt=alt)

# %% tags=["no-proof"]
across = torch.linspace(-3, 14, 69)
entering = torch.stack([across, torch.full_like(across, 24.3), torch.ones_like(across)], -1)[:, None].repeat(1, 18, 1)
figure, axis = course.new_figure(size=(6.0, 2.8))
for kind, way in (("square", "centroid"), ("disc", "centroid"), ("gaussian", "centroid"), ("gaussian", "parabola")):
    off = DECODERS[way](pose_heatmaps(entering, (48, 48), kind)[:, 0])[:, 0] - across
    axis.plot(across, off, label=f"{kind}, {way}")
    measured[f"at_border_{kind}_{way}"] = off[across.abs().argmin()].item()
axis.set(xlabel="true x of the joint (0: the first pixel's centre)", ylabel="read back minus true")
axis.legend(fontsize=8)
show_figure(figure, alt="Near the border all centroids are pushed inwards by one to three pixels, the parabola is not.")

# %% [markdown]
# Noise first. The **centroid** falls apart. The noise is faint, but it is *everywhere*, and a centre of mass adds up
# everything: the point is pulled far towards the middle of the picture. Argmax and parabola look at a neighbourhood and
# don't care. (Estimators that do use a centroid, under the name *soft-argmax*, sharpen the map first, for this reason.)
#
# Then the border. A shape that sticks out is *cut off*. What remains has its centre of mass further inside, by one to
# three pixels for a joint on the border itself. The parabola doesn't see the cut: it fits three pixels, wherever they
# are, and finds even a joint that lies *outside*. The saw teeth further in are the square's truncation once more, with
# their mean below zero. Networks read maps with filters, not with centroids. Still, near the border the same joint
# makes another pattern for them, too.
#
# ## 6 One map for each joint, or one for all?
#
# Why 18 channels? Their **union**, the maximum over the channels, is a single picture and shows all joints. What is
# lost is easy to see once it is said: *which is which*. A union can't tell the left wrist from the right, and so it
# can't tell a person who faces us from one who turns their back: seen from behind, everybody's left is on the left.
# Here is the same pose with left and right exchanged in every pair of joints.

# %%
from_behind = sample.pose[list(labels.BODY_25_MIRROR)]  # same places, other names
fronts, backs = (pose_heatmaps(pose, sample.size, "gaussian", 3 * height / 256) for pose in (sample.pose, from_behind))
compare("union, ours and exchanged", fronts.amax(0), backs.amax(0))
print("maps that differ:", [COCO_18[joint] for joint in range(18) if (fronts - backs)[joint].abs().max() > 0.5])
skeletons = [draw_skeleton(pose.numpy(), None, sample.size) for pose in (sample.pose, from_behind)]
titles = ["union", "union, left and right exchanged", "skeleton", "skeleton, left and right exchanged"]
alt = "Two equal pictures of spots, and two skeletons in which the arms' colours have changed sides."
show_images([fronts.amax(0), backs.amax(0), *skeletons], titles, alt=alt)

# %% [markdown]
# The two unions are equal in every number. The 18 maps differ in all paired joints that are seen. And the skeleton
# *picture* differs by its **colours**, so it gets by with three channels instead of 18. This is no theoretical worry:
# MV-VTON has garments from the front *and* from the back, and for people seen from the side it decides which of them to
# use by the colours of the arms in the skeleton picture (notebook 13).
#
# A union has a second weakness: where two shapes overlap they become one blob. In the picture with the squares above,
# eyes, nose and ears are nearly one patch. With a channel for each joint they overlap and do no harm.
#
# ## 7 The coloured skeleton
#
# VITON-HD doesn't draw heatmaps at all. Its networks take the picture that OpenPose *renders*: bones as coloured
# strokes on black, fingers included, three channels. The JSON is used as well, but only to erase arms (notebook 05).
#
# The rule is short. For each bone, a pair of joints: draw a line in the bone's colour **if both ends have a confidence
# above 0**. Below with the first 3 of the body's 24 bones, the first 8, all, and at last the hands. OpenPose has its
# own colours; the course's are a wheel of hues. Any will do, but a network trained with one set sees nonsense in the
# other.

# %%
stages = []
for count in (3, 8, 24):
    ends = {joint for bone in labels.BODY_25_LIMBS[:count] for joint in bone}
    known = torch.tensor([[1.0, 1.0, float(joint in ends)] for joint in range(25)])
    stages.append(draw_skeleton((sample.pose * known).numpy(), None, sample.size))
print("unlike the file's:", (skeleton_picture(sample) - to_01(sample.skeleton)).abs().amax(0).gt(0.01).sum().item())
alt = "A coloured stick figure that grows: trunk and shoulders, arms and hips, head, and at last the fingers."
show_images([*stages, skeleton_picture(sample)], ["3 bones", "8 bones", "all 24 bones", "with hands"], alt=alt)

# %% [markdown]
# The number above the picture counts pixels that the data set's own file shows otherwise. Should there be any: the file
# was drawn before the coordinates were rounded to a thousandth of a pixel.
#
# The fingers are what 18 heatmaps don't have, and a try-on needs them where hands lie on cloth. But look at the legs:
# there are none. Thighs are in many a photograph, down to its lower edge, yet the knees are outside, and a bone with
# one end is no bone. In the same way an elbow outside the picture costs *both* halves of an arm.
#
# ### What it keeps, what it loses
#
# | | 18 heatmaps | skeleton picture |
# |---|---|---|
# | which joint is which | by channel | by colour |
# | what is joined to what | not there: a network has to learn it | drawn |
# | a joint whose neighbours are missing | kept | a dot without a bone |
# | hands | not in the 18 | 21 points each |
# | confidence | could be the brightness; nobody does it | lost |
# | crossing bones | different channels, nothing lost | the later one paints over the earlier one, in an order that has nothing to do with depth |
# | position | a fraction of a pixel (Gaussian) | about a stroke's width: 9 pixels of 768 |
#
# Two of these can be tested right here. We replace every 0.35 by 0.95, hidden by visible: does the picture change? And
# what do both cost in memory?

# %%
sure = torch.cat([sample.pose[:, :2], 0.95 * (sample.pose[:, 2:] > 0)], 1)
drawn = [torch.from_numpy(draw_skeleton(pose.numpy(), None, sample.size) / 255) for pose in (sample.pose, sure)]
compare("hidden joints as visible", *drawn)
for name, high in (("CP-VTON", 256), ("VITON-HD", 1024)):
    megabytes = 4 * high * high * 3 / 4 / 2**20  # of one channel, float32
    print(f"{name:8s} at {high}: 18 maps {18 * megabytes:5.1f} MB, skeleton {3 * megabytes:5.1f} MB")

# %% [markdown]
# Not one pixel changes. An arm behind the back and an arm before the belly make the same picture, if the joints fall on
# the same places: only x and y go in, and the order of painting is fixed.
#
# In memory the maps are six times as large, and at VITON-HD's 1024 x 768 that adds up: one more reason for a picture.
# It also explains a habit: nobody *stores* heatmaps. They are drawn from the numbers, in the loader.
#
# ### In the mirror
#
# Mirroring pictures is the cheapest augmentation there is. For poses it has a trap. Flip the photograph, and the
# person's right arm *becomes* a left arm: the mirrored picture needs the colours of the mirrored person, and maps have
# to change channels. So a skeleton picture must not be flipped like a photograph. We compare that with the skeleton
# drawn anew from mirrored joints: $x \to W - 1 - x$, and left and right exchanged. For the maps, the repair is a
# permutation of the channels.


# %%
def mirror_pose(pose, width):
    """pose (..., 25, 3) in a picture of that width -> the mirrored person's."""
    return torch.cat([width - 1 - pose[..., :1], pose[..., 1:]], -1)[..., list(labels.BODY_25_MIRROR), :]


mirrored = mirror_pose(sample.pose, sample.size[1])
flipped = draw_skeleton(sample.pose.numpy(), None, sample.size)[:, ::-1]
redrawn = draw_skeleton(mirrored.numpy(), None, sample.size)
drawn = np.minimum(flipped.max(-1), redrawn.max(-1)) > 127  # in both
one, other = (picture / picture.max(-1, keepdims=True).clip(1) for picture in (flipped, redrawn))  # without brightness
wrong = (np.abs(one - other).max(-1) > 0.2) & drawn
measured["mirror_wrong_colour"] = wrong.sum() / drawn.sum()
print(f"flipped like a photograph: {wrong.sum() / drawn.sum():.0%} of the drawn pixels have a wrong colour")
titles = ["photograph, flipped", "skeleton, flipped: wrong", "skeleton, redrawn: right", "where they differ"]
alt = "A mirrored person, two skeletons of one outline in other colours, their difference along arms, hips and eyes."
show_images([photograph.flip(-1), flipped, redrawn, wrong], titles, alt=alt)

# %%
order = [labels.COCO_18_FROM_BODY_25.index(labels.BODY_25_MIRROR[joint]) for joint in labels.COCO_18_FROM_BODY_25]
print("channel order of the mirrored maps:", order)
for kind in RADII:
    ours, right = (pose_heatmaps(pose, sample.size, kind) for pose in (sample.pose, mirrored))
    print(f"{kind:9s} pixels that differ: {((ours.flip(-1)[order] - right).abs() > 0.01).sum()}")

# %% [markdown]
# The outline is the same, so the flipped skeleton looks right at a glance. With it, a network learns that colours mean
# nothing. For the maps: Gaussians and discs agree once the channels are permuted, squares don't. Truncation rounds
# *down* on both sides of the mirror, so the mirrored square lands a pixel off. The bias of section 5 once more.
#
# ## 8 How good is a pose? PCK
#
# In part two an estimator will predict joints, and we will need to say how well. The mean
# distance in pixels won't do: a person twice as large makes errors twice as large, and one confused wrist outweighs a
# hundred good joints.
#
# The **percentage of correct keypoints**, PCK, counts instead. A joint is *correct* if it lies within a share of the
# person's own size. We take a tenth of the torso, where the torso is the diagonal from the left shoulder to the right
# hip. This is **PCK@0.1**, for $\alpha = 0.1$:
#
# $$\mathrm{PCK@}\alpha = \frac{1}{|\mathcal S|} \sum_{(n, k) \in \mathcal S} \Big[\, \lVert \hat p_{nk} - p_{nk} \rVert \le \alpha\, T_n \,\Big], \qquad T_n = \lVert p_{n,\text{left shoulder}} - p_{n,\text{right hip}} \rVert .$$
#
# The small print, which papers like to leave out and which moves the number by percents:
#
# - $\mathcal S$ holds the joints that are *there*: true confidence above 0, and both ends of the torso likewise, or
#   there would be nothing to measure by. Everything else is not counted.
# - A joint that is there but was **not found** (predicted confidence 0) is a miss. Who leaves it out is rewarded for
#   keeping silent.
# - The mean goes over joints, not over people: somebody with four joints in view weighs less than somebody with twelve.
#
# **Exercise 4: hits.** *about 15 minutes, difficulty 2 of 5.* Write `hits(predicted, true, share)` for COCO-18 poses: 1
# for a hit, 0 for a miss, NaN for what isn't counted. PCK is then `hits(...).nanmean()`, and the PCK of each joint
# `hits(...).nanmean(0)`.
#
# What to expect: 1 for the truth itself, and very little for the truth with left and right exchanged.
#
# <details><summary>Hint 1</summary><code>(predicted[..., :2] - true[..., :2]).norm(dim=-1)</code> is (..., 18). The torso is one number a
# person: it needs <code>[..., None]</code> to be compared with 18. In COCO-18 the left shoulder is 5, the right hip
# 8.</details>
# <details><summary>Hint 2</summary><code>torch.where(counted, found.float(), math.nan)</code> at the end, with two masks of the shape
# (..., 18).</details>


# %% nbgrader={"schema_version": 3, "grade_id": "hits", "grade": false, "solution": true, "locked": false, "task": false}
def hits(predicted, true, share=0.1):
    """predicted, true (..., 18, 3) x, y, confidence (COCO-18) -> (..., 18): 1 hit, 0 miss, NaN not counted.

    Hit: found (confidence above 0) within share * torso, ends included. Counted: truly seen, with both torso ends seen.
    """
    ### BEGIN SOLUTION
    distance = (predicted[..., :2] - true[..., :2]).norm(dim=-1)
    torso = (true[..., 5, :2] - true[..., 8, :2]).norm(dim=-1)
    found = (distance <= share * torso[..., None]) & (predicted[..., 2] > 0)
    counted = (true[..., 2] > 0) & (true[..., [5, 8], 2] > 0).all(-1, keepdim=True)
    return torch.where(counted, found.float(), math.nan)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "hits_toy", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def looped_hits(predicted, true, share=0.1):
    """Person by person and joint by joint."""
    result = torch.full(true.shape[:-1], math.nan).reshape(-1, 18)
    for row, guess, truth in zip(result, predicted.reshape(-1, 18, 3), true.reshape(-1, 18, 3)):
        torso = torch.dist(truth[5, :2], truth[8, :2])
        for joint in range(18):
            if min(truth[joint, 2], truth[5, 2], truth[8, 2]) > 0:
                near = torch.dist(guess[joint, :2], truth[joint, :2]) <= share * torso
                row[joint] = float(near and guess[joint, 2] > 0)
    return result.reshape(true.shape[:-1])


def toy_people():
    """Two people (2, 18, 3) with torsos of 5 and 10 pixels; the second's right knee (9) is not seen."""
    true = torch.full((2, 18, 3), 0.9)
    true[..., :2] = torch.arange(36.0).reshape(18, 2)
    true[:, 5, :2], true[0, 8, :2], true[1, 8, :2] = (
        torch.tensor([20.0, 10.0]),
        torch.tensor([17.0, 14.0]),
        torch.tensor([12.0, 16.0]),
    )
    true[1, 9, 2] = 0
    return true


def check_hits(function):
    true = toy_people()
    predicted = true.clone()
    predicted[:, 3, 0] += 0.8  # within a tenth of 10, not of 5
    predicted[:, 4, 2] = 0  # at the right place, but said to be not found
    result = function(predicted, true, 0.1)
    assert result.shape == (2, 18), f"expected one number a joint, shape (2, 18), got {tuple(result.shape)}"
    expected = torch.ones(2, 18)
    expected[0, 3], expected[:, 4], expected[1, 9] = 0, 0, math.nan
    compare("two people", result, expected)


with Check("hits: two people of different size"):
    check_hits(hits)
### BEGIN HIDDEN TESTS
with Check("hits: nobody without a torso, one person without a batch, the limit belongs to the hit"):
    true = toy_people()
    true[0, 8, 2] = 0
    assert hits(true, true)[0].isnan().all(), "without the right hip there is no torso to measure by"
    shifted = true[1] + torch.tensor([0.0, 2.5, 0.0])
    compare("exactly at the limit", hits(shifted, true[1], 0.25).nanmean(), torch.tensor(1.0))
    compare("just beyond", hits(shifted, true[1], 0.2).nanmean(), torch.tensor(0.0))
### END HIDDEN TESTS

# %%
hits = pick(hits, looped_hits, check_hits)
exchanged = poses[:, order]  # every left joint called right
compare("hits, ours and looped", hits(exchanged, poses), looped_hits(exchanged, poses))
torso = (poses[:, 5, :2] - poses[:, 8, :2]).norm(dim=-1)
measured["torso"], measured["pck_exchanged"] = torso.mean().item(), hits(exchanged, poses).nanmean().item()
print(f"torso: {torso.mean():.0f} pixels on average, so PCK@0.1 allows {0.1 * torso.mean():.0f}")
print(f"PCK@0.1 of the truth {hits(poses, poses).nanmean():.0%}, exchanged {measured['pck_exchanged']:.0%}")

# %% [markdown]
# With left and right exchanged, nose and neck stay correct and hardly anything else. An estimator with a low PCK for
# the arms and a high one for the face often does just this.
#
# ### What the number means
#
# How many pixels of error make which PCK? We push every joint at random, with a normal distribution of standard
# deviation $\sigma$ in x and in y. The answer is known on paper, too: the distance then follows Rayleigh's law, and the
# share within $r$ is $1 - e^{-r^2 / 2 \sigma^2}$. Dots are measured; lines are the formula, averaged over everybody's
# torso.
#
# The second cell asks what PCK makes of section 5: it scores the joints that come back from maps of 32 x 24.

# %% tags=["no-proof"]
sigmas, counted = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), ~hits(poses, poses).isnan()
noise = F.pad(torch.randn(*poses.shape[:2], 2, generator=torch.Generator().manual_seed(2)), (0, 1))
smooth = torch.logspace(0, 1.5, 40)
figure, axis = course.new_figure(size=(6.0, 2.9))
for share, colour in ((0.2, "tab:green"), (0.1, "tab:blue"), (0.05, "tab:red"), (0.02, "tab:gray")):
    pushed = [hits(poses + sigma * noise, poses, share).nanmean().item() for sigma in sigmas]
    reach = (share * torso[:, None]).expand(-1, 18)[counted]
    formula = [(1 - torch.exp(-(reach**2) / (2 * sigma**2))).mean().item() for sigma in smooth]
    axis.plot(sigmas, pushed, "o", color=colour)
    axis.plot(smooth, formula, color=colour, label=f"PCK@{share}")
    measured[f"pck_at_{100 * share:.0f}_percent_8_pixels"] = pushed[3]
axis.set(xscale="log", xticks=sigmas.tolist(), xticklabels=[f"{sigma:.0f}" for sigma in sigmas], ylim=(0, 1.05))
axis.set(xlabel="every joint pushed by ... pixels (standard deviation)", ylabel="PCK")
axis.minorticks_off()
axis.legend()
show_figure(
    figure, alt="Four falling curves of PCK against the size of the push, measured dots on the formula's lines."
)

# %%
for kind, way in (("square", "centroid"), ("gaussian", "argmax"), ("gaussian", "parabola")):
    points = poses + F.pad(offsets(at(32, kind), way).nan_to_num(), (0, 1))
    wide, narrow = (hits(points, poses, share).nanmean().item() for share in (0.1, 0.02))
    measured[f"pck_at_2_percent_{kind}_{way}"] = narrow
    print(f"{kind:8s} {way:8s} error {errors[kind, way][3]:5.2f} pixels, PCK@0.1 {wide:6.1%}, PCK@0.02 {narrow:6.1%}")

# %% [markdown]
# The dots lie on the lines, so measurement and formula agree. (In the profile `smoke` few joints are counted and the
# dots scatter.) Read PCK@0.1 at 4 pixels: a joint is off by five pixels on average there, and the score is still
# practically 1. That is by design: it counts *confusions*, not precision.
#
# Hence the second result. PCK@0.1 calls all three readings perfect. A **constant** offset of several pixels, which
# would put every garment on crookedly, is invisible to it; PCK@0.02 shows it at once. Take the share that fits the
# purpose, and report the mean offset beside it.
#
# ## 9 Play
#
# Move the wrist, change the kind and the size of the map, and watch what is read back. Look for three things: when does
# the square jump? What does the disc do at height 32? What happens to the centroid near the border? Without a running
# kernel the sliders do nothing; the cell after them shows six positions, as cut-outs.

# %%
photograph_256 = F.interpolate(photograph[None], (256, 192), mode="bilinear")[0].clamp(0, 1)


def wrist_at(x, y, kind, high):
    """The right wrist's map, its joint at x, y of 256 x 192, over the photograph with a dot there; errors as text."""
    moved = pose_256.clone()
    moved[4] = torch.tensor([x, y, 1.0])
    wrist, factor = at(high, kind, moved)[4], 256 // high
    ways = ("centroid", "parabola") if kind == "gaussian" else ("centroid",)
    apart = {way: ((DECODERS[way](wrist[None])[0] + 0.5) * factor - 0.5 - moved[4, :2]).norm() for way in ways}
    text = ", ".join(f"{way} {distance:.1f}" for way, distance in apart.items()) if wrist.any() else "empty"
    shown = overlay(photograph_256, wrist.repeat_interleave(factor, 0).repeat_interleave(factor, 1), alpha=0.8)
    return course.draw_points(shown, moved[4, :2], radius=1.5), f"{kind} at {high}: {text}"


# %% tags=["no-proof"]
def drag(x, y, kind, high):
    picture, text = wrist_at(x, y, kind, high)
    show_images([picture], [text], height=380, alt=f"The map of a wrist at ({x}, {y}) over the photograph. {text}")


slider = interact(drag, x=FloatSlider(96, min=-4, max=196, step=0.5), y=FloatSlider(128, min=-4, max=260, step=0.5),
                  kind=Dropdown(options=list(RADII)), high=Dropdown(options=[32, 64, 128, 256], value=64))  # fmt: skip

# %% tags=["no-proof"]
spots = [(96.5, 128, "square", 64), (98, 128, "square", 64), (98.5, 128, "square", 64),
         (99.5, 99.5, "disc", 32), (103.5, 103.5, "disc", 32), (2, 128, "gaussian", 64)]  # fmt: skip
shown = [wrist_at(*spot) for spot in spots]
cuts = [
    picture[int(y) - 24 : int(y) + 24, max(int(x) - 24, 0) :][:, :48] for (picture, _), (x, y, *_) in zip(shown, spots)
]
alt = "Six maps: a square that stands still and then jumps; a disc and an empty map; a Gaussian cut off at the border."
show_images(cuts, [text for _, text in shown], height=150, alt=alt)

# %% [markdown]
# The dot is the true place; the numbers are errors in pixels of the large picture. From the first picture to the second
# the dot moves by a pixel and a half and the square doesn't. Half a pixel later its left edge jumps: at this size the
# radius is 1.25 pixels of the map, so a square is now three, now four pixels wide. The two discs have the same radius:
# one is a single pixel, the other nothing. The Gaussian at the border is cut; its centroid is off, its parabola isn't.
#
# ## 10 Paper and code
#
# | | in the paper | in the released code |
# |---|---|---|
# | VITON | 18 maps, 11 x 11 neighbourhood of ones | coordinates cut to whole numbers after rescaling to 256 x 192; clipped to the size of the **original** photograph; missing joints are -1 |
# | CP-VTON | 18 maps, 11 x 11 white rectangle | drawn only `if x > 1 and y > 1`; confidence ignored; values -1 and 1; radius 5 in the call, 3 in the file's own self-test |
# | MG-VTON | 18 maps, a **disc** of radius 4 filled with 1 | no official code to look at |
# | VITON-HD | "pose map" | OpenPose's rendered RGB picture, hands included; no heatmap anywhere; the JSON only erases arms |
# | HR-VITON | as VITON-HD | DensePose in place of the skeleton |
# | MV-VTON | pose as a condition | skeleton pictures of an 18-joint estimator, with colours of its own |
# | Dress Code | keypoints | 18 x 4 in coordinates of 384 x 512; the radius scales with height / 512 |
#
# Two of these are worth running. First CP-VTON's `x > 1 and y > 1`. It is meant to skip missing joints, which are (0,
# 0), and also drops every joint at the left and the upper border. That is rare in the studio, which keeps people in the
# middle; in snapshots, with hands that reach out of the picture, it isn't.
#
# Second, VITON's clipping. The coordinates belong to the picture of 256 x 192, the clipping to the photograph as it was
# before. If that was at least as large, nothing happens. Feed it a small one, and squares shrink or vanish.

# %%
skipped = seen & ((poses[..., 0] <= 1) | (poses[..., 1] <= 1))
measured["lost_at_border"] = skipped[seen].float().mean().item()
print(f"not drawn: {skipped[seen].float().mean():.2%} of the joints, {skipped.any(1).float().mean():.1%} of the people")
at_border = torch.tensor([[0.8, 110.0, 0.95]]).repeat(18, 1)
pixels = int(at(256, "square", at_border)[0].sum())
print(f"a wrist at x = 0.8: {pixels} pixels by confidence, 0 by `x > 1 and y > 1`")


# %%
def clipped(centre, extent):
    """Rows or columns of VITON's square; extent: of the photograph before it was resized to 256 x 192."""
    return range(max(int(centre) - 5, 0), min(int(centre) + 5, extent - 1) + 1)


for high, wide in ((1024, 768), (128, 96)):
    pixels = [len(clipped(x, wide)) * len(clipped(y, high)) for x, y, c in pose_256.tolist() if c > 0]
    print(f"photograph of {high} x {wide}: {pixels.count(0)} of {len(pixels)} maps are empty; pixels {pixels}")

# %% [markdown]
# 121 pixels each for the large photograph; for the small one most squares have lost all of theirs. A bug that waits for
# somebody else's data.
#
# ## 11 Breaking it on purpose
#
# ### The joint in the corner
#
# The classic. OpenPose writes (0, 0, 0) for a joint that it didn't find. Ignore the confidence, and the joint is
# *drawn*: at (0, 0), in the corner. We write our person's joints as OpenPose would, with zeros for everything outside,
# and forget to look at the third number.
#
# Then the same joint when the picture is resized *first*, by a quarter, or from 256 x 192 to VITON-HD's 1024 x 768. The
# formula of section 2 doesn't know that (0, 0) means "missing".

# %%
as_openpose = torch.where(sample.pose[:, 2:] > 0, sample.pose, 0.0)
both = [as_openpose, torch.cat([as_openpose[:, :2], torch.ones(25, 1)], 1)]
squares = [pose_heatmaps(pose, sample.size, "square", 5 * height / 256) for pose in both]
pictures = [overlay(photograph, maps.amax(0), alpha=0.85) for maps in squares]
pictures += [draw_skeleton(pose.numpy(), None, sample.size) for pose in both]
alt = "Squares on a person, then one more in the upper left corner; a skeleton, then one with bones to that corner."
show_images(pictures, ["squares", "confidence ignored", "skeleton", "confidence ignored"], alt=alt)
print(f"{int(squares[1][:, 0, 0].sum())} of 18 maps have their square in the corner")

# %%
# NBVAL_CHECK_OUTPUT
for factor in (1 / 4, 4.0):
    x, y, confidence = resize_pose(torch.zeros(1, 3), factor)[0].tolist()
    print(f"(0, 0, 0) times {factor}: ({x}, {y}, {confidence}); drawn by `x > 1 and y > 1`: {x > 1 and y > 1}")

# %% [markdown]
# In the union it is one small square that nobody notices. In the channels it is a *confident statement* that knees and
# ankles are in the corner of the picture. A network can learn to ignore that, as long as it holds for everybody; and
# then comes a photograph with knees in it.
#
# Enlarged, the missing joint lies at (1.5, 1.5) and passes CP-VTON's test, so it is drawn. Two details, each harmless
# alone. **Missing is what the confidence says**, and nothing else; a coordinate can't carry that message through
# arithmetic.
#
# ### Keypoints of another size
#
# The JSON of VITON-HD is made for 1024 x 768. If you shrink the photographs and not the numbers, most joints fall
# outside. There is no error: maps are empty, or show another place.

# %%
unscaled = pose_heatmaps(resize_pose(pose_256, 4.0), (256, 192), "square")  # as the file has it, for 1024 x 768
alive = measured["maps_alive_unscaled"] = int((unscaled.amax((1, 2)) > 0).sum())
print(f"{int((pose_256[:, 2] > 0).sum())} joints are seen; maps that are not empty: {alive}")
pictures = [overlay(photograph_256, maps.amax(0), alpha=0.85) for maps in (at(256, "square", pose_256), unscaled)]
alt = "Squares on the joints of a person; with unscaled numbers hardly any square is left."
show_images(pictures, ["scaled", "not scaled"], alt=alt)

# %% [markdown]
# Training goes on, the loss falls, and the network has learned to do without a pose. This is the kind of bug that costs
# a week. The cure takes a line: an `assert` that most maps aren't empty, or a look at one batch. Look at one batch.
#
# # Part two: a pose estimator
#
# ## 12 What should a network draw?
#
# Now the other direction: a photograph comes in, and keypoints come out. Asking for numbers is out of the question
# since section 3. So the network draws *maps*, one for each keypoint: 25 of the body and 21 of either hand make 67. They
# are a quarter as large as the picture, 64 x 48, which `decode` reads to a fraction of a pixel (section 5).
#
# What do we tell it while it learns? **The naive idea:** let it draw the Gaussians of section 4, and punish the
# *squared error*, cell by cell. OpenPose does that, and so do Newell et al. (2016). On a map of 6 x 4, with a small
# spot around (2, 1): what does it cost to draw nothing at all? What, to draw the right spot two columns too far?
#
# **The second idea:** make it a question with a single answer. *In which of the 24 cells is the wrist?* And a 25th
# answer: *not in this picture*. The network gives every answer a **score**, $s_c$ and $s_\varnothing$, and the softmax
# makes probabilities of them that add up to 1:
#
# $$p_c = \frac{e^{s_c}}{\sum_{c'} e^{s_{c'}} + e^{s_\varnothing}}, \qquad
# L = \begin{cases} -\sum_c t_c \log p_c & \text{in the picture, } \sum_c t_c = 1 \\ -\log p_\varnothing & \text{not in the picture.} \end{cases}$$
#
# With all scores 0, every answer has 1/25 and the loss is $\log 25 = 3.22$: no idea. Raise the score of the right cell
# to 3, and it has $e^3 / (24 + e^3) = 0.46$; the loss falls to 0.79. Raise a wrong one instead, and the right cell is
# left with $1 / (24 + e^3) = 0.02$.

# %%
# NBVAL_CHECK_OUTPUT
rows, columns = torch.arange(4.0)[:, None], torch.arange(6.0)
right_spot, wrong_spot = (0.25 ** ((columns - x) ** 2 + (rows - 1) ** 2) for x in (2, 4))  # sigma = 0.6
for name, drawn_map in (("nothing", 0 * right_spot), ("half as bright", right_spot / 2), ("too far", wrong_spot)):
    print(f"{name:15s} sum of squared errors {((drawn_map - right_spot) ** 2).sum():.2f}")
for name, cell in (("no idea", None), ("sure and right", 8), ("sure and wrong", 10)):
    scores = torch.tensor([3.0 * (answer == cell) for answer in range(25)])  # 24 cells, "not in this picture"
    print(f"{name:15s} right cell {scores.softmax(0)[8]:.2f}, loss {-scores.log_softmax(0)[8]:.2f}")

# %% [markdown]
# Under the squared error a spot in a wrong place costs *twice* as much as an empty map: once for what is missing, once
# for what is too much. A beginner doesn't know where the wrist is, so the best it can do is to draw next to nothing. And
# that looks like success: with 3,072 cells of which two dozen aren't 0, an empty map has a mean error of a few
# thousandths. Everybody who trains heatmaps meets those black maps.
#
# Under the softmax there are no black maps. Probability that leaves one cell has to go to another, or into the explicit
# statement that the joint isn't there, which is wrong in its own way. The idea is not ours: Mask R-CNN finds keypoints
# by a softmax over all places (He et al. 2017, section 5), with a single cell as the truth and no answer "not in this
# picture". Ours has both a Gaussian for the truth, $t$, so that a neighbour is nearly right, and the extra answer.
#
# **Exercise 5: the loss.** *about 15 minutes, difficulty 3 of 5.* Write `place_loss(scores, absent, target)`, one number
# for each keypoint.
#
# What to expect: $\log 25$ on a map of 24 cells as long as all scores are equal, whether the keypoint is in the picture
# or not.
#
# <details><summary>Hint 1</summary><code>torch.cat([scores.flatten(2), absent[..., None]], 2)</code> has the shape (B, K, h * w + 1): all answers.
# <code>log_softmax(2)</code> never overflows; the logarithm of a softmax does.</details>
# <details><summary>Hint 2</summary>A target that sums to 0 is a keypoint that is not in the picture: <code>torch.where</code> chooses between
# the two lines of the formula.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "place-loss", "grade": false, "solution": true, "locked": false, "task": false}
def place_loss(scores, absent, target):
    """Cross-entropy over all places and "not in this picture": (B, K), not averaged.

    scores (B, K, h, w) and absent (B, K): logits. target (B, K, h, w): sums to 1 over the cells, or to 0 for a keypoint
    that is not in the picture.
    """
    ### BEGIN SOLUTION
    answers = torch.cat([scores.flatten(2), absent[..., None]], 2).log_softmax(2)
    cells, nowhere = answers[..., :-1], answers[..., -1]
    in_picture = target.sum((2, 3)) > 0
    return torch.where(in_picture, -(target.flatten(2) * cells).sum(2), -nowhere)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "place-loss_toy", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def library_place_loss(scores, absent, target):
    """The same from the library's `log_probabilities`."""
    cells, nowhere = log_probabilities(scores, absent)
    return torch.where(target.sum((2, 3)) > 0, -(target.flatten(2) * cells).sum(2), -nowhere)


def check_place_loss(function):
    scores, absent, target = torch.zeros(1, 2, 4, 6), torch.zeros(1, 2), torch.zeros(1, 2, 4, 6)
    target[0, 0, 1, 2] = 1.0  # the first keypoint is in the cell (2, 1), the second is not in the picture
    loss = function(scores, absent, target)
    assert loss.shape == (1, 2), f"expected one number a keypoint, shape (1, 2), got {tuple(loss.shape)}"
    compare("no idea", loss, torch.full((1, 2), math.log(25)))
    scores[0, 0, 1, 2], absent[0, 1] = 3.0, 3.0
    compare("sure and right", function(scores, absent, target), torch.full((1, 2), math.log(1 + 24 * math.exp(-3))))


with Check("place loss: no idea, and sure and right"):
    check_place_loss(place_loss)
### BEGIN HIDDEN TESTS
with Check("place loss: a soft target, a batch, and scores that an exponential can't take"):
    draw = torch.Generator().manual_seed(5)
    scores, absent = 4 * torch.randn(2, 3, 5, 4, generator=draw), torch.randn(2, 3, generator=draw)
    target = torch.rand(2, 3, 5, 4, generator=draw)
    target = target / target.sum((2, 3), keepdim=True) * torch.tensor([1.0, 0, 1])[:, None, None]
    loss = place_loss(scores, absent, target)
    compare("random scores", loss, library_place_loss(scores, absent, target))
    compare("all scores raised by 500", place_loss(scores + 500, absent + 500, target), loss, atol=1e-2)
### END HIDDEN TESTS

# %%
place_loss = pick(place_loss, library_place_loss, check_place_loss)
spots = at(64, "gaussian", poses[:4])  # sigma 3 / 4 of a cell
spots = spots / spots.sum((2, 3), keepdim=True).clamp(min=1e-12)
theirs = target_maps(poses[:4], (64, 48), torch.full((18,), 0.75)).view_as(spots)
compare("targets, ours and library's", spots, theirs)
random_scores = torch.randn(spots.shape, generator=torch.Generator().manual_seed(4))
losses = [loss(random_scores, torch.zeros(4, 18), spots) for loss in (place_loss, library_place_loss)]
compare("the loss, ours and library's", *losses)

# %% [markdown]
# ## 13 An hourglass: the wrist is judged by the whole body
#
# Which network? Look at six wrists first, through a hole of 32 x 32 pixels. Which of them are *right* wrists? The line
# below the pictures has the answer. It is little better than a guess, for a network that sees no more, too: the answer
# lies in the elbow, the shoulder, the face. So how far does a network see?
#
# **By hand.** A 3 x 3 convolution looks one cell to either side. In pixels that is as far as two cells are apart, which
# is the product of all strides so far. So the **receptive field** begins at 1 pixel and grows by $(k - 1) \cdot j$ with
# each convolution of size $k$, where $j$ is the product of the strides *before* it. At a quarter of the picture's size
# a 3 x 3 adds 8 pixels. To span 256 pixels that way takes about thirty of them, on large and expensive maps. At 1/32 of
# the size the same convolution adds 64 pixels, on maps of 8 x 6 cells, at almost no cost.
#
# Hence the **hourglass** (Newell et al. 2016): down to small maps, where a few convolutions see everybody from head to
# thigh, and up again to 64 x 48. On the way up, the maps of the way down are added at each size, or the places would be
# lost: the small maps know *that* this is a left arm, the large ones *where* its edges are. The original stacks up to
# eight hourglasses; ours is a single thin one.

# %%
crowd = F.interpolate(torch.stack([one.person for one in samples]), (256, 192), mode="bilinear")  # (N, 3, 256, 192)
crowd_points = torch.stack([torch.cat([one.pose, one.hands.flatten(0, 1)]) for one in samples])
crowd_points = resize_pose(crowd_points, 256 / height)  # (N, 67, 3): the body, the left hand, the right hand
true, true_hands = crowd_points[:, :25], crowd_points[:, 25:].unflatten(1, (2, 21))
model = int((true[:, :8, 2] > 0.5).sum(1).argmax())  # somebody whose head, shoulders, elbows and wrists are in view

# %% tags=["no-proof"]
wrists = [(n, joint, *true[n, joint].round().int().tolist()) for n in range(len(true)) for joint in (4, 7)]
wrists = [(n, joint, x, y) for n, joint, x, y, sure in wrists if sure and 16 <= x < 176 and 16 <= y < 240]
chosen = [wrists[n] for n in torch.randperm(len(wrists), generator=torch.Generator().manual_seed(1))[:6].tolist()]
holes = [to_01(crowd[n, :, y - 16 : y + 16, x - 16 : x + 16]) for n, _, x, y in chosen]
alt = "Small cut-outs around wrists: sleeves, skin and background, hardly ever a hint of left or right."
show_images(holes, height=110, alt=alt)
print("from the left:", ", ".join("right" if joint == 4 else "left" for _, joint, *_ in chosen))


# %%
def receptive_field(layers):
    """layers: (kernel size, stride) of convolutions in a row -> pixels of the input that one output depends on."""
    field = step = 1
    for kernel, stride in layers:
        field, step = field + (kernel - 1) * step, step * stride
    return field


hourglass = PoseNet(PoseConfig())
layers, sees = [], {}
for name, part in zip(("1/2", "1/4", "1/8", "1/16", "1/32"), (hourglass.stem, *hourglass.stages)):
    layers += [(each.kernel_size[0], each.stride[0]) for each in part.modules() if isinstance(each, nn.Conv2d)]
    sees[name] = receptive_field(layers)
print(f"{sum(p.numel() for p in hourglass.parameters()):,} parameters; pixels that a cell sees on the way down: {sees}")
kept = layers[:2] + [(3, 1)] * (len(layers) - 2)
print(f"the same {len(layers)} convolutions, all kept at 1/4: {receptive_field(kept)} pixels")

# %% [markdown]
# ## 14 Training
#
# ### Lessons that are cut off
#
# The network learns from the studio alone: a photograph and its JSON are all it takes. The studio frames people much
# alike, and shops frame them otherwise. So every lesson is changed at random before it is seen: mirrored, moved by up
# to 15 % of the width, enlarged or reduced by up to a factor of $e^{0.45} \approx 1.6$, turned by up to 15°; light, grain,
# and now and then a patch of another picture in front. The keypoints move along, and two rules matter:
#
# - what leaves the picture becomes *not in this picture*, or the network learns to guess beyond the border;
# - what lies behind a patch, or behind a back, is still *asked for*: its place has to be inferred from the rest.
#
# Below, one person eight times.


# %% tags=["no-proof"]
def read_shots(split, most):
    """Photographs (N, 3, H, W) uint8 and points (N, 67, 3): nothing else is needed, so nothing else is read."""
    pictures, points = [], []
    for file in sorted((root / split / "openpose_json").glob("*_keypoints.json"))[:most]:
        with Image.open(root / split / "image" / file.name.replace("_keypoints.json", ".jpg")) as picture:
            pictures.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1))
        pose, both_hands = read_keypoints(file, settings.size)
        points.append(torch.from_numpy(np.concatenate([pose, *both_hands])))
    return {"picture": torch.stack(pictures), "points": torch.stack(points)}


device = resolve_device("auto")
taught = {key: value.to(device) for key, value in read_shots("train", 180).items()}
eightfold = pose_batch({key: value[:1].repeat_interleave(8, 0) for key, value in taught.items()}, (128, 96))
changed = augment_pose(eightfold, PoseAugmentation(), torch.Generator().manual_seed(8))
shown = [
    course.draw_pose(to_01(one).clamp(0, 1), pose)
    for one, pose in zip(changed.picture.cpu(), changed.points[:, :25].cpu())
]
counts = [f"{(points[:25, 2] > 0).sum()} joints" for points in changed.points]
alt = (
    "One person eight times: enlarged, cut off, small, turned, mirrored, grey, on a plain colour; the skeleton follows."
)
show_images(shown, counts, height=160, alt=alt)

# %% [markdown]
# ### Two students
#
# One network twice, a narrow hourglass at 128 x 96, from the same random weights, with the same lessons in the same
# order. Only the loss differs: the squared error against Gaussians that are 1 high, or `place_loss`. Every few steps
# both are examined on people of the test split. We read the highest cell of each map, however low it is: PCK@0.1 of the
# *places*. And we note how high the peaks are where a keypoint is in the picture; 1 is a perfect Gaussian's. From here
# on `decode_heatmaps` and `pck` are the library's; the next section compares them with ours.

# %% tags=["no-proof"]
NARROW = PoseConfig(size=(128, 96), stem=16, widths=(32, 48, 64, 96), head=48)
SIGMAS = point_sigmas(NARROW, device)  # of 67 keypoints, in cells: 1.5 for the body, 1 for the hands


def squared_loss(network, batch):
    scores, _ = network(batch.picture)
    wanted = target_maps(batch.points, tuple(scores.shape[-2:]), SIGMAS).view_as(scores)
    return F.mse_loss(scores, wanted * 2 * math.pi * SIGMAS[:, None, None] ** 2)


def softmax_loss(network, batch):
    scores, absent = network(batch.picture)
    wanted = target_maps(batch.points, tuple(scores.shape[-2:]), SIGMAS).view_as(scores)
    return place_loss(scores, absent, wanted).mean()


def maps_of(network, loss, picture):
    """Maps (B, 67, h, w) >= 0 of a network that was trained with this loss; a perfect peak is 1 high."""
    with torch.no_grad():
        scores, absent = network.eval()(picture)
    return heatmaps_of(scores, absent, SIGMAS) if loss is softmax_loss else scores.clamp(min=0)


asked = pose_batch({key: value.to(device) for key, value in read_shots("test", 24).items()}, (128, 96))


def examine(network, loss):
    """On test people: PCK@0.1 of the body's places, and the mean height of the peaks where a keypoint is."""
    points, peak = decode_heatmaps(maps_of(network, loss, asked.picture))
    pose = torch.cat([points * 4 + 1.5, torch.ones_like(peak[..., None])], -1)[:, :25]
    correct, counted = pck(pose, asked.points[:, :25])
    return (correct.sum() / counted.sum()).item(), peak[asked.points[..., 2] > 0].mean().item()


def lesson(random):
    chosen = torch.randint(len(taught["points"]), (settings.batch_size,), generator=random).to(device)
    batch = pose_batch({key: value[chosen] for key, value in taught.items()}, (128, 96))
    return augment_pose(batch, PoseAugmentation(), random)


# %% tags=["no-proof"]
pupils, reports = {}, {}
for name, loss in (("squared error", squared_loss), ("softmax", softmax_loss)):
    torch.manual_seed(0)
    pupil, random, report = PoseNet(NARROW).to(device), torch.Generator().manual_seed(0), []
    optimiser = torch.optim.Adam(pupil.parameters(), 2e-3)
    for step in range(1, settings.steps + 1):
        value = loss(pupil.train(), lesson(random))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if step % max(settings.steps // 6, 1) == 0:
            report.append((step, value.item(), *examine(pupil, loss)))
    pupils[name], reports[name] = (pupil, loss), report
    _, last, correct, peaks = report[-1]
    measured |= {f"pck_trained_with_{loss.__name__}": correct, f"peaks_trained_with_{loss.__name__}": peaks}
    print(f"{name:13s} loss {report[0][1]:.4f} to {last:.4f}, PCK@0.1 of the places {correct:.0%}, peaks {peaks:.2f}")
figure, axes = course.new_figure(1, 3, size=(8.4, 2.4))
for name, report in reports.items():
    step, values, correct, peaks = zip(*report)
    for axis, line in zip(axes, ([value / values[0] for value in values], correct, peaks)):
        axis.plot(step, line, "o-", label=name)
for axis, title in zip(axes, ("loss, as a share of the first", "PCK@0.1 of the places", "mean peak (1: perfect)")):
    axis.set(title=title, xlabel="step", ylim=(0, None))
axes[0].legend()
alt = "Three panels against the step: two losses that fall; places and peaks, far apart for the two losses."
show_figure(figure, alt=alt)

# %%
estimator = load_pose(settings.weights)  # looks at the picture and at its mirror image, and a second time where it pays
plain = load_pose(settings.weights, mirror=False, again=False)  # looks once
about = read_metadata(WEIGHTS_FOLDER / "pose.safetensors")
steps, shots = (sum(stage[what] for stage in part) for what, part in (("steps", about["recipe"]["stages"]), ("samples", about["data"])))  # fmt: skip
print(f"the checkpoint: {steps} steps on {shots} photographs of the studio")

# %% tags=["no-proof"]
names = ("nose", "right-elbow", "right-wrist", "left-wrist")
small, rows = F.avg_pool2d(crowd[[model]], 2).to(device), []
for found in (*(maps_of(*pupil, small).cpu() for pupil in pupils.values()), plain.heatmaps(crowd[[model]])):
    four = F.interpolate(found[:, [labels.BODY_25_INDEX[name] for name in names]], (256, 192), mode="bilinear")[0]
    rows.append([overlay(to_01(crowd[model]), one / one.max().clamp(min=1e-6), alpha=0.9) for one in four])
alt = "Maps of four joints over a person: smears, blobs near the joints, and by the checkpoint small spots."
show_images(rows, list(names), row_titles=[*pupils, "checkpoint"], height=190, alt=alt)

# %% [markdown]
# Both losses fall, and only one network learns anything. Under the squared error the peaks stay low: the map is nearly
# empty, as predicted, and its highest cell is somewhere. Under the softmax the same network soon knows where people
# usually have their joints, and then where *this* person has them. (In the profile `smoke`, with a handful of steps,
# both know nothing.) The squared error *can* be made to work: OpenPose and the hourglass were trained with it, for
# longer, and others weight the few cells that count. But nobody has to wait for it.
#
# The maps in the last figure are scaled to their own maximum, or the first row would be black. The second row is a
# barely trained net: broad blobs in about the right place, with room left for everything that it can't rule out yet.
# The last row had the same loss, a wider network, and many more lessons from two data sets, first at 128 x 96 and then
# at 256 x 192: `python -m vtonlib train pose`, about twenty minutes on one core.
#
# What others do, from their papers:
#
# | | what the map should be | loss | how it is read |
# |---|---|---|---|
# | OpenPose (Cao et al.) | Gaussians of everybody in the picture, the maximum where they overlap | squared error; left out where nobody has labelled | every local maximum, joined to people by part affinity fields |
# | stacked hourglass (Newell et al.) | a Gaussian of 1 cell on 64 x 64, empty if the joint isn't there | squared error after each hourglass | highest cell, a quarter of a cell towards the next best neighbour; mean with the mirror image |
# | Mask R-CNN (He et al.) | a single cell of 56 x 56, for each person found | softmax over all cells; unseen joints have no loss | highest cell of the enlarged map |
# | DARK (Zhang et al.) | a Gaussian around the exact place, not around the nearest cell | squared error | smoothed, then a parabola in the logarithm |
# | this course | a Gaussian around the exact place that sums to 1, or "not in this picture" | softmax over all cells and that answer | as DARK, mean with the mirror image |
#
# ## 15 From its maps to a pose
#
# First the tools. The library's `decode_heatmaps` reads the peak with a Taylor expansion in x and y *together* (Zhang
# et al. 2020), ours one axis after the other. On drawn Gaussians there is no difference. Predicted maps are lumpy, so
# the library smooths them by their own width before it reads them, which the same paper recommends. Which reading is
# best on real maps? The truth is known, so we can ask.

# %%
drawn_maps, maps = at(64, "gaussian"), plain.heatmaps(crowd)[:, :25]
compare("drawn, ours and library's", decode(drawn_maps)[seen][:, :2], decode_heatmaps(drawn_maps)[0][seen], atol=1e-2)
ways = {"argmax": argmax(maps), "ours": decode(maps)[..., :2], "library": decode_heatmaps(maps)[0]}
ways["smoothed, library"] = decode_heatmaps(blur(maps, 1.5))[0]
apart = {name: (points * 4 + 1.5 - true[..., :2]).norm(dim=-1) for name, points in ways.items()}
near = (true[..., 2] > 0) & (torch.stack(list(apart.values())) < 12).all(0)  # the peak is at the right joint
for name, distance in apart.items():
    measured[f"read_{name.split(',')[0]}"] = distance[near].mean().item()
    print(f"{name:18s} mean error {distance[near].mean():.2f} pixels, of {near.sum()} joints")

# %% [markdown]
# On drawn maps ours and the library's agree. On predicted ones, keep in mind what a decoder can do: it takes off what
# reading whole cells costs, 1.5 pixels in section 5. The network's own error stays, and errors add up like the sides of
# a right triangle: beside a large one, a small one hardly shows. So the better the network, the more its decoder counts.
#
# ### The mirror trick
#
# The network has no idea of symmetry. Show it the mirror image, and it makes *other* mistakes. So look at both, and take
# the mean of the maps: a cheap second opinion, which most systems on leaderboards use (*flip test*). Two things have to
# be undone before the mean. The maps of the mirror image are mirrored, and in it every left joint has become a right
# one: section 7 once more.
#
# **Exercise 6: the mirror's opinion.** *about 10 minutes, difficulty 2 of 5.* Write `mirror_average(draw, pictures,
# order)`. `draw` takes pictures (B, 3, H, W) to maps (B, K, h, w); `order[k]` is the keypoint that takes the place of k
# in the mirror.
#
# What to expect: a network that treats left and right alike gets back exactly its own maps.
#
# <details><summary>Hint 1</summary><code>pictures.flip(-1)</code> mirrors; maps have x in the last dimension, too.</details>
# <details><summary>Hint 2</summary>Channels are chosen by <code>maps[:, list(order)]</code>.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-average", "grade": false, "solution": true, "locked": false, "task": false}
def mirror_average(draw, pictures, order):
    """Mean of the maps of pictures and of their mirror images, undone: (B, K, h, w).

    draw: pictures (B, 3, H, W) -> maps (B, K, h, w); order (K,): which keypoint takes the place of each in the mirror.
    """
    ### BEGIN SOLUTION
    return (draw(pictures) + draw(pictures.flip(-1)).flip(-1)[:, list(order)]) / 2
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-average_toy", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def both_ways(draw, pictures, order):
    """The same, picture by picture and keypoint by keypoint."""
    straight, mirrored = draw(pictures), draw(torch.flip(pictures, [3]))
    result = torch.zeros_like(straight)
    for one, first, second in zip(result, straight, mirrored):
        for keypoint, other in enumerate(order):
            one[keypoint] = (first[keypoint] + torch.flip(second[other], [1])) / 2
    return result


def fair_toy(pictures):
    """A nose in the middle, a right hand to the left of it, a left hand to the right: treats both sides alike."""
    across = torch.linspace(0, 1, pictures.shape[-1])
    grey = pictures.mean(1)
    return torch.stack([grey, grey * (1 - across), grey * across], 1)


def check_mirror_average(function):
    pictures = torch.rand(2, 3, 4, 6, generator=torch.Generator().manual_seed(6))
    maps = function(fair_toy, pictures, (0, 2, 1))
    assert maps.shape == (2, 3, 4, 6), f"expected shape (2, 3, 4, 6), got {tuple(maps.shape)}"
    compare("a fair network", maps, fair_toy(pictures))


with Check("mirror average: a network that treats left and right alike"):
    check_mirror_average(mirror_average)
### BEGIN HIDDEN TESTS
with Check("mirror average: an unfair network"):
    draw = torch.Generator().manual_seed(7)
    weight, pictures = torch.randn(4, 3, 3, 3, generator=draw), torch.randn(2, 3, 6, 5, generator=draw)
    found = mirror_average(lambda shown: F.conv2d(shown, weight), pictures, [1, 0, 2, 3])
    compare("random filters", found, both_ways(lambda shown: F.conv2d(shown, weight), pictures, [1, 0, 2, 3]))
### END HIDDEN TESTS

# %%
mirror_average = pick(mirror_average, both_ways, check_mirror_average)
compare("ours and the library's", mirror_average(plain.heatmaps, crowd[:2], POINTS_MIRROR), estimator.heatmaps(crowd[:2]), atol=1e-4)  # fmt: skip

# %% tags=["no-proof"]
pose, found_hands = estimator(crowd)
COCO = list(labels.COCO_18_FROM_BODY_25)
compare(
    "hits, ours and library's", hits(pose[:, COCO], true[:, COCO]).nan_to_num(), pck(pose, true)[0][:, COCO].float()
)
for name, guess in (("one look", plain(crowd)[0]), ("with mirror", pose)):
    correct, counted = pck(guess, true)
    measured[f"pck_{name.replace(' ', '_')}"] = share = (correct.sum() / counted.sum()).item()
    print(f"{name:11s} PCK@0.1 {share:.1%} of {counted.sum()} joints of {len(crowd)} people")
results = course.profiles.PROJECT / "benchmarks" / "results" / "perceive-pose.json"
results = json.loads(results.read_text(encoding="utf-8"))
figure, axis = course.new_figure(size=(8.0, 2.8))
by_joint = {name: scores["body"]["joints"] for name, scores in results["studio"].items()}
joints = [
    one
    for one in labels.BODY_25
    if any(counts.get(one, {"counted": 0})["counted"] >= 5 for counts in by_joint.values())
]
for (name, counts), marker in zip(by_joint.items(), "os^"):
    told = {joint: one["hits"] / one["counted"] for joint, one in counts.items() if one["counted"] >= 5}
    axis.plot([told.get(joint, math.nan) for joint in joints], marker, label=f"data set {name}")
    scores = results["studio"][name]
    print(f"{name}: {scores['people']} test people, PCK@0.1 {scores['pck']:.1%}, PCK@0.05 {scores['pck_0.05']:.1%}")
axis.set(ylabel="PCK@0.1", xticks=range(len(joints)), ylim=(0.7, 1.01))
axis.set_xticklabels(joints, rotation=45, ha="right", fontsize=8)
axis.legend(loc="lower left")
show_figure(
    figure, alt="PCK of each joint as dots, for two data sets: at the top for face and shoulders, lower for the limbs."
)

# %% tags=["no-proof"]
torsos = torso_length(true)
for share in (0.1, 0.05, 0.02):
    correct, counted = pck(found_hands, true_hands, share=share, torso=torsos[:, None].expand(-1, 2))
    measured[f"hands_at_{100 * share:.0f}_percent"] = part = (correct.sum() / counted.sum()).item()
    print(f"hands PCK@{share}: {part:.1%} of {counted.sum()} points lie within {share * torsos.nanmean():.1f} pixels")
fingers = [(a, b) for a, b in labels.HAND_LIMBS if a > 0]  # without the palm
bones = torch.stack([(true_hands[..., a, :2] - true_hands[..., b, :2]).norm(dim=-1) for a, b in fingers], -1)
measured["finger_bone"] = bone = bones[(true_hands[..., 2] > 0).all(-1)].median().item()
print(f"from one point of a finger to the next: {bone:.1f} pixels, {bone / 4:.1f} cells of a map")

# %% tags=["no-proof"]
number, side = divmod(int((true_hands[..., 2] > 0.5).sum(-1).argmax()), 2)
left, top = (true_hands[number, side, :, :2].mean(0) - 24).round().clamp(torch.zeros(2), torch.tensor([144.0, 208.0])).int().tolist()  # fmt: skip
shown = [F.interpolate(to_01(crowd[number : number + 1, :, top : top + 48, left : left + 48]), scale_factor=8)[0]]
for points, colour in ((true_hands[number, side], "green"), (found_hands[number, side], "red")):
    dots = (points[points[:, 2] > 0, :2] - torch.tensor([left, top]) + 0.5) * 8 - 0.5
    shown.append(course.draw_points(shown[0], dots, colour=colour, radius=4))
alt = "A hand, enlarged until its pixels show; the true points on its fingers; the points that were found."
show_images(shown, ["48 x 48 pixels", "true", "found"], height=230, alt=alt)

# %% [markdown]
# The dots come from `benchmarks/perceive_pose.py`, on the test people of the two data sets that it was trained on;
# `wild` has the rooms and streets, and whole figures. Read them from the left. The face looks alike in everybody and is
# rarely covered. Elbows and wrists move most and hide behind backs. Hips are *under* cloth, and nobody sees a joint
# there: the network estimates them from the outline. How well that works on the studio's bodies, the dots show; for
# photographs see section 16. Knees and feet are rare in the lessons.
#
# And the hands? **PCK@0.1 flatters them.** A tenth of the torso is half a hand, so it asks whether the *hand* was found.
# Within 2 % it asks for fingers, and the number drops. The picture says why: at 256 x 192 a finger is two or three
# pixels wide, and its points are one or two cells of the map apart. OpenPose has a second network for hands, which sees them
# enlarged. With ours, trust where a hand is and where it points, not a finger.
#
# ### Does it really look at the body?
#
# Section 13 said so; now we can ask. First, the gradient of a joint's surest answer with respect to the *picture*:
# which pixels would change it? Second, an experiment: everything more than 24 pixels away from the right wrist becomes
# grey. And because the *place* of the hole gives something away, too (a right wrist is mostly on the left of a
# picture), we move it to the middle as well. If a wrist were recognised by itself, neither would change anything.


# %% tags=["no-proof"]
def looks_at(picture, joint):
    """How much each pixel matters (H, W) in [0, 1] for the answer that the network is surest of."""
    picture = picture[None].clone().requires_grad_()
    log_probabilities(*plain.network(picture))[0][0, joint].max().backward()
    strength = blur(picture.grad.abs().sum(1, keepdim=True), 3.0)[0, 0].sqrt()
    return strength / strength.max()


shown = [overlay(to_01(crowd[model]), looks_at(crowd[model], joint), alpha=0.9) for joint in (0, 4, 7, 9)]
titles = ["for the nose", "for the right wrist", "for the left wrist", "for the right hip"]
alt = "Bright areas on a person: around each joint, fainter along the limb and the trunk that lead to it."
show_images(shown, titles, height=210, alt=alt)
have = (true[:, 4, 2] > 0).nonzero().flatten()
views, wrist = {"whole picture": crowd[have].clone(), "hole": [], "hole, moved": []}, true[have, 4, :2].round().int()
for person, (x, y) in zip(have, wrist.tolist()):
    inside = ((torch.arange(192) - x).abs() <= 24) & ((torch.arange(256)[:, None] - y).abs() <= 24)
    views["hole"].append(torch.where(inside, crowd[person], 0.0))
    views["hole, moved"].append(views["hole"][-1].roll((128 - y, 96 - x), (1, 2)))  # now in the middle of the picture
for name, pictures in views.items():
    pictures, place = torch.stack(list(pictures)), torch.tensor([96, 128]) if "moved" in name else wrist
    guess = plain(pictures)[0][:, [4, 7]]  # right and left wrist
    apart_by = (guess[..., :2] - place.view(-1, 1, 2)).norm(dim=-1)
    right, left = ((apart_by <= 0.1 * torsos.nanmean()) & (guess[..., 2] > 0)).sum(0).tolist()
    measured[f"wrist_{name.replace(', ', '_').replace(' ', '_')}"] = right / len(have)
    print(f"{name:13s} a right wrist is found there {right} of {len(have)} times, a left one {left} times")
shown = [to_01(pictures[0]) for pictures in views.values()]
show_images(shown, list(views), height=180, alt="A person; all but a square around the right wrist is grey; the square, moved to the middle.")  # fmt: skip

# %% [markdown]
# Most of what matters lies around the joint, and the rest along what leads to it: the arm, the trunk, the outline. The
# receptive field says what *may* count; what does is a fraction of it. Yet that fraction decides. Compare the three
# lines: the hole shows the same wrist in the same pixels, and fewer of them are found; fewer still when the place is
# gone. A wrist is judged by the body, and by where it is in the picture.
#
# ## 16 In and out
#
# ### OpenPose JSON
#
# Everything in this field reads OpenPose's JSON, so that is what we write: `encode_keypoints` out, `read_keypoints` in.
# The test is a round trip. The other way matters as much: files of *real* OpenPose have to go in. They differ from ours
# in small ways: a confidence above 1, zeros for what was not found, a face, hands that are missing, several people in
# one file. The last lines below read such files. For several people, or nobody, the reader stops and says so.


# %% tags=["no-proof"]
def through_a_file(content):
    """Write the bytes of a JSON file, and read it again."""
    with tempfile.TemporaryDirectory() as place:
        Path(place, "photograph_keypoints.json").write_bytes(content)
        return read_keypoints(Path(place, "photograph_keypoints.json"), sample.size)


pose, both_hands = (part.numpy() for part in estimator(sample.person))
again = through_a_file(encode_keypoints(pose, both_hands))
for name, ours, back in zip(("body, out and in", "hands, out and in"), (pose, both_hands), again):
    compare(name, back, ours, atol=6e-4)
alt = "A person, the skeleton picture of the pose that was found, and that of the true pose."
shown = [photograph, draw_skeleton(*again, sample.size), to_01(sample.skeleton)]
show_images(shown, ["photograph", "found", "true"], height=250, alt=alt)

foreign = {
    "pose_keypoints_2d": [50.5, 20.25, 1.02] + 66 * [0.0] + [45.0, 18.5, 0.41, 0, 0, 0],
    "face_keypoints_2d": 210 * [0.0],
}
for people_in_it in (1, 2, 0):
    try:
        pose, both_hands = through_a_file(json.dumps({"version": 1.3, "people": [foreign] * people_in_it}).encode())
        print(f"{(pose[:, 2] > 0).sum()} joints, the nose {pose[0].round(2).tolist()}, hands: {both_hands}")
    except DamagedFile as error:
        print(f"DamagedFile: expected {error.expected}, got {error.got}")

# %% [markdown]
# Compare the two skeletons at the hands. Behind a back nobody sees fingers, and what is drawn there is guesswork, as
# neat as everything else: a skeleton picture has no room for doubt (section 7).
#
# ### Where is a hip?
#
# Trained on the studio, the estimator has the studio's idea of a hip: the centre of the joint in the bone. OpenPose's
# was learned from people who clicked on photographs, and lies higher. Neither is wrong. But if one is scored against the
# other, a difference of *convention* counts as an error.
#
# It can be corrected: move the three hips by a share $q$ of the way from the mid-hip to the neck, and fit $q$ by least
# squares. Now the trap. We have three photographs with OpenPose's files. Fit $q$ on all three and measure on the same
# three, and each of them helps to choose the number that it is judged by. **Leave one out**: fit on two, measure on
# the third, three times. On paper, with three people whose hips are off by 0.25, 0.20 and 0.15 of the way: fitted on
# all, $q = 0.20$, and what remains is 0.05, 0 and 0.05. Left out, $q$ is 0.175, 0.20, 0.225, and 0.075, 0 and 0.075
# remain: half as much again, and that is what a fourth person may expect. (The library weighs by everybody's torso,
# so its numbers differ a little.)

# %%
made_up = torch.zeros(3, 25, 3)  # three people: neck and left shoulder at (0, 0), hips 100 pixels below
made_up[:, [8, 9, 12], 1], made_up[:, :, 2] = 100.0, 1.0
elsewhere = torch.stack([shift_hips(one, share) for one, share in zip(made_up, (0.25, 0.20, 0.15))])
moved, shares = leave_one_out(made_up, elsewhere)
compare("shares, library's and ours", torch.tensor(shares), torch.tensor([0.175, 0.2, 0.225]), atol=0.01)
print(f"fitted on all: {fit_hips(made_up, elsewhere):.2f}; pixels that remain, each left out of its own fit:", end=" ")
print([round(gap, 1) for gap in (moved - elsewhere)[:, 8, 1].abs().tolist()])

# %% tags=["no-proof"]
real, places = results["photographs"], ("mid-hip", "right-hip", "left-hip")
print("shares, each fitted without its own photograph:", [round(share, 2) for share in real["shares"].values()])
for name, scores in (("raw", real["raw"]), ("hips moved", real["hips moved"])):
    hips = [sum(scores["joints"][joint][what] for joint in places) for what in ("hits", "counted")]
    each = ", ".join(f"{one['hits']} of {one['counted']}" for one in scores["photographs"].values())
    print(f"{name:10s} PCK@0.1 {scores['pck']:.2f}: {scores['hits']} of {scores['counted']} joints, {hips[0]} of {hips[1]} hips; each: {each}")  # fmt: skip
print("hands:", real["hands"]["hits"], "of", real["hands"]["counted"], "points")

# %% [markdown]
# These are three real photographs with OpenPose's own files, measured by `benchmarks/perceive_pose.py`: a network that
# has never seen a photograph, judged by another network. The second line is what is left of the error when the
# *convention* is taken off. Three photographs decide little: one joint is two percent, and a difference of one or two
# joints means nothing; look at the hips alone. So the estimator offers both, `hips="studio"` and
# `hips="openpose"`, and never moves anything silently.
#
# ## 17 Breaking the estimator
#
# Five photographs that it wasn't made for. Guess first, what will happen to each?
#
# 1. **Two people** side by side. The network has one map for each joint, and a softmax that has to choose.
# 2. **Upside down.** All it has ever seen are heads at the top.
# 3. **A hidden arm**: the test person with most hidden joints among elbows and wrists.
# 4. **From behind**, rendered by the studio for this purpose: which side is left?
# 5. **Small**: somebody who fills a quarter of a large photograph's height. The network works at 256 x 192, so the person
#    arrives 64 pixels high. This is what the *second look* is for: the estimator finds the person first, and then looks
#    at that part of the photograph only.

# %% tags=["no-proof"]
other, arms = (model + 1) % len(crowd), true[:, [3, 4, 6, 7], 2]
hidden = ((arms > 0) & (arms < 0.5)).sum(1).argmax()
back = Sitting.draw(0, 12, (256, 192)).stage(0, [top_of(0, 12, 400)], [], views=[180.0])[0][0].record("back", "back")
large = F.pad(crowd[[model]], (288, 288, 640, 128), mode="replicate")[0]  # 1024 x 768
in_large = true[model] + torch.tensor([288.0, 640, 0])
in_second, in_two = true[other] + torch.tensor([192.0, 0, 0]), torch.cat([crowd[model], crowd[other]], 2)
turned = torch.tensor([191.0, 255, 0]) + true[model] * torch.tensor([-1.0, -1, 1])
trials = {
    "two people": (in_two, true[model]),
    "upside down": (crowd[model].flip(-1, -2), turned),
    "hidden arm": (crowd[hidden], true[hidden]),
    "from behind": (torch.from_numpy(back.image).permute(2, 0, 1) / 127.5 - 1, torch.from_numpy(back.pose).float()),
    "small, one look": (large, in_large),
    "small, two looks": (large, in_large),
}
shown, titles, guesses = [], [], {}
for name, (picture, truth) in trials.items():
    guesses[name] = guess = (plain if "one look" in name else estimator)(picture)[0]
    correct, counted = pck(guess, truth)
    measured[f"hits_{name.replace(',', '').replace(' ', '_')}"] = (correct.sum() / counted.sum()).item()
    drawn_guess = course.draw_pose(to_01(picture), guess, radius=2.5)
    shown.append(drawn_guess[620:920, 272:497] if name.startswith("small") else drawn_guess)
    titles.append(f"{name}: {correct.sum()} of {counted.sum()}")
alt = "Skeletons over two people side by side, over one who stands on their head, over one with an arm hidden."
show_images(shown[:3], titles[:3], height=240, alt=alt)
alt = "Skeletons over somebody's back, and over a small person, at one look and at two."
show_images(shown[3:], titles[3:], height=240, alt=alt)
print("two people, of the one on the right:", *(part.sum().item() for part in pck(guesses["two people"], in_second)))
exchanged = guesses["from behind"][list(labels.BODY_25_MIRROR)]
print("from behind, correct with left and right exchanged:", pck(exchanged, trials["from behind"][1])[0].sum().item())

# %% [markdown]
# - **Two people.** Each map chooses for itself, and nothing ties its choice to that of the others: with luck all joints
#   are one person's, without it they come from both and make a pose that is nobody's. OpenPose solves this with *part
#   affinity fields*, maps that say which elbow belongs to which shoulder. Ours has nothing of the kind.
# - **Upside down.** Every augmentation is a statement about what may happen, and "turned by up to 15°" was ours. If your
#   photographs may lie on their side, turn them first: the EXIF orientation is there for that.
# - **A hidden arm.** The loss asks for hidden joints, so a place is given. It is an estimate, and its confidence doesn't
#   tell hidden from seen as the studio's files do: it says how *sure* the network is.
# - **From behind.** The studio's people face us, within 30°. Compare the two numbers, correct as it is and correct with
#   left and right exchanged: who has only ever seen fronts takes a back for a front.
# - **Small.** At one look the person is 64 pixels high, and a cell of the map is 16 pixels of the photograph. The second
#   look costs another pass, and gives back what the first reduction took.
#
# All five are failures of *data* or of *framing*, not of the loss or the decoder. It is good to know that before you
# spend a week on a deeper network.
#
# ## Numbers against their bands
#
# The bands are wide enough for another machine, not for another idea. If one of yours lies outside, something in the
# chain has changed: the studio's poses, a drawing rule, or an exercise that passed its tests by luck.

# %% tags=["no-proof"]
check_bands("02", measured, profile=PROFILE)

# %% [markdown]
# ## Summary
#
# - OpenPose writes BODY_25 and 21 points a hand, as x, y, confidence. **Missing is what the confidence says.** COCO-18
#   is an index map away.
# - Index coordinates; $x \to (x + 0.5)\,s - 0.5$ under resizing. The naive formula is off by up to half a pixel of the
#   small picture.
# - Maps lie on the picture, so a convolution carries what it knows to any place. A list of numbers doesn't, and the
#   experiment showed it.
# - Squares lose the fraction and are biased by half a pixel; discs keep it in their outline and vanish when they get
#   small; Gaussians keep it at any size.
# - Read Gaussians by a parabola in the logarithm: exact. Argmax costs a fraction of a pixel of the map; a centroid dies
#   of noise and of borders.
# - A skeleton picture has three channels, tells left from right by colour and shows hands; it loses confidence, depth,
#   and bones with one end outside. Mirror it by redrawing.
# - PCK@0.1 of the torso counts confusions. It can't see a constant offset; report that, too.
# - A network for keypoints draws maps. Squared error is satisfied by empty ones; a softmax over all places and "not in
#   this picture" is not, and it learned in the time in which the other didn't.
# - An hourglass sees the whole body at its narrowest place, and a wrist is judged by the body.
# - What the lessons never showed, the network can't do: two people, backs, heads at the bottom. What the border cuts off
#   has to be cut off in the lessons, too.
# - A score has small print: hands that pass at a tenth of the torso, hips by another convention, a share that was fitted
#   on what it is measured on.
#
# ## Going further
#
# - Draw squares with `round` in place of truncation. What happens to the bias, and to the mirror?
# - Put the confidence into the brightness of the maps, as the table of section 7 suggests. What would a network trained
#   on files with 1 everywhere make of 0.35?
# - Give the experiment of section 3 a target that depends on the border, a cropped person say. Do the maps still win?
# - Save the squared error: weight cells near a joint fifty times as much. How near does it come to the softmax?
# - Train the narrow network without moving and enlarging its lessons, and examine it on enlarged people.
#
# ## Further reading
#
# - Cao, Hidalgo, Simon, Wei, Sheikh: *OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields*
#   (2019).
# - Simon, Joo, Matthews, Sheikh: *Hand Keypoint Detection in Single Images using Multiview Bootstrapping* (2017). The
#   21 points.
# - Han et al.: *VITON* (2018) and Wang et al.: *CP-VTON* (2018): squares. Dong et al.: *MG-VTON* (2019): discs.
# - Choi et al.: *VITON-HD* (2021): the skeleton picture. Wang et al.: *MV-VTON* (2025): skeletons for front and back.
# - Zhang, Zhu, Dai, Ye, Zhu: *Distribution-Aware Coordinate Representation for Human Pose Estimation* (2020). Decoding
#   below the pixel.
# - Newell, Yang, Deng: *Stacked Hourglass Networks for Human Pose Estimation* (2016).
# - He, Gkioxari, Dollár, Girshick: *Mask R-CNN* (2017). Section 5 has the softmax over all places.
# - Yang, Ramanan: *Articulated Human Detection with Flexible Mixtures of Parts* (2013), where PCK comes from.
# - In this course: notebook 05 puts the squares into a person representation, notebook 06 warps a garment with it.
