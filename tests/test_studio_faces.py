"""The studio's faces: shapes, expressions, teeth, and what is painted on skin."""

import importlib.util
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from vtonlib.labels import BODY_25_INDEX
from vtonlib.studio import faces
from vtonlib.studio.body import Phenotype, body_keypoints, body_pack, rest_body, vertex_normals
from vtonlib.studio.face_paint import BEARDS, Face, beard_region, draw_face
from vtonlib.studio.faces import (
    NEUTRAL,
    Expression,
    draw_expression,
    draw_face_shape,
    express,
    face_pack,
    place_teeth,
    shaped,
)
from vtonlib.studio.people import draw_identity, draw_staging
from vtonlib.studio.skin import grow_beard, skin_texture

PLAIN = Face(skin=(0.9, 0.7, 0.6), lips=(0.7, 0.3, 0.3), brow=(0.1, 0.07, 0.05), iris=(0.3, 0.4, 0.5))
TOOL = Path(__file__).parents[1] / "tools" / "build_face_pack.py"


@pytest.fixture(scope="module")
def rest():
    return rest_body(Phenotype(gender=1.0))


@pytest.fixture(scope="module")
def people():
    return [draw_identity(np.random.default_rng([5, k])) for k in range(60)]


def one_hot(name: str) -> tuple[float, ...]:
    return tuple(float(other == name) for other in face_pack().identity_names)


def texel(texture: np.ndarray, across: float, up: float) -> np.ndarray:
    """Mean of 5x5 texels at a place of the face, in 1/1024 of the texture."""
    size = len(texture)
    row, column = (round(value * size / 1024) for value in (529 + across, 858 - up))
    return texture[row - 2 : row + 3, column - 2 : column + 3].mean((0, 1))


# --- the pack


def test_shapes_stay_on_the_head_and_have_names_of_their_own():
    pack, body = face_pack(), body_pack()
    names = pack.identity_names + pack.expression_names
    assert len(set(names)) == len(names) == len(pack.identity) + len(pack.expression)
    assert pack.vertices.max() < body.tights_ids[-1] and len(np.unique(pack.vertices)) == len(pack.vertices)
    assert body.canonical.vertices[pack.vertices, 2].min() > 0.5
    largest = np.linalg.norm(np.concatenate([pack.identity, pack.expression]), axis=2).max(1)
    assert largest.min() > 0.001 and largest.max() < 0.06  # metres: a unit mistaken would show
    assert set(faces.SPREAD) | set(faces.MEAN) | set(faces.OUTLINES) <= set(pack.identity_names)
    assert {f.name for f in fields(Expression)} == {*pack.expression_names, "gaze_left", "gaze_up"}


def test_a_damaged_pack_is_refused(monkeypatch):
    face_pack.cache_clear()
    monkeypatch.setattr(faces, "PACK_SHA256", "0" * 64)
    with pytest.raises(ValueError, match=r"face\.npz: expected SHA-256"):
        face_pack()
    face_pack.cache_clear()


def test_the_builder_reads_targets_in_the_studio_axes(tmp_path, monkeypatch):
    import gzip

    monkeypatch.syspath_prepend(str(TOOL.parent))
    spec = importlib.util.spec_from_file_location("build_face_pack", TOOL)
    builder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(builder)
    (tmp_path / "nose").mkdir()
    for name, text in (("incr", "# made up\n7 .1 .2 .3\n"), ("decr", "7 -.1 0 -.1\n9 0 0 1\n")):
        (tmp_path / "nose" / f"nose-hump-{name}.target.gz").write_bytes(gzip.compress(text.encode()))
    name, shape = builder.read_axis(tmp_path, "nose", "hump-incr/decr")
    assert name == "nose-hump" and shape.shape == (19158, 3)
    assert np.allclose(shape[7], (0.01, -0.02, 0.01))  # half the difference; y forward becomes -y, up becomes z
    assert np.allclose(shape[9], (0, 0.05, 0)) and np.count_nonzero(shape.any(axis=1)) == 2


# --- shapes of a face


def test_no_weights_change_nothing_and_shapes_add_up(rest):
    assert shaped(rest, ()) is rest
    both = np.add(one_hot("nose-hump"), np.multiply(0.5, one_hot("chin-width")))
    moved = shaped(rest, tuple(both)).vertices - rest.vertices
    parts = [shaped(rest, one_hot(name)).vertices - rest.vertices for name in ("nose-hump", "chin-width")]
    assert np.allclose(moved, parts[0] + 0.5 * parts[1], atol=1e-6)


def test_a_wrong_number_of_weights_is_named(rest):
    with pytest.raises(ValueError, match="expected 76 weights of a face, got 3"):
        shaped(rest, (0.1, 0.2, 0.3))


@pytest.mark.parametrize("axis, part, direction, least", [
    ("eyes-trans-out", ("right-eye", "left-eye"), 0, 0.004),
    ("ears-trans-up", ("left-ear",), 2, 0.004), ("nose-scale-depth", ("nose",), 1, 0.004),
])  # fmt: skip
def test_keypoints_go_with_the_face(rest, axis, part, direction, least):
    before, after = body_keypoints(rest.vertices), body_keypoints(shaped(rest, one_hot(axis)).vertices)
    rows = [BODY_25_INDEX[name] for name in part]
    assert np.abs(after - before)[rows, direction].min() > least / 2
    assert np.allclose(after[BODY_25_INDEX["left-wrist"]], before[BODY_25_INDEX["left-wrist"]], atol=1e-6)


def test_faces_are_drawn_apart_but_stay_human(people):
    pack = face_pack()
    weights = np.array([who.face for who in people])
    assert np.abs(weights).max() <= faces.LIMIT and np.all(weights.std(0) > 0.02)
    shapes = np.tensordot(weights, pack.identity, 1)
    distance = np.linalg.norm(shapes[:, None] - shapes[None], axis=3).mean(2) * 1000  # mm over the head
    assert distance[np.triu_indices(len(people), 1)].min() > 1.0  # nobody is anybody's twin
    assert np.linalg.norm(shapes, axis=2).max() < 0.035


def test_weight_and_age_show_in_the_face():
    def mean(name, **parameters):
        index = face_pack().identity_names.index(name)
        return np.mean([draw_face_shape(np.random.default_rng(k), Phenotype(**parameters))[index] for k in range(20)])

    assert mean("head-fat", weight=0.9) > mean("head-fat", weight=0.2) + 0.2
    assert mean("head-age", age=0.88) > mean("head-age", age=0.64) + 0.3
    assert mean("neck-double", weight=0.9) > mean("neck-double", weight=0.2) + 0.1


def test_an_identity_is_a_plain_value_and_seeded(people):
    assert draw_identity(np.random.default_rng([5, 3])) == people[3]
    assert all(type(value) is float for value in people[0].face)
    assert hash(people[0]) != hash(people[1])
    assert any(min(who.hair_colour) > 0.3 and max(who.hair_colour) - min(who.hair_colour) < 0.1 for who in people)


# --- expressions


@pytest.mark.parametrize("wrong", [{"smile": 1.1}, {"open": -0.1}, {"gaze_left": 36.0}, {"squint": float("nan")}])
def test_a_wrong_expression_is_named(wrong):
    with pytest.raises(ValueError, match=f"Expression.{next(iter(wrong))}: expected"):
        Expression(**wrong)


def test_an_expression_moves_the_face_alone(rest):
    assert express(rest, NEUTRAL) is rest
    smiling = express(rest, Expression(smile=0.8, brows_up=0.5, gaze_left=10))
    moved = np.linalg.norm(smiling.vertices - rest.vertices, axis=1) > 1e-5
    assert 0.005 < np.abs(smiling.vertices - rest.vertices).max() < 0.03
    assert not moved[body_pack().tights_ids].any() and not moved[rest.vertices[:, 2] < 0.55].any()
    assert np.array_equal(smiling.heads, rest.heads)


def test_eyes_turn_to_the_persons_left_and_up(rest):
    eye = body_pack().eye_ids[:72]  # the left
    front = eye[rest.vertices[eye, 1].argmin()]
    for gaze, axis in (({"gaze_left": 15.0}, 0), ({"gaze_up": 15.0}, 2)):
        moved = express(rest, Expression(**gaze)).vertices
        assert moved[front, axis] - rest.vertices[front, axis] > 0.002
        assert np.allclose(moved[eye].mean(0), rest.vertices[eye].mean(0), atol=0.002)


def test_lids_close_over_the_eyes(rest):
    lash = body_pack().lash_ids
    closed = express(rest, Expression(lids_closed=1.0)).vertices[lash, 2]
    assert (rest.vertices[lash, 2] - closed).max() > 0.005


def test_expressions_are_seeded_and_varied():
    drawn = [draw_expression(np.random.default_rng(k)) for k in range(300)]
    assert drawn[7] == draw_expression(np.random.default_rng(7))
    share = {name: np.mean([getattr(d, name) > 0 for d in drawn]) for name in ("smile", "open", "sulk", "brows_up")}
    assert 0.3 < share["smile"] < 0.6 and min(share.values()) > 0.03
    assert 0.001 < np.mean([d.lids_closed == 1 for d in drawn]) < 0.06
    assert len({draw_staging(np.random.default_rng(k)).expression for k in range(20)}) == 20


def test_teeth_stay_behind_closed_lips():
    lips = face_pack().vertices[
        np.abs(face_pack().expression[face_pack().expression_names.index("smile")]).max(1) > 2e-3
    ]
    for seed in range(40):
        who = draw_identity(np.random.default_rng([6, seed]))
        rest = shaped(rest_body(who.phenotype), who.face)
        teeth = place_teeth(rest)
        assert teeth[:, 1].min() > rest.vertices[lips, 1].min() + 0.003  # -y is forward
        assert np.ptp(teeth, axis=0).max() < 0.09


# --- paint and beards


def test_a_beard_is_dark_and_thick_where_it_grows(rest):
    bare, full = skin_texture(PLAIN, 256), skin_texture(replace(PLAIN, beard="full"), 256)
    assert texel(full, 10, -105).mean() < 0.4 * texel(bare, 10, -105).mean()  # the chin
    assert np.allclose(texel(full, 20, 60), texel(bare, 20, 60))  # the forehead
    assert np.allclose(texel(full, 0, -72), texel(bare, 0, -72), atol=0.05)  # the lips
    assert grow_beard(rest, PLAIN) is rest
    grown = grow_beard(rest, replace(PLAIN, beard="full"))
    outward = np.einsum(
        "ij,ij->i", grown.vertices - rest.vertices, vertex_normals(rest.vertices, body_pack().body_faces)
    )
    assert 0.006 < outward.max() < 0.014 and outward.min() > -0.005


def test_beard_regions_differ_by_style():
    across, up = np.meshgrid(np.arange(-150, 151.0), np.arange(-160, 80.0))
    area = {style: beard_region(replace(PLAIN, beard=style), across, up).sum() for style in BEARDS}
    assert area["none"] == 0
    assert area["full"] > area["goatee"] > area["moustache"] > 0
    with pytest.raises(ValueError, match=r"Face\.beard: expected one of none, stubble"):
        replace(PLAIN, beard="handlebar")


def test_paint_shows_where_it_belongs():
    plain = skin_texture(PLAIN, 256)
    old, made_up = (skin_texture(replace(PLAIN, **paint), 256)
                    for paint in ({"wrinkles": 1.0}, {"rouge": 1.0, "eye_shade": 1.0}))  # fmt: skip
    assert texel(old, 28, -65).mean() < 0.93 * texel(plain, 28, -65).mean()  # from nose to mouth
    assert texel(made_up, 62, -30)[1] < 0.9 * texel(plain, 62, -30)[1]  # cheeks redden
    assert texel(made_up, 41, 9).mean() < 0.9 * texel(plain, 41, 9).mean()  # lids darken
    assert np.array_equal(old[:80], plain[:80])  # beyond the face nothing changes


def test_drawn_faces_vary_and_women_grow_no_beards():
    colours = {"skin": (0.8, 0.6, 0.5), "hair": (0.1, 0.08, 0.06), "iris": (0.3, 0.2, 0.1)}
    men = [draw_face(np.random.default_rng(k), female=False, age=0.85, **colours) for k in range(80)]
    women = [draw_face(np.random.default_rng(k), female=True, age=0.63, **colours) for k in range(80)]
    assert {face.beard for face in men} == set(BEARDS) and {face.beard for face in women} == {"none"}
    assert min(face.wrinkles for face in men) > 0.3 and max(face.wrinkles for face in women) == 0
    assert np.std([face.skin for face in women], axis=0).max() > 0.004
    assert 0.3 < np.mean([face.liner > 0 for face in women]) < 0.9
    assert len({face.lips for face in women}) == 80


def test_teeth_are_there_for_open_lips_alone():
    assert not Expression(smile=0.5, sulk=0.4).opens_lips
    assert Expression(part=0.2).opens_lips and Expression(open=0.1).opens_lips


def test_a_wanted_sex_changes_the_draw_and_nothing_is_left_of_the_other():
    women = [draw_identity(np.random.default_rng([5, k]), female=True) for k in range(40)]
    assert all(who.female and who.phenotype.gender == 1.0 for who in women)
