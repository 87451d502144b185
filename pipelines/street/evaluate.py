#!/usr/bin/env python3
"""Mean average precision of detections on a clip, held against its ground truth.

    evaluate.py TRUTH.json DETECTIONS.jsonl [TRUTH.json DETECTIONS.jsonl ...]

TRUTH.json is what `render.py clip` writes. DETECTIONS.jsonl holds one JSON object a line, as
`leatmetaconvert ! leatpublish file-format=json-lines` writes them: `timestamp` in ns and `objects`, each with `detection`
(`bounding_box` in fractions of the frame, `confidence`, `label` or `label_id`). A line belongs to frame
round(timestamp * fps); a frame without a line is a frame without detections. Several pairs are also measured together.

Average precision: detections of a class over all frames by falling confidence; each takes the free ground-truth box of its
class and frame that it overlaps most, if IoU reaches the threshold, else it is false; AP is the area under precision over
recall with precision made monotone (all points). mAP is the mean over the classes that occur in the ground truth;
mAP@0.5:0.95 the mean of it over the thresholds 0.50, 0.55 ... 0.95.
"""
import json
import sys

import numpy as np

THRESHOLDS = [0.5 + 0.05 * k for k in range(10)]


def overlaps(a, b):
    """IoU of every box in a [n, 4] with every box in b [m, 4], as (x1, y1, x2, y2): [n, m]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    area = lambda boxes: (boxes[:, 2:] - boxes[:, :2]).prod(1)
    return common / np.maximum(area(a)[:, None] + area(b)[None] - common, 1e-9)


def average_precision(hits, total):
    """Area under the precision-recall curve.

    hits: bool [n], whether each detection is right, best confidence first; total: number of ground-truth boxes.
    """
    right = np.cumsum(hits)
    recall = np.concatenate([[0], right / total, [1]])
    precision = np.concatenate([[1], right / (np.arange(len(hits)) + 1), [0]])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum((recall[1:] - recall[:-1]) * precision[1:]))


def class_hits(truth, found, threshold):
    """Which detections of one class are right: bool [n], best confidence first.

    truth: {frame: boxes [m, 4]}; found: list of (confidence, frame, box), best confidence first.
    """
    taken = {frame: np.zeros(len(boxes), bool) for frame, boxes in truth.items()}
    hits = np.zeros(len(found), bool)
    for k, (_, frame, box) in enumerate(found):
        if frame not in truth:
            continue
        iou = np.where(taken[frame], -1, overlaps(np.array([box]), truth[frame])[0])
        best = int(iou.argmax())
        if iou[best] >= threshold:
            hits[k] = taken[frame][best] = True
    return hits


def measure(truth, found, classes):
    """AP per class and threshold, [classes, 10]; NaN where the ground truth has no such object.

    truth: list of (frame, label_id, box); found: list of (frame, label_id, box, confidence).
    frame: any key; box: (x1, y1, x2, y2) in pixels.
    """
    table = np.full((classes, len(THRESHOLDS)), np.nan)
    for label_id in range(classes):
        boxes = {}
        for frame, label, box in truth:
            if label == label_id:
                boxes.setdefault(frame, []).append(box)
        boxes = {frame: np.array(b, float) for frame, b in boxes.items()}
        total = sum(map(len, boxes.values()))
        mine = sorted(((f[3], f[0], f[2]) for f in found if f[1] == label_id), key=lambda d: -d[0])
        if total:
            table[label_id] = [average_precision(class_hits(boxes, mine, t), total) for t in THRESHOLDS]
    return table


def read_truth(path):
    """The ground truth of a clip: the whole document, and a list of (frame, label_id, box)."""
    with open(path) as file:
        clip = json.load(file)
    return clip, [(k, o["label_id"], o["box"]) for k, frame in enumerate(clip["frames"]) for o in frame]


def read_detections(path, clip):
    """Detections in JSON lines: a list of (frame, label_id, box in pixels, confidence)."""
    found = []
    with open(path) as file:
        for line in filter(str.strip, file):
            message = json.loads(line)
            frame = round(message["timestamp"] * clip["fps"] / 1e9)
            for entry in message.get("objects", []):
                detection = entry.get("detection")
                if not detection:
                    continue
                b = detection["bounding_box"]
                box = [
                    b["x_min"] * clip["width"],
                    b["y_min"] * clip["height"],
                    b["x_max"] * clip["width"],
                    b["y_max"] * clip["height"],
                ]
                label = clip["labels"].index(detection["label"]) if "label" in detection else detection["label_id"]
                found.append((frame, label, box, detection["confidence"]))
    return found


def report(title, table, labels, counts):
    """Prints a table from measure()."""
    print(f"{title}: mAP@0.5 {np.nanmean(table[:, 0]):.3f}, mAP@0.5:0.95 {np.nanmean(table):.3f}")
    for label_id, label in enumerate(labels):
        if counts[label_id]:
            print(
                f"  {label:8} AP@0.5 {table[label_id, 0]:.3f}, AP@0.5:0.95 {table[label_id].mean():.3f}, {counts[label_id]} boxes"
            )


def main():
    paths = sys.argv[1:]
    if not paths or len(paths) % 2:
        raise SystemExit(__doc__)
    all_truth, all_found = [], []
    for truth_path, found_path in zip(paths[::2], paths[1::2]):
        clip, truth = read_truth(truth_path)
        found = read_detections(found_path, clip)
        labels = clip["labels"]
        count = lambda rows: [sum(r[1] == k for r in rows) for k in range(len(labels))]
        report(truth_path, measure(truth, found, len(labels)), labels, count(truth))
        all_truth += [((truth_path, f), *rest) for f, *rest in truth]
        all_found += [((truth_path, f), *rest) for f, *rest in found]
    if len(paths) > 2:
        report("together", measure(all_truth, all_found, len(labels)), labels, count(all_truth))


if __name__ == "__main__":
    main()
