"""Files of tensors (safetensors) and of text, replaced whole. Change what is accepted here."""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_TYPES = {
    "F64": torch.float64,
    "I64": torch.int64,
    "F32": torch.float32,
    "I32": torch.int32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U8": torch.uint8,
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


def fail_file(path: str | Path, problem: str) -> RuntimeError:
    """The error of a file that is not as it must be, to be raised."""
    return RuntimeError(f"[scorejet] {path}: {problem}")


def read_safetensors(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file and its metadata.

    Raises
    ------
    RuntimeError : in one line, where the file is truncated or its header does not fit its bytes.
    """
    data = Path(path).read_bytes()
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    if len(data) < 8 or length > len(data) - 8:
        raise fail_file(path, f"truncated: the header needs {length} bytes of {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict):
        raise fail_file(path, "header must be a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise fail_file(path, "__metadata__ must hold texts")
    body = memoryview(data)[8 + length :]
    regions = {key: _region(path, key, entry, len(body)) for key, entry in header.items()}
    position = 0
    for key, (_, _, begin, end) in sorted(regions.items(), key=lambda item: item[1][2:]):
        if begin != position:
            raise fail_file(path, f"{key} must start at byte {position}; got {begin}")
        position = end
    if position != len(body):
        raise fail_file(path, f"tensors fill {position} bytes; got {len(body)}")
    tensors = {}
    for key, (dtype, shape, begin, end) in regions.items():
        flat = torch.empty(0, dtype=dtype)
        if end > begin:
            flat = torch.frombuffer(bytearray(body[begin:end]), dtype=dtype)
        tensors[key] = flat.reshape(shape)
    return tensors, metadata


def _region(
    path: str | Path, key: str, entry: Any, size: int
) -> tuple[torch.dtype, list[int], int, int]:
    """Type, shape, first byte and last of one entry of the header."""
    entry = entry if isinstance(entry, dict) else {}
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    sound = all(
        isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)
        for numbers in (shape, offsets)
    )
    if not sound or len(offsets) != 2:
        raise fail_file(path, f'entry "{key}" of the header is malformed')
    dtype = _TYPES.get(str(entry.get("dtype")))
    if dtype is None:
        raise fail_file(path, f"{key} must be {', '.join(_TYPES)}; got {entry.get('dtype')}")
    begin, end = offsets
    needed = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
    if begin > end or end > size or end - begin != needed:
        raise fail_file(
            path, f"{key} {shape} needs {needed} bytes; its offsets are {begin}..{end} of {size}"
        )
    return dtype, shape, begin, end


def write_safetensors(
    path: str | Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes a file that safetensors and the command read; it replaces an old one whole."""
    header: dict[str, Any] = {"__metadata__": dict(sorted(metadata.items()))} if metadata else {}
    flat = {key: t.detach().cpu().contiguous().reshape(-1) for key, t in sorted(tensors.items())}
    wide_first = sorted(flat, key=lambda key: -flat[key].element_size())
    position = 0
    for key in wide_first:
        end = position + flat[key].numel() * flat[key].element_size()
        header[key] = {
            "dtype": _NAMES[flat[key].dtype],
            "shape": list(tensors[key].shape),
            "data_offsets": [position, end],
        }
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    parts = [flat[key].view(torch.uint8).numpy().tobytes() for key in wide_first]
    write_file(path, b"".join([struct.pack("<Q", len(text)), text, *parts]))


def write_file(path: str | Path, data: bytes | str) -> None:
    """Writes beside the target, syncs and renames over it: the file is whole or the old one."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: str | Path) -> Any:
    try:
        return json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError):
        raise fail_file(path, "must be JSON") from None
