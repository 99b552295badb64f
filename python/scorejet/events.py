"""TensorBoard events of a run's metrics, written beside metrics.jsonl."""

import json
import os
import struct
import time
from os import PathLike
from pathlib import Path

_POLYNOMIAL = 0x82F63B78  # CRC-32C, reversed


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """The checksum of the TFRecord format (not zlib's)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    return bytes([*result, value])


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _record(event: bytes) -> bytes:
    size = struct.pack("<Q", len(event))
    return size + _masked(size) + event + _masked(event)


def _scalar(tag: str, value: float, step: int, wall_time: float) -> bytes:
    summary = _field(1, _field(1, tag.encode()) + b"\x15" + struct.pack("<f", value))
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(step) + _field(5, summary)


def write_events(run: str | PathLike[str]) -> Path:
    """Writes a run's metrics.jsonl as an events file of TensorBoard in RUN/events; returns it.

    The file is made anew and whole: `tensorboard --logdir RUN`. Raises FileNotFoundError where there
    is no metrics.jsonl.
    """
    folder = Path(run)
    start = time.time()
    parts = [_record(b"\x09" + struct.pack("<d", start) + _field(3, b"brain.Event:2"))]
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        try:
            metrics = json.loads(line)
        except json.JSONDecodeError:
            continue  # a last line that a kill tore off
        step, seconds = int(metrics["step"]), float(metrics.get("seconds", 0))
        for tag, value in metrics.items():
            if tag not in ("step", "seconds") and isinstance(value, int | float):
                parts.append(_record(_scalar(tag, float(value), step, start + seconds)))
    target = folder / "events" / "events.out.tfevents.0000000000.scorejet"
    target.parent.mkdir(exist_ok=True)
    whole = target.with_suffix(".part")
    whole.write_bytes(b"".join(parts))
    os.replace(whole, target)
    return target
