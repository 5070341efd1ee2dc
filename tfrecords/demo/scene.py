"""What surrounds the demo landmarks: sky, hills, ground, other buildings, trees, people.

None of it depends on the landmark: the surroundings say nothing about which one it is. Images are
float32 arrays `(height, width, 3)` in [0, 1], painted in place.
"""

import math

import numpy as np
from PIL import Image, ImageDraw

from tfrecords.demo.paint import OVERSAMPLING, new_image
from tfrecords.demo.solids import dome_profile

GROUNDS = {  # the strength of its pattern, and its colours
    "grass": (0.4, ((0.34, 0.46, 0.20), (0.42, 0.52, 0.25), (0.47, 0.48, 0.27))),
    "plaza": (0.2, ((0.62, 0.58, 0.53), (0.54, 0.53, 0.52), (0.68, 0.61, 0.51))),
    "sand": (0.2, ((0.78, 0.69, 0.52), (0.72, 0.62, 0.46), (0.70, 0.66, 0.56))),
}
LEAVES = ((44, 62, 32), (66, 78, 38), (84, 70, 34))
CLOTHES = ((60, 66, 84), (120, 60, 52), (196, 188, 172), (70, 92, 84), (150, 128, 92), (44, 44, 50))
# Of other buildings: how common, their width and height in sizes of the landmark, their roof.
BUILDINGS = (
    (0.35, (0.10, 0.26), (0.07, 0.18), "gable"),
    (0.25, (0.10, 0.24), (0.20, 0.50), "flat"),
    (0.20, (0.09, 0.16), (0.30, 0.65), "spire"),
    (0.20, (0.20, 0.34), (0.10, 0.20), "dome"),
)


def smooth_noise(rng, size, cells, octaves=4):
    """Fractal noise `(height, width)`, mean 0.5; `cells` (across, down) of its coarsest octave."""
    # At half the size, as its finest cells are still wider than two pixels.
    half = (size[0] + 1) // 2, (size[1] + 1) // 2
    total = np.zeros(half[::-1], np.float32)
    for octave in range(octaves):
        columns, rows = (max(2, int(cell * 2**octave)) for cell in cells)
        coarse = Image.fromarray(rng.random((rows, columns), dtype=np.float32))
        total += np.asarray(coarse.resize(half, Image.Resampling.BICUBIC)) / 2**octave
    total /= 2 - 2.0 ** (1 - octaves)
    return np.asarray(Image.fromarray(total).resize(size, Image.Resampling.BILINEAR))


def paint_sky(rng, size, horizon, light):
    """A gradient from the zenith to the horizon, with clouds that flatten towards the horizon."""
    width, height = size
    image = new_image(size, light.horizon)
    rows = min(max(int(horizon) + 2, 8), height)
    fraction = np.linspace(0, 1, rows, dtype=np.float32)[:, None, None] ** rng.uniform(1.0, 1.8)
    zenith, low = np.float32(light.zenith), np.float32(light.horizon)
    image[:rows] = zenith + (low - zenith) * fraction
    amount = rng.uniform(0.3, 0.6)  # of clouds
    noise = smooth_noise(rng, (width, rows), (rng.uniform(2, 4), rng.uniform(3, 6)), 5)
    density = np.clip((noise - (1 - amount)) * 5, 0, 1) * rng.uniform(0.75, 0.95)
    # A cloud is bright where it thins out upwards and dark underneath.
    shade = np.clip(0.5 + 3.5 * (noise - np.roll(noise, -5, axis=0)), 0, 1)
    bright = np.clip(np.float32(light.ambient) + 0.8 * np.float32(light.sun), 0, 1)
    dark = (0.5 * np.float32(light.ambient) + 0.45 * low) * np.float32((0.92, 0.94, 1.0))
    for channel, sky in enumerate(np.moveaxis(image[:rows], 2, 0)):
        clouds = dark[channel] + (bright[channel] - dark[channel]) * shade
        sky += (clouds - sky) * density
    return image


def paint_hills(rng, image, horizon, light):
    """Lays up to three ranges of hazy hills on the horizon."""
    height, width, _ = image.shape
    colour = np.float32((0.18, 0.26, 0.24)) * light.on_the_ground
    for distance in np.linspace(0.85, 0.55, rng.integers(0, 4)).tolist():
        ridge = smooth_noise(rng, (width, 2), (rng.uniform(1, 4), 2), 5)[0] - 0.35
        top = horizon - np.clip(ridge, 0, 1) * np.float32(height * rng.uniform(0.08, 0.3))
        first, last = max(int(top.min()) - 1, 0), min(max(int(horizon) + 2, 0), height)
        rows = np.arange(first, last, dtype=np.float32)[:, None]
        cover = np.clip(rows - top[None], 0, 1)
        hazy = colour + (np.float32(light.horizon) * np.float32(0.92) - colour) * distance
        for shade, plane in zip(hazy, np.moveaxis(image[first:last], 2, 0), strict=True):
            plane += (shade - plane) * cover


def paint_ground(rng, image, camera, light):
    """Fills everything below the horizon with a ground in perspective."""
    height, width, _ = image.shape
    first = max(int(camera.horizon) + 1, 0)
    if first >= height - 1:
        return
    kind = rng.choice(list(GROUNDS))
    strength, colours = GROUNDS[kind]
    rows = np.arange(first, height, dtype=np.float32)
    depth = camera.focal * camera.eye / (rows - np.float32(camera.horizon) + 0.5)
    columns = (np.arange(width, dtype=np.float32) - np.float32(camera.centre)) / camera.focal
    cell = camera.size / 90
    x, z = columns[None] * (depth[:, None] / cell), depth[:, None] / cell
    tile = smooth_noise(rng, (256, 256), (16, 16), 4)
    # There and back through the tile, which has no seams that way.
    down, across = (np.abs(np.floor(5 * v).astype(np.int32) % 510 - 255) for v in (z, x + 17))
    pattern = tile[down, across] - np.float32(0.5)
    if kind == "plaza":
        pattern += 0.5 * ((x % 4 < 0.35) | (z % 4 < 0.35))
    # Far away the pattern is finer than a pixel and would only flicker.
    pattern *= np.clip(camera.focal * cell / depth / 3, 0.1, 1)[:, None]
    wide = smooth_noise(rng, (width, height - first), (3, 6), 3) - 0.5
    base = np.float32(colours[rng.integers(len(colours))]) * light.on_the_ground
    brightness = 1 + np.float32(strength) * pattern + np.float32(0.35) * wide
    far = np.clip(depth / np.float32(7 * camera.distance), 0, 0.75)[:, None]
    for channel, haze in enumerate(np.float32(light.horizon)):
        ground = brightness * base[channel]
        image[first:, :, channel] = ground + (haze - ground) * far


def add_town(rng, solids, camera, width):
    """Adds other buildings behind the landmark, all over a canvas of this `width`."""
    size = camera.size
    common, widths, heights, roofs = zip(*BUILDINGS, strict=True)
    for _ in range(rng.integers(5, 14)):
        away = size * rng.uniform(0.6, 2.0)
        depth = camera.distance + away
        across = (rng.uniform(0, width) - camera.centre) * depth / camera.focal
        x, _, z = camera.world((across, 0.0, -away)).tolist()
        kind = rng.choice(len(BUILDINGS), p=common)
        wide, high = (size * rng.uniform(*sides[kind]) for sides in (widths, heights))
        add_building(rng, solids, (x, x + wide), (z - wide, z), high, roofs[kind])


def add_building(rng, solids, x, z, height, roof):
    """Adds a building with rows of windows on the pairs `x` and `z`, and its roof."""
    material = f"town{rng.integers(4)}"
    wide = x[1] - x[0]
    storey = max(0.25 * wide, 0.08 * height)
    for wall in solids.box(x, (0, height), z, material)[:3]:
        for row in range(int(height / storey)):
            solids.windows(wall, 4, (row + 0.25) * storey, 0.5 * storey, 0.45, 0, "glass")
    middle = (sum(x) / 2, sum(z) / 2)
    if roof == "gable":
        solids.gable(x, z, height, material)
    elif roof == "spire":
        solids.lathe([(0.75 * wide, height), (0.02, height + 1.4 * wide)], middle, 4, "tiles")
    elif roof == "dome":
        solids.lathe(dome_profile(0.4 * wide, height, 0.4 * wide), middle, 16, "tiles")


def draw_clutter(rng, layer, camera, light, reach, kinds):
    """Draws trees and people that stand on the ground.

    Args:
        layer: Image with four channels.
        reach: The two depths to fill, in sizes of the landmark, towards the viewer.
        kinds: How many at most of each: trees, people.
    """
    draw = ImageDraw.Draw(layer)
    brightness = np.float32(light.ambient) + np.float32(0.6) * np.float32(light.sun)
    green = np.float32(LEAVES[rng.integers(3)])
    leaves = green * brightness, green * 1.9 * brightness
    placed = [
        (rng.uniform(*reach), kind)
        for kind in (0, 1)
        for _ in range(rng.integers(0, kinds[kind] + 1))
    ]
    for z, kind in sorted(placed):
        scale = OVERSAMPLING * camera.focal / (camera.distance - z * camera.size)
        x = rng.uniform(0, layer.width)
        y = OVERSAMPLING * camera.horizon + scale * camera.eye
        if kind == 0:
            height = camera.size * rng.uniform(0.12, 0.28) * scale
            if z > 0:
                # A near tree stands at the side: it covers some of the landmark, never all of it.
                height = min(height, 0.3 * layer.height)
                x = layer.width * (0.5 + rng.choice((-0.5, 0.5)) * rng.uniform(0.7, 1.0))
            draw_tree(rng, draw, (float(x), float(y)), float(height), *leaves)
        else:
            draw_person(rng, draw, (x, y), camera.size * 0.033 * scale, brightness)


def draw_tree(rng, draw, foot, height, dark, bright):
    """Draws a leafy tree or a conifer of blobs; `height` in drawn pixels, colours in 0..255."""
    x, y = foot
    trunk = (*_whole(18 + 0.7 * dark), 255)
    draw.line((x, y, x, y - 0.5 * height), trunk, max(2, int(0.05 * height)))
    conifer = rng.random() < 0.3
    count = int(np.clip(0.7 * height, 20, 200))
    blobs = [_blob(conifer, *draws) for draws in rng.random((count, 4)).tolist()]
    brightness = np.float32([blob[3] for blob in blobs])[:, None]
    fills = _whole(dark + (bright - dark) * brightness)
    for (across, up, radius, _), fill in zip(blobs, fills, strict=True):
        x_middle, y_middle = x + across * height, y - up * height
        width = (0.7 + 12 / count) * radius * height
        ellipse = (x_middle - width, y_middle - 0.8 * width)
        ellipse += (x_middle + width, y_middle + 0.8 * width)
        draw.ellipse(ellipse, (*fill, 255))


def _blob(conifer, fraction, chance, other, tone):
    """Turns four random numbers into one blob of a tree of height 1.

    Returns:
        across, up, radius: Floats, its middle as seen from the foot, and half its width.
        brightness: Float in [0, 1].
    """
    if conifer:
        fraction = fraction**0.6 if fraction < 0.97 else 1.0
        across, up = (2 * chance - 1) * 0.2 * (1 - fraction), 0.12 + 0.88 * fraction
        radius = 0.05 * (1.15 - fraction)
    else:
        angle, spread = 2 * math.pi * fraction, math.sqrt(chance)
        across, up = 0.28 * spread * math.cos(angle), 0.66 + 0.27 * spread * math.sin(angle)
        radius = 0.045 + 0.04 * other
    brightness = 0.15 + 0.8 * (up - 0.4) + 0.5 * (tone - 0.5) + 0.5 * across
    return across, up, radius, min(max(brightness, 0), 1)


def draw_person(rng, draw, foot, height, brightness):
    """Draws a passer-by; `height` in drawn pixels."""
    x, y = foot
    coat, trousers = (
        np.float32(CLOTHES[i]) * brightness for i in rng.integers(len(CLOTHES), size=2)
    )
    skin = np.float32((206, 164, 136)) * brightness * rng.uniform(0.5, 1.05)
    half, stride, head = 0.10 * height, rng.uniform(0.02, 0.08) * height, 0.062 * height
    for side in (-1, 1):
        leg = (x, y - 0.5 * height, x + side * stride, y)
        draw.line(leg, (*_whole(0.7 * trousers), 255), max(2, int(0.09 * height)))
    body = (x - half, y - 0.84 * height, x + half, y - 0.42 * height)
    draw.rounded_rectangle(body, 0.7 * half, (*_whole(coat), 255))
    draw.ellipse((x - head, y - height, x + head, y - 0.87 * height), (*_whole(skin), 255))


def _whole(colour):
    return np.clip(colour, 0, 255).astype(int).tolist()
