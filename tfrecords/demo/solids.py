"""Solids of the demo: boxes, walls with windows, lathes, arcades; shapes without colours.

Lengths in metres. Axes: x to the right, y up from the ground, z towards the viewer. Every face
lists its corners counter-clockwise as seen from outside, so that the painter can tell front from
back. Materials are names; `demo_paint.choose_colours` gives them their colours.
"""

import dataclasses
import itertools
import math

import numpy as np


@dataclasses.dataclass(frozen=True)
class Wall:
    """A vertical rectangle for windows.

    Its `origin` is the lower left corner as seen from outside, `right` a horizontal unit vector.
    """

    origin: tuple
    right: tuple
    width: float
    height: float

    def point(self, across, up):
        x, y, z = self.origin
        return (x + across * self.right[0], y + up, z + across * self.right[2])


class Solids:
    """Collects faces `(group, material, tint, beam_width, corners)`.

    A group is one roughly convex solid, which hides others or is hidden as a whole. The two ends
    of a beam are its corners; `beam_width` is 0 for everything else.
    """

    def __init__(self):
        self.faces = []
        self.group = 0

    def face(self, corners, material="wall", tint=1.0):
        self.faces.append((self.group, material, tint, 0.0, corners))

    def beam(self, start, end, width, material="metal", tint=1.0):
        self.faces.append((self.group, material, tint, width, [start, end]))

    def lean(self, slope):
        """Shears everything: it leans `slope` metres to the right per metre of height."""
        self.faces = [(*f[:4], [(x + slope * y, y, z) for x, y, z in f[4]]) for f in self.faces]

    def turn(self, first, angle):
        """Turns the faces from index `first` on about the vertical axis through the origin."""
        sine, cosine = math.sin(angle), math.cos(angle)
        for index, (*head, corners) in enumerate(self.faces[first:], first):
            turned = [(x * cosine + z * sine, y, z * cosine - x * sine) for x, y, z in corners]
            self.faces[index] = (*head, turned)

    def box(self, x, y, z, material="wall", tint=1.0):
        """Adds the box between the pairs `x`, `y`, `z`; returns front, right, left, back walls."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        self.group += 1
        walls = (
            Wall((x0, y0, z1), (1, 0, 0), x1 - x0, y1 - y0),
            Wall((x1, y0, z1), (0, 0, -1), z1 - z0, y1 - y0),
            Wall((x0, y0, z0), (0, 0, 1), z1 - z0, y1 - y0),
            Wall((x1, y0, z0), (-1, 0, 0), x1 - x0, y1 - y0),
        )
        for wall in walls:
            self.panel(wall, 0, 0, wall.width, wall.height, material, tint)
        self.face([(x0, y1, z1), (x1, y1, z1), (x1, y1, z0), (x0, y1, z0)], material, tint)
        self.face([(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)], material, tint)
        return walls

    def panel(self, wall, across, up, width, height, material="dark", tint=1.0):
        right, top = across + width, up + height
        corners = ((across, up), (right, up), (right, top), (across, top))
        self.face([wall.point(*corner) for corner in corners], material, tint)

    def courses(self, wall, spacing, bottom=0.0, material="wall"):
        """Adds the joints of big blocks, a dark line every `spacing` metres from `bottom` up."""
        for up in np.arange(bottom + spacing, wall.height - 0.3, spacing):
            self.panel(wall, 0, up, wall.width, 0.12 * spacing, material, 0.8)

    def cornice(self, x, y, z, over=0.8, material="trim"):
        """Adds a band that stands out by `over`, and its shadow on the box added last."""
        material_below, (x0, x1), (z0, z1) = self.faces[-1][1], x, z
        for origin, right, width in (
            ((x0, y[0], z1), (1, 0, 0), x1 - x0),
            ((x1, y[0], z1), (0, 0, -1), z1 - z0),
            ((x0, y[0], z0), (0, 0, 1), z1 - z0),
        ):
            wall = Wall(origin, right, width, 0)
            below = "wall" if material_below == "dark" else material_below
            self.panel(wall, 0, -1.2 * over, width, 1.2 * over, below, 0.62)
        return self.box((x0 - over, x1 + over), y, (z0 - over, z1 + over), material)

    def windows(self, wall, columns, bottom, height, fraction=0.5, arch=1.0, material="dark"):
        """Adds a row of openings; `arch` is rise over half width (0 flat, 1 round, 2 pointed)."""
        pitch = wall.width / columns
        outline = arch_outline(0.5 * fraction * pitch, height, arch)
        for column in range(columns):
            middle = (column + 0.5) * pitch
            corners = [wall.point(middle + across, bottom + up) for across, up in outline]
            self.face(corners, material)

    def lathe(self, profile, centre=(0.0, 0.0), sides=24, material="wall", tints=(1.0,)):
        """Adds a surface of revolution through `profile`, pairs (radius, y) from the bottom up.

        A list of materials gives each level its own; `tints` repeat around the axis.
        """
        self.group += 1
        materials = [material] * len(profile) if isinstance(material, str) else material
        angles = (np.arange(sides + 1) + 0.5) * 2 * math.pi / sides
        plan = np.stack([np.sin(angles), np.cos(angles)], axis=1).tolist()
        # From the top down: seen from below, a wide lower ring hides the foot of the one above.
        for level in reversed(range(len(profile) - 1)):
            (radius, low), (upper_radius, high) = profile[level : level + 2]
            for side, ((xa, za), (xb, zb)) in enumerate(itertools.pairwise(plan)):
                corners = [
                    (centre[0] + r * x, y, centre[1] + r * z)
                    for r, y, x, z in (
                        (radius, low, xa, za),
                        (radius, low, xb, zb),
                        (upper_radius, high, xb, zb),
                        (upper_radius, high, xa, za),
                    )
                ]
                self.face(corners, materials[level], tints[side % len(tints)])

    def ring_windows(self, radius, bottom, height, count, fraction=0.5):
        """Adds `count` round-arched openings around the lathe added last, a little outside."""
        outline = arch_outline(fraction * math.pi * radius / count, height, 1.0)
        for angle in (np.arange(count) + 0.5) * 2 * math.pi / count:
            sine, cosine = math.sin(angle), math.cos(angle)
            x, z = 1.01 * radius * sine, 1.01 * radius * cosine
            corners = [(x + a * cosine, bottom + up, z - a * sine) for a, up in outline]
            self.face(corners, "dark")

    def gable(self, x, z, bottom, material="wall"):
        """Adds a tiled roof over the pairs `x`, `z`, its ridge along z, and the gable in front."""
        (x0, x1), (z0, z1) = x, z
        middle, ridge = (x0 + x1) / 2, bottom + 0.3 * (x1 - x0)
        self.face([(x0, bottom, z1), (x1, bottom, z1), (middle, ridge, z1)], material)
        left = [(x0, bottom, z0), (x0, bottom, z1), (middle, ridge, z1), (middle, ridge, z0)]
        right = [(x1, bottom, z1), (x1, bottom, z0), (middle, ridge, z0), (middle, ridge, z1)]
        self.face(left, "tiles")
        self.face(right, "tiles")

    def arcade(self, x, y, z, openings, material="wall"):
        """Adds a wall with see-through arches on its foot; `openings` are (middle, half, height).

        Returns its front wall.
        """
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        self.group += 1
        notches = []
        for middle, half_width, height in openings:
            outline = arch_outline(half_width, height, 1.0)
            outline = [outline[0], *reversed(outline[2:]), outline[1]]
            notch = [(middle + across, y0 + up) for across, up in outline]
            notches += notch
            for (xa, ya), (xb, yb) in itertools.pairwise(notch):
                soffit = [(xa, ya, z1), (xb, yb, z1), (xb, yb, z0), (xa, ya, z0)]
                self.face(soffit, material, 0.66)
        front = [(x1, y0), (x1, y1), (x0, y1), (x0, y0), *notches]
        self.face([(px, py, z1) for px, py in front], material)
        self.face([(px, py, z0) for px, py in reversed(front)], material)
        self.face([(x1, y0, z1), (x1, y0, z0), (x1, y1, z0), (x1, y1, z1)], material)
        self.face([(x0, y0, z0), (x0, y0, z1), (x0, y1, z1), (x0, y1, z0)], material)
        return Wall((x0, y0, z1), (1, 0, 0), x1 - x0, y1 - y0)


def arch_outline(half_width, height, arch, steps=9):
    """Corners (across, up) of an opening, its two feet first; `arch` is rise over half width."""
    spring = max(height - arch * half_width, 0.1 * height)
    angles = np.linspace(0, math.pi, steps).tolist() if arch else (0, math.pi)
    # A power above one narrows the crown into a pointed (lancet) arch.
    power = 1.6 if arch > 1 else 1.0
    curve = [
        (half_width * math.cos(a), spring + (height - spring) * abs(math.sin(a)) ** power)
        for a in angles
    ]
    return [(-half_width, 0.0), (half_width, 0.0), *curve]


def dome_profile(radius, bottom, rise, steps=9):
    """Pairs (radius, y) of a dome for `Solids.lathe`; it ends just short of a point."""
    angles = np.linspace(0, math.pi / 2, steps).tolist()
    return [(max(radius * math.cos(a), 0.02), bottom + rise * math.sin(a)) for a in angles]


def voussoirs(inner, outer, steps=9):
    """Outline of the half ring of stones over an arch, round its centre."""
    angles = np.linspace(0, math.pi, steps).tolist()
    outside = [(outer * math.cos(a), outer * math.sin(a)) for a in angles]
    return outside + [(inner * math.cos(a), inner * math.sin(a)) for a in reversed(angles)]
