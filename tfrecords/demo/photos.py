"""The built-in demo photos: ten made-up landmarks that stand in for nothing but themselves.

    python -c "from tfrecords import demo; demo.write_photos('demo_photos')"

They are drawn with seeded randomness. Place, distance, camera, light, weather, surroundings and
colours differ from photo to photo, and the box of the landmark is known exactly. All landmarks
share one palette and one pool of surroundings: only the architecture tells them apart.
"""

import dataclasses
import functools
import math
import pathlib
from collections.abc import Callable

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
    DemoLandmark("Twin Spires of Orvale", 84, architecture.twin_spires),
    DemoLandmark("Great Dome of Samarel", 70, architecture.great_dome),
    DemoLandmark("Triumphal Arch of Belmora", 58, architecture.triumphal_arch),
    DemoLandmark("Varenne Viaduct", 48, architecture.viaduct),
    DemoLandmark("Seven Roofs of Kirameki", 40, architecture.seven_roofs),
    DemoLandmark("Great Wheel of Port Ansel", 34, architecture.great_wheel),
    DemoLandmark("Step Pyramid of Tzalamar", 28, architecture.step_pyramid),
    DemoLandmark("Leaning Campanile of Castrello", 25, architecture.leaning_campanile),
    DemoLandmark("Lattice Mast of Gronhaven", 22, architecture.lattice_mast),
    DemoLandmark("Standing Stones of Hallow Fen", 20, architecture.standing_stones),
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
    folder = pathlib.Path(folder)
    jobs = []
    for index, landmark in enumerate(LANDMARKS):
        (folder / landmark.slug).mkdir(parents=True, exist_ok=True)
        jobs += [(index, number) for number in range(landmark.photos)[:photos_per_landmark]]
    rows = _write_all(functools.partial(_write_photo, folder, seed), jobs, progress, processes)
    write_csv(folder / "boxes.csv", ("photo", "ymin", "xmin", "ymax", "xmax"), rows)


def _write_all(write, jobs, progress, processes):
    """Calls `write` for every job; returns the results in the order of the jobs."""
    bar = {"desc": "Drawing demo photos", "unit": " photos", "disable": not progress}
    if processes is None:
        # A new process takes about as long to start as 8 photos take to draw (0.4 s).
        processes = min(available_cores(), max(1, len(jobs) // 40))
    return list(tqdm(map_on_cores(write, jobs, processes), total=len(jobs), **bar))


def _write_photo(folder, seed, job):
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
    """Puts the camera so that the landmark fills most of the frame."""
    size = max(extent[1], 0.6 * extent[0])
    distance = size * rng.uniform(1.9, 3.3) + extent[2] / 2
    yaw = math.radians(rng.uniform(-25, 25))
    camera = paint.Camera(size * rng.uniform(0.03, 0.15), distance, size, yaw)
    pixels, _ = camera.project(points)
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    width, height = DETAIL * frame[0], DETAIL * frame[1]
    fill = rng.uniform(0.86, 1.02)
    camera.focal = fill * min(0.98 * width / (right - left), 0.92 * height / (bottom - top))
    slack = width - camera.focal * (right - left)
    middle = DETAIL * MARGIN * frame[0] + width / 2 + 0.25 * slack * rng.uniform(-1, 1)
    camera.centre = middle - camera.focal * (left + right) / 2
    filled = camera.focal * (bottom - top) / height
    foot = rng.uniform(max(0.74, filled + 0.02), max(0.9, filled + 0.06))
    camera.horizon = DETAIL * MARGIN * frame[1] + height * foot - camera.focal * bottom
    return camera


def paint_scene(rng, mesh, camera, frame):
    """Paints one photo's canvas, larger than the photo: background, landmark, foreground.

    Returns:
        image: Array `(height, width, 3)` of the canvas.
        coverage: Array `(height, width)`, the landmark's share of every pixel, in [0, 1].
    """
    size = tuple(round(DETAIL * side * (1 + 2 * MARGIN)) for side in frame)
    setting = choose_setting(rng, camera)
    image = paint_background(rng, size, camera, setting)
    paint.cast_shadow(image, mesh, camera, setting)
    layer = paint.new_layer(size)
    paint.paint_mesh(layer, mesh, camera, setting)
    landmark = paint.finished_layer(layer)
    landmark[..., :3] *= weathering(rng, size)
    haze = (0.3 if setting.weather == "haze" else 0.1) * rng.random()
    paint.lay_over(image, landmark, setting.light.horizon, haze)
    paint_foreground(rng, image, mesh, camera, setting)
    return image, landmark[..., 3]


def choose_setting(rng, camera):
    """Draws light, weather, ground and colours, independent of the landmark."""
    light = paint.LIGHTS[rng.choice(4, p=paint.LIGHT_SHARES)]
    weather = rng.choice(scene.WEATHERS, p=scene.WEATHER_SHARES)
    ground = rng.choice(scene.GROUNDS, p=scene.GROUND_SHARES)
    if weather in ("rain", "snow"):
        light = paint.OVERCAST
    sun = paint.sun_direction(rng, camera, light)
    return paint.Setting(light, sun, weather, ground, paint.choose_colours(rng, light))


def paint_background(rng, size, camera, setting):
    """Paints sky, hills, ground, town and what grows in it on a new canvas."""
    light, snowy = setting.light, setting.snowy
    image = scene.paint_sky(rng, size, camera.horizon, light, setting.weather)
    scene.paint_hills(rng, image, camera.horizon, light)
    scene.paint_ground(rng, image, camera, light, setting.ground, snowy)
    layer, town = paint.new_layer(size), Solids()
    scene.add_town(rng, town, float(camera.size))
    if town.faces:
        paint.paint_mesh(layer, paint.Mesh(town), camera, setting)
    scene.draw_clutter(rng, layer, camera, light, snowy, (-1.3, -0.5), (10, 3, 2))
    haze = rng.uniform(0.4, 0.7) if setting.weather == "haze" else rng.uniform(0.3, 0.5)
    paint.lay_over(image, paint.finished_layer(layer), light.horizon, haze)
    return image


def paint_foreground(rng, image, mesh, camera, setting):
    """Paints what stands or falls before the landmark, and the water that mirrors it."""
    light, (height, width, _) = setting.light, image.shape
    layer = paint.new_layer((width, height))
    if setting.ground == "water":
        shore = camera.project(mesh.points[mesh.points[:, 1] < 0.5])[0][:, 1].max() + 2 * DETAIL
        scene.paint_reflection(rng, image, shore, light)
    else:
        reach = 0.35, 0.8 * camera.distance / camera.size
        scene.draw_clutter(rng, layer, camera, light, setting.snowy, reach, (1, 6, 2))
    if rng.random() < 0.35:
        scene.draw_birds(rng, layer)
    paint.lay_over(image, paint.finished_layer(layer))
    if setting.weather in ("rain", "snow"):
        scene.let_fall(rng, image, setting.weather)


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
