# %% [markdown]
# # 00 Welcome: the problem, and a try-on in ten lines
#
# A photograph of a person goes in, and a shop's picture of a garment. Out comes a picture of that person in that
# garment. This is image-based virtual try-on, and this course builds it, down to the networks, losses and measurements.
# After this notebook you can
#
# - run a try-on, and say what every one of its inputs and outputs is;
# - explain why the problem is hard, and why the picture that we would like to train on cannot be photographed;
# - judge a try-on region by region, against a truth that only a rendered world has;
# - build two naive systems, watch them fail, and say what the two-stage idea of the field does about it;
# - find your way: what each notebook teaches, what the systems are called, how exercises, profiles and bands work;
# - name what this technology asks of us beyond pixels.
#
# Plan about an hour and a half with the three exercises. The machine needs less than two minutes. You should know
# Python and have met PyTorch tensors. New words are printed **bold** where they are explained.

# %% tags=["parameters"]
from vtonlib.course import default_profile

PROFILE = default_profile("laptop")  # "smoke", "laptop" or "gpu"

# %%
from vtonlib.course import ensure_data, profile, show_images, to_01
from vtonlib.data import open_dataset
from vtonlib.systems import load_system

settings = profile(PROFILE)
people = open_dataset(ensure_data(settings), split="test", pairing="unpaired", size=settings.size)
sample = people[1]
result = load_system("cp-vton").try_on(sample)
pictures = [to_01(picture) for picture in (sample.person, sample.garment.image, result.tryon)]
show_images(pictures, ["a person", "a garment", "the try-on"], alt="A person, another top, and the person in that top.")

# %% [markdown]
# Those were the ten lines. What did they do?
#
# - `profile` looked up how large everything is; `ensure_data` made sure that the data set is on the disk and wrote it
#   where it wasn't. Nothing was downloaded: a program of the course **renders** the people.
# - `open_dataset` opened the *test* part, which no network has seen in training. *Unpaired* means that each person gets
#   a garment that belongs to somebody else.
# - `load_system("cp-vton")` built a system of that name (2018) with two small sets of weights, 3 MB each, trained for
#   this course.
# - `try_on` bent the garment into shape, painted what the old top had covered, and blended the two.
#
# Now look again, with a critical eye. Are the arms an arm's colour, and sharp? Does the cloth follow the body? Is there a
# shadow under an arm? *What exactly* this first system can't do is the plot of the sixteen notebooks.
#
# ## How this course works
#
# **Profiles.** The cell with `PROFILE` sets all sizes: `smoke` (24 people, 128 x 96 pixels; for automatic tests),
# `laptop` (240 people, 256 x 192, two cores, no GPU), `gpu`. What depends on the profile is printed; what stands in the
# text holds in each.
#
# **Exercises.** Each has a time, a difficulty, two hints to unfold, and checks below it. `Check` prints ✅ or ❌ and goes
# on. Then `pick` takes your version if it passes and the course's own if not, so an open exercise never blocks the
# rest. Here the solutions are filled in; in `notebooks/exercises` they are blank.
#
# **Comparing.** Where we write something that the library has too, `compare` prints how much both differ.
#
# **Bands.** Your numbers won't equal ours to the last digit: processors round differently. So each notebook ends by
# holding its numbers against **bands**, kept in a file: wide enough for another machine, too narrow for a mistake.

# %%
from dataclasses import replace

import torch

from vtonlib import course, metrics, warp
from vtonlib.course import Check, check_bands, colour_flow, colour_parse, compare, overlay, pick
from vtonlib.labels import ARM_LABELS, LIP_INDEX, TOP_LABELS
from vtonlib.represent import label_mask
from vtonlib.systems import cp_vton

samples = [people[index] for index in range(min(settings.samples, len(people)))]
system = load_system("cp-vton", weights=settings.weights, config=settings.config)
warp_only = system.without_tom()  # see section 7
measured = {}  # numbers that the last cell compares with their bands
print(f"{len(samples)} of {len(people)} test people, {settings.size[0]} x {settings.size[1]} pixels (height x width)")

# %% [markdown]
# ## 1 What goes in, what comes out
#
# | image-based virtual try-on is | it is not |
# |---|---|
# | one photograph + one shop picture -> one picture | a 3-D simulation: nobody is measured, no cloth is simulated |
# | a guess at how the garment would *look* | advice on size: it can't tell whether the garment would *fit* |
# | same person, same pose, same background, another garment | an avatar, a face swap, or a picture from a text prompt |
#
# Nearly all systems first turn the photograph into **annotations**: pictures that say what is where. Two of them carry
# this notebook:
#
# - the **parse** gives each pixel one of 20 labels: hair, face, upper-clothes, left arm and so on. Left is the person's
#   own left.
# - the **pose** gives 25 joints, as x, y and a confidence; 0 means "not seen".
#
# The garment comes with a **garment mask**: 1 where the picture shows cloth, 0 on the shop's background. On real
# photographs networks make all three (notebooks 02 to 04). Here they are exact: the program that drew the scene knows.

# %%
garment = sample.garment
pictures = [to_01(sample.person), colour_parse(sample.parse), course.parse_legend(sample.parse),
            course.draw_pose(to_01(sample.person) * 0.4 + 0.6, sample.pose), to_01(garment.image), garment.mask]  # fmt: skip
titles = ["person", "parse", "labels", "pose", "garment", "garment mask"]
alt = "A person; the person as areas of flat colour with a legend; the skeleton; a top on white; its white silhouette."
show_images(pictures, titles, alt=alt)

# %% [markdown]
# What pictures are as tensors we always say out loud: most bugs in this field are silent mix-ups of shape, range or
# order.

# %%
for name in ("person", "parse", "pose", "garment.image", "garment.mask"):
    values = getattr(garment, name[8:]) if name.startswith("garment.") else getattr(sample, name)
    about = f"{tuple(values.shape)!s:16s} {str(values.dtype)[6:]:8s} {values.min():7.2f} to {values.max():.2f}"
    print(f"{name:14s} {about}")

# %% [markdown]
# Conventions, here and everywhere in the course:
#
# - Pictures are **channels first**, (3, height, width), RGB, and lie in **[-1, 1]**. `to_01` brings them to [0, 1] for
#   showing and measuring.
# - Masks are (1, height, width), and 1 on the thing they are named after. This is called the mask's **polarity**.
# - Points are (x, y): x to the right, y *down*, and the centre of the first pixel is (0, 0). A joint below the picture
#   keeps its large y and counts as not seen. Sizes are (height, width).
#
# A system answers with a record, `TryOn`. Three of its fields matter today.

# %%
pictures = [to_01(result.warped), result.warped_mask, result.composition_mask, to_01(result.tryon)]
titles = ["warped", "warped_mask", "composition_mask", "tryon"]
alt = "The garment bent into a worn shape; its mask; the mask without arms and head; the person in the garment."
show_images(pictures, titles, alt=alt)

# %% [markdown]
# `warped` is the garment bent into the shape in which this person would wear it, and `warped_mask` is where it lies.
# The `composition_mask` says where the result shows it. Everything else in `tryon` comes from the photograph, or is
# grey.
#
# ## 2 Why it is hard
#
# 1. **Warping.** The shop shows the garment flat and straight. On a person it bends, turns and folds, and its print
#    with it.
# 2. **Occlusion.** Arms, hands and hair lie in front of the garment. The garment lies in front of the body. Of the
#    back, neither picture shows a thing.
# 3. **Invention.** Trade long sleeves for short ones, and bare arms appear that no input shows. Skin, shadow and the
#    waistband have to be made up, in the right colour and light.
# 4. **Identity.** Face, hair, hands, build and pose have to stay, to the pixel where possible. We notice at once when
#    they don't.
# 5. **No pairs.** To train a network we would like the same person, same pose, same light, in two garments. Nobody can
#    stand that still while changing clothes.
#
# Points 1 and 2 in one picture. Below is the test person whose arms hide most of the top, in the *own* garment: a
# **paired** sample. Orange marks where the top goes on behind something: an arm, a hand, hair, and the neck before the
# back of the collar. On the right is the **flow**: each pixel of the worn top has the colour of the place in the shop's
# picture that shows the same bit of cloth.

# %%
paired = open_dataset(settings.root, split="test", pairing="paired", size=settings.size)
behind_arms, hidden, unseen = [], [], []
for one in (paired[index] for index in range(len(samples))):  # the same people in their own garments
    visible = label_mask(one.parse, TOP_LABELS)[0]
    behind_arms.append(int((one.truth.hidden & label_mask(one.parse, ARM_LABELS)[0]).sum()))
    hidden.append(float(one.truth.hidden.sum() / (one.truth.hidden | visible).sum()))
    unseen.append(float((one.truth.flow.isnan().any(0) & visible).sum() / visible.sum()))
most = max(range(len(samples)), key=behind_arms.__getitem__)
crossed, in_front = paired[most], samples[most]  # one person, in the own garment and with the one to try on
print(f"{crossed.name}: {behind_arms[most]} pixels of the top are behind arms and hands")

# %%
key = torch.tensor(colour_flow(warp.pixel_indices(settings.size), settings.size)).permute(2, 0, 1) / 255
key = torch.where(crossed.garment.mask > 0.5, key, 1.0)  # every place of the garment in a colour of its own
pictures = [to_01(crossed.person), overlay(to_01(crossed.person), crossed.truth.hidden), to_01(crossed.garment.image)]
pictures += [key, colour_flow(crossed.truth.flow, settings.size)]
titles = ["person", "orange: top behind something", "garment", "garment, coloured by place", "the true flow"]
alt = "Arms before a top; the hidden cloth marked orange; the top alone; a colour chart in its shape; the worn chart."
show_images(pictures, titles, alt=alt)

# %%
measured |= {"hidden_share": sum(hidden) / len(hidden), "unseen_share": sum(unseen) / len(unseen)}
print(f"of a worn top, {measured['hidden_share']:.1%} is behind something else")
print(f"of what shows of it, {measured['unseen_share']:.1%} can't be seen in the shop's picture")

# %% [markdown]
# The second line is a limit that no warp can pass: cloth that the shop's picture doesn't show (the side of the body,
# the back of a sleeve) can't be moved into place. It has to be *invented*, like the skin.
#
# ### The picture nobody can take
#
# Point 5 shapes the whole field. What data sets have is pairs of a person and the garment *that this person wears*.
# Networks train on undressing and re-dressing people in their own clothes, and are then asked to do something else.
# Papers judge the unpaired case by eye, by asking people, or by statistics over many pictures, for want of the right
# answer.
#
# A renderer has no such trouble. It takes off the top, puts on another one, and leaves everything else as it was. For
# each test person the data set carries this picture, in `truth.unpaired`:

# %%
wished = sample.truth.unpaired
gap = (to_01(wished.person) - to_01(sample.person)).abs().amax(0)
pictures = [to_01(sample.person), to_01(garment.image), to_01(wished.person), gap]
titles = ["photograph", "garment", "truth.unpaired", "difference (white: large)"]
alt = "A person; a top; the person rendered in that top; their difference, dark except for the clothes."
show_images(pictures, titles, alt=alt)

# %% [markdown]
# We call the third picture the **wished** one, and every method of this notebook will be held against it. It is a
# judge, never an input: whoever peeks has solved another problem.
#
# ## 3 The studio
#
# The program that renders these people is `vtonlib.studio`. It draws a body, skin, hair, clothes, a pose and light from
# a seed, and takes the picture with a ray caster. Why go to such lengths?
#
# - **Exactness.** Parse, pose, masks, flow and the unpaired truth are not estimates. They come from the same rays as
#   the picture.
# - **Access.** Public try-on data comes with request forms, large downloads, or not any more. The studio needs a seed
#   and some minutes.
# - **Consent.** Nobody is in these pictures, so nobody can be harmed by what we do to them.

# %%
train = open_dataset(settings.root, split="train", pairing="paired", size=settings.size)
crowd = [to_01(train[index].person) for index in range(12)]
alt = "Two rows of six rendered adults of different build, skin tone and hair, in tops of many cuts and patterns."
show_images([crowd[:6], crowd[6:]], height=170, alt=alt)

# %% [markdown]
# The people are **adults**, of varied builds and of skin tones from very light to very dark. Who stands in a data set
# decides for whom a method works, so variety is drawn on purpose, for every split alike.
#
# What the studio is **not**: photographs. Don't read more into our numbers than they say:
#
# - Skin, hair and cloth are simplified, faces hardly show what they feel, and the walls of this data set are plain (the
#   studio can do rooms and streets too, see notebook 01). No network trained here has seen a real changing room.
# - Cloth hangs by rules, not by a simulation: fabrics differ in pattern more than in the way they fall.
# - Tops, and a few dresses, worn without anything over them. Some people wear glasses or a hat; nobody wears a headscarf
#   or a bag, nobody sits in a wheelchair.
#
# Whether something learned here carries over to photographs is an open question, and the course treats it as one.
#
# ## 4 A judge
#
# "Looks good" doesn't scale to a table. The plainest number is the **L1 distance**, the mean absolute difference of two
# pictures in [0, 1]. We want it over a region, so only where a mask $M$ is 1:
#
# $$L_1(A, B; M) = \frac{\sum_{c,p} M(p)\,\lvert A_c(p) - B_c(p)\rvert}{C \sum_p M(p)}$$
#
# with pixels $p$ and channels $c = 1 \dots C$. Do one on paper. Two grey pictures ($C = 1$) of 2 x 3 pixels, and a
# mask:
#
# | A | B | M |
# |---|---|---|
# | 0.2 0.4 0.6 | 0.2 0.5 0.6 | 0 1 1 |
# | 0.0 1.0 1.0 | 0.4 1.0 0.0 | 1 0 0 |
#
# The mask picks three pixels, with the differences 0.1, 0 and 0.4. So the distance is 0.5 / 3 = 0.167. Over the whole
# picture it is 1.5 / 6 = 0.25: the large miss in the lower right corner counts there, and not under the mask.

# %%
# NBVAL_CHECK_OUTPUT
a = torch.tensor([[[[0.2, 0.4, 0.6], [0.0, 1.0, 1.0]]]])  # (1, 1, 2, 3): batch, channels, height, width
b = torch.tensor([[[[0.2, 0.5, 0.6], [0.4, 1.0, 0.0]]]])
toy_mask = torch.tensor([[[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]]])
print(f"under the mask {((a - b).abs() * toy_mask).sum() / 3:.3f}, everywhere {(a - b).abs().mean():.3f}")

# %% [markdown]
# **Exercise 1: a distance under a mask.** *about 10 minutes, difficulty 2 of 5.* Write `masked_l1(prediction, target,
# mask)` for a batch: one number *per picture*, so that a later average counts everybody the same, however large their
# clothes. Where a mask is empty there is nothing to measure, and the honest answer is NaN ("not a number"), not 0.
#
# What to expect: 0.167 for the toy, and below the tests the library's own numbers on real samples.
#
# <details><summary>Hint 1</summary>Take the mean over the channels first: <code>(prediction - target).abs().mean(1)</code> has the shape (B, H, W). After that, channels are no longer your problem.</details>
# <details><summary>Hint 2</summary><code>sum((1, 2))</code> sums over height and width and keeps the batch. In PyTorch 0 / 0 is NaN already: divide, and don't protect yourself against it.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "masked-l1", "grade": false, "solution": true, "locked": false, "task": false}
def masked_l1(prediction, target, mask):
    """Mean absolute difference under a mask: (B,), NaN where a mask is empty.

    prediction, target (B, C, H, W) in [0, 1]; mask (B, 1, H, W) in {0, 1}, 1 where it counts.
    """
    ### BEGIN SOLUTION
    distance = (prediction - target).abs().mean(1)
    counted = mask[:, 0]
    return (distance * counted).sum((1, 2)) / counted.sum((1, 2))
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "masked-l1_values", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_masked_l1(f):
    compare("the toy", f(a, b, toy_mask), torch.tensor([0.5 / 3]))
    coloured = f(a.expand(2, 3, 2, 3), b.expand(2, 3, 2, 3), torch.cat([toy_mask, 1 - toy_mask]))
    compare("two pictures, three channels", coloured, torch.tensor([0.5 / 3, 1 / 3]))
    assert f(a, b, toy_mask * 0).isnan().all(), "an empty mask should give NaN"


with Check("masked L1: the toy, a batch of two in colour, and nothing to measure"):
    check_masked_l1(masked_l1)
### BEGIN HIDDEN TESTS
with Check("masked L1: random pictures, as the library does it"):
    one, other = (torch.rand(4, 3, 9, 7, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))
    some = (torch.rand(4, 1, 9, 7, generator=torch.Generator().manual_seed(2)) > 0.6).float()
    compare("four pictures", masked_l1(one, other, some), metrics.masked_l1(one, other, some))
### END HIDDEN TESTS

# %%
masked_l1 = pick(masked_l1, metrics.masked_l1, check_masked_l1)
given = to_01(sample.person)[None], to_01(wished.person)[None], garment.mask[None]
compare("under the garment mask", masked_l1(*given), metrics.masked_l1(*given))

# %% [markdown]
# ### Three regions
#
# One number for a whole picture hides who earned it. The parse before and the parse after split every picture into
# three parts with three different jobs:
#
# - **garment**: the wished picture shows the new top here. Job: the right cloth in the right place.
# - **uncovered**: here was the old top, and the new one isn't. Job: invent skin, trousers, background.
# - **rest**: neither. Job: hands off!


# %%
def regions(sample):
    """Three masks (1, H, W) in {0, 1} that sum to 1 everywhere."""
    before = label_mask(sample.parse, TOP_LABELS).float()
    after = label_mask(sample.truth.unpaired.parse, TOP_LABELS).float()
    return {"garment": after, "uncovered": before * (1 - after), "rest": (1 - before) * (1 - after)}


# %%
uncovered = [float(regions(s)["uncovered"].mean()) for s in samples]
example = samples[max(range(len(samples)), key=uncovered.__getitem__)]
masks = regions(example)
pictures = [to_01(example.person), to_01(example.truth.unpaired.person), torch.cat([masks[name] for name in masks])]
alt = "A person in two tops, and a map: red the new top, green strips where only the old one was, blue all else."
show_images(pictures, ["photograph", "wished", "red garment, green uncovered, blue rest"], alt=alt)
for name in masks:
    print(f"{name:9s} {sum(float(regions(s)[name].mean()) for s in samples) / len(samples):.1%} of the pixels")

# %% [markdown]
# Beside L1 we print **SSIM**, the structural similarity (Wang et al. 2004). It compares two pictures in small windows
# by brightness, contrast and pattern; 1 means equal. L1 forgives a blurred print of the right colour, SSIM doesn't.
# Papers differ in colour or grey, window and range, so their SSIMs can't be put side by side. Ours: RGB in [0, 1],
# Gaussian window of 11 x 11.
#
# The first method on trial is the laziest of all. It does nothing.


# %%
def judge(method):
    """Means over the samples. method: sample -> picture (3, H, W) in [-1, 1]; it must not look at sample.truth."""
    rows = []
    for s in samples:
        shown, target = to_01(method(s))[None], to_01(s.truth.unpaired.person)[None]
        row = {f"L1 {name}": masked_l1(shown, target, mask[None]) for name, mask in regions(s).items()}
        row["SSIM garment"] = metrics.masked_ssim(shown, target, regions(s)["garment"][None])
        row["SSIM all"] = metrics.ssim(shown, target)
        rows.append(row)
    return {name: float(torch.cat([row[name] for row in rows]).nanmean()) for name in rows[0]}


# %% tags=["no-proof"]
def line_up(samples, methods, alt):
    """Show one row a person: photograph, garment, the answer of each method (title -> function), the wished picture."""
    answers = [[method(s) for method in methods.values()] for s in samples]
    rows = [[s.person, s.garment.image, *mine, s.truth.unpaired.person] for s, mine in zip(samples, answers)]
    titles = ["person", "garment", *methods, "wished"]
    show_images([[to_01(picture) for picture in row] for row in rows], titles, height=190, alt=alt)


def untouched(sample):
    return sample.person


scores = {"untouched": judge(untouched)}
print(*(f"{name:12s} {value:.3f}" for name, value in scores["untouched"].items()), sep="\n")

# %% [markdown]
# Read the third line: in the rest, doing nothing is nearly perfect. (Not quite. The new top casts another shadow, and a
# collar or a hem moves.) More than half of the picture is rest. So remember the last line, an average over the whole
# picture; we will meet it again.
#
# ## 5 First try: paste it
#
# Lay the garment on the photograph, as it is. With a mask $M$, a picture $T$ on top and a picture $B$ at the bottom,
# that is
#
# $$I = M \odot T + (1 - M) \odot B,$$
#
# where $\odot$ multiplies pixel by pixel. You will see this line in nearly every try-on paper. In CP-VTON $T$ is the
# warped garment, $B$ a picture that a network renders, and $M$ a mask that the network predicts too, with soft values
# between 0 and 1. At $M = 0.25$ on paper: a top pixel of 0.8 over a bottom pixel of 0.4 gives $0.25 \cdot 0.8 + 0.75
# \cdot 0.4 = 0.5$.

# %% [markdown]
# **Exercise 2: composition.** *about 5 minutes, difficulty 1 of 5.* Write `composite(mask, top, bottom)`. The polarity
# is the exercise: 1 shows the *top*. Soft masks should blend, and a mask with one channel should serve pictures of
# three.
#
# What to expect: 0.5 for the numbers above; below the tests, a garment floating before a person.
#
# <details><summary>Hint 1</summary>It is the formula, with <code>*</code> for the circled dot. Broadcasting takes care of the channels.</details>
# <details><summary>Hint 2</summary><code>torch.where(mask &gt; 0.5, top, bottom)</code> looks right on hard masks. Try it at 0.25.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "composite", "grade": false, "solution": true, "locked": false, "task": false}
def composite(mask, top, bottom):
    """Lay a picture on another one, both (..., 3, H, W). mask: (..., 1, H, W) in [0, 1], 1 shows the top."""
    ### BEGIN SOLUTION
    return mask * top + (1 - mask) * bottom
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "composite_values", "grade": true, "solution": false, "locked": true, "points": 2, "task": false}
def check_composite(f):
    mask = torch.tensor([0.0, 0.25, 1.0]).reshape(1, 1, 3)
    top, bottom = torch.full((3, 1, 3), 0.8), torch.full((3, 1, 3), 0.4)
    compare("bottom, a blend, top", f(mask, top, bottom), torch.tensor([0.4, 0.5, 0.8]).expand(3, 1, 3))
    assert (bottom == 0.4).all() and (top == 0.8).all(), "the pictures that come in should stay as they are"


with Check("composite: 0 shows the bottom, 1 the top, 0.25 a quarter of the top"):
    check_composite(composite)
### BEGIN HIDDEN TESTS
with Check("composite: a batch in [-1, 1]"):
    numbers = torch.Generator().manual_seed(3)
    mask = torch.rand(2, 1, 5, 4, generator=numbers)
    top, bottom = torch.rand(2, 2, 3, 5, 4, generator=numbers) * 2 - 1
    compare("batch", composite(mask, top, bottom), torch.lerp(bottom, top, mask))
### END HIDDEN TESTS


# %%
def blend(mask, top, bottom):
    """The same with PyTorch's linear interpolation."""
    return torch.lerp(bottom, top, mask)


composite = pick(composite, blend, check_composite)
given = garment.mask, garment.image, sample.person
compare("garment over person", composite(*given), blend(*given))


# %% tags=["no-proof"]
def pasted(sample):
    return composite(sample.garment.mask, sample.garment.image, sample.person)


line_up(
    samples[:2], {"pasted": pasted}, "Two people, two tops, each top floating before its person; the wished pictures."
)
scores["pasted"] = judge(pasted)
for name, row in scores.items():
    print(f"{name:10s} L1 garment {row['L1 garment']:.3f}, L1 rest {row['L1 rest']:.3f}")

# %% [markdown]
# A paper doll. The colour is right now, which L1 on the garment notices; the place, the size and the sleeves are wrong,
# and the garment lies over arms and face if it must. The rest got *worse*: cloth where none should be.
#
# ## 6 Second try: move it and scale it
#
# We know where the old top is: the parse says so. So let's stretch the garment until its **bounding box** (the smallest
# upright rectangle around it) fills the bounding box of the old top.
#
# A box has edges, and edges lie *between* pixels. In our convention the centre of column 2 is at x = 2, so a mask on
# columns 2 and 3 reaches from 1.5 to 3.5 and is two wide. (From 2 to 3 it would be one wide: a classic way to lose a
# pixel.)


# %%
# NBVAL_CHECK_OUTPUT
def bounding_box(mask):
    """mask (1, H, W) -> left, top, right, bottom: the outer edges of what is 1, in index coordinates."""
    rows, columns = (mask[0] > 0.5).any(1).nonzero(), (mask[0] > 0.5).any(0).nonzero()
    return torch.stack([columns.min() - 0.5, rows.min() - 0.5, columns.max() + 0.5, rows.max() + 0.5])


toy_person, toy_garment = torch.zeros(2, 1, 4, 6)
toy_person[:, 1:4, 2:4] = 1  # rows 1 to 3, columns 2 and 3
toy_garment[:, 1:3, 1:5] = 1  # rows 1 and 2, columns 1 to 4
print("old top:", bounding_box(toy_person).tolist(), " garment:", bounding_box(toy_garment).tolist())

# %% [markdown]
# Now the move. You could send each pixel of the garment somewhere. Some places would be hit twice and others never. So
# everybody does it the other way round: **each pixel of the result asks where in the garment picture its colour comes
# from**. The answers, an x and a y a pixel, are a *flow* (2, H, W), as in the coloured picture above. For boxes with
# the left edges $l$ and the right edges $r$, of the person's old top ($p$) and the garment ($g$),
#
# $$x' = l_g + (x - l_p)\,\frac{r_g - l_g}{r_p - l_p},$$
#
# and the same for y. On paper, with the toy: the garment is 4 wide and the old top 2, so the factor is 2. The pixel x =
# 2 asks at $0.5 + (2 - 1.5) \cdot 2 = 1.5$, and x = 3 at 3.5. In height the factor is 2 / 3: y = 1, 2, 3 ask at 0.83,
# 1.5, 2.17.
#
# **Exercise 3: from box to box.** *about 15 minutes, difficulty 3 of 5.* Write `box_flow(person_box, garment_box,
# size)`.
#
# What to expect: the numbers above; below the tests, tops that sit where tops should sit.
#
# <details><summary>Hint 1</summary><code>warp.pixel_indices(size)</code> gives the (x, y) of every pixel, as a tensor (H, W, 2). A box is left, top, right, bottom: <code>box[:2]</code> is its upper left corner, <code>box[2:]</code> its lower right one. Both work on x and y at once.</details>
# <details><summary>Hint 2</summary>At the end the 2 has to come to the front: <code>permute(2, 0, 1)</code>. If the garment gets smaller where it should grow, the boxes are the wrong way round: the result asks, the garment answers.</details>


# %% nbgrader={"schema_version": 3, "grade_id": "box-flow", "grade": false, "solution": true, "locked": false, "task": false}
def box_flow(person_box, garment_box, size):
    """Flow (2, H, W) that shows what is in garment_box in the place of person_box.

    Boxes: left, top, right, bottom, (4,) index coordinates of their outer edges. size: (height, width).
    Convention: flow[0] is x and flow[1] is y in the garment picture, for each pixel of the result.
    """
    ### BEGIN SOLUTION
    points = warp.pixel_indices(size)  # (H, W, 2)
    factor = (garment_box[2:] - garment_box[:2]) / (person_box[2:] - person_box[:2])
    return (garment_box[:2] + (points - person_box[:2]) * factor).permute(2, 0, 1)
    ### END SOLUTION


# %% nbgrader={"schema_version": 3, "grade_id": "box-flow_values", "grade": true, "solution": false, "locked": true, "points": 3, "task": false}
def check_box_flow(f):
    flow = f(bounding_box(toy_person), bounding_box(toy_garment), (4, 6))
    compare("shape and x of row 1", flow[0, 1], torch.tensor([-2.5, -0.5, 1.5, 3.5, 5.5, 7.5]))
    compare("y of column 2", flow[1, :, 2], torch.tensor([1 / 6, 5 / 6, 9 / 6, 13 / 6]))
    box = torch.tensor([0.5, -0.5, 3.5, 2.5])
    compare("a box onto itself", f(box, box, (5, 7)), warp.pixel_indices((5, 7)).permute(2, 0, 1))


with Check("box flow: the toy, and a box onto itself"):
    check_box_flow(box_flow)
### BEGIN HIDDEN TESTS
with Check("box flow: corners go to corners"):
    person_box, garment_box = torch.tensor([2.0, 3.0, 6.0, 11.0]), torch.tensor([1.0, 5.0, 9.0, 9.0])
    flow = box_flow(person_box, garment_box, (16, 12))
    assert flow.shape == (2, 16, 12), f"expected shape (2, 16, 12), got {tuple(flow.shape)}"
    compare("upper left", flow[:, 3, 2], torch.tensor([1.0, 5.0]))
    compare("lower right", flow[:, 11, 6], torch.tensor([9.0, 9.0]))
### END HIDDEN TESTS


# %%
def corner_flow(person_box, garment_box, size):
    """The same by another road: mix the answers of the left and the right edge, of the upper and the lower one."""
    x, y = warp.pixel_indices(size).unbind(-1)
    across = (x - person_box[0]) / (person_box[2] - person_box[0])
    down = (y - person_box[1]) / (person_box[3] - person_box[1])
    x, y = torch.lerp(garment_box[0], garment_box[2], across), torch.lerp(garment_box[1], garment_box[3], down)
    return torch.stack([x, y])


box_flow = pick(box_flow, corner_flow, check_box_flow)
given = bounding_box(label_mask(sample.parse, TOP_LABELS)), bounding_box(garment.mask), sample.size
compare("box flow of the sample", box_flow(*given), corner_flow(*given), atol=1e-3)


# %%
def boxed_garment(sample):
    """The garment and its mask, moved and scaled to the bounding box of the old top."""
    person_box = bounding_box(label_mask(sample.parse, TOP_LABELS))
    flow = box_flow(person_box, bounding_box(sample.garment.mask), sample.size)
    both = torch.cat([sample.garment.image, sample.garment.mask])
    moved = warp.warp_by_flow(both[None], flow[None])[0]  # bilinear reading; beyond the border its nearest pixel
    return moved[:3], moved[3:]


def boxed(sample):
    warped, warped_mask = boxed_garment(sample)
    return composite((warped_mask > 0.5).float(), warped, sample.person)


# %% tags=["no-proof"]
alt = "Tops stretched over the old tops: nearly in place, but they cover arms and hands, and the old tops peep out."
line_up([sample, in_front], {"boxed": boxed}, alt)
scores["boxed"] = judge(boxed)
print(f"boxed: L1 garment {scores['boxed']['L1 garment']:.3f}, L1 rest {scores['boxed']['L1 rest']:.3f}")

# %% [markdown]
# Much better, and wrong in new ways:
#
# - A box knows no sleeves, no neckline, no bent waist. A long-sleeved top over a short-sleeved one is squeezed until
#   the *sleeves* fit into the box.
# - Everything that belongs in front is covered: hands, crossed arms, hair.
# - Where the old top was wider or longer, it peeps out from under the new one.
#
# ## 7 The two-stage idea: warp, then synthesise
#
# The three failures ask for two different things. *A better warp*, that bends and doesn't only stretch. And *a better
# composition*, that knows what is in front, removes the old top and invents what it uncovers. Most systems since VITON
# (2018) are built like this:
#
# ```text
#   person ---> what to keep (pose, build, face, ...) ---+------------------------------+
#                                                        v                              v
#   garment --------------------------------> 1. WARP the garment ---> 2. SYNTHESISE the picture ---> try-on
# ```
#
# 1. **Warp.** A network looks at the person (without the old clothes!) and the garment, and predicts a smooth map from
#    one to the other. CP-VTON's is called the geometric matching module, GMM. Its map is a **thin-plate spline**: a
#    sheet that is bent at 5 x 5 control points, so 50 numbers.
# 2. **Synthesise.** A second network gets the warped garment and the person, paints arms, shadows and skin, and blends
#    with a composition mask.
#
# Why not one network for all? CAGAN (2017) tried. Convolutions move things by a few pixels a layer, and *copying a
# printed word to another place* is what they do worst. A warp copies. The second network is then free to do what
# networks do well: to invent what is missing.
#
# To see what each stage is worth, we first let a rule stand in for the second: `cp_vton.composite` reads the parse of the
# photograph, paints the old top grey and lays the warped garment over it, but never over head, arms and hands.
# `system.without_tom()` is the system with that rule. To be fair, the box gets the same rule below. The last column is
# the whole system, with the second stage that notebook 07 builds.


# %% tags=["no-proof"]
def boxed_layers(sample):
    return cp_vton.composite(sample.person, sample.parse, *boxed_garment(sample))[0]


def learned_layers(sample):
    return warp_only.try_on(sample).tryon


def both_stages(sample):
    return system.try_on(sample).tryon


methods = {"boxed, layers": boxed_layers, "learned warp, layers": learned_layers, "learned warp, painted": both_stages}
alt = "Three people in rows; from left to right nearer to the wished picture; grey patches, then painted skin."
line_up([sample, in_front, example], methods, alt)

# %% [markdown]
# Compare the first two: same layers, another warp. Then the next two: same warp, and a network in the place of the rule.
# And compare the last with the wish. Now the numbers, over all samples:


# %% tags=["no-proof"]
scores |= {name: judge(method) for name, method in methods.items()}
columns = list(scores["untouched"])
print(f"{'':22s}" + "".join(f"{column:>14s}" for column in columns))
for name, row in scores.items():
    print(f"{name:22s}" + "".join(f"{row[column]:14.3f}" for column in columns))

# %% [markdown]
# Read the table column by column. (L1: lower is better. SSIM: higher is better.)
#
# - **L1 and SSIM garment**: from paste to box they hardly move, as a print that is some pixels off matches no better
#   than none; what the box wins is in the rest, where less cloth lies on what should have stayed. The bend is what both
#   reward: from box to learned warp.
# - **L1 uncovered**: whoever paints nothing stays near the untouched photograph. Grey isn't skin. The second stage is the
#   first that gets lower.
# - **L1 rest**: the untouched photograph wins, of course. Whoever works on a picture spoils some of it.
# - **SSIM all**: the trap. Doing *nothing* beats the paste, keeps up with the box, and is not far behind the rest.
#   Most of the picture is rest, and SSIM rewards sharp, untouched texture. Papers do report whole-picture SSIM, in the
#   paired case, where the untouched photograph would score a perfect 1. So ask of every table, ours too: which region,
#   which pairing, and what do the baselines get?
#
# And a mean hides the spread: one bent word on a chest can ruin a picture that has a fine L1. So look at pictures,
# always, and not at the best ones.


# %% tags=["no-proof"]
def error_map(sample):
    return (to_01(both_stages(sample)) - to_01(sample.truth.unpaired.person)).abs().mean(0).mul(2).clamp(max=1)


alt = "The first four test people: try-ons, wished pictures, and an error map that is bright at sleeves, hems, prints."
rows = [[s.person, s.garment.image, learned_layers(s), both_stages(s), s.truth.unpaired.person] for s in samples[:4]]
rows = [[*map(to_01, row), error_map(s)] for row, s in zip(rows, samples)]
show_images(rows, ["person", "garment", "warp only", "painted", "wished", "error"], height=180, alt=alt)

# %% [markdown]
# The first four, not the four best. In "warp only" look for
#
# - **grey**: the old top was here, and nothing has replaced it. Shoulders, waist, whole sleeves.
# - **sleeves**: the layers never cover an arm that was bare, so a long-sleeved top ends where the old sleeve ended. The
#   parse of the photograph says what is in front *in the photograph*, and the question was about another picture.
# - **collars**: the shop shows the inside of the neckline, and here it lies over the neck.
#
# The second stage mends these more or less. In "painted", look for what it doesn't mend, or spoils:
#
# - **skin and background** that it paints are soft, and a shade off where they meet what was kept;
# - **hems**: is the top worn tucked in or over the belt? Neither picture says, and the network, asked for one answer,
#   gives the longer one;
# - **prints**: a spline with 25 control points bends letters and stripes where the wished picture has them straight,
#   and the other way round;
# - **light**: folds and brightness come along from the shop's picture; those of the pose are missing. What is copied
#   can't be lit anew.
#
# ## 8 Breaking it on purpose
#
# A method is understood when you can predict how it breaks. Three faults, all of which you will meet in earnest:
#
# 1. the composition mask with the wrong polarity;
# 2. a parser that takes arms for upper-clothes;
# 3. a garment hung upside down.
#
# Before you look, guess: which one will the system notice?


# %%
def wrong_polarity(sample):
    answer = warp_only.try_on(sample)
    return composite(1 - answer.composition_mask, answer.warped, sample.person)


def arms_lost(sample):
    arms = label_mask(sample.parse, ARM_LABELS)[0]
    return learned_layers(replace(sample, parse=torch.where(arms, LIP_INDEX["upper-clothes"], sample.parse)))


def upside_down(sample):
    turned = replace(sample.garment, image=sample.garment.image.flip(-2), mask=sample.garment.mask.flip(-2))
    return learned_layers(replace(sample, garment=turned))


# %% tags=["no-proof"]
faults = {"wrong polarity": wrong_polarity, "arms lost": arms_lost, "upside down": upside_down}
pictures = [to_01(p) for p in (learned_layers(in_front), *(fault(in_front) for fault in faults.values()))]
alt = "In order; the old top alone on white; a top that covers hands and arms; a top with sleeves at the hips."
show_images(pictures, ["in order", *faults], alt=alt)
scores |= {name: judge(fault) for name, fault in faults.items()}
for name in ("learned warp, layers", *faults):
    print(f"{name:22s} L1 garment {scores[name]['L1 garment']:.3f}, L1 rest {scores[name]['L1 rest']:.3f}")

# %% [markdown]
# None, and that is the lesson. No fault raises an error.
#
# - The wrong polarity is easy to see, and the L1 of the rest jumps.
# - The lost arms look like a tailoring mistake. Whenever a try-on looks odd, look at the parse first. (The L1 on the
#   garment hardly minds and may even improve: now long sleeves do reach bare arms. A number can like a picture that you
#   don't.)
# - The upside-down garment is warped with full confidence. The network has only seen garments that hang the right way
#   up.
#
# ## 9 The map
#
# Each notebook needs only those before it. **Six of the sixteen exist now** (in bold); the others are planned as
# listed.
#
# | | notebook | you build |
# |---|---|---|
# | **00** | **Welcome** (this one) | two naive systems, a judge |
# | **01** | [**The data**](01_data.ipynb) | readers for the public layouts and the studio's |
# | **02** | [**Pose**](02_pose.ipynb) (first half) | heatmaps, skeletons; later a pose estimator |
# | 03 | Human parsing | a network for the 20 labels |
# | 04 | DensePose and garment masks | 24 body parts; masks by U-Net |
# | **05** | [**Person representations**](05_person_representations.ipynb) | what a network may know of the person, and what leaks |
# | **06** | [**Warping**](06_warping.ipynb) | splines, shape contexts, correlation, the GMM |
# | **07** | [**The try-on module**](07_tryon_module.ipynb) | the second stage of CP-VTON |
# | 08 | Conditional parsing | a GAN that draws label maps |
# | 09 | Warp-GAN | warping features and not pixels |
# | 10 | Refinement, MG-VTON | any pose, end to end |
# | 11 | ALIAS synthesis | what to do where warp and wish disagree |
# | 12 | Without pairs | O-VITON, and CAGAN before it |
# | 13 | Diffusion and many views | MV-VTON |
# | 14 | Measuring | metrics and the league table |
# | 15 | Your own photograph | all six preprocessing steps, and where each method breaks |
#
# And the systems, in a sentence each:
#
# | system | year | its idea |
# |---|---|---|
# | CAGAN | 2017 | one adversarial network swaps the garment, without any warp; it learns from swapping back again |
# | VITON | 2018 | coarse picture first, then a spline found by matching outlines carries the garment's detail into it |
# | CP-VTON | 2018 | the spline is predicted by a network, and a composition mask blends its result in |
# | MG-VTON | 2019 | the pose may change too: first draw the *label map* of the answer, then fill it |
# | O-VITON | 2020 | trains on photographs of dressed people only, mixes garments of several, and tunes itself on each query |
# | VITON-HD | 2021 | 1024 x 768, and a normalisation (ALIAS) that treats places where the warp misses its target apart |
# | MV-VTON | 2024 | a diffusion model; front *and* back of the garment, chosen by the view of the person |
#
# Papers and released code often disagree, and the course says where. A first taste: CP-VTON's paper pulls its
# composition mask $M$ towards one, with the term $\lVert 1 - M \rVert_1$. The released code compares $M$ with the mask
# of the warped garment. And the last layer there is an instance normalisation, which gives the values behind the mask a
# mean of 0 in every picture: a mask of all ones is out of reach, whatever the loss asks for.
#
# ## 10 People
#
# Try-on is about bodies, so some questions don't have a tensor for an answer.
#
# - **Consent.** What puts clothes on a photograph can put them on anybody's photograph. Use your own, or that of
#   someone who said yes to *this* use; a picture found on the web is not a yes. And what replaces clothes can be turned
#   to undress people: don't build that.
# - **Body image.** A try-on that slims, smooths or lightens tells its user something about their body. Much of it
#   happens by itself, as a network returns what its data shows most. Keeping identity is a duty, not a metric.
# - **Who is in the data.** The best-known public sets, VITON and VITON-HD, show women in tops, photographed for one
#   shop.
# - **Licences.** Most of what is public is for **non-commercial** use: VITON-HD is CC BY-NC, MV-VTON's repository CC
#   BY-NC-SA, Dress Code needs a signed agreement. VITON was withdrawn by its authors, so the course never ships it.
#   `python -m data_download list` shows the terms. The code of this course is MIT, its prose CC BY 4.0, the studio's
#   body data CC0.
# - **What you promise.** A try-on shows how a garment could look. It doesn't know whether it fits. Say so to your
#   users.
#
# ## Numbers against their bands

# %% tags=["no-proof"]
names = ("untouched", "pasted", "boxed", "learned warp, layers", "learned warp, painted")
for name, short in zip(names, (*names[:3], "learned", "painted")):
    for column in ("L1 garment", "L1 rest", "SSIM all"):
        measured[f"{short}_{column.replace(' ', '_')}"] = scores[name][column]
for name in ("layers", "painted"):
    measured[f"{name}_L1_uncovered"] = scores[f"learned warp, {name}"]["L1 uncovered"]
measured["layers_help_rest"] = scores["boxed"]["L1 rest"] - scores["boxed, layers"]["L1 rest"]
measured["warp_helps_garment"] = scores["boxed, layers"]["L1 garment"] / scores["learned warp, layers"]["L1 garment"]
measured["wrong_polarity_rest"] = scores["wrong polarity"]["L1 rest"]
measured["upside_down_garment"] = scores["upside down"]["L1 garment"] / scores["learned warp, layers"]["L1 garment"]
check_bands("00", measured, profile=PROFILE)

# %% [markdown]
# ## Summary
#
# - Virtual try-on: a photograph and a shop picture in, the person in the garment out. It shows how clothes look, not
#   whether they fit.
# - It is hard: cloth bends, things hide each other, parts are invented, people must stay themselves, and the right
#   answer can't be photographed.
# - The studio renders that answer. It makes the unpaired case measurable; it doesn't make photographs.
# - Paste: wrong place. Box: right place, wrong shape, wrong layers. Learned warp: right shape. The second stage paints
#   skin and sleeves, softly; light is still missing.
# - Judge by regions, with baselines. Over whole pictures, doing nothing can look like a good method.
# - Wrong inputs give no errors. They give wrong pictures.
#
# Next: [01, the data](01_data.ipynb): what is in a sample, on the disk and in the studio? Or straight on to [05, person
# representations](05_person_representations.ipynb), [06, warping](06_warping.ipynb) and [07, the try-on
# module](07_tryon_module.ipynb): what the network may see, where the 50 numbers come from, and who paints the arms.
#
# ## Going further
#
# - Give the box the sleeves: one box for the torso and one for each arm, from the pose. How far up the table does it
#   climb?
# - In the rule, replace grey by the mean colour of the person's arms. Which column changes, by how much, and does it come
#   near the second stage?
# - Find the sample with the worst L1 on the garment, and explain why it is the worst.
#
# ## Further reading
#
# - Jetchev, Bergmann: *The Conditional Analogy GAN: Swapping Fashion Articles on People Images* (2017), CAGAN.
# - Han, Wu, Wu, Yu, Davis: *VITON: An Image-based Virtual Try-on Network* (2018).
# - Wang, Zheng, Liang, Chen, Lin, Yang: *Toward Characteristic-Preserving Image-based Virtual Try-On Network* (2018),
#   CP-VTON.
# - Dong, Liang, Shen, Wang, Lai, Zhu, Hu, Yin: *Towards Multi-pose Guided Virtual Try-on Network* (2019), MG-VTON.
# - Neuberger, Borenstein, Hilleli, Oks, Alpert: *Image Based Virtual Try-On Network From Unpaired Data* (2020),
#   O-VITON.
# - Choi, Park, Lee, Choo: *VITON-HD: High-Resolution Virtual Try-On via Misalignment-Aware Normalization* (2021).
# - Wang and others: *MV-VTON: Multi-View Virtual Try-On with Diffusion Models* (2024).
# - Wang, Bovik, Sheikh, Simoncelli: *Image Quality Assessment: From Error Visibility to Structural Similarity* (2004),
#   SSIM.
