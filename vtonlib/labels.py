"""Names and numbers of everything that is labelled: human parsing, DensePose parts, body and hand keypoints.

Convention: a parse map holds LIP-20 indices, except that 10 means *neck* as in the VITON-HD data set (in LIP it is
*jumpsuits*). Left and right are the person's own.

Sources: LIP (Gong et al. 2017) for the 20 labels; the palette of the VITON-HD parse PNGs; OpenPose (Cao et al. 2019)
for BODY_25 and the 21 hand points; DensePose (Guler et al. 2018) for the 24 parts; VITON-HD (Choi et al. 2021) for the
groupings 20 -> 13 -> 7.
"""

LIP = (
    "background", "hat", "hair", "glove", "sunglasses", "upper-clothes", "dress", "coat", "socks", "pants",
    "neck", "scarf", "skirt", "face", "left-arm", "right-arm", "left-leg", "right-leg", "left-shoe", "right-shoe",
)  # fmt: skip
LIP_INDEX = {name: index for index, name in enumerate(LIP)}

# RGB of each LIP label as in the palette of the VITON-HD parse PNGs.
LIP_PALETTE = (
    (0, 0, 0), (128, 0, 0), (254, 0, 0), (0, 85, 0), (169, 0, 51), (254, 85, 0), (0, 0, 85), (0, 119, 220),
    (85, 85, 0), (0, 85, 85), (85, 51, 0), (52, 86, 128), (0, 128, 0), (0, 0, 254), (51, 169, 220), (0, 254, 254),
    (85, 254, 169), (169, 254, 85), (254, 254, 0), (254, 169, 0),
)  # fmt: skip

TOP_LABELS = (5, 6, 7)  # upper-clothes, dress, coat: what a top can be labelled as
HEAD_LABELS = (1, 2, 4, 13)  # hat, hair, sunglasses, face: CP-VTON's reserved regions
ARM_LABELS = (14, 15)
LOWER_LABELS = (9, 12, 16, 17, 18, 19)  # what VITON-HD pastes back below the top

# VITON-HD: 20 labels -> 13 groups. Neck (10) joins the background: the new garment decides how much of it shows.
GROUPS_13 = (
    ("background", (0, 10)), ("hair", (1, 2)), ("face", (4, 13)), ("upper", (5, 6, 7)), ("bottom", (9, 12)),
    ("left-arm", (14,)), ("right-arm", (15,)), ("left-leg", (16,)), ("right-leg", (17,)), ("left-shoe", (18,)),
    ("right-shoe", (19,)), ("socks", (8,)), ("noise", (3, 11)),
)  # fmt: skip
# VITON-HD: 13 groups -> 7. "paste" is what is copied from the photograph unchanged.
GROUPS_7 = (
    ("background", (0,)), ("paste", (2, 4, 7, 8, 9, 10, 11)), ("upper", (3,)), ("hair", (1,)), ("left-arm", (5,)),
    ("right-arm", (6,)), ("noise", (12,)),
)  # fmt: skip

# DensePose parts 1..24; index 0 is the background. Sides as in the data format of DensePose-COCO, halves as in its
# authors' examples (see `vtonlib.studio.densepose`): of the forearm, inner is the palm's side.
DENSEPOSE = (
    "background", "torso-back", "torso-front", "right-hand", "left-hand", "left-foot", "right-foot",
    "right-thigh-back", "left-thigh-back", "right-thigh-front", "left-thigh-front",
    "right-calf-back", "left-calf-back", "right-calf-front", "left-calf-front",
    "left-upper-arm-front", "right-upper-arm-front", "left-upper-arm-back", "right-upper-arm-back",
    "left-forearm-inner", "right-forearm-inner", "left-forearm-outer", "right-forearm-outer",
    "head-right", "head-left",
)  # fmt: skip

BODY_25 = (
    "nose", "neck", "right-shoulder", "right-elbow", "right-wrist", "left-shoulder", "left-elbow", "left-wrist",
    "mid-hip", "right-hip", "right-knee", "right-ankle", "left-hip", "left-knee", "left-ankle", "right-eye",
    "left-eye", "right-ear", "left-ear", "left-big-toe", "left-small-toe", "left-heel", "right-big-toe",
    "right-small-toe", "right-heel",
)  # fmt: skip
BODY_25_INDEX = {name: index for index, name in enumerate(BODY_25)}
BODY_25_LIMBS = (
    (1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14),
    (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24),
)  # fmt: skip

# COCO-18 (the order of VITON and CP-VTON) picked out of BODY_25: everything but mid-hip and the feet.
COCO_18_FROM_BODY_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)

# A hand: 0 wrist, then four points from base to tip for thumb, index, middle, ring and little finger.
HAND_LIMBS = tuple((0 if joint == 1 else 4 * finger + joint - 1, 4 * finger + joint)
                   for finger in range(5) for joint in range(1, 5))  # fmt: skip

# The horizontal mirror image swaps left and right: index of the label that each label becomes.
DENSEPOSE_MIRROR = (
    0, 1, 2, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 20, 19, 22, 21, 24, 23,
)  # fmt: skip
LIP_MIRROR = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 14, 17, 16, 19, 18)
BODY_25_MIRROR = (
    0, 1, 5, 6, 7, 2, 3, 4, 8, 12, 13, 14, 9, 10, 11, 16, 15, 18, 17, 22, 23, 24, 19, 20, 21,
)  # fmt: skip
