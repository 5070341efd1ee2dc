"""Paint of the demo photos: light, colours, camera, faces turned into pixels, layers.

Images are float32 arrays `(height, width, 3)` in [0, 1]; layers are `(height, width, 4)`, colours
already multiplied by their last channel, which is coverage.
"""

import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

OVERSAMPLING = 2  # Drawn pixels per canvas pixel, against jagged edges.


@dataclasses.dataclass(frozen=True)
class Light:
    """A time of day: sun heights in degrees, colours in [0, 1], `shadow` as darkness in [0, 1]."""

    elevation: tuple
    sun: tuple
    ambient: tuple
    zenith: tuple
    horizon: tuple
    shadow: float

    @property
    def on_the_ground(self):
        height = math.sin(math.radians(self.elevation[0] + 12)) ** 0.5
        return np.float32(self.ambient) + np.float32(self.sun) * np.float32(height)


MORNING = Light(
    elevation=(18, 35), sun=(0.80, 0.63, 0.42), ambient=(0.40, 0.43, 0.50),
    zenith=(0.33, 0.54, 0.80), horizon=(0.97, 0.89, 0.77), shadow=0.45,
)  # fmt: skip
NOON = Light(
    elevation=(42, 62), sun=(0.70, 0.67, 0.60), ambient=(0.43, 0.46, 0.51),
    zenith=(0.17, 0.40, 0.75), horizon=(0.76, 0.88, 0.96), shadow=0.5,
)  # fmt: skip
OVERCAST = Light(
    elevation=(40, 70), sun=(0.24, 0.24, 0.24), ambient=(0.62, 0.64, 0.66),
    zenith=(0.58, 0.62, 0.67), horizon=(0.84, 0.86, 0.88), shadow=0.2,
)  # fmt: skip
DUSK = Light(
    elevation=(8, 18), sun=(0.78, 0.42, 0.22), ambient=(0.33, 0.33, 0.44),
    zenith=(0.20, 0.24, 0.47), horizon=(0.99, 0.68, 0.44), shadow=0.35,
)  # fmt: skip
LIGHTS, LIGHT_PROBABILITIES = (MORNING, NOON, OVERCAST, DUSK), (0.28, 0.36, 0.20, 0.16)
PALE_COLOURS = (
    (0.90, 0.88, 0.84), (0.86, 0.78, 0.62), (0.82, 0.72, 0.70),
    (0.73, 0.72, 0.70), (0.79, 0.67, 0.51), (0.72, 0.58, 0.45),
)  # fmt: skip
DEEP_COLOURS = (
    (0.62, 0.43, 0.35), (0.53, 0.52, 0.52), (0.44, 0.54, 0.50),
    (0.37, 0.41, 0.47), (0.45, 0.37, 0.31), (0.56, 0.34, 0.29),
)  # fmt: skip
PALE, DEEP = (
    ("wall", "trim", "town0", "town1"),
    ("roof", "accent", "metal", "town2", "town3", "tiles"),
)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What one photo is painted with: light, sun and colours."""

    light: Light
    sun: np.ndarray  # Direction towards it, `(3,)`.
    colours: dict  # Material -> colour `(3,)` in [0, 1].


def choose_colours(rng, light):
    """Gives every material a colour of the palette that all landmarks share.

    Walls are pale and roofs deep in most photos, but not in all: a landmark that is mostly wall
    would else be known by its brightness.
    """
    pale, deep = rng.permutation(PALE_COLOURS), rng.permutation(DEEP_COLOURS)
    if rng.random() < 0.4:
        mixed = rng.permutation(PALE_COLOURS + DEEP_COLOURS)
        pale, deep = mixed[: len(pale)], mixed[len(pale) :]
    materials = PALE + DEEP
    shades = rng.uniform(0.85, 1.1, (len(materials), 1))
    palette = np.concatenate([pale[: len(PALE)], deep[: len(DEEP)]]) * shades
    colours = dict(zip(materials, palette, strict=True))
    window = (1.3, 1.05, 0.6) if light is DUSK else (0.24, 0.27, 0.31)
    return colours | {"dark": np.array((0.20, 0.18, 0.18)), "glass": np.array(window)}


def sun_direction(rng, camera, light):
    """Direction `(3,)` towards the sun, which stands beside or behind the camera."""
    elevation = math.radians(rng.uniform(*light.elevation))
    side = rng.choice((-1, 1)) * math.radians(rng.uniform(25, 85))
    across, towards = math.cos(elevation) * math.sin(side), math.cos(elevation) * math.cos(side)
    return camera.world((across, math.sin(elevation), towards))


@dataclasses.dataclass
class Camera:
    """Looks at the origin from the front, `yaw` radians to the side; lengths in metres."""

    eye: float  # Height above the ground.
    distance: float
    size: float  # Of the landmark, the scale of its surroundings.
    yaw: float
    focal: float = 1.0  # Canvas pixels, like the two below.
    centre: float = 0.0
    horizon: float = 0.0

    def world(self, point):
        """Turns a point or direction, given as seen by the camera, into the world's."""
        (x, y, z), sine, cosine = point, math.sin(self.yaw), math.cos(self.yaw)
        return np.array([x * cosine + z * sine, y, z * cosine - x * sine])

    def project(self, points):
        """Projects world points `(n, 3)` to canvas pixels `(n, 2)` and depths `(n,)`."""
        sine, cosine = math.sin(self.yaw), math.cos(self.yaw)
        across = points[:, 0] * cosine - points[:, 2] * sine
        depth = self.distance - points[:, 0] * sine - points[:, 2] * cosine
        scale = self.focal / np.maximum(depth, 0.02 * self.distance)
        rows = self.horizon - scale * (points[:, 1] - self.eye)
        return np.stack([self.centre + scale * across, rows], axis=1), depth


class Mesh:
    """The faces of solids as arrays, the corners of all faces one after the other."""

    def __init__(self, solids):
        groups, self.materials, tints, beams, corners = zip(*solids.faces, strict=True)
        counts = np.array([len(face) for face in corners])
        self.starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        self.ends = self.starts + counts
        self.groups, self.tints, self.beams = np.array(groups), np.array(tints), np.array(beams)
        self.points = np.array([corner for face in corners for corner in face], float)
        following = np.arange(1, len(self.points) + 1)
        following[self.ends - 1] = self.starts
        # Newell's method: right for concave faces and for those with repeated corners.
        normals = np.add.reduceat(np.cross(self.points, self.points[following]), self.starts)
        self.normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def painting_order(self, eye):
        """Indices of the faces from far to near; within a group as they were added."""
        firsts = np.flatnonzero(np.diff(self.groups, prepend=-1))
        low = np.minimum.reduceat(np.minimum.reduceat(self.points, self.starts), firsts)
        high = np.maximum.reduceat(np.maximum.reduceat(self.points, self.starts), firsts)
        lasts = np.append(firsts[1:], len(self.starts))
        return [
            face
            for group in far_to_near(low, high, eye)
            for face in range(firsts[group], lasts[group])
        ]

    def shaded(self, setting):
        """Colours `(faces, 3)` in 0..255 in the light of a photo's setting."""
        light, colours = setting.light, setting.colours
        base = np.array([colours[material] for material in self.materials]) * self.tints[:, None]
        up, is_beam = self.normals[:, 1:2], self.beams[:, None] > 0
        lit = np.where(is_beam, 0.5, np.clip(self.normals @ setting.sun, 0, 1)[:, None])
        shade = np.array(light.ambient) * (0.85 + 0.15 * up) + np.array(light.sun) * lit
        return (np.clip(base * shade, 0, 1) * 255).astype(int)


def far_to_near(low, high, eye):
    """Indices of the boxes `low` to `high`, both `(n, 3)`, such that none hides a later one.

    A plane between two boxes says which is nearer: distances alone would draw a column before the
    wide wall behind it. Boxes that no plane divides, or that form a circle, go by distance.
    """
    slack = 1e-6
    beyond = (low[:, None] >= high[None] - slack) & (eye >= low - slack)[:, None]
    before = (high[:, None] <= low[None] + slack) & (eye <= high + slack)[:, None]
    nearer = (beyond | before).any(axis=2)
    nearer &= ~nearer.T
    waits_for = nearer.sum(axis=1)
    distances = np.linalg.norm(np.clip(eye, low, high) - eye, axis=1)
    order = []
    for _ in range(len(low)):
        group = int(np.argmax(distances - 1e9 * (waits_for > 0)))
        order.append(group)
        waits_for -= nearer[:, group]
        distances[group] = -1e12
    return order


def paint_mesh(layer, mesh, camera, setting):
    """Paints the faces that look at the camera onto a layer, from far to near."""
    draw = ImageDraw.Draw(layer)
    pixels, depths = camera.project(mesh.points)
    outlines = (pixels * OVERSAMPLING).ravel().tolist()
    eye = camera.world((0, camera.eye, camera.distance))
    facing = ((eye - mesh.points[mesh.starts]) * mesh.normals).sum(axis=1) > 0
    widths = OVERSAMPLING * camera.focal * mesh.beams / depths[mesh.starts]
    fills = [(*fill, 255) for fill in mesh.shaded(setting).tolist()]
    for face in mesh.painting_order(eye):
        outline = outlines[2 * mesh.starts[face] : 2 * mesh.ends[face]]
        if mesh.beams[face]:
            draw.line(outline, fills[face], max(1, round(widths[face])))
        elif facing[face]:
            draw.polygon(outline, fills[face])


def cast_shadow(image, mesh, camera, setting):
    """Darkens the ground where the mesh keeps the sun off it."""
    (height, width, _), sun = image.shape, setting.sun
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    pixels, _ = camera.project(mesh.points - sun * (mesh.points[:, 1:2] / sun[1]))
    outlines = pixels.ravel().tolist()
    for start, end in zip(mesh.starts, mesh.ends, strict=True):
        outline = outlines[2 * start : 2 * end]
        draw.line(outline, 255, 2) if end - start == 2 else draw.polygon(outline, 255)
    first = min(max(int(camera.horizon) + 2, 0), height - 1)
    darkness = np.float32(setting.light.shadow / 255)
    mask = mask.crop((0, first, width, height)).filter(ImageFilter.BoxBlur(1.5))
    image[first:] *= 1 - np.asarray(mask, np.float32)[..., None] * darkness


def new_image(size, colour):
    """An image of one colour, in memory as `planes` has it."""
    image = np.empty((3, size[1], size[0]), np.float32)
    image[:] = np.float32(colour)[:, None, None]
    return np.moveaxis(image, 0, 2)


def planes(image):
    """Pixels `(height, width, channels)` of a Pillow image, float32 in 0..255.

    In memory one channel follows the other: numpy's inner loops then run along whole rows rather
    than over three channels. A photo took 50 rather than 67 ms (2 cores, numpy 2).
    """
    return np.moveaxis(np.moveaxis(np.asarray(image), 2, 0).astype(np.float32, order="C"), 0, 2)


def new_layer(size):
    # Four plain channels: on black, whose coverage is 0, the colours come out multiplied by it.
    return Image.new("RGBX", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), (0, 0, 0, 0))


def finished_layer(layer):
    """The layer as an array of canvas pixels in [0, 1]."""
    finished = planes(layer.reduce(OVERSAMPLING))
    finished /= 255
    return finished


def overlay(image, layer, haze=(0, 0, 0), amount=0.0):
    """Draws a layer on top of an image in place, `amount` of the way to the colour of the haze."""
    rows = np.flatnonzero(layer[..., 3].any(axis=1))
    if len(rows):
        part = slice(rows[0], rows[-1] + 1)
        coverage = layer[part, :, 3:]
        image[part] *= 1 - coverage
        image[part] += layer[part, :, :3] * np.float32(1 - amount)
        image[part] += coverage * (np.float32(haze) * np.float32(amount))
