"""Architecture of the demo landmarks, in metres, without colours, light or camera.

Every public function adds one landmark, or a part of one, to `demo_solids.Solids`. Materials
("wall", "trim", "roof", "accent", "metal", "dark") are names: their colours are chosen per photo
from one palette that all landmarks share, because colour must not say which landmark it is.
"""

import itertools
import math

import numpy as np

from tfrecords.demo.solids import dome_profile, voussoirs


def twin_spires(solids):
    for x in (-13.0, 13.0):
        solids.box((x - 7, x + 7), (0, 6), (-7, 7), "trim")
        side = (x - 5.5, x + 5.5)
        walls = solids.box(side, (0, 54), (-5.5, 5.5))
        for wall in walls:
            solids.courses(wall, 1.5)
            for bottom, height in ((8, 12), (23, 12), (38, 13)):
                solids.windows(wall, 3, bottom, height, 0.5, 2.4)
        for y in (21, 36, 52.5):
            solids.cornice(side, (y, y + 1.5), (-5.5, 5.5))
        solids.lathe([(7.2, 54), (0.05, 92)], (x, 0), 4, "roof")
        for corner_x in (x - 5.2, x + 5.2):
            for z in (-5.2, 5.2):
                solids.lathe([(1.2, 54), (1.2, 58), (0.05, 67)], (corner_x, z), 4, "trim")
    for bottom, top in ((10, 15), (38, 46)):
        front, *_ = solids.box((-7.5, 7.5), (bottom, top), (-2.5, 2.5), "accent")
        solids.windows(front, 7, 1.0, top - bottom - 2.2, 0.6, 0)


def great_dome(solids):
    for wall in solids.box((-33, 33), (0, 17), (-18, 16)):
        solids.courses(wall, 1.7)
        solids.windows(wall, 11 if wall.width > 50 else 5, 3.5, 9.5, 0.45)
    solids.cornice((-33, 33), (17, 18.6), (-18, 16), 1.2)
    solids.box((-15, 15), (0, 2), (15, 26), "trim")
    solids.box((-13.5, 13.5), (2, 14), (15, 20), "dark", 1.5)
    for x in np.linspace(-13, 13, 8).tolist():
        solids.lathe([(1.15, 2), (1.0, 14)], (x, 24), 10, "trim")
    solids.box((-15, 15), (14, 16.2), (15, 26), "trim")
    solids.face([(-15, 16.2, 26), (15, 16.2, 26), (0, 22, 26)], "trim", 0.85)
    solids.face([(-11, 16.9, 26), (11, 16.9, 26), (0, 21, 26)], "accent")
    solids.lathe([(16, 18.6), (16, 29), (17, 29), (17, 30.5)], sides=28)
    solids.ring_windows(16, 20, 7.5, 18, 0.5)
    solids.lathe(dome_profile(16.2, 30.5, 19), sides=28, material="roof", tints=(1.0, 0.76))
    solids.lathe([(2.6, 49), (2.6, 54), (3, 54), (0.1, 59), (0.1, 62)], sides=10, material="trim")
    profile = [(2.1, 0), (1.8, 34), (2.9, 36), (2.9, 38), (1.5, 38), (1.5, 45), (2, 45), (0.05, 55)]
    materials = ["wall", "trim", "trim", "wall", "wall", "roof", "roof"]
    for x in (-38, 38):
        for z in (-20, 20):
            solids.lathe(profile, (x, z), 10, materials)


def triumphal_arch(solids):
    openings = [(-15.0, 3.3, 11.5), (0.0, 6.8, 22.0), (15.0, 3.3, 11.5)]
    front = solids.arcade((-22, 22), (0, 29), (-7, 7), openings)
    for across in (7, 37):
        solids.panel(front, across - 3.6, 13.4, 7.2, 6, "trim", 1.05)
        solids.panel(front, across - 2.8, 14.2, 5.6, 4.4, "wall", 0.6)
        solids.panel(front, across - 3.6, 21.4, 7.2, 3.6, "accent")
    solids.panel(front, 0, 26.5, 44, 2.5, "wall", 0.6)
    for x in (-20.6, -9.4, 9.4, 20.6):
        solids.box((x - 1.7, x + 1.7), (0, 4), (7, 10.4), "trim")
        solids.lathe([(1.35, 4), (1.1, 23), (1.6, 24)], (x, 8.7), 12, "trim")
        solids.box((x - 1.7, x + 1.7), (24, 29), (7, 10.4), "trim")
    solids.box((-23.5, 23.5), (29, 31), (-8.5, 11), "trim")
    front, *_ = solids.box((-21, 21), (31, 40), (-7, 8))
    solids.panel(front, 10, 1.6, 22, 5.4, "accent")
    for row in range(3):
        solids.panel(front, 12, 2.6 + 1.5 * row, 18, 0.6, "dark")
    for across in (2.5, 34):
        solids.panel(front, across, 1.6, 5.5, 5.4, "trim", 0.8)
    solids.cornice((-21, 21), (40, 41.6), (-7, 8), 1.5)


def viaduct(solids):
    middles = np.linspace(-32, 32, 5).tolist()
    arches = [(x, 6.1, 18.0) for x in middles]
    for (bottom, top), half_depth in (((0, 22), 5.0), ((23.4, 44), 4.0)):
        front = solids.arcade((-40, 40), (bottom, top), (-half_depth, half_depth), arches)
        for middle in middles:
            for radius in (7.2, 6.7):
                ring = [(px + middle + 40, py + 18 - 6.1) for px, py in voussoirs(6.1, radius)]
                solids.face([front.point(*p) for p in ring], "trim", 1.05 if radius > 7 else 0.9)
        solids.panel(front, 0, top - bottom - 0.9, 80, 0.9, "wall", 0.62)
        solids.box((-40.7, 40.7), (top, top + 1.4), (-half_depth - 0.7, half_depth + 0.7), "trim")
    small = [(x, 1.75, 5.8) for x in np.linspace(-37.4, 37.4, 15).tolist()]
    solids.arcade((-40, 40), (45.4, 53), (-3, 3), small)
    solids.box((-40.7, 40.7), (53, 54.6), (-3.7, 3.7), "trim")
    for x in (-24.0, -8.0, 8.0, 24.0):
        solids.box((x - 1.5, x + 1.5), (0, 9), (5, 8.2), "trim")


def step_pyramid(solids):
    rise = 5.0
    for step, half in enumerate(np.linspace(34, 10, 7).tolist()):
        low, side = step * rise, (-half, half)
        for wall in solids.box(side, (low, low + rise - 1), side):
            solids.panel(wall, 0, 0, wall.width, 1.1, "wall", 0.72)
            for across in np.arange(1.5, wall.width - 2, 4.0).tolist():
                solids.panel(wall, across, 1.7, 2.4, 1.5, "accent", 0.8)
        solids.cornice(side, (low + rise - 1, low + rise), side, 0.7)
    for wall in solids.box((-8, 8), (35, 44), (-7, 7), "trim")[:3]:
        solids.windows(wall, 3, 0, 6, 0.5, 0)
    solids.cornice((-8, 8), (44, 46), (-7, 7), 1.0, "accent")
    solids.windows(solids.box((-6, 6), (46, 51), (-2, 2), "roof")[0], 5, 1, 3, 0.5, 0)
    stairway(solids, top=35.0, foot=43.0, head=8.0)


def stairway(solids, top, foot, head, treads=26):
    """Adds the stairs of the pyramid, from z = `foot` on the ground to z = `head` at y = `top`."""
    for x0, x1 in ((-7.8, -6.2), (6.2, 7.8)):
        solids.group += 1
        side = [(0, head), (0, foot + 2), (top + 1, head)]
        solids.face([(x0, y, z) for y, z in side], "trim")
        solids.face([(x1, y, z) for y, z in reversed(side)], "trim")
        slope = [(x0, 0, foot + 2), (x1, 0, foot + 2), (x1, top + 1, head), (x0, top + 1, head)]
        solids.face(slope, "trim", 1.05)
    solids.group += 1
    for tread in range(treads):
        (y0, z0), (y1, z1) = (
            (top * part, foot + (head - foot) * part)
            for part in (tread / treads, (tread + 1) / treads)
        )
        corners = [(-6.2, y0, z0), (6.2, y0, z0), (6.2, y1, z1), (-6.2, y1, z1)]
        solids.face(corners, "wall", 0.55 if tread % 2 else 1.1)


def leaning_campanile(solids):
    for storey in range(7):
        low, radius = storey * 8.0, 8.5 - 0.2 * storey
        bands = [(radius, low + 8.0 * part / 6) for part in range(7)]
        solids.lathe(bands, material=["wall", "roof"] * 3)
        solids.ring_windows(radius, low + 1.6, 5.0, 10, 0.42)
        rim = [(radius, low + 6.9), (radius + 1.2, low + 7.3), (radius + 1.2, low + 8.3)]
        solids.lathe(rim, material="trim")
    solids.lathe([(6.0, 56), (6.0, 65), (7.0, 65), (7.0, 66.5)])
    solids.ring_windows(6.0, 57, 6.5, 8, 0.6)
    solids.lathe(dome_profile(6.4, 66.5, 5), material="accent")
    solids.lathe([(0.3, 71), (0.1, 76)], sides=6, material="metal")
    solids.lean(0.11)


def standing_stones(solids):
    shapes = np.random.default_rng(5)  # The stones keep their shapes in every photo.
    for index in range(11):
        first = len(solids.faces)
        _stone(solids, shapes, (0.0, 9.0), 1.0, 6.2)
        if index not in (0, 4, 9):
            solids.box((-2.5, 2.5), (6.2, 7.4), (8.1, 9.7), "wall", shapes.uniform(0.9, 1.1))
            # Halfway to the next stone, on which its other end lies.
            solids.turn(len(solids.faces) - 6, math.pi / 11)
        solids.turn(first, (index + 0.5) * 2 * math.pi / 11)
    for angle in (-1.5, 0.0, 1.5):
        first = len(solids.faces)
        for x in (-1.35, 1.35):
            _stone(solids, shapes, (x, 4.6), 0.85, 9.2)
        solids.box((-2.6, 2.6), (9.2, 10.7), (3.8, 5.4), "wall", 0.95)
        solids.turn(first, angle + math.pi)


def _stone(solids, shapes, centre, radius, height):
    """Adds a rough standing stone with five uneven sides, narrower at the top."""
    tints = shapes.uniform(0.82, 1.1, 5)
    waist = radius * shapes.uniform(0.9, 1.05)
    profile = [(1.1 * radius, 0), (waist, 0.5 * height), (0.8 * radius, height)]
    solids.lathe(profile, centre, 5, "wall", tints)


def great_wheel(solids, radius=30.0, hub=35.0, cabins=20):
    turns = np.linspace(0, 2 * math.pi, cabins, endpoint=False).tolist()
    for z in (-1.6, 1.6):
        solids.group += 1
        for angle in turns:
            rim = (radius * math.sin(angle), hub + radius * math.cos(angle), z)
            solids.beam((0, hub, 2 * z), rim, 0.5)
        for ring, width in ((radius, 1.5), (0.86 * radius, 0.9), (0.45 * radius, 0.6)):
            angles = np.linspace(0, 2 * math.pi, 61).tolist()
            points = [(ring * math.sin(a), hub + ring * math.cos(a), z) for a in angles]
            for start, end in itertools.pairwise(points):
                solids.beam(start, end, width, "trim")
    for angle in turns:
        x, y = 1.06 * radius * math.sin(angle), hub + 1.06 * radius * math.cos(angle)
        for wall in solids.box((x - 1.8, x + 1.8), (y - 2.8, y + 0.8), (-2, 2), "accent"):
            solids.panel(wall, 0.4, 1.3, wall.width - 0.8, 1.5)
    for z in (-9.0, 9.0):
        solids.group += 1
        for x in (-17.0, 17.0):
            solids.beam((x, 0, z), (0, hub, z / 3), 2.0, "wall")
        solids.beam((-9, 16.5, 0.68 * z), (9, 16.5, 0.68 * z), 1.0, "wall")
    solids.box((-2.4, 2.4), (hub - 2.4, hub + 2.4), (-4, 4), "roof")
    front, *_ = solids.box((-20, 20), (0, 3.4), (6, 12), "trim")
    solids.windows(front, 12, 0.6, 2.2, 0.6, 0)


def seven_roofs(solids):
    y, half = 2.0, 10.0
    solids.box((-14, 14), (0, 2), (-14, 14), "trim")
    for _ in range(7):
        for wall in solids.box((-half, half), (y, y + 4.6), (-half, half)):
            solids.windows(wall, 5, 0.5, 3.0, 0.5, 0)
            solids.panel(wall, 0, 3.8, wall.width, 0.8, "accent")
        flared_roof(solids, half * 1.55, half * 0.82, y + 4.4, 3.4)
        y, half = y + 7.2, half * 0.885
    solids.lathe([(0.9, y - 0.6), (0.9, y + 1), (0.35, y + 1), (0.05, y + 14)], (0, 0), 8, "metal")
    for ring in range(5):
        radius, low = 1.5 - 0.2 * ring, y + 3 + 1.7 * ring
        solids.lathe([(radius, low), (radius, low + 0.7)], (0, 0), 8, "metal")


def flared_roof(solids, eave, ridge, bottom, rise, steps=8):
    """Adds a four-sided roof whose eaves sweep up towards its corners."""
    solids.group += 1
    places = np.linspace(-1, 1, steps + 1).tolist()
    lifts = [0.62 * rise * abs(place) ** 3 for place in places]
    # Lines around the roof: half width, height, how much of the sweep. Undersides come first, as
    # a far corner seen from below must not cover the roof before it.
    foot, under, edge = (0.6 * eave, 0.0, 0.0), (eave, -0.5, 1.0), (eave, 0.0, 1.0)
    waist, top = (0.5 * (eave + ridge), 0.36 * rise, 0.4), (ridge, rise, 0.0)
    for bands in (
        [(foot, under, "dark")],
        [(under, edge, "trim"), (edge, waist, "roof"), (waist, top, "roof")],
    ):
        for turn in range(4):
            first = len(solids.faces)
            for lower, upper, material in bands:
                points = [
                    [
                        (s * half, bottom + up + part * lift, half)
                        for s, lift in zip(places, lifts, strict=True)
                    ]
                    for half, up, part in (lower, upper)
                ]
                for i in range(steps):
                    quad = [points[0][i], points[0][i + 1], points[1][i + 1], points[1][i]]
                    tint = {"dark": 1.5, "trim": 1.0}.get(material, 1.0 - 0.16 * (i % 2))
                    solids.face(quad, material, tint)
            solids.turn(first, turn * math.pi / 2)


def lattice_mast(solids):
    heights = [0.0]
    while heights[-1] < 84:
        heights.append(heights[-1] + 0.62 * _mast_half_width(heights[-1]) + 1.6)
    for low, high in itertools.pairwise(heights):
        for turn in range(4):
            _lattice_side(solids, low, high, turn * math.pi / 2)
    for y in (heights[2], heights[5]):
        half = _mast_half_width(y) + 1.3
        for wall in solids.box((-half, half), (y - 1, y + 1.8), (-half, half), "accent"):
            solids.windows(wall, 11, 0.5, 1.8, 0.6, 0)
    top, half = heights[-1], 2 * _mast_half_width(heights[-1])
    solids.box((-half, half), (top, top + 2.5), (-half, half), "accent")
    solids.lathe([(0.9, top + 2.5), (0.5, top + 14)], sides=6, material="metal")


def _mast_half_width(y):
    return 21.0 * math.exp(-y / 27.0) + 0.9


def _lattice_side(solids, low, high, angle):
    """Adds one of the four trussed sides of the storey between the heights `low` and `high`."""
    first = len(solids.faces)
    solids.group += 1
    below, above = _mast_half_width(low), _mast_half_width(high)
    low_left, low_right = (-below, low, below), (below, low, below)
    high_left, high_right = (-above, high, above), (above, high, above)
    thick = 0.6 + 0.05 * below
    for start, end in ((low_left, high_right), (low_right, high_left), (high_left, high_right)):
        solids.beam(start, end, thick, tint=0.92)
    solids.beam(low_left, high_left, 2.2 * thick, "wall")
    solids.beam(low_right, high_right, 2.2 * thick, "wall")
    solids.turn(first, angle)
