"""The Python nets give what the C++ ones give, and are what PyTorch expects of a module."""

from __future__ import annotations

import copy
import doctest
import hashlib
import pickle
import struct
import zlib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from net_runs import (
    CONFIGURATIONS,
    GOLDEN,
    GOLDEN_RUNS,
    arrays,
    compare,
    points,
    points_file,
    score,
    stir,
)

from scorejet import _mlp, _unet, nets

X = torch.zeros(2, 5)


@pytest.mark.parametrize("name", GOLDEN_RUNS)
def test_golden_runs_give_the_scores_that_they_gave(name):
    net = nets.load(GOLDEN / name)
    expected = np.load(GOLDEN / name / "scores.npz")
    compare(arrays(net, points(net, points_file(name)), 0.3), expected, name)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_every_configuration_equals_the_command(name, command, data, make_run, tmp_path):
    run = make_run(name, tmp_path / "run")
    net = nets.load(run)
    stir(net)
    nets.save_run_weights(net, run)
    again = nets.load(run, weights="last")
    file, sigma = points_file(name, data), 0.8 if net.sigma_range[1] > 0.8 else 0.3
    x = points(net, file)
    expected = score(command, run, file, net.max_order, tmp_path / "scores.npz", sigma)
    found = arrays(again, x, sigma)
    compare(found, expected, name)
    assert all(np.abs(value).max() > 0 for value in found.values())

    levels = torch.full((len(x),), sigma)
    with torch.no_grad():
        mean, s1 = net(x, levels), net.score(x, sigma)
        torch.testing.assert_close(mean, x + sigma**2 * s1, rtol=0, atol=1e-5)
        alone = torch.cat([net.score(x[i : i + 1], sigma) for i in range(len(x))])
        torch.testing.assert_close(alone, s1, rtol=1e-4, atol=1e-5)
        if net.max_order > 1:
            s2 = net.second_order(x, sigma)
            v = torch.randn(len(x), net.options["dim"])
            dense = s2.dense()
            torch.testing.assert_close(dense, dense.transpose(1, 2))
            torch.testing.assert_close(
                s2.apply(v), (dense @ v[:, :, None])[:, :, 0], rtol=1e-3, atol=1e-2
            )


def test_the_denoiser_is_the_commands_posterior_mean(command, tmp_path):
    run = GOLDEN / "mlp_full"
    command("denoise", run, GOLDEN / "points.npy", "--noisy", "--sigma", 0.7, "--out", tmp_path)
    expected = np.load(tmp_path / "posterior.npz")["mean"]
    net = nets.load(run)
    with torch.no_grad():
        found = net(points(net, GOLDEN / "points.npy"), 0.7).numpy()
    compare({"mean": found}, {"mean": expected}, "mean")


def test_a_traced_net_is_a_denoiser_of_the_command(command, tmp_path):
    net = nets.load(GOLDEN / "unet_low_rank").requires_grad_(False)
    x = points(net, GOLDEN / "disc_points.npy")
    torch.jit.trace(net, (x, torch.full((len(x),), 0.3))).save(str(tmp_path / "net.pt"))
    np.save(tmp_path / "x.npy", x.numpy())
    command(
        *("denoise", "--denoiser", tmp_path / "net.pt", "--predicts", "clean"),
        *(tmp_path / "x.npy", "--noisy", "--sigma", 0.3, "--pcs", 2, "--out", tmp_path / "out"),
    )
    expected = np.load(tmp_path / "out" / "posterior.npz")["mean"]
    compare({"mean": net(x, 0.3).flatten(1).numpy()}, {"mean": expected}, "traced")


def write_png(path: Path, grey: np.ndarray) -> None:
    height, width = grey.shape
    rows = b"".join(b"\0" + row.tobytes() for row in grey)
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n"
    for kind, body in parts:
        data += struct.pack(">I", len(body)) + kind + body
        data += struct.pack(">I", zlib.crc32(kind + body))
    path.write_bytes(data)


def test_a_net_of_another_size_is_the_commands(command, tmp_path):
    net = nets.load(GOLDEN / "unet_low_rank").requires_grad_(False)
    grey = np.random.default_rng(0).integers(0, 256, size=(24, 12), dtype="u1")
    write_png(tmp_path / "tall.png", grey)
    arguments = ("--noisy", "--sigma", 0.3, "--pcs", 2, "--out", tmp_path / "out")
    command("denoise", GOLDEN / "unet_low_rank", tmp_path / "tall.png", *arguments)
    expected = np.load(tmp_path / "out" / "tall.npz")
    tall = net.resized(24, 12)
    x = torch.from_numpy(grey / np.float32(255))[None, None]
    s2 = tall.second_order(x, 0.3)
    variance = 0.09 + 0.0081 * (s2.diagonal + s2.factor.square().sum(2))
    found = {"mean": tall(x, 0.3)[0].numpy()}
    found["standard_deviation"] = variance.sqrt().view(1, 24, 12).numpy()
    compare(found, {key: expected[key] for key in found}, "another size")

    assert tall.network is net.network and net.sample_shape == [1, 8, 8]
    assert torch.equal(net.resized(8, 8)(x[..., :8, :8], 0.3), net(x[..., :8, :8], 0.3))
    with pytest.raises(ValueError, match="height and width must be positive multiples of 4; got 6"):
        net.resized(6, 8)
    with pytest.raises(
        ValueError, match="the model must be a unet that learned its s1; got an mlp"
    ):
        nets.load(GOLDEN / "mlp_full").resized(8, 8)
    net.data_mean[3] += 1
    with pytest.raises(ValueError, match="data_mean must be the same at every pixel of a channel"):
        net.resized(8, 8)


@pytest.mark.parametrize("name", ["mlp_third", "unet_low_rank"])
def test_copies_by_pickle_and_deepcopy_are_the_same(name):
    net = nets.load(GOLDEN / name)
    x = points(net, points_file(name))
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(x, 0.3), net(x, 0.3))
        assert other.options == net.options and other.sigma_range == net.sigma_range == (0.3, 0.3)


def test_a_given_s1_is_copied_and_moved_with_its_net(command, make_run, tmp_path):
    net = nets.load(make_run("unet_given", tmp_path / "run"))
    x = points(net, GOLDEN / "disc_points.npy")
    s1 = net.score(x, 0.3)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other.score(x, 0.3), s1)
    torch.testing.assert_close(net.double().score(x.double(), 0.3).float(), s1)
    net.float().save_pretrained(tmp_path / "out")
    assert torch.equal(nets.ScoreNet.from_pretrained(tmp_path / "out").score(x, 0.3), s1)
    (tmp_path / "run" / "s1.pt").write_bytes(b"another")
    got = hashlib.md5(b"another").hexdigest()
    with pytest.raises(
        RuntimeError, match=f"must be the s1 that the run was given.*got noise {got}"
    ):
        nets.load(tmp_path / "run")


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="this torch has no torch.compile")
@pytest.mark.parametrize("name", ["mlp_third", "unet_low_rank"])
def test_compiled_nets_give_the_same(name):
    net = nets.load(GOLDEN / name)
    x, sigma = points(net, points_file(name)), torch.tensor(0.3)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, sigma), net(x, sigma), rtol=1e-5, atol=1e-6)
    second = torch.compile(net.second_order, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        second(x, sigma).factor, net.second_order(x, sigma).factor, rtol=1e-5, atol=1e-6
    )


@pytest.mark.skipif(not hasattr(torch, "compile"), reason="this torch has no torch.compile")
def test_another_noise_level_compiles_no_new_net():
    net, graphs = nets.load(GOLDEN / "mlp_low_rank"), []
    torch._dynamo.reset()

    def count(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(net, backend=count, fullgraph=True)
    for sigma in (0.1, 0.2, 0.3, 0.4, 0.5):
        torch.testing.assert_close(compiled(X + 1, sigma), net(X + 1, sigma))
    assert len(graphs) <= 2


def test_an_exported_program_gives_the_same_for_every_batch():
    export = pytest.importorskip("torch.export")
    net = nets.load(GOLDEN / "unet_low_rank")
    x, batch = points(net, GOLDEN / "disc_points.npy"), export.Dim("batch")
    sizes = {"x": {0: batch}, "sigma": {0: batch}}
    program = export.export(net, (x, torch.full((3,), 0.3)), dynamic_shapes=sizes).module()
    torch.testing.assert_close(program(x[:2], torch.full((2,), 0.4)), net(x[:2], 0.4))


@pytest.mark.parametrize("name", ["mlp_third", "unet_low_rank"])
def test_gradients_are_those_of_differences_twice(name):
    net = nets.load(GOLDEN / name).double()
    stir(net)
    x = points(net, points_file(name))[:1].double().requires_grad_()
    sigma = torch.tensor([0.3], dtype=torch.double, requires_grad=True)

    def trace(x, sigma):
        s2 = net.second_order(x, sigma)
        return net(x, sigma).flatten()[:2], s2.diagonal[:, :2], s2.factor[:, :2]

    assert torch.autograd.gradcheck(trace, (x, sigma), atol=1e-6, fast_mode=True)
    assert torch.autograd.gradgradcheck(trace, (x, sigma), atol=1e-6, fast_mode=True)


def test_values_are_not_looked_at_inside_transforms():
    func = pytest.importorskip("torch.func")
    net = nets.load(GOLDEN / "mlp_third")
    x = points(net, GOLDEN / "points.npy")

    def alone(row):
        return net.score(row[None], 0.3)[0]

    forward = func.vmap(func.jacfwd(alone))(x)
    torch.testing.assert_close(forward, func.vmap(func.jacrev(alone))(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "x, sigma, message",
    [
        (torch.zeros(2, 4), 0.3, r"x must have shape \[B, 5\]; got \[2, 4\]"),
        (torch.zeros(5), 0.3, r"x must have shape \[B, 5\]; got \[5\]"),
        (X[:0], 0.3, r"x must hold at least one sample; got \[0, 5\]"),
        (np.zeros((2, 5)), 0.3, "x must be a tensor; got ndarray"),
        (X.double(), 0.3, "x must have the model's dtype torch.float32; got torch.float64"),
        (X.to("meta"), 0.3, "x must be on the model's device cpu; got meta"),
        (X * float("nan"), 0.3, "x must be finite; got NaN or infinities"),
        (X + float("inf"), 0.3, "x must be finite; got NaN or infinities"),
        (X, 0.0, "sigma must be positive and finite; got 0.0"),
        (X, float("nan"), "sigma must be positive and finite; got nan"),
        (X, "0.3", "sigma must be a number or a tensor; got str"),
        (X, torch.tensor([0.3, -1.0]), "sigma must be positive and finite; got -1"),
        (X, torch.tensor([0.3, float("inf")]), "sigma must be positive and finite; got inf"),
        (X, torch.ones(3), r"sigma must have shape \[\] or \[2\]; got \[3\]"),
        (X, torch.ones(2, 1), r"sigma must have shape \[\] or \[2\]; got \[2, 1\]"),
        (X, torch.ones(2, dtype=torch.int64), "sigma must have a real dtype; got torch.int64"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_in_one_line(x, sigma, message):
    net = nets.load(GOLDEN / "mlp_low_rank")
    for call in (net, net.score, net.second_order, net.jet):
        with pytest.raises(ValueError, match=message) as error:
            call(x, sigma)
        assert "\n" not in str(error.value)


def test_the_examples_of_the_docs_run():
    for module in (nets, _mlp, _unet):
        result = doctest.testmod(module)
        assert result.attempted > 0 and result.failed == 0, module.__name__


def test_an_order_that_a_model_lacks_is_refused():
    net = nets.load(GOLDEN / "mlp_low_rank")
    for call in (net.third_order, lambda x, s: net.jet(x, s, 3)):
        with pytest.raises(ValueError, match="order must lie between 1 and 2, .*; got 3"):
            call(X, 0.3)


@pytest.mark.parametrize(
    "options, message",
    [
        ({}, "dim must be at least 1; got 0"),
        ({"dims": 5}, "options must be among dim, .*; got dims"),
        ({"dim": 5.0}, "dim must be an integer; got 5.0"),
        ({"dim": 5, "rank": 6}, "rank must be at most D = 5; got 6"),
        ({"dim": 5, "s2": "none", "s3": "diagonal"}, "s2 must be diagonal, .*; got none"),
        ({"dim": 5, "scale": "both"}, 'scale must be noise or data; got "both"'),
        (
            {"dim": 5, "rank": 2, "network": "unet"},
            r"image_shape must be \[C, H, W\] for a unet; got vectors",
        ),
        ({"image_shape": [1, 6, 8], "rank": 2}, "multiples of .* = 4; got 6 x 8"),
        ({"image_shape": [1, 8, 8], "s2": "full"}, "network must be mlp where s2 or s3 is full"),
        ({"image_shape": [8, 8]}, r"image_shape must be \[C, H, W\] of 64 numbers; got \[8, 8\]"),
        ({"dim": 5, "share_trunk": 1}, "share_trunk must be true or false; got 1"),
        (
            {"dim": 5, "rank": 2, "s1": "clean 0"},
            "first must be given where s1 names one; got none",
        ),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message):
    with pytest.raises(ValueError, match=message) as error:
        nets.ScoreNet(options)
    assert "\n" not in str(error.value)


def test_a_fresh_net_starts_where_the_preconditioner_is():
    torch.manual_seed(0)
    net = nets.ScoreNet({"image_shape": [1, 8, 8], "channels": 4, "rank": 2, "s3": "low_rank"})
    with torch.no_grad():
        net.network.s1.bias.zero_()
        x = torch.randn(3, 1, 8, 8)
        torch.testing.assert_close(net(x, 2.0), x / 5)
        s3 = net.third_order(x, 2.0)
        assert not s3.diagonal.any() and not s3.weights.any() and s3.factor.any()
    assert [field.name for field in fields(nets.Jet)] == ["s1", "s2", "s3"]
