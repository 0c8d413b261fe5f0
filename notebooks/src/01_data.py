# %% [markdown]
# # 01 The data: what a try-on sample holds, public layouts, the studio
#
# Networks of this field don't learn from photographs alone. With every photograph come labels, points and masks, and
# many a failed training run goes back to one of them that was read in the wrong way and raised no error. This notebook
# is about those files and numbers. After it you can
#
# - say what a training example is, and what changes between *paired* and *unpaired*;
# - name every part of a `TryOnSample` with its shape, range and convention, and say which preprocessing step makes it;
# - read and write label maps, masks, keypoints and flows, and tell which file format would spoil them;
# - resize, pad and mirror a sample so that picture, labels, points and flow still belong together;
# - check that train and test share nothing, and measure what happens when they do;
# - find your way in the public data sets: VITON, VITON-HD, MPV, DeepFashion, MVG; what they hold, and on what terms;
# - open one set in three layouts, VITON-HD's, MPV's and MVG's, and say which question each was made for;
# - follow a studio picture from a seed to its pixels and its truth, and take a few pictures yourself;
# - say what ground truth buys, check a data set against itself, and name what the studio can't stand for.
#
# Plan about three hours with the three exercises. The machine needs about two minutes. You should have seen notebook
# [00](00_welcome.ipynb); nothing is trained here.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
import csv
import hashlib
import io
import json
import shutil
import tempfile
from collections import Counter
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.spatial import cKDTree

from vtonlib import course
from vtonlib.course import Check, check_bands, colour_parse, compare, overlay, pick, show_figure, show_images, to_01
from vtonlib.data import Fit, mirror, open_dataset, sample_from_raw
from vtonlib.labels import BODY_25, BODY_25_MIRROR, LIP, LIP_INDEX, LIP_MIRROR, LIP_PALETTE, TOP_LABELS
from vtonlib.layouts import LAYOUTS, files
from vtonlib.layouts.viton_hd import DENSEPOSE_PALETTE
from vtonlib.sample import RawSample, TryOnSample

settings = course.profile(PROFILE)
root = course.ensure_data(settings)
people = open_dataset(root, split="test", pairing="paired", size=settings.size)
others = open_dataset(root, split="test", pairing="unpaired", size=settings.size)
some = (people[index] for index in range(min(settings.samples, len(people))))
samples = [(one.parse, one.pose) for one in some]  # of many people these two are enough
measured = {}  # numbers that the last cell compares with their bands
print(f"{len(people)} test people, {settings.size[0]} x {settings.size[1]} pixels (height x width)")

# %% [markdown]
# ## The problem in one picture
#
# The studio writes down what it drew for everybody, in `manifest.csv`. With its help we pick a test person in a
# patterned top whose arms can be seen. Here they are, with two garments and two photographs.


# %%
with (root / "manifest.csv").open(encoding="utf-8", newline="") as file:
    drawn = {row["name"]: row for row in csv.DictReader(file)}


def find(**wanted):
    """Index of the test person who fits best; wanted: column of the manifest = (values, the best one first)."""

    def fit(index):
        row = drawn[people.pairs[index][0]]
        return sum(1 - values.index(row[key]) / 10 for key, values in wanted.items() if row[key] in values)

    return max(range(len(people)), key=fit)


POSES, PATTERNS = ("hips", "hand-on-hip", "pocket", "stand"), ("checks", "dots", "floral", "stripes")
CUTS = ("v-neck", "t-shirt", "fitted-scoop", "loose-t-shirt")
number = find(pose=POSES, fabric=PATTERNS, cut=CUTS, jacket=("",))
sample = people[number]
wished = sample.truth.unpaired
pictures = [to_01(p) for p in (sample.person, sample.garment.image, wished.garment.image, wished.person)]
titles = ["a photograph", "paired: the garment worn", "unpaired: another one", "the answer nobody can photograph"]
show_images(pictures, titles, alt="A person in a patterned top, that top alone, another top alone, the person in it.")

# %% [markdown]
# A **training example** for try-on is a question with a known answer: *this person, that garment, this picture*.
#
# - In a **paired** example the garment is the one that the person wears. The answer is the photograph itself.
#   Nearly all public training sets are of this kind.
# - In an **unpaired** example the garment is somebody else's. That is what a shop asks. The answer doesn't exist as a
#   photograph ([00](00_welcome.ipynb) says why); only a renderer can make the fourth picture.
#
# So a network trains on one question and is used for another. It must not see the worn garment while training, or it
# learns to hand it back ([05](05_person_representations.ipynb) is about that). To *hide* a garment and keep the person,
# one has to know where everything is, and this is what all the annotations are for:
#
# ```text
#   photograph ----+--1--> pose, hands, skeleton  --+--5--> parse-agnostic   (05)
#                  +--2--> parse                  --+--6--> human-agnostic   (05)
#                  +--3--> densepose
#   shop picture -----4--> garment mask
# ```
#
# | step | on photographs | who takes the result |
# |---|---|---|
# | 1 pose | OpenPose: 25 joints, 21 points a hand (02) | VITON, CP-VTON, MG-VTON as maps; VITON-HD, MV-VTON *drawn* |
# | 2 human parsing | a self-correcting parser, SCHP, trained on LIP: 20 labels (03) | VITON, CP-VTON, MG-VTON, VITON-HD, O-VITON |
# | 3 DensePose | 24 body parts and a position on each (04) | O-VITON, HR-VITON |
# | 4 garment mask | U2-Net or another network for salient objects (04) | all that warp a garment |
# | 5, 6 agnostics | drawing rules, no network (05) | VITON-HD and its descendants |
#
# These six steps turn *any* photograph and *any* garment picture into a sample, and deserve as much care as the networks
# behind them. On a real photograph steps 1 to 4 are estimates. In the studio they are exact.
#
# ## 1 By hand: a person of 6 x 4 pixels
#
# Step 2 gives each pixel a **label**, a whole number from 0 to 19. Our first person is 6 pixels wide and 4 high: face
# (13), neck (10), a top (5), trousers (9), the right arm (15) hanging down and the left one (14) held up a little. Left
# and right are the *person's own*: somebody who faces us has the left arm on the right of the picture.

# %%
toy = torch.tensor([
    [ 0,  0, 13, 13,  0,  0],
    [ 0,  5, 10, 10,  5, 14],
    [15,  5,  5,  5,  5,  0],
    [ 0,  0,  9,  9,  0,  0],
])  # fmt: skip
alt = "Six by four squares: a blue face, a brown neck, an orange top, an arm on either side, trousers."
show_images([colour_parse(toy), course.parse_legend(toy, height=180)], height=180, alt=alt)

# %% [markdown]
# The colours are those of VITON-HD's files. They are *not* in the map. The file format that says so is the **palette
# PNG**: a small table of colours, and for each pixel the *number of a row* of that table. It is painting by numbers. An
# image viewer shows colours, and the numbers are still there for who asks for them.
#
# We write the toy and read it back in three ways.

# %%
# NBVAL_CHECK_OUTPUT
stored = files.encode_png(toy.numpy().astype(np.uint8), LIP_PALETTE)
picture = Image.open(io.BytesIO(stored))
print("mode", picture.mode, "| palette row 13:", picture.getpalette()[39:42])
print("as numbers: ", np.asarray(picture)[:2].tolist())
print("as RGB:     ", np.asarray(picture.convert("RGB"))[0, 2].tolist(), "in place of 13")
print("as grey:    ", np.asarray(picture.convert("L"))[:2].tolist())
print("a dress (6) as grey:", Image.new("RGB", (1, 1), LIP_PALETTE[6]).convert("L").getpixel((0, 0)))

# %% [markdown]
# The first reading is right. Mode `P` is "palette", and `np.asarray` gives the rows' numbers.
#
# The second is a *picture of* the label map. One can get the labels back from it, as you are about to do.
#
# The third is a trap. `convert("L")` turns each colour into its brightness, and brightnesses look like labels: small
# whole numbers, one for each part of the body. The last line is the malicious case: a dress (6) becomes a 10, a neck.
# Nothing will complain. So the library opens a parse in exactly one way, `files.read_parse`, which takes the modes `P`
# and `L`, and refuses every value above 19.
#
# **Exercise 1: labels from colours.** *about 15 minutes, difficulty 2 of 5.* Somebody sends you parse maps as ordinary
# RGB pictures. Write `labels_from_colours(colours)`: for each pixel the label whose palette colour is *nearest*, by the
# squared distance $\Delta r^2 + \Delta g^2 + \Delta b^2$. Nearest, and not equal, as the colours may have suffered.
#
# What to expect: the toy comes back, and (250, 80, 10) is upper-clothes.
#
# <details><summary>Hint 1</summary>All distances at once: <code>colours[..., None, :]</code> has the shape (H, W, 1, 3) and the palette (20, 3); their difference is (H, W, 20, 3).</details>
# <details><summary>Hint 2</summary>Bytes can't be negative: in <code>uint8</code>, 2 - 5 is 253. Convert to <code>int64</code> before you subtract.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "labels-from-colours", "grade": false, "solution": true, "locked": false, "task": false}
def labels_from_colours(colours):
    """Labels (H, W) int64 in 0..19 of a picture (H, W, 3) uint8 RGB (NumPy): the nearest colour of LIP_PALETTE."""
    ### BEGIN SOLUTION
    palette = np.array(LIP_PALETTE, np.int64)
    gaps = colours.astype(np.int64)[..., None, :] - palette
    return (gaps**2).sum(-1).argmin(-1)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "labels-from-colours_values", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_labels_from_colours(f):
    labels = f(colour_parse(toy))
    assert np.shape(labels) == (4, 6), f"expected one label a pixel, shape (4, 6), got {np.shape(labels)}"
    compare("the toy", labels, toy)
    compare("a worn orange", f(np.array([[[250, 80, 10]]], np.uint8)), np.array([[LIP_INDEX["upper-clothes"]]]))


with Check("labels from colours: the toy, and a colour that has suffered"):
    check_labels_from_colours(labels_from_colours)
### BEGIN HIDDEN TESTS
with Check("labels from colours: all twenty, each a little off"):
    off = np.clip(np.array(LIP_PALETTE)[None] + (9, -9, 9), 0, 255).astype(np.uint8)
    compare("twenty labels", labels_from_colours(off), np.arange(20)[None])
### END HIDDEN TESTS


# %%
def nearest_by_tree(colours):
    """The same with a search tree over the palette."""
    return cKDTree(LIP_PALETTE).query(colours.reshape(-1, 3))[1].reshape(colours.shape[:2])


labels_from_colours = pick(labels_from_colours, nearest_by_tree, check_labels_from_colours)
compare("a whole parse", labels_from_colours(colour_parse(sample.parse)), sample.parse)

# %% [markdown]
# ### Breaking it: a label map as JPEG
#
# JPEG cuts a picture into blocks of 8 x 8 pixels and keeps the waves that eyes notice. At a sharp border it leaves
# faint ripples, called **ringing**. By default it also stores colour at half the resolution (**chroma subsampling**).
# A photograph survives both. Let's store the coloured parse and decode it with your function. The fourth line stores
# not the colours but the *numbers* 0 to 19, as a grey picture.


# %%
def through_jpeg(pixels, quality, subsampling):
    """uint8 pixels as they come back from a JPEG. subsampling: 0 keeps colour at full resolution, 2 at half."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(stream))


parse, painted = sample.parse.numpy(), colour_parse(sample.parse)
decoded = {}
for name, quality, subsampling in (("best", 95, 0), ("good", 95, 2), ("usual", 75, 2)):
    back = through_jpeg(painted, quality, subsampling)
    decoded[name] = labels_from_colours(back)
    exact = (back != painted).any(-1).mean()
    print(f"{name:8s} another colour: {exact:6.1%}   wrong label: {(decoded[name] != parse).mean():6.2%}")
decoded["numbers"] = through_jpeg(parse.astype(np.uint8), 95, 0)
print(f"{'numbers':8s} {'':23s}   wrong label: {(decoded['numbers'] != parse).mean():6.2%}")
measured |= {f"jpeg_wrong_{name}": (decoded[name] != parse).mean() for name in ("best", "usual", "numbers")}
invented = sorted(LIP[label] for label in np.setdiff1d(decoded["usual"], parse))
print("labels that nobody wears here:", ", ".join(invented))
pictures = [painted, colour_parse(decoded["usual"]), decoded["usual"] != parse]
titles = ["parse", "the usual JPEG, decoded", "wrong labels (white)"]
show_images(pictures, titles, alt="A parse map, the same with coloured seams at every border, and those seams alone.")

# %% [markdown]
# Even the best JPEG changes the colour of many pixels. Whoever looks for *equal* colours loses them all; the *nearest*
# colour repairs it, as long as colour is stored at full resolution. With the usual settings, no decoder helps. Borders
# become seams of labels that are between two colours, though nobody wears them: a hat on the edge of the hair, a scarf
# round the neck. Numbers stored as grey are off by one or two near borders, and 13 - 1 is a skirt.
#
# The rule: **labels are stored lossless** (PNG), and averaged never. We will meet the second half in section 3.
#
# ### Masks are JPEGs, and one can live with that
#
# VITON set a habit that lasts: the garment mask is a JPEG, in `cloth-mask`. A mask has two values at opposite ends of
# the scale, 0 and 255, so there is much room between them. Readers cut at 128. What if you forget, and take everything
# above zero for cloth, or only what is fully white?

# %%
grey = np.asarray(Image.open(people.source.folder / "cloth-mask" / f"{sample.garment.name}.jpg"))
cut, ripples = grey >= 128, (grey > 0) & (grey < 255)
for rule, mask in (("> 0", grey > 0), (">= 128", cut), ("== 255", grey == 255)):
    print(f"{rule:7s} {mask.sum():6d} pixels of cloth, {int((mask != cut).sum()):5d} judged otherwise than at 128")
measured |= {"mask_ripples": ripples.mean(), "mask_above_zero": ((grey > 0) & ~cut).sum() / cut.sum()}
pictures, titles = [grey, ripples, (grey > 0) & ~cut], ["mask file", "neither 0 nor 255", "cloth only by the rule > 0"]
alt = "A white silhouette of a top; specks on both sides of its outline; a halo of specks outside of it."
show_images(pictures, titles, alt=alt)

# %% [markdown]
# A rim of specks, as wide as JPEG's blocks, along the outline. Taken for *cloth* it would be a halo of shop background
# that every warp carries along onto the person. The cut at 128 doesn't see it.
#
# ## 2 The sample from all sides
#
# `open_dataset` gives a `torch.utils.data.Dataset` of `TryOnSample`s, whatever the layout on the disk. Here is
# everything that is in one.


# %%
def describe(record, prefix=""):
    """Print every tensor of a sample: name, shape, type, range."""
    for name in (field.name for field in fields(record)):
        value = getattr(record, name)
        if isinstance(value, torch.Tensor):
            known = value[value.isfinite()].float()
            size = str(tuple(value.shape)).replace(" ", "")
            span = f"{known.min():7.2f} to {known.max():.2f}" + (" or NaN" if known.numel() < value.numel() else "")
            print(f"{prefix + name:18s} {size:13s} {str(value.dtype)[6:]:8s} {span}")
        elif is_dataclass(value) and not isinstance(value, TryOnSample):
            describe(value, f"{prefix}{name}.")
        else:
            print(f"{prefix + name:18s} {'a sample of its own' if is_dataclass(value) else value}")


flow = sample.truth.flow
describe(sample)

# %% [markdown]
# | field | what it is | convention |
# |---|---|---|
# | `person` | the photograph | RGB, [-1, 1], channels first |
# | `parse` | a label a pixel | LIP's numbers, but 10 is *neck*; left is the person's own |
# | `pose` | 25 joints (OpenPose's BODY_25): x, y, confidence | index coordinates; confidence 0 = not seen |
# | `hands` | 21 points of the left hand, then of the right | as `pose`; point 0 is the wrist |
# | `skeleton` | pose and hands, drawn in colours on black | RGB in [-1, 1]; a hue a bone |
# | `densepose` | part 0 to 24, u, v | u, v in [0, 1] on each part; part 0 is background |
# | `garment` | `image`, `mask`, `back`, `back_mask`: as the shop shows it | picture in [-1, 1], mask 1 on the cloth |
# | `truth` | what only the studio knows | the next six |
# | `truth.flow`, `flow_back` | where the shop's front picture, its back picture, show the same cloth | worn to in-shop, (x, y); NaN: nowhere |
# | `truth.hidden` | the worn top is here, but behind something | True is hidden |
# | `truth.depth` | distance from the camera | metres along its view; 0 where nobody is |
# | `truth.unpaired` | this person, pose and light in another garment | a sample of its own |
# | `truth.new_pose` | this person in this garment in another pose | a sample of its own |
# | `padding` | pixels added left, top, right, bottom | section 3 |
#
# **Index coordinates** means: x to the right, y down, and (0, 0) is the *centre* of the first pixel. So a picture of
# width 192 reaches from -0.5 to 191.5. What a data set doesn't have is `None`.

# %%
parts, worn, truth = DENSEPOSE_PALETTE[sample.densepose[0].int()], sample.garment, sample.truth
near = truth.depth.where(truth.depth > 0, truth.depth.max())
near = (near.max() - near) / (near.max() - near.min())  # 1 the nearest point, 0 the farthest and the background
upper = [to_01(sample.person), painted, course.draw_pose(to_01(sample.person) * 0.4 + 0.6, sample.pose)]
upper += [to_01(sample.skeleton), parts, sample.densepose[1], sample.densepose[2]]
middle = [to_01(worn.image), worn.mask, to_01(worn.back), worn.back_mask]
middle += [course.colour_flow(each, settings.size) for each in (flow, truth.flow_back)] + [truth.hidden]
lower = [near, to_01(wished.garment.image), to_01(wished.person), colour_parse(wished.parse)]
again = truth.new_pose
lower += [to_01(again.person), colour_parse(again.parse), course.draw_pose(to_01(again.person) * 0.4 + 0.6, again.pose)]
alt = "Person, parse, pose, skeleton, parts, u, v; garment, back, masks, two flows, hidden; depth, other top, new pose."
show_images([upper, middle, lower], height=120, alt=alt)

# %% [markdown]
# First row: `person`, `parse`, `pose`, `skeleton`, and the three channels of `densepose` (parts in colours). Second row: the
# garment's `image`, `mask`, `back`, `back_mask`; `flow` and `flow_back` (colours are places in the shop's pictures);
# `hidden`. Third row: `depth` (near is bright); `unpaired` with its garment, person and parse; `new_pose` with its
# person, parse and pose. Let's go through them.
#
# ### parse, and the label that changed its meaning
#
# The **Look Into Person** data set (LIP) has 20 labels, and VITON-HD's maps use the same twenty numbers. Nineteen of them
# mean the same. Label **10** is *jumpsuits* in LIP and **neck** in VITON-HD's files. That looks like a footnote, and it is
# the label that try-on cares for most: how much neck shows is decided by the *new* neckline, so the old neck has to go.
# Feed a plain LIP parse to VITON-HD, and the old collar comes through as "face". We do this on purpose in
# [05](05_person_representations.ipynb).
#
# Which labels are there at all?

# %%
shares = torch.stack([labels.flatten().bincount(minlength=20) / labels.numel() for labels, _ in samples]).mean(0)
figure, axis = course.new_figure(size=(9, 2.6))
axis.bar(range(1, 20), shares[1:], color=[np.divide(c, 255) for c in LIP_PALETTE[1:]])
axis.set_xticks(range(1, 20), [f"{label} {LIP[label]}" for label in range(1, 20)], rotation=45, ha="right")
show_figure(figure, alt="Bars: upper-clothes far in front, then arms, hair, trousers, face; many labels are empty.")
never = ", ".join(LIP[label] for label in range(20) if shares[label] == 0)
print(f"background {shares[0]:.0%}; never in these {len(samples)} pictures: {never}")
measured |= {"share_background": shares[0], "share_top": shares[list(TOP_LABELS)].sum()}

# %% [markdown]
# Upper-clothes rule the picture. The empty and the tiny bars are a warning. Hats, sunglasses, coats, dresses and socks are
# rare in the studio, gloves, scarves and jumpsuits never come, and its camera seldom sees a foot. What was learned here
# has hardly met those labels. Networks seldom take all 20 anyway: VITON-HD joins them to 13 groups and these to 7
# (`labels.GROUPS_13`, `GROUPS_7`; notebooks 08 and 11).
#
# ### pose and hands
#
# A joint is x, y and a **confidence**. OpenPose's is the height of a peak, anywhere between 0 and 1. The studio writes
# three values: 0.95 for a joint that the camera sees, 0.35 for one behind something, 0 for one outside the picture.
#
# Two rules that save grief:
#
# - *Missing* is (0, 0, 0), as in OpenPose's files. So (0, 0) is never a place, and must not be moved as if it were.
# - *Outside* keeps its coordinates and counts as not seen. In real files of VITON-HD hands hang below the edge; clipped to
#   the border they would be hands *at* the border.


# %%
def show_plot(figure, *, alt):
    """A figure with photographs in it, as a JPEG: `show_figure` would leave them 128 colours."""
    stream = io.BytesIO()
    figure.savefig(stream, dpi=80, bbox_inches="tight")
    course.show_picture(Image.open(stream), alt=alt)


figure, axes = course.new_figure(1, 3, size=(9.5, 4.0))
for axis, points in zip(axes, (sample.pose, *sample.hands)):
    axis.imshow(course.show.to_picture(to_01(sample.person)))
    axis.set_axis_off()
    for joint in points[:, 2].nonzero().flatten().tolist():
        box = {"facecolor": "white" if points[joint, 2] > 0.9 else "orange", "pad": 0.6, "edgecolor": "none"}
        axis.text(*points[joint, :2], joint, fontsize=6, ha="center", va="center", bbox=box)
for axis, hand in zip(axes[1:], sample.hands[..., :2]):
    middle, reach = (hand.amax(0) + hand.amin(0)) / 2, float((hand.amax(0) - hand.amin(0)).max()) * 0.7
    axis.set(xlim=(middle[0] - reach, middle[0] + reach), ylim=(middle[1] + reach, middle[1] - reach))
show_plot(figure, alt="A person with numbered joints, white where seen and orange where hidden; both hands enlarged.")

# %% [markdown]
# ### skeleton and densepose
#
# `skeleton` is the pose as a picture. VITON-HD's networks take this picture and no coordinates, so *its colours are part
# of the format*: a network trained on one colour wheel is lost on another. Ours is not OpenPose's (02).
#
# `densepose` says for each pixel of the body which of 24 parts it belongs to, and where on that part: u and v, two
# coordinates on the part's surface. Under clothes it follows the body. On the disk VITON-HD has a *coloured JPEG* of the
# parts, and you know by now what that means. Parts can't be read back from it exactly, u and v not at all. So a sample
# read from VITON-HD has `densepose = None`, and not a guess. The studio also writes the exact numbers, in
# `densepose-iuv`. (**IUV** is the customary name: I for the part's index, then U and V.) Let's see what the JPEG costs, and
# what u and v are good for: equal u and v on one part is the same spot of the skin, whoever it is and however they stand.
# So we can look up the colours of *this* picture at the same spots of the *new pose*, with no warp at all.

# %%
folder, name = people.source.folder, sample.name
exact = np.asarray(Image.open(folder / "densepose-iuv" / f"{name}.png"))[..., 0]
in_colours = np.asarray(Image.open(folder / "image-densepose" / f"{name}.jpg")).reshape(-1, 3)
guessed = cKDTree(DENSEPOSE_PALETTE).query(in_colours)[1].reshape(exact.shape)
measured["iuv_wrong_jpeg"] = (guessed != exact).mean()
print(
    f"parts from the JPEG: {measured['iuv_wrong_jpeg']:.2%} of the pixels wrong; from the PNG: none, and u and v as well"
)
source_iuv, target_iuv = (one.densepose.permute(1, 2, 0).numpy() * (100, 1, 1) for one in (sample, again))  # part x 100
dressed = source_iuv[..., 0] > 0
distance, spot = cKDTree(source_iuv[dressed]).query(target_iuv)
moved = to_01(sample.person).permute(1, 2, 0).numpy()[dressed][spot]
moved[(distance > 0.05) | (target_iuv[..., 0] == 0)] = 1
pictures = [to_01(sample.person), moved, to_01(again.person)]
titles = ["this picture", "moved by part, u and v", "the new pose"]
show_images(
    pictures, titles, alt="A person; their colours carried to another pose, holes in white; the person in that pose."
)

# %% [markdown]
# It works surprisingly far. White is what the first picture doesn't show. But a garment isn't skin: it hangs, slides and
# folds, so a print that is carried along by the body under it lands near its place and not in it (look at hems and loose
# sleeves). Systems of the DensePose family start from such a transfer and repair it by a network.
#
# ### garment and truth
#
# The garment as the shop shows it, front and back, with a mask for each. Public sets have the front only; MV-VTON's has
# both. `truth.hidden` marks where the worn top goes on behind something: fingers, hair, or the neck, which is before the
# back of the collar. `truth.flow` tells for each pixel of the worn top where the shop's front picture shows the same bit of
# cloth; `flow_back` does so for the back picture. Most cloth shows in one of the two only; a rim at collar, hem or shoulder
# may show in both. Follow five pixels by eye:

# %%
known = flow.isfinite().all(0).nonzero()  # (N, 2): y and x in the photograph, row by row
chosen = known[torch.linspace(0, len(known) - 1, 7).long()[1:-1]]
figure, axes = course.new_figure(1, 2, size=(6.4, 4.2))
for axis, image in zip(axes, (sample.person, sample.garment.image)):
    axis.imshow(course.show.to_picture(to_01(image)))
    axis.set_axis_off()
for letter, (y, x) in zip("ABCDE", chosen.tolist()):
    for axis, place in zip(axes, ((x, y), flow[:, y, x].tolist())):
        axis.text(*place, letter, ha="center", va="center", fontsize=8, bbox={"facecolor": "white", "pad": 1})
    print(f"{letter}: pixel ({x}, {y}) shows what the shop shows at ({flow[0, y, x]:.2f}, {flow[1, y, x]:.2f})")
show_plot(figure, alt="Letters A to E on a worn top and at the same bits of cloth on the top in the shop.")
top_pixels = torch.isin(sample.parse, torch.tensor(TOP_LABELS))
in_front, in_back = (each.isfinite().all(0) for each in (flow, truth.flow_back))
measured |= {
    "flow_known": in_front.sum() / top_pixels.sum(),
    "flow_both": (in_front & in_back).sum() / top_pixels.sum(),
}
print(
    f"of the worn top: {in_front.sum() / top_pixels.sum():.1%} shows in front, {in_back.sum() / top_pixels.sum():.1%} behind"
)

# %% [markdown]
# `truth.depth` is the distance of what is seen, in metres along the camera's view. With the camera's field of view it
# turns the picture into a relief, and one can walk round it. We don't need the field of view to see that it is right:
# here is one row of the picture, at the height of the wrists, as seen from above.

# %%
at = int(sample.pose[[4, 7], 1].mean().clamp(0, settings.size[0] - 1))  # joints 4 and 7 are the wrists
figure, axis = course.new_figure(size=(6.5, 2.6))
for label in sample.parse[at].unique().tolist()[1:]:
    x, colour = (sample.parse[at] == label).nonzero().flatten(), np.divide(LIP_PALETTE[label], 255)
    axis.plot(x, -truth.depth[at, x], ".", color=colour, label=LIP[label])
axis.set(xlabel="x, pixels", ylabel="minus depth, metres", title=f"row {at}, seen from above: the camera is at the top")
axis.legend(fontsize=7)
show_figure(figure, alt="Dots along one row: the trunk as an arc, arms and hands as steps before or beside it.")

# %% [markdown]
# ## 3 Resizing: everything together
#
# Files have one size, networks another. When the photograph is resized, everything in the sample has to follow, each in
# its own manner:
#
# | | how | why |
# |---|---|---|
# | photograph, skeleton | antialiased mean | it is light |
# | labels, body parts, hidden | the pixel under the centre (*nearest*) | numbers of things can't be averaged |
# | masks | mean, then cut at one half | half covered or more is covered |
# | keypoints | by formula | they aren't pixels |
# | flow | interpolated on one piece of cloth, *and its values scaled* | its values are places in another picture |
#
# ### The formula, and its half pixel
#
# Enlarge the toy to twice its size: each pixel becomes 2 x 2. The left arm was the pixel (5, 1), so x = 5. Now it is the pixels 10
# and 11, and its middle lies at **10.5**, not at 2 · 5 = 10. What scales plainly is the distance from the picture's
# *edge*, and the edge is at -0.5. So, for a scale $s$,
#
# $$x' + 0.5 = (x + 0.5)\,s \quad\Longrightarrow\quad x' = (x + 0.5)\,s - 0.5 .$$
#
# Try it on paper for the face, which is centred at x = 2.5, y = 0, then run the cell.

# %%
# NBVAL_CHECK_OUTPUT
doubled = toy.repeat_interleave(2, dim=0).repeat_interleave(2, dim=1)  # (8, 12)
for label in (13, 14, 15):
    (y, x), (y2, x2) = ((labels == label).nonzero().double().mean(0).tolist() for labels in (toy, doubled))
    print(f"{LIP[label]:9s} ({x}, {y}) -> ({x2}, {y2}); formula: ({(x + 0.5) * 2 - 0.5}, {(y + 0.5) * 2 - 0.5})")

# %% [markdown]
# **Exercise 2: keypoints that follow.** *about 10 minutes, difficulty 2 of 5.* A picture is scaled by `scale`, which may
# differ a little in x and y, and then padded on the left and at the top. Write `move_points(points, scale, padding)`.
# A missing joint, (0, 0), stays at (0, 0). Confidences stay, and so does what came in: return something new.
#
# What to expect: with scale 2 and no padding (5, 1) goes to (10.5, 2.5).
#
# <details><summary>Hint 1</summary>Scale first, then add the padding: the padding is in pixels of the result.</details>
# <details><summary>Hint 2</summary>Start from <code>points.clone()</code>, and remember which were missing before you change anything.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "move-points", "grade": false, "solution": true, "locked": false, "task": false}
def move_points(points, scale, padding):
    """Keypoints (K, 3) x, y, confidence of a picture -> of the same picture scaled, then padded.

    scale: of x and of y; padding: left and top, in pixels of the result. A missing point, (0, 0), stays at (0, 0).
    Convention: index coordinates, the centre of the first pixel is (0, 0).
    """
    ### BEGIN SOLUTION
    missing = (points[:, :2] == 0).all(dim=1)
    moved = points.clone()
    moved[:, :2] = (points[:, :2] + 0.5) * torch.tensor(scale) - 0.5 + torch.tensor(padding)
    moved[missing, :2] = 0
    return moved
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "move-points_values", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_move_points(f):
    points = torch.tensor([[5.0, 1.0, 0.5], [0.0, 0.0, 0.0], [2.5, 0.0, 0.4]])
    doubled = torch.tensor([[10.5, 2.5, 0.5], [0.0, 0.0, 0.0], [5.5, 0.5, 0.4]])
    compare("twice as large", f(points, (2.0, 2.0), (0, 0)), doubled)
    padded = torch.tensor([[5.25, 9.5, 0.5], [0.0, 0.0, 0.0], [4.0, 7.5, 0.4]])
    compare("narrower, then padded", f(points, (0.5, 2.0), (3, 7)), padded)
    assert points[0].tolist() == [5.0, 1.0, 0.5], "the points that come in should stay as they are"


with Check("move points: enlarged, and narrowed with padding"):
    check_move_points(move_points)
### BEGIN HIDDEN TESTS
with Check("move points: there and back again"):
    somewhere = torch.tensor([[-3.0, 40.0, 0.0], [7.25, 0.0, 1.0]])
    there = move_points(somewhere, (4.0, 4.0), (0, 0))
    assert not torch.equal(there, somewhere), "the points should have moved"
    compare("back", move_points(there, (0.25, 0.25), (0, 0)), somewhere)
### END HIDDEN TESTS


# %%
def points_by_fit(points, scale, padding):
    return torch.from_numpy(Fit((1, 1), (1, 1), (*padding, 0, 0), tuple(scale)).points(points.numpy()))


move_points = pick(move_points, points_by_fit, check_move_points)
raw = people.source.read(*people.pairs[number])  # the same sample as it lies on the disk: NumPy arrays, bytes
fit = Fit.of(raw.image.shape[:2], (300, 400))
compare("a pose in 300 x 400", move_points(sample.pose, fit.scale, fit.padding[:2]), fit.points(raw.pose), atol=1e-3)

# %% [markdown]
# ### Breaking it: no half pixel, and averaged labels
#
# Without the half pixel, every joint is off by $(s - 1)/2$, in the same direction. That is hard to see and easy to
# measure: we enlarge a real parse four times, and ask where the middle of the face went.
#
# The second cell breaks the other half of the rule about labels, *averaged never*. The mean of upper-clothes (5) and
# face (13) is 9, trousers. Bilinear resizing computes exactly such means wherever two labels meet.

# %%
large = Fit.of(settings.size, tuple(4 * side for side in settings.size))
before, after = (np.nonzero(labels == LIP_INDEX["face"])[1].mean() for labels in (parse, large.labels(parse)))
by_formula = move_points(torch.tensor([[before, 1.0, 1.0]]), large.scale, (0, 0))[0, 0].item()
for name, guess in (("formula", by_formula), ("plain", 4 * before)):
    measured[f"missed_{name}"] = abs(guess - after)
    print(f"{name:8s} misses the middle of the face by {abs(guess - after):.2f} pixels in x")

# %%
half = Fit.of(settings.size, tuple(side // 2 for side in settings.size))
mixed = np.asarray(Image.fromarray(parse.astype(np.uint8)).resize(half.outer[::-1], Image.Resampling.BILINEAR))
nearest, foreign = half.labels(parse), ~np.isin(mixed, np.unique(parse))
measured |= {"bilinear_wrong": (mixed != nearest).mean(), "bilinear_foreign": foreign.mean()}
print(f"{(mixed != nearest).mean():.1%} wrong; {foreign.mean():.1%} of all pixels have a label that was nowhere")
titles = ["nearest", "bilinear", "labels that were nowhere"]
alt = "A half-size parse; the same with seams of foreign colours at all borders; the foreign seams alone."
show_images([colour_parse(nearest), colour_parse(mixed), foreign], titles, alt=alt)

# %% [markdown]
# Without the half pixel everybody is off by 1.5 pixels, always to the upper left. In notebook 06 the best possible
# spline misses the true flow by about two. So a convention forgotten costs nearly as much as a method.
#
# And the averages put a seam of strangers round everything. If you do need soft borders, resize the 20 *one-hot* maps,
# one for each label, and take the largest at the end.
#
# ### Padding, not squashing
#
# A photograph of another shape has to become 256 x 192 too. `Fit` takes the largest picture of the *same aspect* that
# fits, puts it in the middle, and reports the border in `padding` (left, top, right, bottom): the photograph is
# continued by its own edge, garments in white, labels with background. Many loaders squash instead. We cut our person to
# a square and do both.

# %%
side = raw.image.shape[1]
pose = raw.pose * (raw.pose[:, 1:2] < side)  # joints that are cut off become missing ones
square = RawSample(name=raw.name, garment_name="", image=raw.image[:side], parse=raw.parse[:side], pose=pose)
padded, squashed = sample_from_raw(square, settings.size), Image.fromarray(square.image).resize(settings.size[::-1])
rows = [square.image, course.draw_pose(to_01(padded.person), padded.pose), colour_parse(padded.parse)]
titles = ["a square photograph", f"padded: {padded.padding}", "its parse", "squashed"]
alt = "A square photograph; the same with borders above and below; its parse; a thin person."
show_images([*rows, np.asarray(squashed)], titles, height=200, alt=alt)

# %% [markdown]
# For their height, the squashed person has lost a quarter of their width. A network that draws *people* sees a slim build
# and a long face, and will render one.
#
# ## 4 A mirror swaps more than pixels
#
# Mirroring every second picture is the cheapest augmentation there is. It turns a left hand into a right one, so the
# *names* must change as well. Of the labels, arms, legs and shoes trade places (`LIP_MIRROR[14]` is 15), of the joints
# all that have a side (`BODY_25_MIRROR`). A joint at x goes to $W - 1 - x$, since the last pixel is $W - 1$.
#
# In the toy, with $W = 6$: the raised left arm, label 14 at x = 5, becomes a raised *right* arm, label **15** at x = **0**.
#
# **Exercise 3: the mirror.** *about 15 minutes, difficulty 3 of 5.* Write `mirror_person(parse, pose)` and return both.
# Missing joints stay at (0, 0).
#
# What to expect: twice the mirror is the identity.
#
# <details><summary>Hint 1</summary>A list of numbers is a table: <code>torch.tensor(LIP_MIRROR)[parse]</code> replaces every label at once.</details>
# <details><summary>Hint 2</summary>The new joint k is the mirrored old joint <code>BODY_25_MIRROR[k]</code>: index the rows first, then change x. Only rows whose x and y aren't both 0 change.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-person", "grade": false, "solution": true, "locked": false, "task": false}
def mirror_person(parse, pose):
    """parse (H, W) int64 and pose (25, 3) x, y, confidence, as a mirror shows them: flipped, left and right renamed.

    A missing joint, (0, 0), stays there. Convention: index coordinates; left and right are the person's own.
    """
    ### BEGIN SOLUTION
    mirrored = pose[list(BODY_25_MIRROR)]  # indexing with a list copies
    there = (mirrored[:, :2] != 0).any(dim=1)
    mirrored[there, 0] = parse.shape[1] - 1 - mirrored[there, 0]
    return torch.tensor(LIP_MIRROR)[parse.flip(1)], mirrored
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "mirror-person_values", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def toy_pose():
    """Nose, both shoulders and the left wrist of the toy; all other joints are missing."""
    pose = torch.zeros(25, 3)
    for joint, x, y in (("nose", 2.5, 0), ("right-shoulder", 1, 1), ("left-shoulder", 4, 1), ("left-wrist", 5, 1.25)):
        pose[BODY_25.index(joint)] = torch.tensor([x, y, 0.9])
    return pose


def library_mirror(parse, pose):
    flipped = mirror(TryOnSample(name="", person=torch.zeros(3, *parse.shape), parse=parse, pose=pose))
    return flipped.parse, flipped.pose


def check_mirror_person(f):
    labels, joints = f(toy, toy_pose())
    assert labels[1, 0] == 15 and labels[2, 5] == 14, "what was the left arm should be a right arm, at x = 0"
    compare("labels", labels, library_mirror(toy, toy_pose())[0])
    compare("joints", joints, library_mirror(toy, toy_pose())[1])


with Check("mirror: labels and joints of the toy"):
    check_mirror_person(mirror_person)
### BEGIN HIDDEN TESTS
with Check("mirror: twice is the identity, and the input stays as it was"):
    given = toy_pose()
    once = mirror_person(toy, given)
    assert torch.equal(given, toy_pose()), "the pose that comes in should stay as it is"
    assert not torch.equal(once[0], toy), "the labels should have changed"
    compare("joints, twice", mirror_person(*once)[1], toy_pose())
### END HIDDEN TESTS

# %%
mirror_person = pick(mirror_person, library_mirror, check_mirror_person)
for name, mine, library in zip(("parse", "pose"), mirror_person(sample.parse, sample.pose), library_mirror(sample.parse, sample.pose)):  # fmt: skip
    compare(name, mine, library)

# %% [markdown]
# ### Breaking it: a mirror that forgets
#
# Three ways to forget: the labels, the joints, or both. How would you notice? By asking two questions that a data set
# should be able to answer about itself:
#
# - *Do arms agree?* A seen elbow or wrist that lies on bare arm must lie on the arm of its own side.
# - *Do people face us?* Then the left shoulder lies further right in the picture than the right one.


# %%
def contradictions(parse, pose):
    """(2,): seen elbows and wrists on the other side's arm; 1 if the left shoulder is left of the right one."""
    wrong = 0
    for side, other in (("left", "right"), ("right", "left")):
        for joint in ("elbow", "wrist"):
            x, y, confidence = pose[BODY_25.index(f"{side}-{joint}")].tolist()
            wrong += confidence > 0.9 and int(parse[round(y), round(x)]) == LIP_INDEX[f"{other}-arm"]
    left, right = (pose[BODY_25.index(f"{side}-shoulder"), 0] for side in ("left", "right"))
    return torch.tensor([wrong, left < right], dtype=torch.float32)


def flipped_only(parse, pose):
    return parse.flip(1), torch.cat([parse.shape[1] - 1 - pose[:, :1], pose[:, 1:]], dim=1)


def draw_sides(parse, pose):
    """A silhouette with arms (areas) and joints (dots): left blue, right orange."""
    shown = overlay(torch.ones_like(parse).bool(), parse > 0, colour="black", alpha=0.15)
    for colour, side in (("sky", "left"), ("orange", "right")):
        shown = overlay(shown, parse == LIP_INDEX[f"{side}-arm"], colour=colour)
    for colour, side in (("sky", "left"), ("orange", "right")):
        own = [k for k, name in enumerate(BODY_25) if name.startswith(side) and pose[k, 2] > 0]
        shown = course.draw_points(shown, pose[own, :2], colour=colour, radius=parse.shape[0] / 50)
    return shown


# %%
mirrors = {
    "as it is": lambda *person: person,
    "mirrored": mirror_person,
    "labels forgotten": lambda *person: (flipped_only(*person)[0], mirror_person(*person)[1]),
    "joints forgotten": lambda *person: (mirror_person(*person)[0], flipped_only(*person)[1]),
    "both forgotten": flipped_only,
}
for name, turn in mirrors.items():
    arms, shoulders = torch.stack([contradictions(*turn(*one)) for one in samples]).mean(0).tolist()
    measured |= {f"arms_{name.replace(' ', '_')}": arms, f"shoulders_{name.replace(' ', '_')}": shoulders}
    print(f"{name:17s} a person: {arms:.2f} joints on the wrong arm, {shoulders:.2f} shoulders the wrong way round")
pictures = [draw_sides(*turn(sample.parse, sample.pose)) for turn in mirrors.values()]
alt = "Five silhouettes, left in blue and right in orange; where labels or joints were forgotten, dots and arms differ."
show_images(pictures, list(mirrors), alt=alt)

# %% [markdown]
# (Blue: the person's own left. Areas are labels, dots are joints.)
#
# Forget one of the two, and they contradict each other. Forget both, and they agree perfectly, on something false: this
# person has their left arm on the right. The first question can't notice. The second can, as long as everybody faces
# the camera; in sets with people seen from behind it can't either. A network that trains on such pictures learns that
# left and right are a coin toss.
#
# `vtonlib.data.mirror` also turns the flows, the hands, the depth and both other pictures. Two things it refuses to fake: the
# skeleton, whose colours tell left from right (draw it anew), and DensePose, whose charts have a mirror image that is
# nearly right (notebook 04 makes it); both become `None`.
#
# ## 5 The files
#
# The studio writes VITON-HD's layout, so that a reader for the one reads the other. These are all files of our person.


# %%
def list_files(name):
    for folder in sorted(path for path in people.source.folder.iterdir() if path.is_dir()):
        for file in sorted(folder.glob(f"{name}*")):
            about = f"{file.stat().st_size / 1024:6.1f} kB  {folder.name}/{file.name}"
            if file.suffix != ".json":
                with Image.open(file) as image:
                    about += f"  mode {image.mode}, {image.height} x {image.width}"
            print(about)


list_files(sample.name)
source = people.source
print(f"read as: {source.layout} ({source.variant}), recipe {source.recipe['recipe']}, seed {source.recipe['seed']}")

# %% [markdown]
# | folder | step | note |
# |---|---|---|
# | `image`, `cloth` | | photograph and shop picture, RGB JPEG |
# | `openpose_json`, `openpose_img` | 1 | the numbers, and the coloured skeleton |
# | `image-parse-v3` | 2 | palette PNG, mode P |
# | `image-densepose` | 3 | coloured parts, JPEG; `densepose-iuv` is the studio's lossless twin |
# | `cloth-mask` | 4 | grey JPEG, cut at 128 |
# | `image-parse-agnostic-v3.2`, `agnostic-v3.2`, `agnostic-mask` | 5, 6 | drawn from 1 and 2 (05) |
# | `cloth-back`, `cloth-back-mask` | 4 | studio only |
# | `flow`, `flow-back`, `truth-hidden`, `truth-depth` | | studio only: the truth, lossless PNG |
# | `truth-unpaired...`, `truth-new-pose...` | | studio only: two more pictures, each with annotations |
# | `samples` | | studio only: what was drawn, one JSON a person |
#
# Names tie it together: one stem for a person, the same stem with an ending in some folders, and for a garment the stem
# of the person who wears it.
#
# ### The pose file
#
# OpenPose writes JSON. All numbers of a body stand in one flat list: x, y, confidence, x, y, confidence, and so on. 75
# numbers are 25 joints, 63 are the 21 points of a hand. One joint a row is `reshape(25, 3)`. (`reshape(3, 25)` runs too,
# and is nonsense.) Then the rule about the edge: the first pixel begins at -0.5, the last one ends at $W - 0.5$, and what
# lies beyond counts as not seen.

# %%
text = (people.source.folder / "openpose_json" / f"{sample.name}_keypoints.json").read_text()
person = json.loads(text)["people"][0]
print({key: len(values) for key, values in person.items() if len(values) > 1})
pose = np.array(person["pose_keypoints_2d"], np.float32).reshape(25, 3)
past_the_edge = (pose[:, :2] < -0.5) | (pose[:, :2] > np.subtract(raw.image.shape[1::-1], 0.5))
pose[past_the_edge.any(1), 2] = 0
compare("pose, by hand", pose, raw.pose)
print(f"{int(past_the_edge.any(1).sum())} of 25 joints lie outside the picture; largest y: {pose[:, 1].max():.1f}")

# %% [markdown]
# An empty list of people is a photograph in which nobody was found, and a well-known crash of released loaders. Several
# people: they take the first. `files.read_keypoints` refuses both, naming the file. (VITON's files have 18 joints in
# COCO's order under another key, `pose_keypoints`; `labels.COCO_18_FROM_BODY_25` picks those 18 out of 25.)
#
# ### The flow file
#
# A flow is two numbers a pixel, with fractions. PNG knows no fractions and OpenEXR, which does, few can read. So x and y
# lie above each other in one grey PNG of 16 bits and twice the height, in steps of 1/64 pixel:
#
# $$\text{stored} = \operatorname{round}(64\,x) + 32, \qquad 0 = \text{this point does not show in the shop}.$$
#
# A coordinate of 95.3 becomes 6131 and comes back as 95.297. In general the error is at most half a step, 1/128 pixel.
#
# Depth is stored in the same spirit: 16 bits of grey, 5,000 steps a metre, 0 where nobody is. (The factor is that of the
# public RGB-D sets.) One step is a fifth of a millimetre.
#
# ### Two releases, one reader
#
# VITON-HD came out twice: a *demo* (test pictures only) and the *full* set. They name some folders differently, and the
# full set has more of them. Which one a folder is, the reader finds out. In the second cell below we turn our test split
# into a demo release by renaming folders, in a temporary place, and open it.

# %%
two_storeys = np.asarray(Image.open(people.source.folder / "flow" / f"{sample.name}.png")).astype(np.float32)
upper, lower = np.split(two_storeys, 2)  # x, y
read = (np.stack([upper, lower], axis=-1) - 32) / 64
read[upper == 0] = np.nan
compare("flow, by hand", read, raw.flow)
steps = np.asarray(Image.open(people.source.folder / "truth-depth" / f"{sample.name}.png"))
compare("depth, by hand", steps / 5000, raw.depth, atol=1e-6)
print(f"{two_storeys.shape} holds a flow of {read.shape}")

# %%
DEMO = {"image-parse-v3": "image-parse", "openpose_json": "openpose-json", "openpose_img": "openpose-img"}
with tempfile.TemporaryDirectory() as folder:
    for name in ("image", "cloth", "cloth-mask", *DEMO):
        shutil.copytree(people.source.folder / name, Path(folder, "test", DEMO.get(name, name)))
    demo = open_dataset(folder, size=settings.size)
    stranger = demo[number]
print(f"read as: {demo.source.layout} ({demo.source.variant})")
print("not there:", ", ".join(field.name for field in fields(stranger) if getattr(stranger, field.name) is None))
try:
    stranger.require("densepose")
except ValueError as error:
    print(error)

# %% [markdown]
# What isn't there is `None`, and asking for it says which step would make it. Without `studio.json` the truth has gone
# too, of course.
#
# ### Pairs, splits and leaks
#
# Who tries on what stands in a text file at the top, two names a line: person, garment.

# %%
for name in ("train_pairs.txt", "test_pairs_paired.txt", "test_pairs.txt"):
    lines = (root / name).read_text().splitlines()
    print(f"{name:22s} {len(lines):4d} lines, first: {lines[0]}")
train = open_dataset(root, split="train", pairing="paired", size=settings.size)


def prints(dataset, folder):
    """Fingerprints of the files themselves: a picture under another name is still the same picture."""
    paths = (dataset.source.folder / folder).glob("*.jpg")
    return Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)


for folder in ("image", "cloth"):
    one, other = prints(train, folder), prints(people, folder)
    shared = measured[f"shared_{folder}"] = len(set(one) & set(other))
    print(f"{folder}: {len(one)} different in train, {len(other)} in test, {shared} in both")
tried = Counter(garment for _, garment in others.pairs)
own = sum(person == garment for person, garment in others.pairs)
print(f"unpaired: {len(tried)} garments, each tried by at most {max(tried.values())} person, {own} by their owner")

# %% [markdown]
# `test_pairs_paired.txt` is for scores against the photograph, `test_pairs.txt` for the real question. In the studio the
# unpaired pairs form one round: each test garment goes to exactly one other person.
#
# Train and test must share **no person and no garment**, and names prove nothing; we compared the files' content. In
# sets with several pictures of a person (MPV, DeepFashion, MVG) even that isn't enough: split by *person*, or somebody
# in the test set will be familiar.
#
# What does a leak do? Take a "parser" without a single parameter. It reduces your photograph to 16 x 12 pixels, looks
# for the most similar photograph in its training set, and answers with *that* person's parse. Then we let some test
# people slip into the training set.


# %%
def thumbnails(dataset):
    """Photographs reduced to 16 x 12, (N, 576), and where the worn tops are, (N, H, W) bool."""
    small, tops = [], []
    for person, _ in dataset.pairs:
        with Image.open(dataset.source.folder / "image" / f"{person}.jpg") as image:
            small.append(np.asarray(image.resize((12, 16), Image.Resampling.BOX), np.float32).ravel())
        parse = files.read_parse(dataset.source.folder / "image-parse-v3" / f"{person}.png", settings.size)
        tops.append(np.isin(parse, TOP_LABELS))
    return np.stack(small), np.stack(tops)


(seen, seen_tops), (asked, true_tops) = thumbnails(train), thumbnails(people)
remembered = []
for share in (0, 0.25, 0.5, 1):
    leaked = round(share * len(asked))
    memory, answers = np.concatenate([seen, asked[:leaked]]), np.concatenate([seen_tops, true_tops[:leaked]])
    given = answers[cKDTree(memory).query(asked)[1]]
    iou = (given & true_tops).sum((1, 2)) / (given | true_tops).sum((1, 2))
    measured[f"memory_iou_{round(100 * share)}"] = iou.mean()
    remembered.append(iou)  # one number a person
    print(f"{share:4.0%} of the test people leaked: IoU of the top {iou.mean():.3f}")

# %% [markdown]
# (**IoU**, intersection over union: pixels in both masks divided by pixels in either.) The more leaks, the better the
# "parser", up to perfection. It has learned nothing in between. And look at the first line: knowing *only* other people,
# it already reaches about one half, because everybody stands in the middle of the picture. Keep that number in mind when a real parser
# reports its score.
#
# ## 6 Public data sets
#
# The course runs without any of them, and reads them where you have them. Nothing is downloaded here; this is the list
# that `python -m data_download list` prints in full.

# %%
from data_download.manifest import read_manifest

for entry in (row for row in read_manifest() if row.kind == "data"):
    print(f"{entry.name:12s} {entry.counts}\n{'':12s} terms: {entry.licence}; had by: {entry.access}")
print("layouts that open_dataset recognises:", ", ".join(LAYOUTS))

# %% [markdown]
# ("Recorded on first use" means that nobody of the course has had it in hand yet. We print no number from memory.)
#
# | | a person is | names and folders | pairs file |
# |---|---|---|---|
# | **VITON** (2018), as CP-VTON uses it | one picture, 256 x 192 | `image`, `cloth`, `cloth-mask`, `image-parse`, `pose` (18 joints); `000003_0.jpg` a person, `000003_1.jpg` the garment | `train_pairs.txt`, `test_pairs.txt` (unpaired) |
# | **VITON-HD** (2021), demo | one picture, 1024 x 768 | six folders, `test` only; `openpose-json`, `image-parse` | `00006_00.jpg 08015_00.jpg` |
# | **VITON-HD**, full | the same | ten folders, `train` and `test`; `openpose_json`, `image-parse-v3`, agnostics, DensePose | the same |
# | **MPV** (2019) | several poses in the same clothes, 256 x 192 | `MPV_192_256`, `all_parsing`, `all_keypoints`; names tell what is shown, `...=cloth_front.jpg` | tab-separated: pose A, pose B, garment, split |
# | **DeepFashion**, in-shop (2016) | several poses in the same clothes | asks for registration | MG-VTON draws about 10,000 pairs from it |
# | **MVG** (2024) | five views: 0, 45, 90, 135, 180 degrees | three files a folder, sorted: front of the garment, person in the wanted view, back | `unpaired.txt` |
#
# What to know about each:
#
# - **VITON** began with about 19,000 front views of women and their tops; cleaned, 16,253 pairs were left, 14,221 for
#   training and 2,032 held out (CP-VTON calls them validation, its files test). Its authors withdrew it. The course names
#   it and never ships it.
# - **VITON-HD** has 13,679 pairs (11,647 and 2,032), CC BY-NC 4.0. In its full release all six steps are done.
# - **MPV** brought the second pose: 35,687 pictures of people and 13,524 garments make 62,780 triplets, 52,236 for
#   training and 10,544 for testing. A triplet is one person in the same clothes in pose A and pose B, with the garment.
#   So a network can be asked for B, given A: MG-VTON's any-pose try-on (10). DeepFashion is its second test bed.
# - **MVG** adds the back, and with it the question which side of the garment a view needs (13).
#
# Size isn't coverage. The first two show women, standing, in tops, in the light of one photo studio. A table of results
# on 2,032 such pairs is a statement about them.
#
# ### Three layouts side by side
#
# `open_dataset` reads VITON-HD in both releases, MPV and MVG, and finds out by itself which one a folder is. We needn't
# ask anybody for files to try this: the studio writes all three. Eight people each, in small pictures: one picture a
# person (we have that), three poses, or five views.

# %%
from vtonlib.studio import Studio

roots = {"viton-hd": root} | {name: root.with_name(f"{root.name}-{name}") for name in ("mpv", "mvg")}
for name, folder in roots.items():
    if name != "viton-hd":
        Studio(seed=settings.seed).write(folder, people=8, size=(128, 96), layout=name, progress=False)
    about, found = json.loads((folder / "studio.json").read_text()), open_dataset(folder).source.layout
    print(f"{name:9s} {about['people']} people, {about['photographs']} photographs; read as {found}")

# %% [markdown]
# The same three things are in each (a photograph, its annotations, the garment's pictures), and yet no reader of one can
# read another. VITON-HD has a folder a *kind* of file. MPV has a folder a *person*, with photographs and garment side by
# side, told apart by their names only. MVG has a folder a *question*: the three files in `000003_2` are, in the order of
# their names, the person from the front, from the wanted side, and from behind.
#
# Who belongs to whom stands in text files in the first two, and in the names of the folders in the third:

# %%
lists = ("test_pairs.txt", "all_poseA_poseB_clothes.txt", "unpaired.txt")
for (name, folder), text in zip(roots.items(), lists):
    print(f"{name}, {text}:\n  " + (folder / text).read_text().splitlines()[-1].replace("\t", "\n  "))
print("\nof one person of mpv:")
print(*sorted(path.name for path in (roots["mpv"] / "all" / "000003").iterdir()), sep="\n")
views = sorted((roots["mvg"] / "test" / "image-wo-bg").glob("000003_*"))
print("\nof one person of mvg:", *(f"{view.name}: {sorted(file.name for file in view.iterdir())}" for view in views))

# %% [markdown]
# ### MPV: a triplet
#
# A line of MPV's list is a **triplet**: a picture in pose A, a picture in pose B, a garment. It asks: *given A and the
# garment, draw B*. So in the sample, the picture in pose B is `truth.new_pose`, and B's joints are part of the question.
# In unpaired triplets the garment is another person's, and only a studio has the answer. From left to right: the
# question (A, the joints of B, the garment), and the answer.

# %%
triplets = {pairing: open_dataset(roots["mpv"], pairing=pairing, size=(128, 96)) for pairing in ("paired", "unpaired")}
rows = []
for one in (triplets["paired"][0], triplets["unpaired"][0]):
    goal = one.truth.new_pose
    joints = goal if goal.pose is not None else triplets["paired"][0].truth.new_pose
    rows.append(
        [
            to_01(one.person),
            course.draw_pose(torch.ones(3, 128, 96), joints.pose),
            to_01(one.garment.image),
            to_01(goal.person),
        ]
    )
titles = ["pose A", "joints of pose B", "garment", "the answer: pose B"]
alt = "Two rows: a person, a skeleton in another pose, a top, the person in that pose; below with another person's top."
show_images(rows, titles, row_titles=["paired", "unpaired"], height=140, alt=alt)
print(*triplets["paired"].pairs[0], sep="\n")

# %% [markdown]
# In both rows the skeleton is the same. Three poses make three triplets a person here (A to B, B to C, C to A); MPV's own
# 62,780 come from pictures that show a person two to many times.
#
# ### MVG: five views
#
# A sample of MVG is a view of a person with both sides of the garment. The studio's people stand still while camera and
# lamps go round. Below the photographs: where the worn top shows in the shop's *front* picture (orange), and where in
# its *back* picture (blue).

# %%
round_about = open_dataset(roots["mvg"], size=(128, 96))
five, coloured = [round_about[index] for index in range(5)], []
for one in five:
    front, behind = (each.isfinite().all(0) for each in (one.truth.flow, one.truth.flow_back))
    coloured.append(overlay(overlay(to_01(one.person), front), behind, colour="blue"))
rows = [[to_01(one.person) for one in five] + [to_01(five[0].garment.image)], coloured + [to_01(five[0].garment.back)]]
alt = "A person from five sides, front to back; below, orange where the front of the top shows and blue for its back."
show_images(rows, ["0 degrees", "45", "90", "135", "180", "in the shop"], height=125, alt=alt)

# %%
known = []
for split in ("train", "test"):
    everybody = open_dataset(roots["mvg"], split=split, size=(128, 96))
    for one in (everybody[index] for index in range(len(everybody))):
        whole = torch.isin(one.parse, torch.tensor(TOP_LABELS)).sum()
        known.append([float(each.isfinite().all(0).sum() / whole) for each in (one.truth.flow, one.truth.flow_back)])
in_front, behind = np.reshape(known, (-1, 5, 2)).mean(0).T  # by view
for angle, *shares in zip((0, 45, 90, 135, 180), in_front, behind):
    print(
        f"{angle:3d} degrees: {shares[0]:4.0%} of the worn top shows in the front picture, {shares[1]:4.0%} in the back one"
    )
measured |= {"front_from_0": in_front[0], "front_from_180": in_front[4], "back_from_180": behind[4]}

# %% [markdown]
# From behind, a front picture helps with next to nothing, and no network can copy what it doesn't see. In the views between,
# each picture has its part. This is MV-VTON's whole point, *view-adaptive selection* (13): it chooses by the angle which
# of the two garment pictures to look at, while most systems in this course are given one. In this table a method that
# knows the front only can be right about at most the first column.
#
# ## 7 How the studio makes a picture
#
# Now the other end: a picture whose every pixel has a reason. The steps, in order:
#
# ```text
#   seed, number --> who, what, how --> body --> pose ---> drape ---> scene --+--> photograph
#                                        cut --> cloth --> fabric ----^       +--> passes --> truth
# ```
#
# ### Draws
#
# Everything random is drawn first, as plain values. The generator is seeded with (seed, number of the person, purpose,
# attempt), so each sample hangs on nothing that was computed before it. `staged` repeats the studio's own steps for our
# person: draw, pose, dress, look for defects, and where there is one, draw the pose again. What it returns hasn't been
# photographed yet.

# %%
from vtonlib.studio import body, session
from vtonlib.studio import people as casting

index, other = int(sample.name[:6]), int(wished.garment.name[:6])
sitting, _, (top, _), (shown, *_), rejected = session.staged(settings.seed, index, settings.size, other)
take, model, outfit, photography = shown.takes[0], sitting.model, sitting.outfit, sitting.photography
identity, staging, design = model.identity, take.staging, top.design
print(f"{design.cut.name} in {design.fabric}, skin tone {identity.tone:.2f}, pose {staging.pose}; redrawn: {rejected}")

# %% [markdown]
# ### A person: body, face, pose
#
# The body is a linear model: a mean shape plus 48 directions in which adults differ, in about the sense in which a
# picture can be a mean plus principal components. Its data is MakeHuman's (CC0). A skeleton of 104 bones bends it: each
# vertex follows its bones by fixed weights (*linear blend skinning*). We render it in clay, in the seamless suit from
# which the garments will be cut.
#
# Faces work in the same way: a few dozen directions (nose, jaw, lids) make somebody, another dozen (smile, brows, gaze)
# make a mood.


# %%
from vtonlib.studio.camera import Camera
from vtonlib.studio.cloth_shader import flat_shader
from vtonlib.studio.fabric import FABRICS, fabric_textures
from vtonlib.studio.faces import NEUTRAL, Expression, express, face_pack, shaped
from vtonlib.studio.mesh import Mesh, Scene, Surface
from vtonlib.studio.photography import LOOKS, backdrop_for, develop, light_for
from vtonlib.studio.pose import sample_pose
from vtonlib.studio.render import passes_alone, render
from vtonlib.studio.scene import Model, dress, pose_model

pack = body.body_pack()
standing = Camera(eye=(0, -4.2, 0.13), target=(0, 0, 0.13), size=settings.size, fov=29)


def clay(vertices, camera=standing):
    head_and_hands = Mesh(vertices, pack.body_faces, flat_shader((0.72, 0.70, 0.68)), 0)
    suit = Mesh(vertices, body.triangles(pack.tights_quads), flat_shader((0.35, 0.45, 0.60)), 0)
    return render(Scene((head_and_hands, suit)), camera)


def posed(kind):
    turns = sample_pose(kind, model.rest, np.random.default_rng(staging.pose_seed))
    return body.skin_vertices(model.rest.vertices, body.forward_kinematics(model.rest.heads, turns))


# %%
bodies = [replace(identity.phenotype, **change) for change in ({}, {"weight": 0.15}, {"weight": 0.95}, {"height": 0.3})]
pictures = [clay(body.rest_body(shape).vertices) for shape in bodies]
pictures += [clay(posed(kind)) for kind in (staging.pose, "walk", "crossed")]
titles = ["at rest", "lighter", "heavier", "shorter", f"pose: {staging.pose}", "walk", "crossed"]
alt = "Clay figures: arms spread, lighter, heavier and shorter; then in the person's pose, walking, arms crossed."
show_images(pictures, titles, height=170, alt=alt)
print(f"{len(model.rest.vertices)} vertices, {len(pack.bone_names)} bones, {len(casting.POSE_SHARE)} poses")

# %%
crown = float(model.rest.vertices[pack.head_weight > 0.5, 2].max())
before_face = Camera(eye=(0, -1.3, crown - 0.11), target=(0, 0, crown - 0.11), size=settings.size, fov=15)
average = body.rest_body(identity.phenotype)
moods = {"calm": NEUTRAL, "smiling": Expression(smile=0.9, squint=0.4), "brows up": Expression(brows_up=1.0)}
others_faces = [casting.draw_identity(np.random.default_rng([7, k])).face for k in (0, 1)]
pictures = [clay(average.vertices, before_face)] + [
    clay(shaped(average, face).vertices, before_face) for face in others_faces
]
pictures += [clay(express(shaped(average, identity.face), mood).vertices, before_face) for mood in moods.values()]
titles = ["no face of its own", "one face", "another", *(f"this person, {mood}" for mood in moods)]
show_images(
    pictures,
    titles,
    height=150,
    alt="Six clay heads: an average face, two others, and one face calm, smiling, brows up.",
)
print(f"{len(face_pack().identity_names)} directions of faces, {len(face_pack().expression_names)} of expressions")

# %% [markdown]
# ### A garment: cut, cloth, fabric
#
# A **cut** is a function $g$ on the body suit: positive where there is cloth, zero along hem, sleeve ends and neckline,
# and near these lines about the distance to them in metres. Every top is such a function. The cloth is clipped along
# $g = 0$, fitted to the posed body with some ease, and **draped**: 18 steps of a small simulation in which edges keep
# their lengths, gravity pulls and the body pushes back.
#
# Pressed flat, each bit of cloth has a place (x, z) in metres, its **fabric coordinate**. The fabric is painted in those
# coordinates. For the shop the garment is shown in a way of its own: flat or on an invisible mannequin, sleeves hanging, a
# little turned, filling the picture or not, with creases that are *not* those of the worn one. Only the mesh stays the
# same, triangle by triangle. Remember this; the true flow will fall out of it.

# %%
shape = top.shape
suit = shape.suit_matrix @ pack.canonical.vertices
g = shape.field(suit, shape.suit_matrix @ pack.arm_weight, shape.suit_matrix @ pack.arm_coordinate)


def field_colours(hit):
    """Cloth blue, skin grey, a line every five centimetres from a cut; `edge` carries g."""
    line = (np.abs(hit.edge) < 0.3) & (np.abs((hit.edge / 0.05 + 0.5) % 1 - 0.5) < 0.08)
    albedo = np.where(hit.edge[:, None] > 0, (0.10, 0.25, 0.55), (0.5, 0.5, 0.5))
    return Surface(np.where(line[:, None], albedo * 0.3, albedo).astype(np.float32))


portrait = Camera(eye=(0, -2.6, 0.35), target=(0, 0, 0.35), size=settings.size, fov=26)
in_field = render(Scene((Mesh(suit, shape.suit_faces, field_colours, 0, edge=g),)), portrait)
left, right, lowest, highest = top.extent  # metres of fabric
paint = np.random.default_rng(top.design.seed)
detail = session.texture_detail(settings.size)  # pixels a metre
fabric = fabric_textures(top.design.fabric, paint, right - left, highest - lowest, detail)[0]
shop = top.shop(settings.size)
way = top.presentation
print(
    f"shown {way.style}, sleeves lowered by {way.sleeves:.0f} degrees, turned by {way.turn:.0f}, fitted: {way.fitted}"
)
titles = [f"g of a {top.design.cut.name}", "fabric, front", "in-shop picture", "its back", "its mask"]
alt = "The suit, blue where the cut has cloth, with contour lines; a sheet of fabric; the garment's front, back, mask."
show_images([in_field, fabric, shop.front, shop.back, shop.mask], titles, height=170, alt=alt)

# %% tags=["no-proof"]
from vtonlib.studio.cuts import DRESSES, TOPS

drawings = [fabric_textures(kind, np.random.default_rng([3, k]), 0.3, 0.3, 300)[0] for k, kind in enumerate(FABRICS)]
alt = "A board of fabric swatches: plain, stripes, checks, denim, knit, lace, furs, tartan, flowers."
show_images([drawings[k : k + 8] for k in range(0, len(drawings), 8)], height=60, alt=alt)
print(f"{len(FABRICS)} kinds of fabric: {', '.join(FABRICS)}")
print(f"{len(TOPS)} tops and {len(DRESSES)} dresses: {', '.join(cut.name for cut in (*TOPS, *DRESSES))}")

# %% [markdown]
# ### A picture: scene, camera, passes
#
# Dressing puts everything together: skin, top, what is worn below and over it, lashes, teeth, hair, and perhaps glasses
# or a hat. We render the first mesh alone, then two, and so on.

# %%
meshes = take.dressed.meshes
stages = [1, 2, len(meshes) - 1, len(meshes)] if len(meshes) > 3 else list(range(1, len(meshes) + 1))
light = light_for(photography, -take.view)
pictures = [render(Scene(meshes[:count]), take.camera, light=light) for count in stages]
ground = backdrop_for(photography, take.camera, float(take.dressed.scene.vertices[:, 2].min()), take.shadow)
lit = render(
    take.dressed.scene,
    take.camera,
    light=light,
    background=ground,
    noise=0,
    exposure=photography.exposure,
    seed=staging.seed,
)
pictures += [lit, develop(lit, photography, staging.seed)]
compare("photograph, step by step", pictures[-1], take.photograph())
titles = [f"{count} of {len(meshes)} meshes" for count in stages] + ["before its backdrop", "lens and sensor"]
show_images(
    pictures,
    titles,
    height=140,
    alt="Head and hands; then a top, the other clothes, hair; before a backdrop, and developed.",
)

# %% [markdown]
# The body under the clothes is *missing* where no camera could see it. And the last step matters more than it shows: white
# balance, blur of the lens, light lost in the corners, grain. A network that has only ever seen perfect pictures is lost on
# any other.
#
# The camera is a **pinhole**: a point at depth $Z$ (forward), $X$ to the right and $Y$ up of the axis lands at
#
# $$x = \frac W2 + f\,\frac XZ - \frac12, \qquad y = \frac H2 - f\,\frac YZ - \frac12, \qquad f = \frac{H/2}{\tan(\text{field of view}/2)} ,$$
#
# the last $-\frac12$ because the camera counts from the picture's edge and we from the first pixel's centre. If that is
# right, it must carry the 25 joints of the *body*, in metres, to the pose of the *sample*, in pixels.
#
# A ray through each pixel finds the nearest triangle (four rays a pixel for the photograph). Shaders say how the surface
# reflects; two lamps and the light from all around are added up, with soft shadows; grain on top.
#
# The **passes** come from the same geometry, one ray through each pixel's centre: label, depth, body part, normal and
# fabric coordinate of whatever is hit. This is why annotations are exact: nobody looks at the picture to find them.

# %%
camera, (height, width) = take.camera, settings.size
X, Y, Z = camera.axes @ (body.body_keypoints(take.dressed.body) - camera.eye).T  # right, up, forward
f = height / 2 / np.tan(np.deg2rad(camera.fov) / 2)
by_pinhole = np.stack([width / 2 + f * X / Z - 0.5, height / 2 - f * Y / Z - 0.5], axis=-1)
compare("joints, by the pinhole", by_pinhole, sample.pose[:, :2], atol=2e-3)
print(f"f = {f:.0f} pixels; the nose is {Z[0]:.2f} m away, at {by_pinhole[0].round(1).tolist()}")

# %%
seen, own_label = take.passes, take.dressed.top.label[0]
on_top = (seen.garment & (seen.parse == own_label))[..., None]
low, high = (edge(np.where(on_top, seen.uv, np.nan), (0, 1)) for edge in (np.nanmin, np.nanmax))
cloth = np.where(on_top, (seen.uv - low) / (high - low), np.nan)
pictures = [take.photograph(), colour_parse(seen.parse), near, (seen.normal + 1) / 2]
pictures += [np.dstack([cloth, 1 - cloth.mean(-1)]), take.hidden]
alt = "A photograph; labels; near parts bright; normals as colours; a colour gradient on the top; hidden cloth white."
show_images(pictures, ["photograph", "label", "nearness", "normal", "fabric coordinate", "hidden"], height=175, alt=alt)

# %% [markdown]
# The normals show the folds of the drape. The fabric coordinate runs smoothly over the top, sleeves and all.
#
# ### The truth, by hand
#
# *Flow.* A pixel on the worn top shows one point of one triangle: three corners, and three weights that say where in
# between. The same three corners lie somewhere in the shop, so the same mean of *their* places there, $(X, Z)$ in metres, is
# where the shop has this bit of cloth. Its camera looks straight ahead with parallel rays, its picture is $2h$ metres
# high, and its middle is at $(X_0, Z_0)$:
#
# $$x = \frac W2 + \frac{X - X_0}{h}\,\frac H2 - \frac12, \qquad y = \frac H2 - \frac{Z - Z_0}{h}\,\frac H2 - \frac12 .$$
#
# Nothing is matched and nothing estimated, however differently the garment lies. The studio then drops what the shop
# doesn't show (the other side, the inside, what lies under a fold), and that is all. *Hidden*: look at the top alone; where it
# would be seen and isn't, something is in front.
#
# And is all this the sample on the disk? The second cell asks. It should be, up to what JPEG does to a photograph.

# %%
h, (middle_x, _, middle_z) = shop.camera.half_height, shop.camera.eye
corners = shop.positions[np.where(on_top, seen.corner, 0)]  # (H, W, 3 corners, 3)
X, _, Z = np.moveaxis((corners * seen.weight[..., None]).sum(2), -1, 0)
by_hand = np.stack([width + (X - middle_x) / h * height, height - (Z - middle_z) / h * height], axis=-1) / 2 - 0.5
record, alone = take.record(sample.name, sample.name, shop), passes_alone(take.dressed.scene, camera, seen, 1).mask
shows = np.isfinite(record.flow)
compare("flow where it is known", by_hand[shows], record.flow[shows], atol=2e-3)
compare("hidden", alone & (seen.parse != own_label), record.hidden)

# %%
gap = np.abs(record.image.astype(int) - raw.image).mean()
labels_differ, flow_gap = (record.parse != raw.parse).mean(), np.nanmax(np.abs(record.flow - raw.flow))
measured |= {"again_image": gap, "again_labels": labels_differ, "again_flow": flow_gap}
print(f"photograph: {gap:.2f} of 255 grey levels apart in the mean; labels: {labels_differ:.2%} differ")
print(f"flow: at most {flow_gap:.4f} pixels apart; half a step of the file is {1 / 128:.4f}")

# %% [markdown]
# A whole sample, out of two integers.
#
# ### Your turn at the camera
#
# The sliders keep person, light and backdrop, and change weight, height, pose, view and fabric. Find a view at which the
# print has left the picture; find a pose in which it hides behind an arm; try a pose that looks wrong, and see whether the
# studio's check noticed. (Height changes proportions only: the photographer frames everybody from crown to thigh. Before
# the fixed camera of the clay figures it was plain.) On a page without a running kernel nothing moves; the cell below
# shows two rows of positions.


# %% tags=["no-proof"]
from ipywidgets import FloatSlider, IntSlider, interact

from vtonlib.studio.wardrobe import Top


def shot(
    weight=identity.phenotype.weight,
    height=identity.phenotype.height,
    pose=staging.pose,
    view=0,
    fabric=top.design.fabric,
):
    shape = replace(identity.phenotype, weight=weight, height=height)
    somebody = Model(replace(identity, phenotype=shape), session.texture_size(settings.size), model.accessories)
    worn = dress(
        somebody,
        Top(replace(top.design, fabric=fabric), detail),
        outfit,
        pose_model(somebody, replace(staging, pose=pose)),
    )
    return sitting.expose(worn, replace(staging, pose=pose), photography, view)


def look(weight, height, pose, view, fabric):
    taken = shot(weight, height, pose, view, fabric)
    alt = f"The person in {fabric}, pose {pose}, turned by {view} degrees, and the labels of that picture."
    show_images([taken.photograph(), colour_parse(taken.passes.parse)], ["photograph", "parse"], alt=alt)
    print("defect found:", taken.defects.kind)


def share(value, low, high):
    return FloatSlider(value, min=low, max=high, step=0.05, continuous_update=False)


turn = IntSlider(0, -180, 180, 15, continuous_update=False)
slider = interact(look, weight=share(identity.phenotype.weight, 0.1, 0.95), height=share(identity.phenotype.height, 0.25, 0.85),
                  pose=list(casting.POSE_SHARE), view=turn, fabric=list(FABRICS))  # fmt: skip

# %% tags=["no-proof"]
positions = {
    "weight 0.15": shot(weight=0.15), "weight 0.95": shot(weight=0.95), "height 0.3": shot(height=0.3),
    "height 0.8": shot(height=0.8), "crossed": shot(pose="crossed"), "hand-in-hair": shot(pose="hand-in-hair"),
    "view 45": shot(view=45), "view 90": shot(view=90), "view 135": shot(view=135), "view 180": shot(view=180),
    "tartan": shot(fabric="tartan"), "leopard": shot(fabric="leopard"),
}  # fmt: skip
rows = [[one.photograph() for one in list(positions.values())[start : start + 6]] for start in (0, 6)]
alt = (
    "A person light and heavy, short and tall, arms crossed, hand in the hair; from four sides; in tartan, in leopard."
)
show_images(rows, height=115, alt=alt)
for start in (0, 6):
    print(
        ", ".join(
            f"{name} ({one.defects.kind or 'no defect'})" for name, one in list(positions.items())[start : start + 6]
        )
    )

# %% [markdown]
# ### Two looks
#
# A photographer can be drawn, too. `look="studio"` is a catalogue: soft light, paper behind, a level camera, from the crown to
# about mid-thigh. `look="wild"` is a photograph that anybody may take anywhere: rooms and streets, hard or coloured light, a
# camera held high or low, far too close or showing the shoes, noise, blur, JPEG. Persons and tops are the same, one below
# the other; hats and glasses are worn more often outside.


# %% tags=["no-proof"]
def first_take(number, style):
    """Person `number` in their own top, in the first pose without a defect."""
    somebody = session.Sitting.draw(settings.seed, number, settings.size, style)
    return somebody.stage(0, [session.top_of(settings.seed, number, detail)], [])[0][0].photograph()


alt = "Six people twice: before plain paper in soft light; in rooms and streets, darker, tinted, from other distances."
show_images([[first_take(k, style) for k in range(6)] for style in LOOKS], row_titles=LOOKS, height=120, alt=alt)

# %% [markdown]
# Which one should a network learn from? From what it will meet. The public sets of section 6 are catalogues, so for their
# numbers the studio look is the right kind; a parser or a pose network that is to work on *your* photograph (15) had better
# see the wild. The annotations don't change with the look: they come from the geometry, and that doesn't know what time of
# day it is.
#
# ## 8 What ground truth buys
#
# | only a renderer knows | so the course can ask |
# |---|---|
# | `flow`, `flow_back` | how far is a warp from the *right* warp, in pixels (06) |
# | `hidden` | how much cloth no warp can see; a fair mask for all scores (06, 07) |
# | `unpaired` | is the try-on *right*, and not merely plausible (00, 07, 14) |
# | `new_pose` | is the picture in another pose right (08 to 10) |
# | exact labels, joints, parts, depth | what do errors of a parser or a pose network cost (02 to 05) |
# | the manifest | *for whom* does a method fail |
#
# ### The right warp isn't the right picture
#
# Take the shop's picture along the true flow, and paste it. This is the best that any *warp* can do. Is it the photograph? We
# do it twice: in the paired case, where everybody can compare, and in the unpaired one, where only a renderer can.


# %%
from vtonlib.warp import warp_by_flow


def exact_warp(person, garment, true_flow):
    """The person with the garment pasted by the true flow, in [0, 1], and where: (3, H, W), (H, W) bool."""
    warped = warp_by_flow(garment.image[None], true_flow[None])[0]
    return torch.where(true_flow.isfinite().all(0), to_01(warped), to_01(person)), true_flow.isfinite().all(0)


rows = []
for case, one in (("warp_gap", sample), ("warp_gap_unpaired", wished)):
    pasted, where = exact_warp(sample.person, one.garment, one.truth.flow)
    gap = (pasted - to_01(one.person)).abs().mean(0)
    measured[case] = gap[where].mean()
    rows.append([to_01(one.garment.image), pasted, to_01(one.person), (3 * gap * where).clamp(0, 1)])
    print(f"{case:18s} mean difference where the cloth is pasted: {measured[case]:.3f} of 1")
titles = ["in the shop", "pasted by the true flow", "the truth", "difference, x 3"]
alt = (
    "Twice: a top in the shop, the same pasted on the person, the true photograph, and folds and shading as difference."
)
show_images(rows, titles, row_titles=["paired", "unpaired"], height=145, alt=alt)

# %% [markdown]
# Every thread is where it belongs, and the picture is still not right: the folds' shading is missing, the light is the
# shop's, and where the shop shows nothing the old top looks out (unpaired, second picture). That remainder is not the
# warp's fault. So the course scores warps by *pixels of flow* and pictures by *colours*, and doesn't blame one for the other.
#
# The lower row is the experiment that photographs don't allow: the person whom nobody has photographed in this top,
# compared pixel by pixel.
#
# ### For whom?
#
# A mean hides people. `manifest.csv` has, for every photograph, all that was drawn, so each result can be broken down. We
# have a result at hand: the IoU of the parser that only remembers (section 5, without a leak), one number for each test
# person. Black bars are two standard errors; if two of them overlap widely, there is nothing to tell.

# %%
about = [drawn[person] for person, _ in people.pairs]
questions = {
    "turn": ("small", "large", [abs(float(one["yaw"])) < 8 for one in about]),
    "arms": (
        "hanging",
        "moved",
        [one["pose"] in ("stand", "walk", "wide", "stride", "slouch", "lean", "twist") for one in about],
    ),
    "skin": ("lighter", "darker", [float(one["skin_tone"]) < 2.5 for one in about]),
    "weight": ("below 0.5", "above", [float(one["weight"]) < 0.5 for one in about]),
    "sleeves": ("short", "long", [float(one["sleeve"]) < 1.2 for one in about]),
    "hem": ("tucked", "out", [one["tucked"] == "True" for one in about]),
}
figure, axis = course.new_figure(size=(9, 2.8))
for place, (yes, no, chosen) in enumerate(questions.values()):
    for offset, name, group in ((-0.2, yes, np.array(chosen)), (0.2, no, ~np.array(chosen))):
        values = remembered[0][group]
        error = 2 * values.std() / max(len(values), 1) ** 0.5 if len(values) else 0
        axis.bar(
            place + offset, values.mean() if len(values) else 0, 0.38, yerr=error, color="C0" if offset < 0 else "C1"
        )
        axis.text(place + offset, 0.04, f"{name}\n{len(values)}", ha="center", fontsize=7, color="white")
axis.set(xticks=range(len(questions)), ylabel="IoU of the top", ylim=(0, 1))
axis.set_xticklabels(list(questions))
show_figure(
    figure, alt="Pairs of bars, the memoriser's IoU for small and large turns, hanging and moved arms, and so on."
)

# %% [markdown]
# How many people are in a bar matters as much as its height. Two groups of thirty can tell a difference of a tenth and no
# less, and the more questions one asks, the surer one of them looks striking by chance. So ask few, and ask before you look.
#
# ### Is it true, though?
#
# Truth that comes out of a program is as true as the program. So a data set should be checked *as files*, by somebody who
# doesn't trust the writer, annotation against annotation: seen joints lie on the right part of the body and on its label,
# labels agree with DensePose and depth, the flow leads onto the garment and turns nothing over. A person is also made
# again from the seed, and all bytes compared. `python -m vtonlib studio --check FOLDER` does it; we do it for the three
# poses.

# %%
from vtonlib.studio.selfcheck import check_data_set

checked = check_data_set(roots["mpv"], again=1)
print(checked.table())
measured["check_failures"] = len(checked.failures)

# %% [markdown]
# A check that has never failed proves nothing. So we do to one person of a copy what a careless mirror does (section 4):
# the labels of one picture are flipped and not renamed. And we take the flow of another picture and shift it by three
# pixels.

# %%
with tempfile.TemporaryDirectory() as folder:
    copy = Path(shutil.copytree(roots["mvg"], Path(folder, "copy")))
    first, second = copy / "test" / "parse" / "000003_0.png", copy / "test" / "flow" / "000003_1.png"
    first.write_bytes(files.encode_png(np.asarray(Image.open(first))[:, ::-1].copy(), LIP_PALETTE))
    stored = np.asarray(Image.open(second))
    second.write_bytes(files.encode_png(np.where(stored > 0, np.roll(stored, 3, axis=1), 0).astype(stored.dtype)))
    broken = check_data_set(copy, again=0)
print(*broken.failures, sep="\n")
measured["check_found"] = len(broken.failures)

# %% [markdown]
# All alarms are about the first picture, `000003_0`. The shifted flow of `000003_1` raised none: it still leads from cloth to
# cloth, turns nothing over, and contradicts no other file. Only making the person again gives it away (`again=8` instead of
# 0: bytes differ, and the flow no longer leads to the same fabric). Who has files only, as with every public set, can't know.
#
# ## 9 Who is in the data
#
# Counting is the cheapest check of a data set, and the most neglected. All people, both splits, from the manifest.
# The black marks say what was *meant*: the share that each pose was given, two standard deviations to either side.

# %%
everybody = list(drawn.values())
n, kept = len(everybody), Counter(one["pose"] for one in everybody)
meant, names = np.array(list(casting.POSE_SHARE.values())), list(casting.POSE_SHARE)
figure, axes = course.new_figure(2, 1, size=(9.5, 5.0))
axes[0].bar(names, [kept[name] for name in names])
axes[0].errorbar(
    range(len(names)), n * meant, 2 * np.sqrt(n * meant * (1 - meant)), fmt="o", color="black", markersize=3
)
worn = Counter(one["fabric"] for one in everybody)
axes[1].bar(FABRICS, [worn[name] for name in FABRICS], color="C1")
for axis, title in zip(axes, ("pose", "fabric")):
    axis.set(title=title, ylabel="people")
    axis.tick_params(axis="x", rotation=90)
show_figure(figure, alt="Two rows of bars: people in each pose beside what was meant, and in each of the fabrics.")

# %%
columns = {"skin_tone": (0, 6), "weight": (0, 1), "height": (0, 1), "age": (0.6, 0.95), "yaw": (-30, 30)}
figure, axes = course.new_figure(1, 5, size=(11, 2.4))
for axis, (column, span) in zip(axes, columns.items()):
    axis.hist([float(one[column]) for one in everybody], bins=12, range=span)
    axis.set_title(column)
show_figure(figure, alt="Histograms of skin tone, body weight, height, age and turn to the camera.")
measured["darker_than_3"] = np.mean([float(one["skin_tone"]) > 3 for one in everybody])
measured["women"] = np.mean([one["female"] == "True" for one in everybody])

# %%
records = [json.loads(file.read_text()) for file in sorted((root / "samples").glob("*.json"))]
refused = Counter(entry for record in records for entry in record["rejected"])
print("drawn again because of:", ", ".join(f"{entry} {count}" for entry, count in refused.most_common(8)))
measured |= {"crossed": kept["crossed"] / n, "redrawn": sum(refused.values()) / n}
print(f"{sum(refused.values())} poses refused for {n} people; crossed arms: {measured['crossed']:.1%} of them")

# %% [markdown]
# Two things to read off.
#
# **A check is a choice.** The studio looks at its own pictures for three defects: a hole in the top, something poking
# through it, a limb cut by cloth. Where it finds one, the pose is drawn anew. That keeps bad pictures out, and tilts the
# set: which poses and wide garments fail most often you see in the list, and the easy ones get their places. Whatever a
# renderer is worst at, its data set has too little of. (Every cleaned data set has this property. Few publish what was
# cleaned away. Here it is counted in `studio.json` and listed in `samples`.)
#
# **A draw is an opinion.** Skin tones cover the whole range, though not evenly, as they follow a random mixture of three
# ancestries. There are more women than men, hair styles are drawn from two lists, and skirts from one. So everybody
# presents as one of two types. Adults only.
#
# ### What the studio can't stand for
#
# A data set should say so itself. Its **data card** (`vtonlib/studio/DATA_CARD.md`) tells how it was made, what is drawn how
# often, which defects are known, and the licence of every ingredient. One section of it:

# %%
from vtonlib.studio.card import card_text

card = card_text()
print(card.split("## What it can't stand for")[1].split("## ")[0].strip())

# %% [markdown]
# For this notebook's subject, add what is missing in the *annotations*: their errors. No parse here has a ragged border, no
# pose has left and right exchanged, no confidence is in doubt. A system trained on exact inputs has never met a wrong
# one, and real ones are wrong every day. We break them on purpose throughout the course; that is a substitute and not the
# same.
#
# A number measured here says which of two methods does better *on this*, and why. It doesn't say what you will see on your
# own photograph (15).
#
# ## Numbers against their bands

# %%
check_bands("01", measured, profile=PROFILE)

# %% [markdown]
# ## Summary
#
# - A training example is a person, a garment and the picture of both; annotations are what makes hiding and comparing
#   possible. Paired examples have a photograph for an answer, unpaired ones only have a renderer's.
# - Labels are numbers: palette PNG, nearest, never averaged, never JPEG. Masks survive a JPEG if cut at 128. Label 10 is
#   neck in VITON-HD and jumpsuits in LIP.
# - Points are index coordinates: $x' = (x + 0.5)\,s - 0.5$; outside keeps its place and isn't seen; (0, 0) is missing.
#   Pictures of another shape are padded.
# - A mirror renames: labels, joints, hands. Ask a data set what it knows about itself; some contradictions show, some
#   don't.
# - Train and test share no person and no garment, by content. A parser that only remembers looks good in direct
#   proportion to the leak.
# - Public sets come with terms. VITON is withdrawn, VITON-HD is non-commercial, MPV, DeepFashion and MVG are asked for.
#   A layout is a question: VITON-HD asks for the garment, MPV for another pose, MVG for another view.
# - In the studio one geometry makes the picture and its truth. Two integers give a sample, and what it shows was somebody's
#   choice.
# - The right warp is not yet the right picture. Truth allows one to say which part of an error is whose, and for whom a
#   method fails; a check that can fail keeps it honest.
#
# Next: [02, pose](02_pose.ipynb), where joints become maps that a network can read. If you are in a hurry:
# [05, person representations](05_person_representations.ipynb).
#
# ## Going further
#
# - Write the reader for VITON's layout as a class with `recognises`, `names` and `read`, like `vtonlib.layouts.VitonHD`.
#   Which fields will be `None`?
# - Find a mirror check that notices the last mistake of section 4 without looking at shoulders. (Faces? Chest pockets?)
# - Plot the memoriser's IoU by pose. For which pose is remembering other people worth least?
# - Draw a person with `Phenotype` values of your own, and a cut that isn't in the list.
# - Write a small set with `look="wild"` and run the memoriser on it. How much of its IoU was the studio's frame?
# - Spoil a data set in a way that `check_data_set` doesn't notice.
#
# ## Further reading
#
# - Gong, Liang, Zhang, Shen, Lin: *Look into Person: Self-supervised Structure-sensitive Learning and a New Benchmark for
#   Human Parsing* (2017), LIP.
# - Cao, Hidalgo, Simon, Wei, Sheikh: *OpenPose: Realtime Multi-Person 2D Pose Estimation using Part Affinity Fields* (2019).
# - Güler, Neverova, Kokkinos: *DensePose: Dense Human Pose Estimation in the Wild* (2018).
# - Liu, Luo, Qiu, Wang, Tang: *DeepFashion: Powering Robust Clothes Recognition and Retrieval with Rich Annotations* (2016).
# - Han and others: *VITON* (2018); Wang and others: *CP-VTON* (2018); Dong and others: *MG-VTON* (2019), with MPV;
#   Choi and others: *VITON-HD* (2021); Wang and others: *MV-VTON* (2024), with MVG.
# - Gebru and others: *Datasheets for Datasets* (2021). What to write down about a data set, and why.
