"""One studio session: the truth against the geometry it was read from, and planted defects that must be found."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import binary_erosion

from vtonlib.labels import BODY_25_INDEX
from vtonlib.layouts.mvg import ANGLES
from vtonlib.studio.cuts import BOTTOMS, TOPS
from vtonlib.studio.garment import garment_shape
from vtonlib.studio.mesh import Mesh, Scene
from vtonlib.studio.outfits import Outfit, TopDesign, draw_outfit, draw_top
from vtonlib.studio.people import Staging, draw_identity, draw_staging
from vtonlib.studio.photography import draw_photography
from vtonlib.studio.quality import LIMITS, TOP, find_defects
from vtonlib.studio.render import passes
from vtonlib.studio.scene import Model
from vtonlib.studio.session import Sitting, shoot
from vtonlib.studio.subdivide import quad_edges
from vtonlib.studio.wardrobe import Top

SIZE = (256, 192)


@pytest.fixture(scope="module")
def model():
    return Model(draw_identity(np.random.default_rng(3)), 128)


@pytest.fixture(scope="module")
def top():
    return Top(TopDesign(TOPS[0], "checks", 5), 400)


@pytest.fixture(scope="module")
def sitting(model):
    photography = draw_photography(np.random.default_rng(1), "studio")
    return Sitting(model, Outfit(BOTTOMS[0], (0.2, 0.25, 0.4), (0.9, 0.9, 0.9)), photography, SIZE)


@pytest.fixture(scope="module")
def take(sitting, top):
    return sitting.pose(Staging("stand", 1, 5.0, 2), [top])[0][0]


@pytest.fixture(scope="module")
def sample(take, top):
    return take.record("000000_00", "000000_00", top.shop(SIZE))


@pytest.mark.parametrize("cut", TOPS, ids=lambda cut: cut.name)
def test_every_top_is_whole_its_rim_lies_on_cut_lines_only(cut):
    shape = garment_shape(cut)
    sides = np.sort(np.concatenate([shape.faces[:, [k, (k + 1) % 3]] for k in range(3)]), axis=1)
    edges, count = np.unique(sides, axis=0, return_counts=True)
    assert count.max() == 2
    rim = np.unique(edges[count == 1])
    rim = rim[rim < shape.to_render.shape[0]]  # a collar's or hood's own rim is none of the cut's
    assert np.abs(shape.edge[rim]).max() < 0.004 and shape.edge.min() > -1e-6
    assert np.isfinite(shape.fabric).all() and 0.3 < shape.front.mean() < 0.7


@pytest.mark.parametrize("cut", TOPS, ids=lambda cut: cut.name)
def test_pressing_keeps_most_lengths(cut):
    shape = garment_shape(cut)
    edges = quad_edges(shape.quads)[0]
    length = [np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1) for v in (shape.points, shape.pressed)]
    ratio = length[1] / length[0]
    assert 0.9 < np.median(ratio) < 1.1 and np.quantile(ratio, 0.05) > 0.5
    # the points are the body's: the wider the cloth, the longer are its edges
    assert np.quantile(ratio, 0.95) < (1.6 if cut.gather == "plain" and cut.loose < 0.025 else 1.9)
    assert np.ptp(shape.pressed[:, 1]) < 0.1 * np.ptp(shape.points[:, 1]) + 0.03


def test_the_record_is_complete_and_consistent(sample):
    height, width = SIZE
    assert sample.image.shape == (height, width, 3) and sample.image.dtype == np.uint8
    person = sample.parse > 0
    assert ((sample.densepose[..., 0] > 0) == person).all()
    assert set(np.unique(sample.parse)) <= {0, 2, 5, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19}
    assert not (sample.hidden & (sample.parse == TOP)).any()
    known = np.isfinite(sample.flow).all(-1)
    assert (known <= (sample.parse == TOP)).all() and known.sum() > 0.85 * (sample.parse == TOP).sum()


def test_visible_keypoints_lie_on_their_own_part_of_the_person(sample):
    seen = {name: sample.pose[index] for name, index in BODY_25_INDEX.items() if sample.pose[index, 2] > 0.5}
    assert {"nose", "neck", "left-shoulder", "right-shoulder", "left-elbow", "right-elbow"} <= set(seen)
    for x, y, _ in seen.values():
        assert sample.parse[round(float(y)), round(float(x))] > 0
    assert seen["left-shoulder"][0] > seen["right-shoulder"][0], "the person's left is on the right of the picture"
    below = sample.pose[BODY_25_INDEX["left-ankle"]]
    assert below[1] > SIZE[0] and below[2] == 0, "an ankle below the picture keeps its place and is not seen"
    wrists = sample.pose[[BODY_25_INDEX["left-wrist"], BODY_25_INDEX["right-wrist"]], :2]
    np.testing.assert_allclose(sample.hands[:, 0, :2], wrists, atol=1e-3)


def test_the_flow_takes_the_print_from_the_shop_to_the_body(sample, top):
    """Independent of the fabric coordinates that the flow was made from: the pictures themselves must agree."""
    known = np.isfinite(sample.flow).all(-1)
    x, y = np.round(sample.flow[known]).astype(int).T
    grey = [picture.astype(float).mean(-1) for picture in (sample.image, sample.cloth)]
    worn, shop = grey[0][known], grey[1][np.clip(y, 0, SIZE[0] - 1), np.clip(x, 0, SIZE[1] - 1)]
    right = np.corrcoef(worn, shop)[0, 1]
    shifted = np.corrcoef(worn, grey[1][np.clip(y, 0, SIZE[0] - 1), np.clip(x + 5, 0, SIZE[1] - 1)])[0, 1]
    assert right > 0.8 and right > shifted + 0.2


def test_the_flow_agrees_with_the_projected_vertices(take, top):
    """Vertices that both cameras see: where the flow at the worn one points, the in-shop one must be."""
    shop = top.shop(SIZE)
    record = take.record("a", "a", shop)
    worn_at, worn_depth = take.camera.project(take.dressed.top.vertices)
    shop_at, _ = shop.camera.project(shop.positions)
    column, row = np.round(worn_at - 0.5).astype(int).T
    inside = (column >= 0) & (column < SIZE[1]) & (row >= 0) & (row < SIZE[0])
    column, row = np.clip(column, 0, SIZE[1] - 1), np.clip(row, 0, SIZE[0] - 1)
    flow = record.flow[row, column]
    visible = inside & (np.abs(take.passes.depth[row, column] - worn_depth) < 0.003) & np.isfinite(flow).all(-1)
    apart = np.linalg.norm(flow - (shop_at - 0.5), axis=1)[visible]
    assert visible.sum() > 1000 and np.median(apart) < 0.6 and np.quantile(apart, 0.95) < 2


def test_another_garment_leaves_the_person_and_the_wall_alone(sitting, take, top):
    other = Top(TopDesign(next(cut for cut in TOPS if cut.name == "sweater"), "stripes", 9), 400)
    ((_, second),) = sitting.pose(take.staging, [top, other])
    np.testing.assert_allclose(second.dressed.body, take.dressed.body)
    both = (take.passes.parse == 13) & (second.passes.parse == 13)
    assert both.sum() > 0.99 * (take.passes.parse == 13).sum()
    sleeve = (second.passes.parse == TOP) & np.isin(take.passes.parse, (14, 15))
    assert sleeve.sum() > 200, "the sweater covers the arms that the t-shirt leaves bare"
    wall = binary_erosion(~take.passes.mask & ~second.passes.mask, iterations=2)
    difference = np.abs(take.photograph()[wall].astype(int) - second.photograph()[wall].astype(int))
    assert difference.max() == 0, "where both scenes look the same, so do the photographs"


def defects_of(take, top_mesh, body=None, meshes=None):
    meshes = tuple(top_mesh if mesh is take.dressed.top else mesh for mesh in meshes or take.dressed.meshes)
    seen, alone = passes(Scene(meshes), take.camera), passes(Scene((top_mesh,)), take.camera)
    return find_defects(seen, alone, top_mesh, take.dressed.body if body is None else body)


def test_a_good_sample_has_no_defect(take):
    assert take.defects.kind is None


@pytest.mark.parametrize("radius", [0.012, 0.04])
def test_a_planted_hole_is_found(take, radius):
    mesh = take.dressed.top
    chest = np.array([0.05, mesh.vertices[:, 1].min(), np.median(mesh.vertices[:, 2])])
    centre = mesh.vertices[np.linalg.norm(mesh.vertices - chest, axis=1).argmin()]
    near = np.linalg.norm(mesh.vertices[mesh.faces].mean(1) - centre, axis=1) < radius
    torn = replace(mesh, faces=mesh.faces[~near], face_uv=mesh.face_uv[~near], front=mesh.front[~near], label=TOP)
    found = defects_of(take, torn)
    assert found.kind == "hole" and found.hole > LIMITS["hole"]


def test_planted_trousers_through_the_top_are_found(take):
    trousers = take.dressed.meshes[2]
    edge = trousers.vertices[:, 2] > np.quantile(trousers.vertices[:, 2], 0.9)
    fat = replace(trousers, vertices=trousers.vertices + (0.03 * edge)[:, None] * trousers.normals)
    meshes = tuple(fat if mesh is trousers else mesh for mesh in take.dressed.meshes)
    assert defects_of(take, take.dressed.top, meshes=meshes).kind == "poke"


def test_a_planted_hand_inside_the_top_is_found(take):
    from vtonlib.studio.body import body_pack

    pack, body = body_pack(), take.dressed.body.copy()
    hand = (pack.arm_coordinate > 1.6) & (pack.arm_weight > 0.9) & (pack.canonical.vertices[:, 0] > 0)
    cloth = take.dressed.top.vertices
    belly = cloth[(np.abs(cloth[:, 0]) < 0.03) & (np.abs(cloth[:, 2] - cloth[:, 2].mean()) < 0.03)]
    front = belly[belly[:, 1].argmin()]
    body[hand] += front + (0, 0.03, 0) - body[hand].mean(0)
    skin = take.dressed.meshes[0]
    moved: Mesh = replace(skin, vertices=body, normals=None)
    meshes = tuple(moved if mesh is skin else mesh for mesh in take.dressed.meshes)
    assert defects_of(take, take.dressed.top, body=body, meshes=meshes).kind == "limb"


def test_draws_are_seeded_and_varied():
    identities = [draw_identity(np.random.default_rng([1, k])) for k in range(60)]
    assert draw_identity(np.random.default_rng([1, 7])) == identities[7]
    assert len({who.hair_style for who in identities}) >= 6
    assert min(who.tone for who in identities) < 1.2 and max(who.tone for who in identities) > 4.5
    tops = [draw_top(np.random.default_rng(k)) for k in range(200)]
    assert {t.cut.name for t in tops} >= {cut.name for cut in TOPS} and len({t.fabric for t in tops}) >= 8
    assert len({draw_staging(np.random.default_rng(k)).pose for k in range(200)}) >= 6
    bottoms = {draw_outfit(np.random.default_rng(k), female=True).bottom.name for k in range(150)}
    assert bottoms == {cut.name for cut in BOTTOMS}


def test_views_go_round_one_and_the_same_scene(sitting, top):
    takes = [row[0] for row in sitting.pose(Staging("stand", 1, 5.0, 2), [top], ANGLES)]
    assert [take.view for take in takes] == list(ANGLES)
    assert all(take.dressed is takes[0].dressed for take in takes), "nothing is built again for another view"
    front, right, back = (takes[k].record("p", "g", top.shop(SIZE)) for k in (0, 2, 4))
    face = [np.sum(record.parse == 13) for record in (front, back)]
    assert face[0] > 150 and face[1] < 0.1 * face[0]
    shoulders = [BODY_25_INDEX["left-shoulder"], BODY_25_INDEX["right-shoulder"]]
    assert front.pose[shoulders[0], 0] > front.pose[shoulders[1], 0] > 0
    assert back.pose[shoulders[0], 0] < back.pose[shoulders[1], 0], "from behind, left is left"
    part = np.bincount(right.densepose[..., 0].ravel(), minlength=25)
    assert part[[16, 20]].sum() + part[[18, 22]].sum() > 4 * part[[15, 17, 19, 21]].sum(), "90 shows the right side"
    known = [np.isfinite(flow).all(-1).sum() for flow in (front.flow, front.flow_back, back.flow, back.flow_back)]
    assert known[0] > 4 * known[1] and known[3] > 4 * known[2], "from behind the flow leads to the back picture"


@pytest.mark.parametrize("layout", ["viton-hd", "mpv", "mvg"])
def test_an_album_holds_the_pictures_of_its_layout_and_their_truths(layout):
    album = shoot(5, 3, (64, 48), other=7, layout=layout)
    poses, yaws = ([drawn[name] for drawn in album.attributes] for name in ("pose", "yaw"))
    assert len(album.samples) == {"viton-hd": 1, "mpv": 3, "mvg": 5}[layout]
    assert album.photographs == {"viton-hd": 3, "mpv": 6, "mvg": 15}[layout]
    assert len({sample.name for sample in album.samples}) == len(album.samples)
    for sample in album.samples:
        assert sample.unpaired.name == sample.name and sample.unpaired.garment_name != sample.garment_name
        assert ((sample.unpaired.cloth != sample.cloth).any() and np.isfinite(sample.flow).any()) or layout == "mvg"
        assert ((sample.depth > 0) == (sample.parse > 0)).all() and sample.depth.max() < 20
    if layout != "mpv":
        new = album.samples[0].new_pose
        assert album.attributes[0]["new_pose"] not in ("", poses[0]) and (new.pose != album.samples[0].pose).any()
        assert new.garment_name == album.samples[0].garment_name
    if layout == "mpv":
        assert len(set(poses)) == 3
    if layout == "mvg":
        assert tuple(yaws) == ANGLES and len(set(poses)) == 1


def test_a_layout_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="layout: expected one of viton-hd, mpv, mvg, got 'mpeg'"):
        shoot(0, 0, SIZE, layout="mpeg")


def test_no_pose_is_drawn_twice_for_one_person():
    drawn = [draw_staging(np.random.default_rng(k), others=("stand", "hips")) for k in range(100)]
    assert not {"stand", "hips"} & {staging.pose for staging in drawn}
    assert max(abs(staging.yaw) for staging in drawn) > 40
