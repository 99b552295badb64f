"""Runs read from Python, weights put back into them, and files that are refused."""

from __future__ import annotations

import copy
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from net_runs import GOLDEN, arrays, compare, points, points_file, score, stir

from scorejet import nets
from scorejet._files import read_safetensors, write_safetensors


def test_weights_last_and_averaged_are_those_of_the_checkpoint(command, make_run, tmp_path):
    run = make_run("mlp_low_rank_data", tmp_path / "run")
    tensors, _ = read_safetensors(run / "checkpoints" / "last.safetensors")
    for group, weights in (("ema", "ema"), ("weights", "last")):
        net = nets.load(run, weights=weights)
        state = net.network.state_dict()
        assert sorted(state) == sorted(
            k.split("/")[1] for k in tensors if k.startswith(f"{group}/")
        )
        assert all(torch.equal(state[k], tensors[f"{group}/{k}"]) for k in state)
    assert not torch.equal(tensors["ema/s1.weight"], tensors["weights/s1.weight"])
    with pytest.raises(ValueError, match='weights must be ema or last; got "best"'):
        nets.load(run, weights="best")


@pytest.mark.parametrize("name", ["mlp_third", "unet_low_rank"])
def test_a_net_trained_further_goes_back_into_the_command(name, command, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / name, run)
    net = nets.load(run)
    before = copy.deepcopy(net.state_dict())
    table = np.load(GOLDEN / ("rows.npy" if name.startswith("mlp") else "discs.npy"))
    clean = torch.from_numpy(table[:32]).view(-1, *net.sample_shape)
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    torch.manual_seed(1)
    for _ in range(5):
        noisy = clean + 0.3 * torch.randn_like(clean)
        loss = (net(noisy, 0.3) - clean).square().mean()
        loss = loss + 1e-3 * net.second_order(noisy, 0.3).factor.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert not torch.equal(before["network.s1.weight"], net.state_dict()["network.s1.weight"])

    old, metadata = read_safetensors(run / "checkpoints" / "last.safetensors")
    nets.save_run_weights(net, run)
    new, kept = read_safetensors(run / "checkpoints" / "last.safetensors")
    assert kept == metadata and sorted(new) == sorted(old)
    assert all(torch.equal(old[k], new[k]) for k in old if k.startswith(("adam/", "data/")))
    assert [p.name for p in (run / "checkpoints").iterdir()] == ["last.safetensors"]

    expected = score(command, run, points_file(name), net.max_order, tmp_path / "scores.npz")
    compare(arrays(net, points(net, points_file(name)), 0.3), expected, f"{name} trained further")


def test_a_run_goes_on_from_weights_put_back(command, data, make_run, tmp_path):
    run = make_run("mlp_low_rank_data", tmp_path / "run")
    net = nets.load(run)
    stir(net)
    nets.save_run_weights(net, run)
    config = (run / "config.toml").read_text().replace("steps = 3 ", "steps = 5 ")
    (tmp_path / "config.toml").write_text(config)
    command("train", tmp_path / "config.toml", "--resume", "--out", run)
    after = nets.load(run, weights="last")
    moved = (after.network.s1.weight - net.network.s1.weight).abs().max()
    assert after.details["step"] == 5 and 0 < float(moved) < 0.1


def test_weights_of_another_model_are_not_put_back(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(GOLDEN / "mlp_low_rank", run)
    file = run / "checkpoints" / "last.safetensors"
    whole = file.read_bytes()
    with pytest.raises(ValueError, match='net must have s3 "none", as the run; got "low_rank"'):
        nets.save_run_weights(nets.load(GOLDEN / "mlp_third"), run)
    net = nets.load(run)
    net.data_mean += 1
    with pytest.raises(ValueError, match="net must have the data_mean of the run; got another"):
        nets.save_run_weights(net, run)
    net = nets.load(run)
    with torch.no_grad():
        net.network.s1.bias[0] = float("nan")
    with pytest.raises(ValueError, match="net must have finite weights; got others in s1.bias"):
        nets.save_run_weights(net, run)
    assert file.read_bytes() == whole


@pytest.mark.parametrize("name", ["mlp_low_rank", "unet_low_rank"])
def test_a_checkpoint_is_written_byte_for_byte_as_the_command_wrote_it(name, tmp_path):
    file = GOLDEN / name / "checkpoints" / "last.safetensors"
    write_safetensors(tmp_path / "again.safetensors", *read_safetensors(file))
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def safetensors(header: object, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(shape: object, offsets: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


MALFORMED = {
    "empty": (b"", "truncated"),
    "seven bytes": (b"1234567", "truncated"),
    "header longer than the file": (struct.pack("<Q", 2**63) + b"{}", "truncated"),
    "no JSON": (safetensors(b"{,"), "header must be a JSON object"),
    "no text": (safetensors(b"\xff\xfe"), "header must be a JSON object"),
    "deep": (safetensors(b"[" * 100000), "header must be a JSON object"),
    "list": (safetensors([]), "header must be a JSON object"),
    "metadata": (safetensors({"__metadata__": {"a": 1}}), "__metadata__ must hold texts"),
    "entry": (safetensors({"a": 3}), '"a" of the header is malformed'),
    "negative": (
        safetensors({"a": entry([-1], [0, 4])}, b"1234"),
        '"a" of the header is malformed',
    ),
    "fraction": (safetensors({"a": entry([1.0], [0, 4])}, b"1234"), "malformed"),
    "true": (safetensors({"a": entry([True], [0, 4])}, b"1234"), "malformed"),
    "one offset": (safetensors({"a": entry([1], [0])}, b"1234"), "malformed"),
    "dtype": (safetensors({"a": entry([1], [0, 4], "F31")}, b"1234"), "a must be F64, .*got F31"),
    "product": (
        safetensors({"a": entry([2**62, 4], [0, 4])}, b"1234"),
        "its offsets are 0..4 of 4",
    ),
    "beyond": (safetensors({"a": entry([2], [0, 8])}, b"1234"), "its offsets are 0..8 of 4"),
    "backwards": (safetensors({"a": entry([1], [4, 0])}, b"1234"), "its offsets are 4..0 of 4"),
    "overlap": (
        safetensors({"a": entry([1], [0, 4]), "b": entry([1], [0, 4])}, b"1234"),
        "b must start at byte 4; got 0",
    ),
    "rest": (safetensors({"a": entry([1], [0, 4])}, b"123456"), "tensors fill 4 bytes; got 6"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_files_are_refused_in_one_line(what, tmp_path):
    data, message = MALFORMED[what]
    (tmp_path / "a.safetensors").write_bytes(data)
    with pytest.raises(RuntimeError, match=message) as error:
        read_safetensors(tmp_path / "a.safetensors")
    assert "\n" not in str(error.value) and "a.safetensors" in str(error.value)


def test_empty_and_scalar_tensors_survive(tmp_path):
    tensors = {"none": torch.zeros(0, 3), "half": torch.ones(3).half(), "one": torch.tensor(2.5)}
    write_safetensors(tmp_path / "a", tensors, {})
    found, metadata = read_safetensors(tmp_path / "a")
    assert metadata == {} and all(torch.equal(found[k], v) for k, v in tensors.items())
    header = json.loads((tmp_path / "a").read_bytes()[8:].split(b" ")[0].rpartition(b"}")[0] + b"}")
    assert header["one"]["data_offsets"] == [0, 4], "wide types first, so that each is aligned"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    file = tmp_path / "a"
    write_safetensors(file, {"a": torch.ones(3)}, {})
    before, place = file.read_bytes(), file.stat().st_ino
    write_safetensors(file, {"a": torch.zeros(3)}, {})
    assert file.stat().st_ino != place and file.read_bytes() != before
    write_safetensors(file, {"a": torch.ones(3)}, {})

    def full(_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space left"):
        write_safetensors(file, {"a": torch.zeros(3)}, {})
    assert file.read_bytes() == before and list(tmp_path.iterdir()) == [file]


def edited_checkpoint(tmp_path: Path, tensors=None, **metadata: str | None) -> Path:
    """The golden run's checkpoint with some tensors and metadata in others' place."""
    old, described = read_safetensors(GOLDEN / "mlp_low_rank" / "checkpoints" / "last.safetensors")
    described.update(metadata)
    old.update(tensors or {})
    file = tmp_path / "edited.safetensors"
    kept = {key: value for key, value in described.items() if value is not None}
    write_safetensors(file, {k: t for k, t in old.items() if t is not None}, kept)
    return file


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"format": "scorejet checkpoint 9"},
            'must be of format "scorejet checkpoint 1"; got "scor',
        ),
        ({"rank": None}, 'metadata must hold "rank"; got none'),
        ({"rank": "2x"}, 'metadata rank must be a number; got "2x"'),
        ({"rank": "9"}, "rank must be at most D = 5; got 9"),
        ({"s2": "lowrank"}, 'metadata s2 must be none or diagonal or low_rank or full; got "lowr'),
        ({"share_trunk": "yes"}, 'metadata share_trunk must be 1 or 0; got "yes"'),
        ({"image_shape": "1x"}, 'metadata image_shape must be numbers like 1x28x28; got "1x"'),
        ({"width": "9"}, r"must hold ema/trunk.input.weight \[9, 5\].*got float32 \[8, 5\]"),
        ({"step": "many"}, 'metadata step must be a number; got "many"'),
        ({"tensors": {"ema/s1.bias": None}}, r"must hold ema/s1.bias \[5\]; got none"),
        ({"tensors": {"ema/s1.bias": torch.ones(5).int()}}, r"of floats; got int32 \[5\]"),
        ({"tensors": {"ema/more": torch.ones(1)}}, "must hold this model alone; got ema/more"),
        ({"tensors": {"data/mean": torch.ones(4)}}, r"data/mean must have shape \[5\]; got \[4\]"),
    ],
)
def test_checkpoints_that_do_not_fit_are_refused(change, message, tmp_path):
    with pytest.raises(RuntimeError, match=message) as error:
        nets.load(edited_checkpoint(tmp_path, **change))
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_before_an_option_means_what_it_meant(tmp_path):
    (tmp_path / "config.toml").write_text("[noise]\nsigma = 0.7\n")
    (tmp_path / "elsewhere").mkdir()
    net = nets.load(edited_checkpoint(tmp_path / "elsewhere", scale=None))
    assert net.options["scale"] == "noise" and net.options["s3"] == "none"
    assert net.sigma_range is None


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="last.safetensors is missing"):
        nets.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        nets.load(tmp_path / "none")
