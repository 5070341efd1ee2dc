"""The built-in demo photos: ten made-up landmarks that stand in for nothing but themselves.

    python -c "from tfrecords import demo; demo.write_photos('demo_photos')"

They are drawn with seeded randomness. Place in the photo, size, camera, light, surroundings and
colours differ from photo to photo, and the box of the landmark is known exactly. All landmarks
share one palette and one pool of surroundings, other buildings among them: only the architecture
tells them apart, and a map of where a model looks can be wrong.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from tfrecords.common.files import write_csv
from tfrecords.common.parallel import available_cores, map_on_cores
from tfrecords.demo import landmarks as architecture
from tfrecords.demo import paint, scene
from tfrecords.demo.solids import Solids

LONG_SIDE, SHORT_SIDE = 340, 256
DETAIL = 1.25  # Canvas pixels per pixel of the photo, so that the final rotation does not blur.
MARGIN = 0.07  # Canvas beyond the photo on each side, for the corners of a rotated photo.
JPEG_QUALITY = 92
SQUARE = 7 / 8  # of the short side: the central part that a model sees
FILL = (0.6, 0.76)  # of the landmark's longer side in that square


@dataclasses.dataclass(frozen=True)
class DemoLandmark:
    """A made-up landmark: its name, how many photos it has, the function that builds its solids."""

    name: str
    photos: int
    draw: Callable

    @property
    def slug(self):
        return self.name.lower().replace(" ", "_")


LANDMARKS = (
    DemoLandmark("Twin Spires of Orvale", 66, architecture.twin_spires),
    DemoLandmark("Great Dome of Samarel", 60, architecture.great_dome),
    DemoLandmark("Triumphal Arch of Belmora", 54, architecture.triumphal_arch),
    DemoLandmark("Varenne Viaduct", 50, architecture.viaduct),
    DemoLandmark("Seven Roofs of Kirameki", 45, architecture.seven_roofs),
    DemoLandmark("Great Wheel of Port Ansel", 42, architecture.great_wheel),
    DemoLandmark("Step Pyramid of Tzalamar", 38, architecture.step_pyramid),
    DemoLandmark("Leaning Campanile of Castrello", 30, architecture.leaning_campanile),
    DemoLandmark("Lattice Mast of Gronhaven", 23, architecture.lattice_mast),
    DemoLandmark("Standing Stones of Hallow Fen", 21, architecture.standing_stones),
)


def draw_photo(landmark, number, seed=0):
    """Draws one photo of a landmark; a pure function of its arguments.

    Args:
        landmark: One of `LANDMARKS`.
        number: Int from 0, which photo.
        seed: Int, another seed draws other photos.

    Returns:
        photo: RGB image, 340 x 256 or 256 x 340 pixels.
        box: `(ymin, xmin, ymax, xmax)` of the landmark, in [0, 1] of the photo.
    """
    index = [other.name for other in LANDMARKS].index(landmark.name)
    rng = np.random.default_rng([seed, index, number])
    mesh = landmark_mesh(landmark.draw)
    extent = np.ptp(mesh.points, axis=0)
    landscape = rng.random() < (0.92 if extent[0] > 1.1 * extent[1] else 0.08)
    frame = (LONG_SIDE, SHORT_SIDE) if landscape else (SHORT_SIDE, LONG_SIDE)
    camera = place_camera(rng, mesh.points, extent, frame)
    image, coverage = paint_scene(rng, mesh, camera, frame)
    return finish(rng, image, coverage, frame)


def write_photos(folder, seed=0, photos_per_landmark=None, progress=True, processes=None):
    """Writes `folder/<slug>/<slug>_0007.jpg` for every photo and, last, `folder/boxes.csv`.

    That boxes.csv is there means that all photos are. The bytes do not depend on `processes`.

    Args:
        folder: Path, created where missing.
        seed: Int, another seed draws other photos.
        photos_per_landmark: Int, caps the photos of every landmark; `None` for all.
        progress: Bool, whether to show a bar on stderr.
        processes: Int; `None` for one per core, or a single one for few photos.

    Raises:
        ValueError: `photos_per_landmark` is below 1.
    """
    if photos_per_landmark is not None and photos_per_landmark < 1:
        raise ValueError(
            "photos_per_landmark must be at least 1, or None for all photos; "
            f"got {photos_per_landmark}."
        )
    folder = Path(folder)
    jobs = []
    for index, landmark in enumerate(LANDMARKS):
        (folder / landmark.slug).mkdir(parents=True, exist_ok=True)
        jobs += [(index, number) for number in range(landmark.photos)[:photos_per_landmark]]
    # A new process takes about as long to start as 8 photos take to draw (0.4 s).
    processes = processes or min(available_cores(), max(1, len(jobs) // 40))
    written = map_on_cores(_write_photo, jobs, processes, (folder, seed))
    bar = {"desc": "Drawing demo photos", "unit": " photos", "disable": not progress}
    rows = list(tqdm(written, total=len(jobs), **bar))
    write_csv(folder / "boxes.csv", ("photo", "ymin", "xmin", "ymax", "xmax"), rows)


def _write_photo(job, folder, seed):
    index, number = job
    slug = LANDMARKS[index].slug
    photo, box = draw_photo(LANDMARKS[index], number, seed)
    name = f"{slug}/{slug}_{number:04d}.jpg"
    photo.save(folder / name, quality=JPEG_QUALITY)
    return (name, *(f"{value:.4f}" for value in box))


@functools.cache
def landmark_mesh(draw):
    """The mesh of a landmark, which is the same in all its photos."""
    solids = Solids()
    draw(solids)
    return paint.Mesh(solids)


def place_camera(rng, points, extent, frame):
    """Puts the camera so that the landmark fills a part of the central square, anywhere in it.

    A model must find it there: maps that always light up the centre lie beside most of them.
    """
    size = max(extent[1], 0.6 * extent[0])
    distance = size * rng.uniform(2.2, 3.8) + extent[2] / 2
    yaw = math.radians(rng.uniform(-18, 18))
    camera = paint.Camera(size * rng.uniform(0.03, 0.15), distance, size, yaw)
    pixels, _ = camera.project(points)
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    square = DETAIL * SQUARE * min(frame)
    camera.focal = square * rng.uniform(*FILL) / (high - low).max()
    start = DETAIL * (0.5 + MARGIN) * np.array(frame) - square / 2
    corner = start + rng.beta(0.16, 0.16, 2) * (square - camera.focal * (high - low))
    camera.centre, camera.horizon = (corner - camera.focal * low).tolist()
    return camera


def paint_scene(rng, mesh, camera, frame):
    """Paints one photo's canvas, larger than the photo: background, landmark, foreground.

    Returns:
        image: Array `(height, width, 3)` of the canvas.
        coverage: Array `(height, width)`, the landmark's fraction of every pixel, in [0, 1].
    """
    size = tuple(round(DETAIL * side * (1 + 2 * MARGIN)) for side in frame)
    light = paint.LIGHTS[rng.choice(4, p=paint.LIGHT_PROBABILITIES)]
    sun = paint.sun_direction(rng, camera, light)
    setting = paint.Setting(light, sun, paint.choose_colours(rng, light))
    image = paint_background(rng, size, camera, setting)
    paint.cast_shadow(image, mesh, camera, setting)
    layer = paint.new_layer(size)
    paint.paint_mesh(layer, mesh, camera, setting)
    landmark = paint.finished_layer(layer)
    landmark[..., :3] *= weathering(rng, size)
    paint.overlay(image, landmark, light.horizon, rng.uniform(0, 0.15))
    layer, reach = paint.new_layer(size), (0.35, 0.8 * camera.distance / camera.size)
    scene.draw_clutter(rng, layer, camera, light, reach, (1, 6))
    paint.overlay(image, paint.finished_layer(layer))
    return image, landmark[..., 3]


def paint_background(rng, size, camera, setting):
    """Paints sky, hills, ground, town and what grows in it on a new canvas."""
    light = setting.light
    image = scene.paint_sky(rng, size, camera.horizon, light)
    scene.paint_hills(rng, image, camera.horizon, light)
    scene.paint_ground(rng, image, camera, light)
    layer, town = paint.new_layer(size), Solids()
    scene.add_town(rng, town, camera, size[0])
    paint.paint_mesh(layer, paint.Mesh(town), camera, setting)
    scene.draw_clutter(rng, layer, camera, light, (-1.3, -0.5), (10, 3))
    paint.overlay(image, paint.finished_layer(layer), light.horizon, rng.uniform(0.35, 0.6))
    return image


def weathering(rng, size):
    """Stains and streaks of stone, a factor `(height, width, 1)` about 1."""
    streaks = scene.smooth_noise(rng, size, (70, 6), 2)
    blotches = scene.smooth_noise(rng, size, (8, 8), 3)
    return (np.float32(0.72) + np.float32(0.22) * streaks + np.float32(0.35) * blotches)[..., None]


def finish(rng, image, coverage, frame):
    """Rolls and crops the canvas and adds the traces of lens and sensor: the photo and its box."""
    width, height = frame
    roll = math.radians(np.clip(rng.normal(0, 1.6), -4, 4))
    sine, cosine = math.sin(roll) * DETAIL, math.cos(roll) * DETAIL
    left = (image.shape[1] - cosine * width + sine * height) / 2
    top = (image.shape[0] - sine * width - cosine * height) / 2
    canvas = np.empty((*coverage.shape, 4), np.uint8)
    canvas[..., :3] = np.clip(image, 0, 1) * 255
    canvas[..., 3] = np.clip(coverage, 0, 1) * 255
    canvas = Image.fromarray(canvas, "RGBX")
    matrix = (cosine, -sine, left, sine, cosine, top)
    rolled = canvas.transform(frame, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    rolled = paint.planes(rolled)
    inside = rolled[..., 3] > 127
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    corners = (
        rows[0] / height,
        columns[0] / width,
        (rows[-1] + 1) / height,
        (columns[-1] + 1) / width,
    )
    y, x = np.linspace(-1, 1, height)[:, None, None], np.linspace(-1, 1, width)[:, None]
    vignette = 1 - rng.uniform(0.03, 0.14) * (x * x + y * y)
    balance = rng.uniform(0.82, 1.12) * rng.uniform(0.97, 1.03, 3)
    photo = rolled[..., :3] * np.float32(vignette)
    photo *= np.float32(balance)
    noise = rng.standard_normal(photo.shape, np.float32)
    photo += noise * np.float32(rng.uniform(0.6, 2.6))
    np.clip(photo, 0, 255, out=photo)
    photo = Image.fromarray(photo.astype(np.uint8))
    return photo, tuple(float(corner) for corner in corners)
