"""Counts how often the chains of a run on MNIST change from one digit to another.

    python examples/class_changes.py RUN DATA    # RUN/sample/chains*.npz, DATA/mnist/train-*

Each kept position is denoised, and has the class of most of its five nearest training digits.
"""

import gzip
import sys
from pathlib import Path

import numpy as np
import torch

import scorejet


def read_idx(folder: Path, name: str, offset: int) -> np.ndarray:
    path = next(folder.glob(name + "*"))
    data = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    return np.frombuffer(data, np.uint8, offset=offset)


def main(run: Path, data: Path) -> None:
    digits = read_idx(data / "mnist", "train-images", 16).reshape(-1, 784)[:20000]
    digits = torch.from_numpy(digits / np.float32(255))
    labels = torch.from_numpy(read_idx(data / "mnist", "train-labels", 8)[:20000].astype(np.int64))
    net = scorejet.load(run)
    for file in sorted((run / "sample").glob("chains*.npz")):
        positions = torch.from_numpy(np.load(file)["positions"]).float()
        chains, kept = positions.shape[:2]
        with torch.no_grad():
            means = net(positions.reshape(-1, 1, 28, 28), net.sigma_range[0]).reshape(-1, 784)
        nearest = torch.cdist(means, digits).topk(5, largest=False).indices
        classes = labels[nearest].mode(1).values.reshape(chains, kept)
        changes = int((classes[:, 1:] != classes[:, :-1]).sum())
        ended = int((classes[:, -1] != classes[:, 0]).sum())
        print(f"{file.stem}: {changes} changes in {chains} chains, {ended} end in another class")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
