#!/usr/bin/env python3
"""Trains the street detector on rendered scenes, and exports it.

    train.py train LENGTH WEIGHTS.pt POOL.npz [POOL.npz ...]     from chance; LENGTH in batches (2000) or minutes (30m)
    train.py continue START.pt LENGTH WEIGHTS.pt POOL.npz [...]  another round
    train.py export WEIGHTS.pt OUT.onnx
    train.py validate WEIGHTS.pt|MODEL.onnx POOL.npz [...]       mAP on pools that were not trained on
    train.py detect WEIGHTS.pt|MODEL.onnx CLIP.mp4 OUT.jsonl     detections in Leat's JSON lines, for evaluate.py

The network is a small convolutional pyramid with strides 8, 16 and 32 and one anchor point a cell. Its input is
[batch, 3, 192, 320] in RGB, 0..1; its output [batch, 4 + classes, cells]: centre x, centre y, width, height in input
pixels, then the score of each class.
"""
import copy
import json
import math
import subprocess
import sys
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import evaluate
from render import FPS, LABELS, MIN_HEIGHT, MIN_WIDTH
from render import HEIGHT as CLIP_HEIGHT
from render import WIDTH as CLIP_WIDTH

WIDTH, HEIGHT, STRIDES = 320, 192, (8, 16, 32)
BATCH, LEARNING_RATE, WEIGHT_DECAY, WARM_UP = 8, 1.5e-3, 2e-2, 200
BOX_WEIGHT, CLASS_WEIGHT = 5.0, 1.0
# Task-aligned assignment (TOOD, Feng et al. 2021): alignment = score^ALPHA * IoU^BETA, the best TOP points a box.
ALPHA, BETA, TOP = 0.5, 6.0, 10


class Conv(nn.Sequential):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs, outputs, kernel=3, stride=1, groups=1):
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(True),
        )


class Residual(nn.Module):
    """Squeeze to half the channels, 3x3 back, added to the input."""

    def __init__(self, channels):
        super().__init__()
        self.body = nn.Sequential(Conv(channels, channels // 2, 1), Conv(channels // 2, channels))

    def forward(self, x):
        return x + self.body(x)


class Pooled(nn.Module):
    """Max-pooling over three growing neighbourhoods, gathered (SPPF)."""

    def __init__(self, channels):
        super().__init__()
        self.squeeze, self.gather = Conv(channels, channels // 2, 1), Conv(channels * 2, channels, 1)
        self.pool = nn.MaxPool2d(5, 1, 2)

    def forward(self, x):
        x = [self.squeeze(x)]
        for _ in range(3):
            x.append(self.pool(x[-1]))
        return self.gather(torch.cat(x, 1))


def separable(inputs, outputs):
    """Depthwise 3x3, then 1x1."""
    return nn.Sequential(Conv(inputs, inputs, 3, groups=inputs), Conv(inputs, outputs, 1))


class Detector(nn.Module):
    """The network; decode() turns raw maps into the output described above."""

    def __init__(self, classes=len(LABELS), widths=(16, 24, 64, 80, 96), neck=64):
        super().__init__()
        self.classes = classes
        a, b, c, d, e = widths
        self.stem = nn.Sequential(Conv(3, a, 3, 2), Conv(a, b, 3, 2), Residual(b))
        self.stage8 = nn.Sequential(Conv(b, c, 3, 2), Residual(c), Residual(c))
        self.stage16 = nn.Sequential(Conv(c, d, 3, 2), Residual(d), Residual(d))
        self.stage32 = nn.Sequential(Conv(d, e, 3, 2), Residual(e), Pooled(e))
        self.laterals = nn.ModuleList(Conv(n, neck, 1) for n in (c, d, e))
        self.smooth = nn.ModuleList(separable(neck, neck) for _ in range(2))
        self.down = nn.ModuleList(Conv(neck, neck, 3, 2, groups=neck) for _ in range(2))
        self.merge = nn.ModuleList(separable(neck, neck) for _ in range(2))
        tower = lambda outputs: nn.Sequential(separable(neck, neck), separable(neck, neck), nn.Conv2d(neck, outputs, 1))
        self.boxes = nn.ModuleList(tower(4) for _ in STRIDES)
        self.scores = nn.ModuleList(tower(classes) for _ in STRIDES)
        for head in self.scores:
            nn.init.constant_(head[-1].bias, math.log(0.01 / 0.99))
        points = [
            ((x + 0.5) * s, (y + 0.5) * s, s) for s in STRIDES for y in range(HEIGHT // s) for x in range(WIDTH // s)
        ]
        points = torch.tensor(points).T[None]
        self.register_buffer("centres", points[:, :2].clone())
        self.register_buffer("strides", points[:, 2:].clone())

    def raw(self, images):
        """Box numbers [batch, 4, cells] and class logits [batch, classes, cells]."""
        p8 = self.stage8(self.stem(images))
        p16 = self.stage16(p8)
        p32 = self.stage32(p16)
        p8, p16, p32 = (lateral(p) for lateral, p in zip(self.laterals, (p8, p16, p32)))
        p16 = self.smooth[0](p16 + F.interpolate(p32, scale_factor=2.0, mode="nearest"))
        p8 = self.smooth[1](p8 + F.interpolate(p16, scale_factor=2.0, mode="nearest"))
        p16 = self.merge[0](p16 + self.down[0](p8))
        p32 = self.merge[1](p32 + self.down[1](p16))
        levels = (p8, p16, p32)
        cells = [(HEIGHT // s) * (WIDTH // s) for s in STRIDES]
        gather = lambda heads, rows: torch.cat(
            [head(p).reshape(-1, rows, n) for head, p, n in zip(heads, levels, cells)], 2
        )
        return gather(self.boxes, 4), gather(self.scores, self.classes)

    def decode(self, numbers):
        """Box numbers to centre x, centre y, width, height in input pixels."""
        offset, size = numbers.split(2, 1)
        return torch.cat([self.centres + offset * self.strides, torch.exp(size) * self.strides], 1)

    def forward(self, images):
        numbers, logits = self.raw(images)
        return torch.cat([self.decode(numbers), torch.sigmoid(logits)], 1)


def corners(boxes):
    """Centre and size to corners, boxes [..., 4]."""
    return torch.cat([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2], -1)


def box_iou(a, b):
    """IoU of boxes as corners, shapes broadcast."""
    common = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(0).prod(-1)
    area = lambda t: (t[..., 2:] - t[..., :2]).clamp(0).prod(-1)
    return common / (area(a) + area(b) - common + 1e-7)


def complete_iou(a, b):
    """CIoU (Zheng et al. 2020) of boxes as corners: IoU less what centre distance and aspect ratio cost."""
    iou = box_iou(a, b)
    outer = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    distance = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) ** 2).sum(-1) / 4
    size = lambda t: (t[..., 2:] - t[..., :2]).clamp(1e-3)
    angle = lambda t: torch.atan(size(t)[..., 0] / size(t)[..., 1])
    v = 4 / math.pi**2 * (angle(a) - angle(b)) ** 2
    with torch.no_grad():
        alpha = v / (1 - iou + v + 1e-7)
    return iou - distance / ((outer**2).sum(-1) + 1e-7) - alpha * v


@torch.no_grad()
def assign(model, boxes, scores, truth, labels, real):
    """Which point learns which object.

    boxes [b, n, 4] as corners, scores [b, n, classes], truth [b, m, 4], labels [b, m], real [b, m] (0 for padding).
    Returns target boxes [b, n, 4], soft class targets [b, n, classes].
    """
    points = model.centres[0].T
    iou = box_iou(truth[:, :, None], boxes[:, None]).clamp(0)
    score = scores.transpose(1, 2).gather(1, labels[..., None].expand(-1, -1, boxes.shape[1]))
    middle, half = (truth[..., :2] + truth[..., 2:]) / 2, ((truth[..., 2:] - truth[..., :2]) / 2).clamp(
        STRIDES[0] * 0.75
    )
    inside = ((points[None, None] - middle[:, :, None]).abs() < half[:, :, None]).all(-1) & (real[..., None] > 0)
    align = score**ALPHA * iou**BETA * inside
    best = align.topk(TOP, -1)
    chosen = torch.zeros_like(align).scatter_(-1, best.indices, 1.0) * inside * (align > 1e-12)
    rival = chosen.sum(1) > 1
    closest = F.one_hot((iou * inside).argmax(1), truth.shape[1]).transpose(1, 2).to(chosen.dtype)
    chosen = torch.where(rival[:, None], closest * inside, chosen)
    align = align * chosen
    share = align / (align.amax(-1, keepdim=True) + 1e-9) * (iou * chosen).amax(-1, keepdim=True)
    weight, owner = share.max(1)
    target_boxes = truth.gather(1, owner[..., None].expand(-1, -1, 4))
    target_labels = labels.gather(1, owner)
    return target_boxes, F.one_hot(target_labels, scores.shape[-1]) * weight[..., None]


def loss(model, images, truth, labels, real):
    """Class and box loss of a batch, weighted."""
    numbers, logits = model.raw(images)
    boxes, logits = corners(model.decode(numbers).transpose(1, 2)), logits.transpose(1, 2)
    target_boxes, target = assign(model, boxes.detach(), logits.detach().sigmoid(), truth, labels, real)
    total = target.sum().clamp(1)
    by_class = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / total
    weight = target.sum(-1)
    mask = weight > 0
    by_box = ((1 - complete_iou(boxes[mask], target_boxes[mask])) * weight[mask]).sum() / total
    return CLASS_WEIGHT * by_class, BOX_WEIGHT * by_box


def cosine_basis():
    """The 8x8 matrix of the discrete cosine transform."""
    k = torch.arange(8.0)
    basis = torch.cos(math.pi / 8 * (k[None] + 0.5) * k[:, None]) * 0.5
    basis[0] /= math.sqrt(2)
    return basis


BASIS = cosine_basis()


def coarsen(images, step):
    """What a video codec does: 8x8 blocks' coefficients rounded to multiples of `step` [batch], the higher the coarser."""
    n = images.shape[0]
    blocks = images.view(n, 3, HEIGHT // 8, 8, WIDTH // 8, 8).transpose(3, 4)
    coefficients = BASIS @ blocks @ BASIS.T
    k = torch.arange(8.0)
    size = step.view(n, 1, 1, 1, 1, 1) * (1 + 0.35 * (k[:, None] + k))
    blocks = BASIS.T @ (torch.round(coefficients / size) * size) @ BASIS
    return blocks.transpose(3, 4).reshape(n, 3, HEIGHT, WIDTH)


def zoom(image, boxes, rng):
    """A random part of the picture at full size, with the boxes that keep 40 % of themselves in it.

    image [3, HEIGHT, WIDTH] 0..1; boxes float32 [m, 5] as (label_id, x1, y1, x2, y2).
    """
    k = rng.uniform(0.5, 1) if rng.random() < 0.7 else rng.uniform(1, 1.3)
    stretch = rng.uniform(0.88, 1.14)
    w, h = WIDTH * k * stretch, HEIGHT * k / stretch
    x, y = rng.uniform(min(0, WIDTH - w), max(0, WIDTH - w)), rng.uniform(min(0, HEIGHT - h), max(0, HEIGHT - h))
    theta = torch.tensor(
        [[w / WIDTH, 0, (2 * x + w) / WIDTH - 1], [0, h / HEIGHT, (2 * y + h) / HEIGHT - 1]], dtype=torch.float32
    )
    grid = F.affine_grid(theta[None], (1, 3, HEIGHT, WIDTH), align_corners=False)
    image = (
        F.grid_sample(image[None], grid, padding_mode="reflection", align_corners=False)[0]
        if k < 1
        else F.grid_sample(image[None], grid, align_corners=False)[0]
    )
    moved = boxes.copy()
    moved[:, [1, 3]] = (boxes[:, [1, 3]] - x) * WIDTH / w
    moved[:, [2, 4]] = (boxes[:, [2, 4]] - y) * HEIGHT / h
    before = (moved[:, 3] - moved[:, 1]) * (moved[:, 4] - moved[:, 2])
    moved[:, [1, 3]], moved[:, [2, 4]] = moved[:, [1, 3]].clip(0, WIDTH), moved[:, [2, 4]].clip(0, HEIGHT)
    after = (moved[:, 3] - moved[:, 1]) * (moved[:, 4] - moved[:, 2])
    keep = (
        (after > 0.4 * before)
        & (moved[:, 3] - moved[:, 1] >= MIN_WIDTH / 2)
        & (moved[:, 4] - moved[:, 2] >= MIN_HEIGHT / 2)
    )
    return image, moved[keep]


def recolour(images, rng):
    """Random exposure, contrast, tint, saturation, blur, block coding and grain of a batch [b, 3, h, w] in 0..1."""
    n = images.shape[0]
    draw = lambda low, high, channels=1: torch.from_numpy(
        rng.uniform(low, high, (n, channels, 1, 1)).astype(np.float32)
    )
    some = lambda share: torch.from_numpy((rng.random((n, 1, 1, 1)) < share).astype(np.float32))
    gray = images.mean(1, keepdim=True)
    images = gray + (images - gray) * draw(0.5, 1.35)
    mean = images.mean((1, 2, 3), keepdim=True)
    images = ((images - mean) * draw(0.7, 1.3) + mean) * draw(0.7, 1.3) * draw(0.92, 1.08, 3)
    soft = torch.from_numpy(rng.random(n) < 0.25)
    if soft.any():
        images[soft] = F.avg_pool2d(images[soft], 3, 1, 1, count_include_pad=False)
    images = images + torch.randn(n, 1, HEIGHT, WIDTH) * (some(0.4) * draw(0, 0.03))
    coded = torch.from_numpy(rng.random(n) < 0.35)
    if coded.any():
        step = torch.from_numpy(rng.uniform(0.01, 0.12, int(coded.sum())).astype(np.float32))
        images[coded] = coarsen(images[coded], step)
    return images.clamp(0, 1)


class Pools:
    """Rendered frames, uint8 [n, HEIGHT, WIDTH, 3]; boxes of each, float32 [m, 5] as (label_id, x1, y1, x2, y2)."""

    def __init__(self, paths):
        pools = [np.load(path) for path in paths]
        self.images = np.concatenate([p["images"] for p in pools])
        self.boxes = []
        for p in pools:
            table = p["boxes"]
            self.boxes += [table[table[:, 0] == k, 1:] for k in range(len(p["images"]))]

    def batch(self, indices, rng):
        """Augmented images [b, 3, HEIGHT, WIDTH], boxes as corners [b, m, 4], labels [b, m], which are real [b, m]."""
        images, boxes = [], []
        for index in indices:
            image, b = torch.from_numpy(self.images[index]).permute(2, 0, 1).float() / 255, self.boxes[index].copy()
            if rng.random() < 0.5:
                image = image.flip(2)
                b[:, [1, 3]] = WIDTH - b[:, [3, 1]]
            if rng.random() < 0.6:
                image, b = zoom(image, b, rng)
            images.append(image)
            boxes.append(b)
        most = max(1, max(map(len, boxes)))
        table = np.zeros((len(boxes), most, 6), np.float32)
        for row, b in zip(table, boxes):
            row[: len(b), :5], row[: len(b), 5] = b, 1
        table = torch.from_numpy(table)
        return (
            recolour(torch.stack(images), rng).contiguous(memory_format=torch.channels_last),
            table[..., 1:5],
            table[..., 0].long(),
            table[..., 5],
        )


class Batches(torch.utils.data.IterableDataset):
    """Augmented batches without end, the frames in a new random order each time through."""

    def __init__(self, pools, seed):
        super().__init__()
        self.pools, self.seed = pools, seed

    def __iter__(self):
        torch.set_num_threads(1)
        rng, order = np.random.default_rng(self.seed), []
        while True:
            if len(order) < BATCH:
                order = rng.permutation(len(self.pools.images)).tolist()
            yield self.pools.batch([order.pop() for _ in range(BATCH)], rng)


def suppress(output, threshold=0.02, iou=0.6, limit=100):
    """Greedy suppression within each class of one output [4 + classes, cells]: boxes [k, 4] as corners, scores, labels."""
    scores, labels = output[4:].max(0)
    keep = scores > threshold
    scores, labels, boxes = scores[keep].numpy(), labels[keep].numpy(), corners(output[:4].T[keep]).numpy()
    boxes = boxes.clip(0, [WIDTH, HEIGHT, WIDTH, HEIGHT])
    order, kept = np.argsort(-scores), []
    pairs = evaluate.overlaps(boxes, boxes) * (labels[:, None] == labels[None])
    for k in order:
        if len(kept) < limit and all(pairs[k, j] <= iou for j in kept):
            kept.append(k)
    return boxes[kept], scores[kept], labels[kept]


@torch.no_grad()
def validate(model, pools, step=1):
    """AP per class and threshold on every `step`-th frame of the pools, as evaluate.measure()."""
    model.eval()
    truth, found = [], []
    for index in range(0, len(pools.images), step):
        image = torch.from_numpy(pools.images[index]).permute(2, 0, 1)[None].float() / 255
        truth += [(index, int(b[0]), b[1:]) for b in pools.boxes[index]]
        found += [(index, int(label), box, float(score)) for box, score, label in zip(*suppress(model(image)[0]))]
    return evaluate.measure(truth, found, len(LABELS))


def train(length, path, pools, start=None):
    """One round under a falling learning rate, from the weights `start` or from chance.

    length: batches ("2000") or minutes ("30m").

    Writes the averaged weights at the end and every 250 batches.
    """
    timed = length.endswith("m")
    whole = float(length.rstrip("m"))
    seed = int(whole)
    torch.manual_seed(seed)
    batches = torch.utils.data.DataLoader(Batches(Pools(pools), seed), batch_size=None, num_workers=1)
    model = load(start) if start else Detector()
    model = model.to(memory_format=torch.channels_last)
    average = copy.deepcopy(model)
    decayed = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0}], LEARNING_RATE
    )
    began, log = time.time(), []
    for step, batch in enumerate(batches):
        done = min(1, (time.time() - began) / 60 / whole if timed else (step + 1) / whole)
        rate = LEARNING_RATE * min(1, (step + 1) / WARM_UP) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        model.train()
        by_class, by_box = loss(model, *batch)
        optimizer.zero_grad(set_to_none=True)
        (by_class + by_box).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        keep = min(0.995, (step + 1) / (step + 20))
        for a, b in zip(average.state_dict().values(), model.state_dict().values()):
            a.copy_(keep * a + (1 - keep) * b if a.dtype.is_floating_point else b)
        log.append((by_class.item(), by_box.item()))
        if (step + 1) % 50 == 0:
            means = np.mean(log[-50:], 0)
            print(f"step {step + 1}, {done:.0%}: class {means[0]:.3f}, box {means[1]:.3f}", flush=True)
        if (step + 1) % 250 == 0 or done >= 1:
            torch.save(average.state_dict(), path)
        if done >= 1:
            print(f"{step + 1} batches in {(time.time() - began) / 60:.1f} minutes")
            return


def load(path):
    """A detector with the weights of a .pt or an exported .onnx file, in evaluation mode."""
    model = Detector()
    if path.endswith(".onnx"):
        import onnx
        from onnx import numpy_helper

        tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in onnx.load(path).graph.initializer}
        state = model.state_dict()
        state.update({name: tensors[name] for name in state if name in tensors})
        missing = [name for name in dict(model.named_parameters()) if name not in tensors]
        if missing:
            raise SystemExit(f"{path}: no weights named {', '.join(missing)}")
    else:
        state = torch.load(path)
    model.load_state_dict(state)
    return model.eval()


def export(weights, path):
    """Writes ONNX with the customary `images` and `output0`, and what a reader needs to know in its metadata."""
    import onnx

    model = load(weights)
    torch.onnx.export(
        model,
        torch.zeros(1, 3, HEIGHT, WIDTH),
        path,
        opset_version=13,
        input_names=["images"],
        output_names=["output0"],
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
    )
    graph = onnx.load(path)
    facts = {
        "description": "Leat street detector, trained on rendered scenes",
        "author": "Leat",
        "license": "Apache-2.0",
        "task": "detect",
        "stride": str(max(STRIDES)),
        "batch": "1",
        "imgsz": str([HEIGHT, WIDTH]),
        "names": str(dict(enumerate(LABELS))),
        "resize_type": "stretch",
    }
    onnx.helper.set_model_props(graph, facts)
    graph.producer_name = "Leat"
    graph.producer_version = ""
    onnx.checker.check_model(graph)
    onnx.save(graph, path)


def frames(path):
    """The frames of a clip, decoded by GStreamer: uint8 [CLIP_HEIGHT, CLIP_WIDTH, 3]."""
    pipeline = [
        "gst-launch-1.0",
        "-q",
        "filesrc",
        f"location={path}",
        "!",
        "decodebin",
        "!",
        "videoconvert",
        "!",
        "video/x-raw,format=RGB",
        "!",
        "fdsink",
        "fd=1",
    ]
    process = subprocess.Popen(pipeline, stdout=subprocess.PIPE)
    size = CLIP_HEIGHT * CLIP_WIDTH * 3
    while len(data := process.stdout.read(size)) == size:
        yield np.frombuffer(data, np.uint8).reshape(CLIP_HEIGHT, CLIP_WIDTH, 3)
    if process.wait():
        raise SystemExit(f"{path}: decoding failed")


@torch.no_grad()
def detect(model, clip, path):
    """Detects on every frame of a clip and writes JSON lines."""
    with open(path, "w") as out:
        for index, frame in enumerate(frames(clip)):
            image = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None].float() / 255
            image = F.interpolate(image, (HEIGHT, WIDTH), mode="bilinear", align_corners=False)
            objects = []
            for box, score, label in zip(*suppress(model(image)[0])):
                edges = dict(
                    zip(("x_min", "y_min", "x_max", "y_max"), (box / [WIDTH, HEIGHT, WIDTH, HEIGHT]).round(5).tolist())
                )
                objects.append(
                    {
                        "detection": {
                            "bounding_box": edges,
                            "confidence": round(float(score), 4),
                            "label": LABELS[label],
                            "label_id": int(label),
                        }
                    }
                )
            out.write(json.dumps({"timestamp": index * 1000000000 // FPS, "objects": objects}) + "\n")


def main():
    torch.set_num_threads(1)
    command, *arguments = sys.argv[1:] or [""]
    if command == "train" and len(arguments) > 2:
        train(arguments[0], arguments[1], arguments[2:])
    elif command == "continue" and len(arguments) > 3:
        train(arguments[1], arguments[2], arguments[3:], arguments[0])
    elif command == "export" and len(arguments) == 2:
        export(*arguments)
    elif command == "validate" and len(arguments) > 1:
        pools = Pools(arguments[1:])
        counts = [sum(int((b[:, 0] == k).sum()) for b in pools.boxes) for k in range(len(LABELS))]
        evaluate.report("validation", validate(load(arguments[0]), pools), LABELS, counts)
    elif command == "detect" and len(arguments) == 3:
        detect(load(arguments[0]), *arguments[1:])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
