#!/usr/bin/env python3
"""Draws little street scenes with pycairo and numpy, and says where everything is in them.

A scene is a function of its seed alone: camera, light, street, houses, props and traffic. World coordinates are metres:
x along the street, y across it away from the camera, z up; the camera stands at (0, 0, height). Frames are uint8 arrays
[384, 640, 3] in RGB; boxes are (x1, y1, x2, y2) in pixels of that frame.

    render.py clip SEED SECONDS OUT.mp4 OUT.json    a clip (H.264 through GStreamer) and its ground truth
    render.py pool FIRST_SEED SCENES OUT.npz        training frames, halved to 320x192, with their boxes
    render.py sheet FIRST_SEED SCENES OUT.png       a contact sheet to look at
"""
import json
import math
import subprocess
import sys

import cairo
import numpy as np

WIDTH, HEIGHT, FPS = 640, 384, 25
LABELS = ["car", "truck", "person", "cyclist"]
# What counts as ground truth: at least so large in the frame, and at least so much of the silhouette in sight.
MIN_WIDTH, MIN_HEIGHT, MIN_VISIBLE = 8, 16, 0.25
# Traffic runs round in x from -REACH to REACH.
REACH = 130.0
POOL_FRAMES = 6
MASK_SCALE = 0.25

PAINTS = [
    (0.93, 0.93, 0.92),
    (0.75, 0.77, 0.79),
    (0.45, 0.47, 0.50),
    (0.13, 0.13, 0.15),
    (0.66, 0.10, 0.11),
    (0.12, 0.24, 0.52),
    (0.10, 0.33, 0.30),
    (0.80, 0.72, 0.55),
    (0.88, 0.62, 0.10),
    (0.30, 0.42, 0.62),
    (0.42, 0.12, 0.22),
    (0.55, 0.60, 0.45),
    (0.84, 0.34, 0.12),
]
CLOTHES = [
    (0.12, 0.14, 0.20),
    (0.20, 0.27, 0.45),
    (0.62, 0.14, 0.16),
    (0.80, 0.78, 0.74),
    (0.28, 0.28, 0.30),
    (0.16, 0.38, 0.30),
    (0.78, 0.56, 0.20),
    (0.50, 0.34, 0.24),
    (0.45, 0.55, 0.70),
    (0.70, 0.45, 0.55),
    (0.08, 0.08, 0.09),
    (0.90, 0.85, 0.30),
]
SKIN = [(0.93, 0.76, 0.65), (0.82, 0.62, 0.48), (0.62, 0.43, 0.31), (0.42, 0.28, 0.20)]
HAIR = [(0.10, 0.08, 0.07), (0.30, 0.19, 0.11), (0.55, 0.38, 0.20), (0.72, 0.70, 0.68), (0.45, 0.18, 0.10)]
WALLS = [
    (0.72, 0.45, 0.35),
    (0.82, 0.74, 0.60),
    (0.88, 0.86, 0.80),
    (0.62, 0.56, 0.52),
    (0.55, 0.36, 0.30),
    (0.78, 0.66, 0.50),
    (0.66, 0.70, 0.70),
    (0.80, 0.62, 0.52),
    (0.58, 0.62, 0.54),
    (0.90, 0.80, 0.62),
]


def mix(a, b, k):
    """Colour between a (k = 0) and b (k = 1)."""
    return tuple(x + (y - x) * k for x, y in zip(a, b))


def pick(rng, table):
    """A random row of a table."""
    return table[int(rng.integers(len(table)))]


def jitter(rng, colour, amount=0.06):
    """The colour, each channel moved by up to `amount`."""
    return tuple(float(np.clip(c + rng.uniform(-amount, amount), 0, 1)) for c in colour)


class Camera:
    """A pinhole camera at (0, 0, height), turned by `yaw` from the y axis; `horizon` is the horizon's row in the frame."""

    def __init__(self, height, yaw, horizon, field_of_view):
        self.height = height
        self.focal = WIDTH / 2 / math.tan(field_of_view / 2)
        pitch = math.atan((HEIGHT / 2 - horizon) / self.focal)
        sy, cy, sp, cp = math.sin(yaw), math.cos(yaw), math.sin(pitch), math.cos(pitch)
        self.axes = np.array([[cy, -sy, 0], [sy * sp, cy * sp, cp], [sy * cp, cy * cp, -sp]])  # right, up, forward
        self.position = np.array([0, 0, height])

    def project(self, points):
        """World points [n, 3] to pixels [n, 2] and depth in metres [n], which is held at 0.3 or more."""
        p = (np.asarray(points, float) - self.position) @ self.axes.T
        depth = np.maximum(p[:, 2], 0.3)
        return np.stack([WIDTH / 2 + self.focal * p[:, 0] / depth, HEIGHT / 2 - self.focal * p[:, 1] / depth], 1), depth

    def rays(self):
        """Direction of every pixel's ray in the world, [HEIGHT, WIDTH, 3], with depth 1."""
        u = (np.arange(WIDTH) + 0.5 - WIDTH / 2) / self.focal
        v = (HEIGHT / 2 - np.arange(HEIGHT) - 0.5) / self.focal
        right, up, forward = self.axes
        return forward + u[None, :, None] * right + v[:, None, None] * up


class Light:
    """Sun and sky of a scene."""

    def __init__(self, rng):
        kind = rng.choice(["clear", "overcast", "evening", "dusk"], p=[0.5, 0.24, 0.17, 0.09])
        azimuth = rng.uniform(-1.3, 1.3) + math.pi  # the sun stands behind the camera or at its side
        elevation = rng.uniform(0.12, 0.3) * math.pi if kind == "clear" else rng.uniform(0.09, 0.16) * math.pi
        self.sun = np.array(
            [math.sin(azimuth) * math.cos(elevation), math.cos(azimuth) * math.cos(elevation), math.sin(elevation)]
        )
        self.hard = {
            "clear": rng.uniform(0.7, 1),
            "overcast": rng.uniform(0, 0.15),
            "evening": rng.uniform(0.5, 0.8),
            "dusk": 0.1,
        }[kind]
        self.tint = {
            "clear": (1, 0.98, 0.94),
            "overcast": (0.94, 0.96, 1),
            "evening": (1.06, 0.94, 0.80),
            "dusk": (0.72, 0.76, 0.92),
        }[kind]
        self.exposure = rng.uniform(0.85, 1.12) * (0.68 if kind == "dusk" else 1)
        self.zenith, self.haze = {
            "clear": ((0.32, 0.54, 0.84), (0.80, 0.88, 0.95)),
            "overcast": ((0.66, 0.70, 0.75), (0.82, 0.84, 0.86)),
            "evening": ((0.42, 0.50, 0.70), (0.98, 0.80, 0.60)),
            "dusk": ((0.20, 0.24, 0.40), (0.72, 0.52, 0.50)),
        }[kind]
        self.clouds = rng.uniform(0.1, 0.8)
        self.lamps = kind == "dusk"

    def shade(self, colour, normal):
        """The colour of a face with that unit normal."""
        lit = max(0.0, float(normal @ self.sun))
        k = 0.62 + 0.12 * normal[2] + 0.42 * self.hard * lit + 0.16 * (1 - self.hard)
        return tuple(min(1.0, c * k * t) for c, t in zip(colour, self.tint))


# Primitives: (kind, points [n, 3] in metres, colour RGB or RGBA, argument)
#   poly   filled polygon; argument: None, or the colour at its lower end
#   line   round-capped strokes along the points; argument: width in metres
#   disc   a ball seen from anywhere, one point; argument: radius in metres


def circle(centre, radius, count=14):
    """A polygon for a circle that stands in the x-z plane."""
    a = np.arange(count) * (2 * math.pi / count)
    return np.stack([centre[0] + radius * np.cos(a), np.full(count, centre[1]), centre[2] + radius * np.sin(a)], 1)


def patch(quad, u0, u1, v0, v1):
    """The part of a quad [4, 3] between the fractions u (along its first edge) and v (along its second)."""
    a, b, c, d = quad
    at = [(u0, v0), (u1, v0), (u1, v1), (u0, v1)]
    return np.array([(a * (1 - u) + b * u) * (1 - v) + (d * (1 - u) + c * u) * v for u, v in at])


def inset(points, k):
    """The polygon, shrunk to k of its size round its middle."""
    middle = points.mean(0)
    return middle + (points - middle) * k


class Face:
    """A flat side of a solid: its polygon, colour, and the details painted on it."""

    def __init__(self, points, colour, details=()):
        self.points, self.colour, self.details = np.asarray(points, float), colour, list(details)


class Solid:
    """Faces round a body, drawn from the back to the front, those that look away left out."""

    def __init__(self, faces, under=()):
        self.faces, self.under = faces, list(under)
        self.centre = np.concatenate([f.points for f in faces]).mean(0)
        for face in faces:
            p = face.points
            normal = np.cross(p, np.roll(p, -1, 0)).sum(0)
            normal /= np.linalg.norm(normal) + 1e-9
            face.normal = normal if normal @ (p.mean(0) - self.centre) > 0 else -normal

    def primitives(self, turn, at, eye, light):
        """Primitives in the world, the solid turned by the matrix `turn` and moved to `at`, seen from `eye`."""
        out = [(k, p @ turn.T + at, c, a) for k, p, c, a in self.under]
        seen = []
        for face in self.faces:
            points, normal = face.points @ turn.T + at, turn @ face.normal
            away = eye - points.mean(0)
            if normal @ away > 0:
                seen.append((-float(away @ away), len(seen), face, points, normal))
        for _, _, face, points, normal in sorted(seen, key=lambda s: s[:2]):
            colour = light.shade(face.colour, normal)
            out.append(
                (
                    "poly",
                    points,
                    colour,
                    mix(colour, (0, 0, 0), 0.16) if abs(normal[2]) < 0.5 else mix(colour, (1, 1, 1), 0.08),
                )
            )
            k = 0.78 + 0.22 * light.hard
            out += [
                (kind, p @ turn.T + at, c if len(c) == 4 else mix((0, 0, 0), c, k), a) for kind, p, c, a in face.details
            ]
        return out


GLASS, GLASS_LOW, TYRE, HUB = (0.16, 0.21, 0.27), (0.42, 0.50, 0.56), (0.07, 0.07, 0.08), (0.62, 0.63, 0.65)

# Side profiles of cars, rear bumper over the roof to the front bumper, as fractions of length and height.
PROFILES = {
    "sedan": [
        (-0.50, 0.16),
        (-0.50, 0.46),
        (-0.485, 0.61),
        (-0.35, 0.66),
        (-0.21, 0.96),
        (0.0, 1.0),
        (0.09, 0.97),
        (0.25, 0.63),
        (0.44, 0.54),
        (0.49, 0.43),
        (0.50, 0.16),
    ],
    "hatch": [
        (-0.50, 0.16),
        (-0.50, 0.46),
        (-0.485, 0.58),
        (-0.47, 0.66),
        (-0.36, 0.96),
        (-0.05, 1.0),
        (0.08, 0.97),
        (0.26, 0.63),
        (0.44, 0.54),
        (0.49, 0.43),
        (0.50, 0.16),
    ],
    "estate": [
        (-0.50, 0.16),
        (-0.50, 0.46),
        (-0.49, 0.58),
        (-0.48, 0.66),
        (-0.41, 0.96),
        (-0.1, 1.0),
        (0.07, 0.97),
        (0.24, 0.63),
        (0.44, 0.54),
        (0.49, 0.43),
        (0.50, 0.16),
    ],
    "offroad": [
        (-0.50, 0.22),
        (-0.50, 0.50),
        (-0.49, 0.58),
        (-0.485, 0.63),
        (-0.44, 0.97),
        (-0.1, 1.0),
        (0.08, 0.98),
        (0.21, 0.64),
        (0.46, 0.58),
        (0.49, 0.48),
        (0.50, 0.22),
    ],
    "van": [
        (-0.50, 0.14),
        (-0.50, 0.46),
        (-0.495, 0.52),
        (-0.49, 0.56),
        (-0.47, 0.97),
        (-0.1, 1.0),
        (0.2, 0.97),
        (0.37, 0.57),
        (0.47, 0.48),
        (0.495, 0.40),
        (0.50, 0.14),
    ],
}
CAR_SIZES = {
    "sedan": (4.5, 1.78, 1.44),
    "hatch": (3.9, 1.72, 1.47),
    "estate": (4.6, 1.80, 1.48),
    "offroad": (4.5, 1.88, 1.74),
    "van": (4.8, 1.92, 1.95),
}


def wheel(x, y, radius):
    """Tyre, rim and hub at the side y of a vehicle."""
    at = (x, y, radius)
    return [
        ("poly", circle(at, radius), TYRE, None),
        ("poly", circle(at, radius * 0.62), HUB, None),
        ("poly", circle(at, radius * 0.46), (0.36, 0.37, 0.39), None),
        ("poly", circle(at, radius * 0.16), HUB, None),
    ]


def car(rng, light):
    """A car: solids in its own frame (x forward, metres) and its length, width and height."""
    kind = rng.choice(list(PROFILES), p=[0.28, 0.26, 0.18, 0.16, 0.12])
    length, width, height = (s * rng.uniform(0.94, 1.07) for s in CAR_SIZES[kind])
    paint = jitter(rng, pick(rng, PAINTS))
    profile = np.array(PROFILES[kind]) + rng.uniform(-0.008, 0.008, (11, 2)) * [1, 1.2]
    profile *= [length, height]
    belt = profile[3, 1]
    half = width / 2 * np.where(profile[:, 1] <= belt + 0.05, 1, 1 - 0.24 * (profile[:, 1] - belt) / (height - belt))
    half[[0, 1, 9, 10]] *= 0.94
    left = np.stack([profile[:, 0], half, profile[:, 1]], 1)
    right = left * [1, -1, 1]
    faces = []
    for i in range(10):
        quad = np.array([left[i], right[i], right[i + 1], left[i + 1]])
        details = []
        if i in (3, 6):
            details = [("poly", patch(quad, 0.07, 0.93, 0.08, 0.94), GLASS_LOW if i == 6 else GLASS, GLASS)]
        elif i == 9:  # nose: the quad runs from the top edge down
            lamp = (1, 0.98, 0.85) if light.lamps else (0.93, 0.94, 0.92)
            details = [
                ("poly", patch(quad, 0.22, 0.78, 0.12, 0.5), (0.10, 0.10, 0.11), None),
                ("poly", patch(quad, 0.38, 0.62, 0.56, 0.76), (0.92, 0.92, 0.88), None),
                ("poly", patch(quad, 0.02, 0.21, 0.02, 0.36), lamp, None),
                ("poly", patch(quad, 0.79, 0.98, 0.02, 0.36), lamp, None),
                ("poly", patch(quad, 0.0, 1.0, 0.82, 1.0), (0.12, 0.12, 0.13), None),
            ]
        elif i == 0:  # tail: the quad runs from the bottom edge up
            lamp = (1, 0.10, 0.08) if light.lamps else (0.72, 0.06, 0.07)
            details = [
                ("poly", patch(quad, 0.0, 1.0, 0.0, 0.18), (0.12, 0.12, 0.13), None),
                ("poly", patch(quad, 0.36, 0.64, 0.38, 0.62), (0.92, 0.92, 0.80), None),
                ("poly", patch(quad, 0.02, 0.20, 0.62, 0.99), lamp, None),
                ("poly", patch(quad, 0.80, 0.98, 0.62, 0.99), lamp, None),
            ]
        faces.append(Face(quad, paint, details))
    radius = rng.uniform(0.30, 0.35) * (1.12 if kind == "offroad" else 1)
    axles = (-0.30 * length, 0.315 * length)
    for side in (left, right):
        y = side[1, 1] / abs(side[1, 1]) * width / 2
        lower = np.concatenate([side[:4], side[7:]])
        lower[:, 1] = y
        details = [
            ("line", np.array([[0.02 * length, y, 0.22 * height], [0.0, y, belt]]), mix(paint, (0, 0, 0), 0.45), 0.02),
            (
                "line",
                np.array([[-0.46 * length, y, 0.45 * height], [0.46 * length, y, 0.43 * height]]),
                mix(paint, (1, 1, 1), 0.22),
                0.025,
            ),
            (
                "line",
                np.array([[-0.12 * length, y, belt * 0.9], [-0.08 * length, y, belt * 0.9]]),
                (0.2, 0.2, 0.2),
                0.03,
            ),
        ]
        for x in axles:
            details += [("poly", circle((x, y, radius), radius * 1.17), (0.05, 0.05, 0.06), None)] + wheel(x, y, radius)
        faces.append(Face(lower, paint, details))
        upper = side[3:8]
        window = inset(upper, 0.84)
        pillar = np.array([[-0.03 * length, y, belt], [-0.03 * length, y * 0.80, height * 0.97]])
        details = [("poly", window, GLASS_LOW, GLASS), ("line", pillar, mix(paint, (0, 0, 0), 0.3), 0.07)]
        faces.append(Face(upper, mix(paint, (0, 0, 0), 0.12), details))
    under = [("poly", circle((x, s * width * 0.45, radius), radius), TYRE, None) for x in axles for s in (-1, 1)]
    return [Solid(faces, under)], (length, width, height)


def prism(x0, x1, width, z0, z1, slope=0.0):
    """A box from x0 to x1 whose upper front leans back by `slope`: five quads (rear, roof, screen, nose, floor), both sides."""
    h = width / 2
    side = np.array([[x0, h, z0], [x0, h, z1], [x1 - slope, h, z1], [x1, h, z0 + (z1 - z0) * 0.45], [x1, h, z0]])
    other = side * [1, -1, 1]
    quads = [np.array([side[i], other[i], other[(i + 1) % 5], side[(i + 1) % 5]]) for i in range(5)]
    return quads, side, other


def truck(rng, light):
    """A lorry: cab and load, as car()."""
    width, cab_length = rng.uniform(2.25, 2.5), rng.uniform(1.7, 2.2)
    load_length, load_height = rng.uniform(3.6, 7.5), rng.uniform(2.9, 3.7)
    cab_height = min(rng.uniform(2.4, 3.0), load_height)
    kind = rng.choice(["box", "curtain", "tipper", "tank"], p=[0.45, 0.25, 0.2, 0.1])
    length = cab_length + load_length + 0.15
    front, rear = length / 2, -length / 2
    paint, load = jitter(rng, pick(rng, PAINTS)), jitter(rng, pick(rng, PAINTS + [(0.92, 0.92, 0.90)] * 8))
    radius = rng.uniform(0.45, 0.52)
    axles = [front - cab_length * 0.55, rear + load_length * 0.22] + (
        [rear + load_length * 0.22 + 1.2] if load_length > 5.5 else []
    )

    quads, left, right = prism(front - cab_length, front, width * 0.96, 0.45, cab_height, rng.uniform(0.1, 0.45))
    lamp = (1, 0.98, 0.85) if light.lamps else (0.93, 0.94, 0.92)
    screen = [("poly", patch(quads[2], 0.06, 0.94, 0.08, 0.92), GLASS_LOW, GLASS)]
    nose = [
        ("poly", patch(quads[3], 0.2, 0.8, 0.08, 0.42), (0.12, 0.12, 0.13), None),
        ("poly", patch(quads[3], 0.40, 0.60, 0.72, 0.88), (0.92, 0.92, 0.88), None),
        ("poly", patch(quads[3], 0.03, 0.2, 0.48, 0.7), lamp, None),
        ("poly", patch(quads[3], 0.8, 0.97, 0.48, 0.7), lamp, None),
        ("poly", patch(quads[3], 0, 1, 0.88, 1), (0.12, 0.12, 0.13), None),
    ]
    cab = [Face(quads[0], paint), Face(quads[1], paint), Face(quads[2], paint, screen), Face(quads[3], paint, nose)]
    for side in (left, right):
        y = side[0, 1]
        top, mid = cab_height - 0.22, 0.45 + (cab_height - 0.45) * 0.52
        window = np.array(
            [
                [front - cab_length * 0.62, y, mid],
                [front - cab_length * 0.62, y, top],
                [front - 0.45, y, top],
                [front - 0.14, y, mid],
            ]
        )
        details = [
            ("poly", window, GLASS_LOW, GLASS),
            (
                "line",
                np.array([[front - cab_length * 0.66, y, 0.6], [front - cab_length * 0.66, y, top]]),
                mix(paint, (0, 0, 0), 0.4),
                0.03,
            ),
            ("poly", circle((axles[0], y, radius), radius * 1.16), (0.05, 0.05, 0.06), None),
        ] + wheel(axles[0], y, radius)
        cab.append(Face(side, paint, details))

    low = 0.95
    high = {"tipper": rng.uniform(1.9, 2.5)}.get(kind, load_height)
    quads, left, right = prism(rear, rear + load_length, width, low, high)
    red = (1, 0.10, 0.08) if light.lamps else (0.72, 0.06, 0.07)
    back = [("line", np.array([[rear, 0, low], [rear, 0, high]]), mix(load, (0, 0, 0), 0.4), 0.03)]
    body = [
        Face(quads[0], load, back),
        Face(quads[1], mix(load, (0, 0, 0), 0.55) if kind == "tipper" else load),
        Face(quads[2], load),
        Face(quads[3], load),
    ]
    stripe, mark = jitter(rng, pick(rng, PAINTS)), rng.integers(4)
    for side in (left, right):
        y = side[0, 1]
        ring = np.array([[rear, y, low], [rear, y, high], [rear + load_length, y, high], [rear + load_length, y, low]])
        details = []
        if kind == "tank":
            details = [
                ("poly", patch(ring, 0, 1, k / 5, (k + 1) / 5), mix(load, (0, 0, 0), 0.09 * abs(k - 1.5)), None)
                for k in range(5)
            ]
            details = [
                ("poly", patch(ring, 0.68, 0.86, 0.02, 0.98), mix(load, (1, 1, 1), 0.5), None),
                ("poly", patch(ring, 0.05, 0.25, 0, 1), mix(load, (0, 0, 0), 0.25), None),
            ]
        elif kind in ("curtain", "tipper"):
            count = int(load_length / 0.7)
            details = [
                (
                    "line",
                    np.array([[rear + load_length * k / count, y, low], [rear + load_length * k / count, y, high]]),
                    mix(load, (0, 0, 0), 0.25),
                    0.05,
                )
                for k in range(1, count)
            ]
        if mark == 0 and kind != "tipper":
            details.append(("poly", patch(ring, 0.36, 0.58, 0, 1), stripe, None))
        elif mark == 1 and kind != "tipper":
            details.append(
                ("poly", circle((rear + load_length / 2, y, (low + high) / 2), 0.3 * (high - low), 20), stripe, None)
            )
        elif mark == 2 and kind != "tipper":
            details.append(("poly", patch(ring, 0.4, 0.62, 0.15, 0.85), stripe, None))
            details.append(("poly", patch(ring, 0.68, 0.74, 0.15, 0.6), stripe, None))
        chassis = np.array(
            [
                [rear, y * 0.96, 0.62],
                [rear, y * 0.96, low],
                [rear + load_length, y * 0.96, low],
                [rear + load_length, y * 0.96, 0.62],
            ]
        )
        details.append(("poly", chassis, (0.13, 0.13, 0.14), None))
        details.append(("line", np.array([[rear + 0.06, y, low - 0.12], [rear + 0.06, y, low - 0.30]]), red, 0.14))
        for x in axles[1:]:
            details += wheel(x, y, radius)
        body.append(Face(ring, load, details))
    tail = np.array(
        [[rear, -width * 0.48, 0.55], [rear, width * 0.48, 0.55], [rear, width * 0.48, low], [rear, -width * 0.48, low]]
    )
    body.append(
        Face(
            tail,
            (0.16, 0.16, 0.17),
            [
                ("poly", patch(tail, 0.04, 0.18, 0.5, 0.95), red, None),
                ("poly", patch(tail, 0.82, 0.96, 0.5, 0.95), red, None),
            ],
        )
    )
    under = [("poly", circle((x, s * width * 0.42, radius), radius), TYRE, None) for x in axles for s in (-1, 1)]
    middle = np.array(
        [[front - cab_length - 0.2, s * width * 0.3, z] for s, z in ((-1, 0.6), (-1, 1.1), (1, 1.1), (1, 0.6))]
    )
    return [Solid(cab, under), Solid(body, [("poly", middle, (0.1, 0.1, 0.1), None)])], (length, width, load_height)


class Vehicle:
    """A car or lorry."""

    def __init__(self, rng, light, label_id):
        self.label_id = label_id
        self.solids, self.size = (car, truck)[label_id](rng, light)

    def primitives(self, position, heading, _, eye, light):
        """What to draw when it stands at `position` (metres) and drives towards `heading` (radians from the x axis)."""
        c, s = math.cos(heading), math.sin(heading)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        order = sorted(self.solids, key=lambda b: -np.linalg.norm(turn @ b.centre + position - eye))
        return [p for solid in order for p in solid.primitives(turn, position, eye, light)]

    def outline(self, position, heading, _):
        """Points whose hull, thrown along the sun, is its shadow."""
        length, width, height = self.size
        c, s = math.cos(heading), math.sin(heading)
        box = [(x * length / 2, y * width / 2, z) for x in (-1, 1) for y in (-1, 1) for z in (0, 0.6 * height)]
        box += [(x * length * 0.33, y * width * 0.42, height) for x in (-1, 0.6) for y in (-1, 1)]
        return [[(position[0] + c * x - s * y, position[1] + s * x + c * y, z) for x, y, z in box]]


def bend(a, c, upper, lower, forward):
    """The knee (or elbow) between a and c for two bones of these lengths, on the side of `forward`."""
    d = c - a
    distance = min(np.linalg.norm(d), (upper + lower) * 0.999)
    along = (upper**2 - lower**2 + distance**2) / (2 * distance)
    out = math.sqrt(max(upper**2 - along**2, 0))
    d = d / (np.linalg.norm(d) + 1e-9)
    side = forward - d * (forward @ d)
    return a + d * along + side / (np.linalg.norm(side) + 1e-9) * out


class Person:
    """Someone on foot; `phase` of the step in radians, None when standing."""

    label_id = 2

    def __init__(self, rng):
        self.tall = rng.uniform(1.1, 1.4) if rng.random() < 0.12 else rng.uniform(1.52, 1.92)
        self.stout = rng.uniform(0.88, 1.22)
        self.shirt, self.trousers = jitter(rng, pick(rng, CLOTHES)), jitter(rng, pick(rng, CLOTHES))
        self.skin, self.hair, self.shoes = (
            pick(rng, SKIN),
            pick(rng, HAIR),
            pick(rng, [(0.1, 0.1, 0.1), (0.35, 0.22, 0.14), (0.85, 0.85, 0.85)]),
        )
        self.coat, self.skirt, self.long_hair, self.hat = (
            rng.random() < 0.25,
            rng.random() < 0.18,
            rng.random() < 0.35,
            rng.random() < 0.2,
        )
        self.bag = rng.choice(["none", "back", "hand"], p=[0.55, 0.25, 0.2])
        self.bag_colour = jitter(rng, pick(rng, CLOTHES))
        self.size = (0.6, 0.6, self.tall)

    def primitives(self, position, heading, phase, eye, light):
        """As Vehicle.primitives()."""
        h, w = self.tall, self.stout
        ahead, side = np.array([math.cos(heading), math.sin(heading), 0]), np.array(
            [-math.sin(heading), math.cos(heading), 0]
        )
        up = np.array([0, 0, 1.0])
        swing = 0.0 if phase is None else math.sin(phase)
        lift = 0.0 if phase is None else math.cos(phase)
        base = position + up * (0.012 * h * abs(lift))
        hip, neck, head = (
            base + up * 0.50 * h,
            base + up * 0.82 * h + ahead * 0.02,
            base + up * 0.925 * h + ahead * 0.03,
        )
        k = 0.72 + 0.28 * light.hard * max(0.3, light.sun[2]) + 0.12 * (1 - light.hard)
        tone = lambda c: tuple(min(1.0, x * k * t) for x, t in zip(c, light.tint))
        shirt, trousers, skin = tone(self.shirt), tone(self.trousers), tone(self.skin)
        legs, arms = [], []
        for s in (-1, 1):
            a = hip + side * (0.052 * h * w * s)
            foot = (
                position
                + side * (0.05 * h * s)
                + ahead * (0.17 * h * swing * s)
                + up * (0.03 * h + max(0.0, -lift * s) * 0.07 * h)
            )
            knee = bend(a, foot + up * 0.02 * h, 0.238 * h, 0.238 * h, ahead)
            dark = mix(trousers, (0, 0, 0), 0.2 if s * float(side @ (eye - position)) < 0 else 0)
            leg = [
                ("line", np.array([a, knee]), dark if not self.skirt else skin, 0.095 * h * w),
                ("line", np.array([knee, foot]), dark if not self.skirt else skin, 0.072 * h * w),
                ("line", np.array([foot, foot + ahead * 0.07 * h]), tone(self.shoes), 0.055 * h),
            ]
            legs.append((s, leg))
            shoulder = neck + side * (0.105 * h * w * s) - up * 0.025 * h
            hand = shoulder - up * 0.33 * h - ahead * (0.13 * h * swing * s) + side * (0.03 * h * s)
            elbow = bend(shoulder, hand, 0.18 * h, 0.17 * h, -ahead)
            sleeve = mix(shirt, (0, 0, 0), 0.22 if s * float(side @ (eye - position)) < 0 else 0.08)
            arm = [
                ("line", np.array([shoulder, elbow]), sleeve, 0.066 * h * w),
                ("line", np.array([elbow, hand]), sleeve, 0.054 * h * w),
                ("disc", hand[None], skin, 0.027 * h),
            ]
            if self.bag == "hand" and s > 0:
                arm.append(
                    ("line", np.array([hand - up * 0.08 * h, hand - up * 0.2 * h]), tone(self.bag_colour), 0.12 * h)
                )
            arms.append((s, arm))
        far = -1 if float(side @ (eye - position)) > 0 else 1
        torso = [
            (
                "poly",
                np.array(
                    [
                        neck + side * 0.10 * h * w,
                        neck - side * 0.10 * h * w,
                        hip - side * 0.07 * h * w,
                        hip + side * 0.07 * h * w,
                    ]
                ),
                shirt,
                None,
            ),
            ("line", np.array([neck - up * 0.03 * h, hip + up * 0.05 * h]), shirt, 0.17 * h * w),
        ]
        if self.coat:
            torso.append(
                (
                    "poly",
                    np.array(
                        [
                            hip + side * 0.08 * h + up * 0.1 * h,
                            hip - side * 0.08 * h + up * 0.1 * h,
                            hip - side * 0.1 * h - up * 0.17 * h - ahead * 0.06,
                            hip + side * 0.1 * h - up * 0.17 * h + ahead * 0.06,
                        ]
                    ),
                    mix(shirt, (0, 0, 0), 0.08),
                    None,
                )
            )
            torso.append(
                (
                    "line",
                    np.array([hip + up * 0.05 * h, hip - up * 0.13 * h]),
                    mix(shirt, (0, 0, 0), 0.08),
                    0.17 * h * w,
                )
            )
        elif self.skirt:
            torso.append(("line", np.array([hip + up * 0.02 * h, hip - up * 0.1 * h]), trousers, 0.18 * h * w))
        pack = []
        if self.bag == "back":
            pack = [
                (
                    "line",
                    np.array([neck - ahead * 0.12 * h - up * 0.07 * h, neck - ahead * 0.13 * h - up * 0.2 * h]),
                    tone(self.bag_colour),
                    0.15 * h,
                )
            ]
        crown = [("line", np.array([neck, head]), skin, 0.055 * h)]
        if self.long_hair:
            crown.append(
                (
                    "line",
                    np.array([head - ahead * 0.03 * h, head - ahead * 0.04 * h - up * 0.07 * h]),
                    tone(self.hair),
                    0.09 * h,
                )
            )
        crown += [
            ("disc", head[None], skin, 0.062 * h),
            (
                "disc",
                (head + up * 0.018 * h - ahead * 0.02 * h)[None],
                tone(self.bag_colour if self.hat else self.hair),
                0.06 * h,
            ),
            ("disc", (head - up * 0.012 * h + ahead * 0.022 * h)[None], skin, 0.045 * h),
        ]
        away = float(ahead @ (eye - position)) < 0
        if away:  # seen from behind: the back of the head and the pack are in front
            crown.append(
                ("disc", (head - ahead * 0.02 * h)[None], tone(self.bag_colour if self.hat else self.hair), 0.056 * h)
            )
        parts = (
            [dict(arms)[far], dict(legs)[far]]
            + ([] if away else [pack])
            + [dict(legs)[-far], torso]
            + ([pack] if away else [])
            + [crown, dict(arms)[-far]]
        )
        return [p for part in parts for p in part]

    def outline(self, position, heading, phase):
        """As Vehicle.outline()."""
        r = 0.11 * self.tall
        x, y = position[:2]
        a = [
            (x + r * dx, y + r * dy, z * self.tall) for dx, dy in ((-1, 0), (1, 0), (0, 1), (0, -1)) for z in (0, 0.84)
        ]
        return [
            a,
            [(x + 0.5 * r * dx, y + 0.5 * r * dy, z * self.tall) for dx, dy in ((-1, 0), (1, 0)) for z in (0.8, 1)],
        ]


class Cyclist:
    """A bicycle and who rides it, one object; `phase` of the pedals in radians."""

    label_id = 3

    def __init__(self, rng):
        self.scale = rng.uniform(0.9, 1.08)
        self.frame = jitter(rng, pick(rng, PAINTS))
        self.shirt, self.trousers = jitter(rng, pick(rng, CLOTHES)), jitter(rng, pick(rng, CLOTHES))
        self.skin, self.hair = pick(rng, SKIN), pick(rng, HAIR)
        self.helmet = pick(rng, PAINTS) if rng.random() < 0.6 else None
        self.lean = rng.uniform(0.12, 0.38)
        self.pannier = rng.random() < 0.3
        self.size = (1.75 * self.scale, 0.55, 1.7 * self.scale)

    def primitives(self, position, heading, phase, eye, light):
        """As Vehicle.primitives()."""
        k = self.scale
        c, s = math.cos(heading), math.sin(heading)
        turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        glow = 0.72 + 0.28 * light.hard * max(0.3, light.sun[2]) + 0.12 * (1 - light.hard)
        tone = lambda colour: tuple(min(1.0, x * glow * t) for x, t in zip(colour, light.tint))
        v = lambda x, y, z: np.array([x, y, z]) * k
        r = 0.34
        rear, front, crank, saddle, bar = (
            v(-0.52, 0, r),
            v(0.54, 0, r),
            v(-0.06, 0, 0.30),
            v(-0.2, 0, 0.92),
            v(0.38, 0, 1.02),
        )
        head_tube = v(0.36, 0, 0.84)
        ring = lambda at: np.concatenate([circle(at, r * k, 18), circle(at, r * k, 18)[:1]])
        paint = tone(self.frame)
        bike = [("line", ring(rear), TYRE, 0.05), ("line", ring(front), TYRE, 0.05)]
        bike += [
            ("line", np.array(line), paint, 0.045)
            for line in (
                [rear, crank, head_tube, v(-0.17, 0, 0.8), crank],
                [rear, v(-0.17, 0, 0.8)],
                [head_tube, front],
                [head_tube, bar],
            )
        ]
        bike += [
            ("line", np.array([saddle - v(0.1, 0, 0), saddle + v(0.1, 0, 0)]), (0.08, 0.08, 0.08), 0.07),
            ("line", np.array([bar - v(0, 0.26, 0), bar + v(0, 0.26, 0)]), (0.1, 0.1, 0.1), 0.04),
        ]
        if self.pannier:
            bike.append(("line", np.array([v(-0.58, 0, 0.62), v(-0.42, 0, 0.62)]), tone(self.shirt), 0.26 * k))
        hip = saddle + v(0.02, 0, 0.06)
        neck = hip + v(self.lean * 1.15, 0, 0.56 - 0.35 * self.lean)
        head = neck + v(0.06, 0, 0.18)
        shirt, trousers, skin = tone(self.shirt), tone(self.trousers), tone(self.skin)
        near = 1 if float((turn @ np.array([0, 1.0, 0])) @ (eye - position)) > 0 else -1
        limbs = {}
        for y in (-1, 1):
            a = phase + (math.pi if y > 0 else 0)
            foot = crank + v(0.16 * math.cos(a), 0.11 * y, 0.16 * math.sin(a))
            thigh = hip + v(0, 0.08 * y, 0)
            knee = bend(thigh, foot, 0.44 * k, 0.44 * k, np.array([1.0, 0, 0.3]))
            shoulder, hand = neck + v(0, 0.17 * y, -0.04), bar + v(0.02, 0.22 * y, 0.02)
            elbow = bend(shoulder, hand, 0.30 * k, 0.28 * k, np.array([-0.2, 0, -1.0]))
            shade = 0.0 if y == near else 0.22
            limbs[y] = [
                ("line", np.array([thigh, knee]), mix(trousers, (0, 0, 0), shade), 0.15 * k),
                ("line", np.array([knee, foot]), mix(trousers, (0, 0, 0), shade), 0.11 * k),
                ("line", np.array([foot, foot + v(0.1, 0, 0)]), (0.1, 0.1, 0.1), 0.08 * k),
                ("line", np.array([shoulder, elbow, hand]), mix(shirt, (0, 0, 0), shade + 0.06), 0.09 * k),
            ]
        torso = [
            (
                "poly",
                np.array([neck + v(0, 0.17, 0), neck - v(0, 0.17, 0), hip - v(0, 0.12, 0), hip + v(0, 0.12, 0)]),
                shirt,
                None,
            ),
            ("line", np.array([hip + v(0, 0, 0.06), neck - v(0.02, 0, 0.06)]), shirt, 0.27 * k),
            ("line", np.array([neck, head]), skin, 0.1 * k),
            ("disc", head[None], skin, 0.105 * k),
            (
                "disc",
                (head + v(-0.03, 0, 0.035))[None],
                tone(self.helmet or self.hair),
                (0.115 if self.helmet else 0.1) * k,
            ),
            ("disc", (head + v(0.035, 0, -0.02))[None], skin, 0.08 * k),
        ]
        parts = limbs[-near] + bike + torso + limbs[near]
        return [(kind, p @ turn.T + position, colour, a) for kind, p, colour, a in parts]

    def outline(self, position, heading, phase):
        """As Vehicle.outline()."""
        c = math.cos(heading)
        x, y = position[:2]
        return [
            [
                (x + c * dx, y + dy, z)
                for dx, dy, z in (
                    (-0.85, 0, 0),
                    (0.85, 0, 0),
                    (-0.8, 0, 0.5),
                    (0.8, 0, 0.5),
                    (-0.3, 0.15, 1.0),
                    (0.4, -0.15, 1.1),
                )
            ],
            [
                (x + c * dx, y + dy, z)
                for dx, dy, z in (
                    (-0.25, 0.15, 0.9),
                    (-0.2, -0.15, 0.9),
                    (0.3, 0.15, 1.4),
                    (0.3, -0.15, 1.4),
                    (0.3, 0, 1.7),
                )
            ],
        ]


def tree(rng, position, light):
    """Primitives of a tree."""
    tall, wide = rng.uniform(4, 7.5), rng.uniform(1.1, 2.0)
    bark, leaf = jitter(rng, (0.30, 0.23, 0.17), 0.04), jitter(
        rng, pick(rng, [(0.25, 0.42, 0.16), (0.20, 0.36, 0.20), (0.36, 0.46, 0.16), (0.58, 0.42, 0.14)]), 0.05
    )
    crown = position + np.array([0, 0, tall * 0.7])
    out = [("line", np.array([position, position + [0, 0, tall * 0.55]]), bark, rng.uniform(0.2, 0.34))]
    out += [
        ("line", np.array([position + [0, 0, tall * 0.4], crown + rng.uniform(-0.6, 0.6, 3) * wide]), bark, 0.1)
        for _ in range(3)
    ]
    balls = rng.normal(0, 1, (240, 3))
    balls = balls / np.linalg.norm(balls, axis=1)[:, None] * rng.uniform(0.2, 1, (240, 1)) ** 0.5
    balls = balls[np.argsort(balls @ (light.sun + [0, -0.6, 0]))]
    for b in balls:
        k = 0.62 + 0.30 * float(b @ light.sun) * (0.4 + 0.6 * light.hard) + 0.14 * b[2]
        out.append(
            (
                "disc",
                (crown + b * [wide, wide, wide * 1.1])[None],
                tuple(min(1, max(0, c * k * 1.35 + rng.uniform(-0.02, 0.02))) for c in leaf),
                wide * rng.uniform(0.09, 0.2),
            )
        )
    return out


def lamp_post(rng, position, light):
    """Primitives of a street lamp."""
    tall, colour = rng.uniform(4.5, 7), jitter(rng, (0.26, 0.28, 0.29), 0.06)
    top = position + np.array([0, 0, tall])
    arm = top + np.array([0, rng.choice([-1, 1]) * 1.1, 0.15])
    out = [
        ("line", np.array([position, top]), colour, 0.13),
        ("line", np.array([top, arm]), colour, 0.09),
        ("line", np.array([position, position + [0, 0, 0.7]]), colour, 0.2),
    ]
    return out + [("disc", arm[None], (1, 0.93, 0.7) if light.lamps else (0.85, 0.86, 0.84), 0.16)]


def road_sign(rng, position, light):
    """Primitives of a road sign."""
    tall = rng.uniform(2.2, 2.8)
    at = position + np.array([0, -0.05, tall])
    out = [("line", np.array([position, at]), (0.55, 0.56, 0.57), 0.07)]
    outer, inner = pick(
        rng,
        [
            ((0.75, 0.10, 0.10), (0.95, 0.95, 0.95)),
            ((0.10, 0.30, 0.65), (0.15, 0.38, 0.75)),
            ((0.9, 0.7, 0.1), (0.95, 0.8, 0.2)),
        ],
    )
    if rng.random() < 0.5:
        return out + [("disc", at[None], outer, 0.34), ("disc", at[None], inner, 0.25)]
    plate = at + np.array([[-0.4, 0, -0.3], [0.4, 0, -0.3], [0.4, 0, 0.3], [-0.4, 0, 0.3]])
    return out + [("poly", plate, outer, None), ("poly", inset(plate, 0.82), inner, None)]


def bin_or_post(rng, position, light):
    """Primitives of a litter bin, a bollard, a hydrant or a letter box."""
    kind, colour = rng.integers(3), jitter(
        rng, pick(rng, [(0.15, 0.32, 0.22), (0.3, 0.3, 0.32), (0.72, 0.12, 0.12), (0.85, 0.65, 0.12)])
    )
    if kind == 0:
        return [
            ("line", np.array([position + [0, 0, 0.2], position + [0, 0, 0.8]]), colour, 0.44),
            ("line", np.array([position + [-0.12, 0, 0.88], position + [0.12, 0, 0.88]]), (0.1, 0.1, 0.1), 0.16),
        ]
    if kind == 1:
        return [
            ("line", np.array([position, position + [0, 0, 0.85]]), colour, 0.17),
            ("line", np.array([position + [0, 0, 0.62], position + [0, 0, 0.68]]), (0.95, 0.95, 0.95), 0.175),
        ]
    return [
        ("line", np.array([position, position + [0, 0, 0.7]]), (0.2, 0.2, 0.2), 0.14),
        ("line", np.array([position + [0, 0, 0.8], position + [0, 0, 1.25]]), colour, 0.42),
    ]


def bush(rng, position, light):
    """Primitives of a planter with a bush in it."""
    leaf = jitter(rng, (0.26, 0.42, 0.18), 0.06)
    box = np.array([[-0.7, -0.3, 0], [0.7, -0.3, 0], [0.7, -0.3, 0.45], [-0.7, -0.3, 0.45]]) + position
    out = [("poly", box, jitter(rng, (0.52, 0.44, 0.36)), (0.3, 0.25, 0.2))]
    for _ in range(36):
        b = rng.uniform(-1, 1, 3)
        out.append(
            (
                "disc",
                (position + np.array([0, 0, 0.75]) + b * [0.62, 0.25, 0.32])[None],
                tuple(c * (0.75 + 0.35 * b[2] + 0.2 * rng.random()) for c in leaf),
                rng.uniform(0.1, 0.2),
            )
        )
    return out


PROPS = [tree, tree, tree, lamp_post, lamp_post, road_sign, road_sign, bin_or_post, bin_or_post, bush]


def hull(points):
    """Convex hull of points [n, 2], in order (Andrew's monotone chain)."""
    points = sorted(map(tuple, points))
    out = []
    for run in (points, points[::-1]):
        part = []
        for p in run:
            while len(part) > 1 and (part[-1][0] - part[-2][0]) * (p[1] - part[-2][1]) <= (
                part[-1][1] - part[-2][1]
            ) * (p[0] - part[-2][0]):
                part.pop()
            part.append(p)
        out += part[:-1]
    return np.array(out)


def smooth_noise(rng, size, octaves):
    """A random texture [size, size] that tiles, mean 0, standard deviation 1; each octave halves the shortest wavelength."""
    f = np.fft.fftfreq(size)
    radius = np.hypot(f[:, None], f[None])
    radius[0, 0] = 1
    spectrum = np.where(radius < 2.0**octaves / size, radius**-1.2, 0)
    spectrum[0, 0] = 0
    out = np.fft.ifft2(np.fft.fft2(rng.normal(size=(size, size))) * spectrum).real
    return (out / out.std()).astype(np.float32)


def stripe(value, half_width, footprint):
    """How much of a pixel of that footprint lies within half_width of value 0: a soft band, 0..1."""
    footprint = np.maximum(footprint, 1e-3)
    return np.clip((half_width - np.abs(value)) / footprint + 0.5, 0, 1) * np.minimum(1, 2 * half_width / footprint)


class Screen:
    """A cairo surface with primitives of the world drawn onto it through a camera."""

    def __init__(self, camera, scale=1.0, mask=False):
        self.camera, self.scale, self.mask = camera, scale, mask
        size = int(WIDTH * scale), int(HEIGHT * scale)
        self.surface = cairo.ImageSurface(cairo.FORMAT_A8 if mask else cairo.FORMAT_ARGB32, *size)
        self.context = cairo.Context(self.surface)
        self.context.scale(scale, scale)
        self.context.set_line_cap(cairo.LINE_CAP_ROUND)
        self.context.set_line_join(cairo.LINE_JOIN_ROUND)

    def array(self):
        """The pixels: [h, w] of a mask, else [h, w, 4] in BGRA, premultiplied."""
        self.surface.flush()
        rows = np.ndarray((self.surface.get_height(), self.surface.get_stride()), np.uint8, self.surface.get_data())
        return (
            rows[:, : self.surface.get_width()]
            if self.mask
            else rows.reshape(rows.shape[0], -1, 4)[:, : self.surface.get_width()]
        )

    def draw(self, primitives):
        """Draws them in order; returns their bounds (x1, y1, x2, y2) in pixels of the frame, None if one is behind the camera."""
        xy, depth = self.camera.project(np.concatenate([p[1] for p in primitives]))
        if depth.min() < 0.5:
            return None
        low, high, start = np.full(2, 1e9), np.full(2, -1e9), 0
        c = self.context
        for kind, points, colour, argument in primitives:
            p, d = xy[start : start + len(points)], depth[start : start + len(points)]
            start += len(points)
            grow = (
                0
                if kind == "poly"
                else (0.5 if kind == "line" else 1.0) * argument * self.camera.focal / float(d.mean())
            )
            c.set_source_rgba(*colour)
            top, bottom = p.min(0), p.max(0)
            low, high = np.minimum(low, top - grow), np.maximum(high, bottom + grow)
            if kind == "disc":
                c.arc(p[0, 0], p[0, 1], grow, 0, 2 * math.pi)
                c.fill()
                continue
            c.move_to(*p[0])
            for q in p[1:].tolist():
                c.line_to(*q)
            if kind == "line":
                c.set_line_width(2 * grow)
                c.stroke()
                continue
            if argument is not None and not self.mask:
                fade = cairo.LinearGradient(0, top[1], 0, bottom[1])
                fade.add_color_stop_rgb(0, *colour[:3])
                fade.add_color_stop_rgb(1, *argument[:3])
                c.set_source(fade)
            c.close_path()
            c.fill()
        return low[0], low[1], high[0], high[1]


class Mover:
    """An object on its way: position and heading at any time."""

    def __init__(self, thing, x, y, speed, heading=None, stride=1.0):
        self.thing, self.x, self.y, self.speed, self.stride = thing, x, y, speed, stride
        self.heading = heading if heading is not None else (0.0 if speed >= 0 else math.pi)

    def state(self, time):
        """Position [3], heading and phase at a time in seconds."""
        x = (self.x + self.speed * time + REACH) % (2 * REACH) - REACH
        phase = (
            (self.x + self.speed * time) / self.stride * 2 * math.pi
            if self.speed
            else (None if isinstance(self.thing, Person) else 0.0)
        )
        if phase is not None and self.speed < 0:
            phase = -phase
        if isinstance(self.thing, Cyclist):
            phase = -phase
        return np.array([x, self.y, 0.0]), self.heading, phase


class Scene:
    """One street, one camera, one traffic; everything follows from the seed."""

    def __init__(self, seed):
        rng = self.rng = np.random.default_rng(seed)
        self.seed = seed
        self.light = Light(rng)
        yaw = rng.uniform(-0.92, 0.92)
        self.camera = Camera(
            rng.uniform(3.2, 6.5), yaw, HEIGHT * rng.uniform(0.14, 0.36), math.radians(rng.uniform(50, 70))
        )
        self.lanes = int(rng.choice([2, 2, 3, 4]))
        self.lane_width = rng.uniform(3.0, 3.5)
        self.cycle_lane = rng.choice([0, 1.5])
        self.parking = rng.choice([0, 2.2], p=[0.45, 0.55])
        self.near = rng.uniform(6.0, 9.5)
        self.road_end = self.near + self.lanes * self.lane_width + 2 * self.cycle_lane + self.parking
        self.wall = self.road_end + rng.uniform(2.8, 4.6)
        self.noise = [smooth_noise(rng, 256, 7), smooth_noise(rng, 256, 3)]
        self.people()
        self.traffic()
        self.props()
        self.backdrop = self.paint_backdrop()
        self.paint_still()
        self.grain = rng.normal(0, 1, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.float32) + 0.5 * rng.normal(
            0, 1, (HEIGHT + 64, WIDTH + 64, 3)
        ).astype(np.float32)
        self.grain_strength = rng.uniform(0.5, 2.2)
        self.softness = rng.choice([0, 0, 0.12, 0.2])
        self.gamma = rng.uniform(0.88, 1.15)

    # What moves

    def people(self):
        rng = self.rng
        self.movers = []
        for low, high in ((self.near - 2.4, self.near - 0.5), (self.road_end + 0.6, self.wall - 0.7)):
            gap = rng.uniform(3.5, 11)
            x = -REACH
            while x < REACH - gap:
                x += rng.uniform(0.3, 1.7) * gap
                speed = rng.choice([-1, 1]) * rng.uniform(0.9, 1.7)
                y = rng.uniform(low, high)
                for friend in range(1 + int(rng.random() < 0.15)):
                    person = Person(rng)
                    if rng.random() < 0.1:
                        self.movers.append(Mover(person, x, y, 0.0, heading=rng.uniform(0, 2 * math.pi)))
                    else:
                        self.movers.append(
                            Mover(
                                person,
                                x + 0.2 * friend,
                                y + 0.65 * friend,
                                speed,
                                stride=0.8 * person.tall * rng.uniform(0.95, 1.1),
                            )
                        )

    def traffic(self):
        rng = self.rng
        trucks = rng.uniform(0.12, 0.5)
        start = self.near + self.cycle_lane
        for lane in range(self.lanes):
            y = start + (lane + 0.5) * self.lane_width
            speed = rng.uniform(4.5, 12) * (1 if lane < self.lanes / 2 else -1)
            gap, x = rng.uniform(3, 16), -REACH
            while True:
                thing = Vehicle(rng, self.light, int(rng.random() < trucks))
                x += thing.size[0] / 2
                if x + thing.size[0] / 2 > REACH - 3:
                    break
                self.movers.append(Mover(thing, x, y + rng.uniform(-0.2, 0.2), speed))
                x += thing.size[0] / 2 + 2.5 + rng.exponential(gap)
        for y, way in (
            (self.near + 0.75, 1),
            (start + self.lanes * self.lane_width + (0.75 if self.cycle_lane else -0.55), -1),
        ):
            if not self.cycle_lane and way > 0:
                continue
            speed, gap, x = way * rng.uniform(3, 6), rng.uniform(5, 20), -REACH
            while x < REACH - 6:
                x += 2.6 + rng.exponential(gap)
                self.movers.append(
                    Mover(Cyclist(rng), x, y + rng.uniform(-0.25, 0.25), speed, stride=rng.uniform(3.5, 5.5))
                )
        if self.parking:
            x = -REACH
            while x < REACH - 8:
                thing = Vehicle(rng, self.light, int(rng.random() < 0.08))
                x += thing.size[0] / 2
                self.movers.append(Mover(thing, x, self.road_end - 1.1 + rng.uniform(-0.1, 0.1), 0.0, heading=math.pi))
                x += thing.size[0] / 2 + 0.9 + rng.exponential(6)

    def props(self):
        rng = self.rng
        self.still = []
        for y, gap, furniture in (
            (self.near - 0.45, rng.uniform(6, 16), PROPS),
            (self.road_end + 0.4, rng.uniform(4, 11), PROPS),
        ):
            x = -70.0
            while x < 70:
                x += rng.uniform(0.4, 1.6) * gap
                at = np.array([x, y, 0.0])
                self.still.append((at, pick(rng, furniture)(rng, at, self.light)))

    # What stands still

    def paint_backdrop(self):
        """Sky, houses and ground, float32 [HEIGHT, WIDTH, 3] in 0..255."""
        rays = self.camera.rays().astype(np.float32)
        picture = self.sky(rays)
        ground, shown = self.ground(rays)
        houses = Screen(self.camera)
        self.houses(houses.context)
        layer = houses.array().astype(np.float32)
        cover = layer[..., 3:] / 255
        texture = self.wall_texture(rays)
        picture = picture * (1 - cover) + layer[..., 2::-1] * (1 + (texture - 1) * cover)
        shown = shown * (1 - cover[..., 0] * (self.wall_distance(rays) < self.ground_distance(rays)))
        return np.clip(picture * (1 - shown[..., None]) + ground * shown[..., None], 0, 255)

    def wall_distance(self, rays):
        return self.wall / np.maximum(rays[..., 1], 1e-3)

    def ground_distance(self, rays):
        return self.camera.height / np.maximum(-rays[..., 2], 1e-4)

    def sample(self, which, u, v, scale):
        """Texture `which` at world coordinates (metres), one tile every `scale` metres."""
        t = self.noise[which]
        return t[(v * (256 / scale)).astype(np.int64) & 255, (u * (256 / scale)).astype(np.int64) & 255]

    def sky(self, rays):
        up = np.clip(rays[..., 2] / np.linalg.norm(rays, axis=2), 0, 1)[..., None]
        zenith, haze = np.array(self.light.zenith), np.array(self.light.haze)
        colour = haze + (zenith - haze) * np.clip(up * 2.2, 0, 1) ** 0.7
        reach = 1 / np.maximum(up[..., 0], 0.05)
        clouds = self.sample(1, rays[..., 0] * reach, rays[..., 1] * reach, 9.0) + 0.5 * self.sample(
            0, rays[..., 0] * reach, rays[..., 1] * reach, 14.0
        )
        cover = np.clip((clouds + self.light.clouds * 2 - 1) * 0.45, 0, 0.85)[..., None] * np.clip(up * 6, 0, 1)
        return ((colour * (1 - cover) + np.minimum(1, haze * 1.06) * cover) * 255).astype(np.float32)

    def wall_texture(self, rays):
        """Brightness of the house fronts' masonry round 1, [HEIGHT, WIDTH, 1]."""
        s = self.wall_distance(rays)
        x, z = rays[..., 0] * s, self.camera.height + rays[..., 2] * s
        x, z = np.clip(x, -300, 300), np.clip(z, -50, 100)
        grain = 0.035 * self.sample(0, x, z, 3.0) + 0.03 * self.sample(1, x, z, 17.0)
        course = stripe((z + 0.0) % 0.22 - 0.11, 0.02, s / self.camera.focal) * 0.10
        return np.clip(1 + grain - course, 0.6, 1.3)[..., None]

    def houses(self, context):
        rng, light = self.rng, self.light
        rows, x = [], -170.0
        while x < 170:
            width = rng.uniform(6, 15)
            rows.append((x, x + width, rng.integers(2, 5)))
            x += width + (0 if rng.random() < 0.8 else rng.uniform(1, 4))
        for x0, x1, floors in sorted(rows, key=lambda r: -abs(r[0] + r[1])):
            self.house(context, x0, x1, int(floors))

    def quad(self, context, points, colour, low=None):
        points = np.asarray(points, float)
        p, depth = self.camera.project(points)
        real = (points - self.camera.position) @ self.camera.axes[2]
        if real.min() < 0.5 or p[:, 0].max() < -5 or p[:, 0].min() > WIDTH + 5:
            return
        haze = 1 - math.exp(-float(depth.mean()) / 260)
        context.set_source_rgb(*mix(colour, self.light.haze, haze))
        if low is not None:
            fade = cairo.LinearGradient(0, p[:, 1].min(), 0, p[:, 1].max())
            fade.add_color_stop_rgb(0, *mix(colour, self.light.haze, haze))
            fade.add_color_stop_rgb(1, *mix(low, self.light.haze, haze))
            context.set_source(fade)
        context.move_to(*p[0])
        for q in p[1:]:
            context.line_to(*q)
        context.close_path()
        context.fill()

    def house(self, context, x0, x1, floors):
        rng, light, y = self.rng, self.light, self.wall
        storey = rng.uniform(2.8, 3.3)
        ground = rng.uniform(3.2, 3.9)
        top = ground + storey * (floors - 1) + rng.uniform(0.4, 0.9)
        wall = jitter(rng, pick(rng, WALLS), 0.05)
        front = lambda a, b, c, d, colour, low=None, off=0.0: self.quad(
            context, [(a, y - off, c), (b, y - off, c), (b, y - off, d), (a, y - off, d)], colour, low
        )
        lit = light.shade(wall, np.array([0, -1.0, 0]))
        roof = jitter(rng, pick(rng, [(0.42, 0.24, 0.19), (0.32, 0.32, 0.35), (0.46, 0.34, 0.26)]), 0.04)
        inner = x1 if x1 < 0 else x0
        if x0 > 0 or x1 < 0:
            self.quad(
                context,
                [(inner, y, 0), (inner, y + 9, 0), (inner, y + 9, top), (inner, y, top)],
                light.shade(mix(wall, (0.3, 0.3, 0.3), 0.3), np.array([-np.sign(inner), 0, 0])),
            )
        if rng.random() < 0.7:
            peak = rng.uniform(1.8, 3.2)
            self.quad(
                context,
                [
                    (x0, y - 0.3, top),
                    (x1, y - 0.3, top),
                    (x1 - 0.4, y + 3.5, top + peak),
                    (x0 + 0.4, y + 3.5, top + peak),
                ],
                light.shade(roof, np.array([0, -0.6, 0.8])),
            )
            if rng.random() < 0.5:
                cx = rng.uniform(x0 + 1, x1 - 1)
                self.quad(
                    context,
                    [
                        (cx, y + 2.5, top + 0.8),
                        (cx + 0.8, y + 2.5, top + 0.8),
                        (cx + 0.8, y + 2.5, top + peak + 1),
                        (cx, y + 2.5, top + peak + 1),
                    ],
                    light.shade((0.5, 0.33, 0.28), np.array([0, -1.0, 0])),
                )
        front(x0, x1, 0, top, lit)
        trim = mix(lit, (1, 1, 1), 0.35)
        front(x0, x1, top - 0.3, top, mix(lit, (0, 0, 0), 0.15) if rng.random() < 0.5 else trim)
        front(x0, x1, 0, 0.5, mix(lit, (0, 0, 0), 0.3))
        bays = max(2, int((x1 - x0) / rng.uniform(1.9, 3.0)))
        pitch = (x1 - x0) / bays
        wide, tall = pitch * rng.uniform(0.38, 0.55), rng.uniform(1.3, 1.8)
        shutters = rng.random() < 0.3
        shutter = jitter(rng, pick(rng, [(0.2, 0.35, 0.28), (0.25, 0.3, 0.42), (0.5, 0.2, 0.18)]))
        for floor in range(1, floors):
            z = ground + storey * (floor - 1) + 0.75
            for bay in range(bays):
                a = x0 + pitch * (bay + 0.5) - wide / 2
                if shutters:
                    front(a - wide * 0.42, a, z, z + tall, shutter)
                    front(a + wide, a + wide * 1.42, z, z + tall, shutter)
                glow = light.lamps and rng.random() < 0.4
                front(a - 0.1, a + wide + 0.1, z - 0.12, z + tall + 0.1, trim)
                glass = (0.98, 0.82, 0.50) if glow else mix(GLASS_LOW, light.zenith, rng.uniform(0.1, 0.5))
                front(a, a + wide, z, z + tall, glass, mix(glass, GLASS, 0.7))
                front(a + wide / 2 - 0.03, a + wide / 2 + 0.03, z, z + tall, trim)
        if rng.random() < 0.45:  # a shop
            sign = jitter(rng, pick(rng, PAINTS))
            front(
                x0 + 0.4,
                x1 - 0.4,
                0.4,
                ground - 0.75,
                mix(GLASS_LOW, (1, 0.9, 0.7), 0.5 if light.lamps else 0.1),
                GLASS,
            )
            front(x0 + 0.3, x1 - 0.3, ground - 0.7, ground - 0.1, sign)
            for k in range(1, bays):
                front(x0 + pitch * k - 0.06, x0 + pitch * k + 0.06, 0.4, ground - 0.7, mix(sign, (0, 0, 0), 0.3))
            if rng.random() < 0.6:
                cloth, other, bands = jitter(rng, pick(rng, PAINTS)), (0.92, 0.91, 0.87), int((x1 - x0) / 0.7)
                for k in range(bands):
                    a, b = x0 + (x1 - x0) * k / bands, x0 + (x1 - x0) * (k + 1) / bands
                    self.quad(
                        context,
                        [
                            (a, y, ground - 0.7),
                            (b, y, ground - 0.7),
                            (b, y - 1.2, ground - 1.15),
                            (a, y - 1.2, ground - 1.15),
                        ],
                        light.shade(cloth if k % 2 else other, np.array([0, -0.4, 0.9])),
                    )
        else:
            door = int(rng.integers(bays))
            for bay in range(bays):
                a = x0 + pitch * (bay + 0.5) - wide / 2
                if bay == door:
                    front(a - 0.12, a + 1.1 + 0.12, 0, 2.4, trim)
                    front(a, a + 1.1, 0, 2.25, jitter(rng, pick(rng, PAINTS)))
                else:
                    front(a - 0.1, a + wide + 0.1, 0.9, 2.6, trim)
                    front(a, a + wide, 1.0, 2.5, mix(GLASS_LOW, light.zenith, 0.2), GLASS)

    def ground(self, rays):
        """The ground, float32 [HEIGHT, WIDTH, 3], and where it shows, [HEIGHT, WIDTH]."""
        rng, light = self.rng, self.light
        s = self.ground_distance(rays)
        below = rays[..., 2] < -0.004
        s = np.where(below, np.minimum(s, 400), 400)
        x, y = rays[..., 0] * s, rays[..., 1] * s
        foot_y = s * s / self.camera.height / self.camera.focal * np.abs(rays[..., 1]) + s / self.camera.focal
        foot_x = s * s / self.camera.height / self.camera.focal * np.abs(rays[..., 0]) + s / self.camera.focal
        fine = np.clip(1.2 - s / 30, 0.15, 1)
        grain = self.sample(0, x, y, 1.7) * fine
        blotch = self.sample(1, x, y, 21.0)
        asphalt = np.array(jitter(rng, pick(rng, [(0.36, 0.36, 0.37), (0.44, 0.43, 0.42), (0.29, 0.30, 0.32)]), 0.03))
        slab = np.array(jitter(rng, pick(rng, [(0.62, 0.60, 0.57), (0.66, 0.58, 0.52), (0.56, 0.57, 0.58)]), 0.03))
        grass = np.array(jitter(rng, (0.34, 0.44, 0.20), 0.04))
        road = asphalt * (1 + 0.05 * grain + 0.035 * blotch)[..., None]
        start = self.near + self.cycle_lane
        wear = sum(
            np.exp(-(((y - start - (lane + k) * self.lane_width) / 0.3) ** 2))
            for lane in range(self.lanes)
            for k in (0.27, 0.73)
        )
        road = road * (1 - 0.06 * wear)[..., None]
        for _ in range(4):
            px, py = rng.uniform(-18, 18), rng.uniform(self.near, self.road_end)
            road = (
                road
                * (
                    1
                    - 0.13
                    * stripe(x - px, rng.uniform(0.4, 2.5), foot_x)
                    * stripe(y - py, rng.uniform(0.3, 0.8), foot_y)
                )[..., None]
            )
        if self.cycle_lane and rng.random() < 0.6:
            band = stripe(y - self.near - 0.75, 0.72, foot_y) + stripe(
                y - start - self.lanes * self.lane_width - 0.75, 0.72, foot_y
            )
            red = np.array(pick(rng, [(0.52, 0.26, 0.22), (0.26, 0.42, 0.32)]))
            road = road * (1 - 0.75 * band)[..., None] + red * (1 + 0.05 * grain)[..., None] * (0.75 * band)[..., None]
        white = np.array([0.88, 0.88, 0.85]) * (1 + 0.06 * grain)[..., None]
        dashes = np.clip((0.25 - np.abs(x / 6 % 1 - 0.5)) * 6 / np.maximum(foot_x, 0.02) + 0.5, 0, 1)
        paint = np.zeros_like(x)
        for lane in range(1, self.lanes):
            paint = np.maximum(
                paint,
                stripe(y - start - lane * self.lane_width, 0.07, foot_y)
                * (dashes if lane != self.lanes // 2 or self.lanes == 2 else 1),
            )
        for edge in (start, start + self.lanes * self.lane_width):
            paint = np.maximum(paint, stripe(y - edge, 0.06, foot_y) * (1 if self.cycle_lane else 0.8))
        if rng.random() < 0.35:
            at = rng.uniform(-9, 9)
            bars = np.clip((0.25 - np.abs(y / 1.0 % 1 - 0.5)) / np.maximum(foot_y, 0.02) + 0.5, 0, 1)
            paint = np.maximum(paint, bars * stripe(x - at, 1.6, foot_x))
        worn = np.clip(0.86 + 0.14 * self.sample(0, x, y, 5.0), 0.4, 1)
        road = road + (white - road) * (paint * worn)[..., None]
        joint = np.maximum(stripe(x % 0.8 - 0.4, 0.015, foot_x), stripe(y % 0.8 - 0.4, 0.015, foot_y))
        tint = (
            1
            + 0.04 * grain
            + 0.03 * blotch
            - 0.18 * joint
            + 0.05 * self.noise[0][(y / 0.8).astype(np.int64) & 255, (x / 0.8).astype(np.int64) & 255]
        )
        pavement = slab * tint[..., None]
        lawn = grass * (1 + 0.16 * grain + 0.08 * blotch)[..., None]
        part = lambda edge: np.clip((y - edge) / np.maximum(foot_y, 0.02) + 0.5, 0, 1)[..., None]
        verge = lawn if rng.random() < 0.5 else pavement
        colour = verge + (pavement - verge) * part(self.near - 3)
        colour = colour + (road - colour) * part(self.near)
        colour = colour + (pavement - colour) * part(self.road_end)
        for edge, dark in ((self.near, 0.14), (self.road_end, 0.14)):
            kerb = stripe(y - edge, 0.09, foot_y)[..., None]
            colour = colour + (slab * 1.12 - colour) * kerb
            gutter = stripe(y - edge - (0.2 if edge == self.near else -0.2), 0.1, foot_y)[..., None]
            colour = colour * (1 - dark * gutter)
        colour = colour * (0.80 + 0.22 * light.hard * light.sun[2] + 0.14 * (1 - light.hard)) * np.array(light.tint)
        contact = np.exp(-np.maximum(self.wall - y, 0) / 0.5)[..., None] * 0.3
        colour = colour * (1 - contact)
        haze = (1 - np.exp(-s / 260))[..., None]
        colour = colour + (np.array(light.haze) - colour) * haze
        return (np.clip(colour, 0, 1) * 255).astype(np.float32), below.astype(np.float32)

    def shadow(self, context, outlines):
        """Throws outlines (lists of points [n, 3]) along the sun, and lays a soft dark patch under them."""
        light = self.light
        for points in outlines:
            points = np.array(points)
            foot = points[points[:, 2] == 0]
            reach = points[:, 2:] / light.sun[2]
            for strength, spread in ((0.36 * light.hard, points - light.sun * reach), (0.22, foot)):
                if strength < 0.03 or len(spread) < 3:
                    continue
                spread = spread * [1, 1, 0]
                shape = hull(spread[:, :2])
                if len(shape) < 3:
                    continue
                p, depth = self.camera.project(np.concatenate([shape, np.zeros((len(shape), 1))], 1))
                if depth.min() < 0.5:
                    continue
                context.set_source_rgba(0.03, 0.04, 0.08, strength)
                context.move_to(*p[0])
                for q in p[1:]:
                    context.line_to(*q)
                context.close_path()
                context.fill()

    def in_sight(self, position, size):
        """Whether an object of that size there can show in the frame."""
        reach = max(size) / 2
        xy, _ = self.camera.project([position])
        depth = float((position - self.camera.position) @ self.camera.axes[2])
        if depth < 1.2:
            return False
        margin = reach * self.camera.focal / depth
        return depth < 140 and -margin < xy[0, 0] < WIDTH + margin and xy[0, 1] < HEIGHT + 6 * margin

    def paint_still(self):
        """Draws what never moves once: a list of (position, layer, mask, label, bounds)."""
        self.layers = []
        shade = Screen(self.camera)
        for at, primitives in self.still:
            self.keep_still(shade, at, primitives, None, [])
            crown = [p[1][0] for p in primitives if p[0] == "disc"]
            if len(crown) > 100:
                self.shadow(shade.context, [crown])
        for mover in self.movers:
            if mover.speed:
                continue
            position, heading, phase = mover.state(0)
            if self.in_sight(position, mover.thing.size):
                primitives = mover.thing.primitives(position, heading, phase, self.camera.position, self.light)
                self.keep_still(
                    shade, position, primitives, mover.thing.label_id, mover.thing.outline(position, heading, phase)
                )
        layer = shade.array().astype(np.float32)
        self.backdrop = self.backdrop * (1 - layer[..., 3:] / 255) + layer[..., 2::-1]
        base = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
        base[..., 2::-1] = self.backdrop.clip(0, 255).astype(np.uint8)
        self.base = base

    def keep_still(self, shade, at, primitives, label_id, outlines):
        depth = float((at - self.camera.position) @ self.camera.axes[2])
        if depth < 1.5:
            return
        screen, mask = Screen(self.camera), Screen(self.camera, MASK_SCALE, mask=True)
        bounds = screen.draw(primitives)
        if bounds is None or bounds[0] > WIDTH or bounds[1] > HEIGHT or bounds[2] < 0 or bounds[3] < 0:
            return
        mask.draw(primitives)
        self.shadow(shade.context, outlines)
        self.layers.append((at, screen.surface, mask.array() > 127, label_id, bounds))

    def frame(self, time):
        """The picture at a time in seconds, uint8 [HEIGHT, WIDTH, 3], and its objects: (label_id, x1, y1, x2, y2)."""
        screen = Screen(self.camera)
        screen.array()[:] = self.base
        screen.surface.mark_dirty()
        shown = [(at, surface, mask, label_id, bounds) for at, surface, mask, label_id, bounds in self.layers]
        moving = []
        for mover in self.movers:
            if mover.speed:
                position, heading, phase = mover.state(time)
                if self.in_sight(position, mover.thing.size):
                    moving.append((position, mover.thing, heading, phase))
        for position, thing, heading, phase in moving:
            self.shadow(screen.context, thing.outline(position, heading, phase))
            shown.append(
                (
                    position,
                    thing.primitives(position, heading, phase, self.camera.position, self.light),
                    None,
                    thing.label_id,
                    None,
                )
            )
        shown.sort(key=lambda s: (-round(s[0][1] * 2), -abs(s[0][0])))
        found = []
        for _, what, mask, label_id, bounds in shown:
            if mask is None:
                bounds = screen.draw(what)
                if bounds is None:
                    continue
                outline = Screen(self.camera, MASK_SCALE, mask=True)
                outline.draw(what)
                mask = outline.array() > 127
            else:
                screen.context.set_source_surface(what)
                screen.context.rectangle(
                    bounds[0] - 1, bounds[1] - 1, bounds[2] - bounds[0] + 2, bounds[3] - bounds[1] + 2
                )
                screen.context.fill()
            found.append((label_id, bounds, mask))
        objects, taken = [], np.zeros((int(HEIGHT * MASK_SCALE), int(WIDTH * MASK_SCALE)), bool)
        for label_id, bounds, mask in reversed(found):  # from the front
            box = ground_truth(bounds, mask, taken) if label_id is not None else None
            taken = taken | mask
            if box:
                objects.append((label_id, *box))
        return self.develop(screen.array()[..., 2::-1].astype(np.float32), time), objects

    def develop(self, picture, time):
        """Lens and sensor: blur, exposure, grain."""
        if self.softness:
            k = self.softness
            picture = (1 - 2 * k) * picture + k * (np.roll(picture, 1, 0) + np.roll(picture, -1, 0))
            picture = (1 - 2 * k) * picture + k * (np.roll(picture, 1, 1) + np.roll(picture, -1, 1))
        table = (255 * (np.arange(256) / 255) ** self.gamma * self.light.exposure).astype(np.float32)
        picture = table[np.clip(picture, 0, 255).astype(np.uint8)]
        shift = np.random.default_rng([self.seed, int(round(time * 1000))]).integers(0, 64, 2)
        picture += self.grain_strength * self.grain[shift[0] : shift[0] + HEIGHT, shift[1] : shift[1] + WIDTH]
        return np.clip(picture, 0, 255).astype(np.uint8)


def ground_truth(bounds, mask, taken):
    """The box of an object cut to the frame, or None where too little shows (MIN_WIDTH, MIN_HEIGHT, MIN_VISIBLE).

    mask: its silhouette in the frame; taken: what stands before it; both bool at MASK_SCALE.
    """
    x1, y1, x2, y2 = max(bounds[0], 0), max(bounds[1], 0), min(bounds[2], WIDTH), min(bounds[3], HEIGHT)
    if x2 - x1 < MIN_WIDTH or y2 - y1 < MIN_HEIGHT:
        return None
    within = (x2 - x1) * (y2 - y1) / ((bounds[2] - bounds[0]) * (bounds[3] - bounds[1]))
    area = mask.sum()
    if not area or within * (mask & ~taken).sum() / area < MIN_VISIBLE:
        return None
    return float(x1), float(y1), float(x2), float(y2)


def encode(frames, path, bitrate):
    """Writes RGB frames as H.264 in MP4; bitrate in kbit/s."""
    pipeline = [
        "gst-launch-1.0",
        "-q",
        "fdsrc",
        "fd=0",
        f"blocksize={WIDTH * HEIGHT * 3}",
        "!",
        "rawvideoparse",
        "format=rgb",
        f"width={WIDTH}",
        f"height={HEIGHT}",
        f"framerate={FPS}/1",
        "!",
        "videoconvert",
        "!",
        "video/x-raw,format=I420,colorimetry=bt709",
        "!",
        "x264enc",
        f"bitrate={bitrate}",
        "speed-preset=slower",
        "key-int-max=125",
        "!",
        "video/x-h264,profile=high",
        "!",
        "mp4mux",
        "faststart=true",
        "!",
        "filesink",
        f"location={path}",
    ]
    process = subprocess.Popen(pipeline, stdin=subprocess.PIPE)
    for frame in frames:
        process.stdin.write(frame.tobytes())
    process.stdin.close()
    if process.wait():
        raise SystemExit(f"{path}: encoding failed")


def clip(seed, seconds, video, truth, bitrate=330):
    """Renders a clip and writes video and ground truth."""
    scene, frames = Scene(seed), []

    def pictures():
        for index in range(int(seconds * FPS)):
            picture, objects = scene.frame(index / FPS)
            frames.append(
                [{"label": LABELS[o[0]], "label_id": o[0], "box": [round(v, 1) for v in o[1:]]} for o in objects]
            )
            yield picture

    encode(pictures(), video, bitrate)
    with open(truth, "w") as out:
        json.dump(
            {"seed": seed, "fps": FPS, "width": WIDTH, "height": HEIGHT, "labels": LABELS, "frames": frames},
            out,
            separators=(",", ":"),
        )


def pool(first, scenes, path):
    """Training frames: images uint8 [n, 192, 320, 3], boxes float32 [m, 6] as (image, label_id, x1, y1, x2, y2)."""
    images, boxes = [], []
    for seed in range(first, first + scenes):
        scene = Scene(seed)
        for k in range(POOL_FRAMES):
            picture, objects = scene.frame(k * 2.3)
            halves = picture.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean((1, 3))
            boxes += [(len(images), o[0], *(v / 2 for v in o[1:])) for o in objects]
            images.append((halves + 0.5).astype(np.uint8))
    np.savez(path, images=np.array(images), boxes=np.array(boxes, np.float32).reshape(-1, 6))


def sheet(first, scenes, path, columns=3):
    """A contact sheet with boxes."""
    rows = -(-scenes // columns)
    out = cairo.ImageSurface(cairo.FORMAT_RGB24, WIDTH * columns, HEIGHT * rows)
    context = cairo.Context(out)
    for index in range(scenes):
        picture, objects = Scene(first + index).frame(1.0)
        data = np.full((HEIGHT, WIDTH, 4), 255, np.uint8)
        data[..., 2::-1] = picture
        x, y = index % columns * WIDTH, index // columns * HEIGHT
        context.set_source_surface(cairo.ImageSurface.create_for_data(data, cairo.FORMAT_RGB24, WIDTH, HEIGHT), x, y)
        context.paint()
        for label_id, x1, y1, x2, y2 in objects:
            context.set_source_rgb(*[(1, 1, 0), (1, 0.3, 0), (0, 1, 0.3), (0, 0.8, 1)][label_id])
            context.rectangle(x + x1, y + y1, x2 - x1, y2 - y1)
            context.set_line_width(1)
            context.stroke()
    out.write_to_png(path)


def main():
    command, *arguments = sys.argv[1:] or [""]
    if command == "clip" and len(arguments) == 4:
        clip(int(arguments[0]), float(arguments[1]), arguments[2], arguments[3])
    elif command in ("pool", "sheet") and len(arguments) == 3:
        {"pool": pool, "sheet": sheet}[command](int(arguments[0]), int(arguments[1]), arguments[2])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
