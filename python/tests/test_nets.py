"""The Python nets give what the C++ ones give, and go back and forth between the two."""

from __future__ import annotations

import copy
import doctest
import hashlib
import json
import pickle
import shutil
import struct
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import GOLDEN

from scorejet import _mlp, _unet, nets
from scorejet._files import read_safetensors, write_safetensors

TOLERANCE = 1e-6  # largest difference over largest size
GOLDEN_RUNS = {
    "mlp_low_rank": 2,
    "mlp_full": 2,
    "mlp_free_diagonal": 2,
    "mlp_third": 3,
    "unet_low_rank": 2,
    "unet_diagonal": 2,
}
SMALL = {"mlp": "width=8 depth=1", "unet": "channels=4"}
CONFIGURATIONS = {
    "mlp_first": "rows s2=none",
    "mlp_diagonal": "rows s2=diagonal",
    "mlp_diagonal_free_data": "rows s2=diagonal parameterisation=free scale=data",
    "mlp_low_rank_data": "rows rank=3 scale=data depth=3",
    "mlp_low_rank_free_apart": "rows rank=2 parameterisation=free share_trunk=false",
    "mlp_full": "rows s2=full",
    "mlp_full_free_data": "rows s2=full parameterisation=free scale=data",
    "mlp_third_diagonal": "rows rank=2 s3=diagonal noise.sigma_max=2",
    "mlp_third_low_rank_apart": "rows rank=2 s3=low_rank s3_rank=7 share_trunk=false depth=2",
    "mlp_third_full_apart": "rows s2=diagonal s3=full share_trunk=false",
    "mlp_third_full_data": "rows s2=full s3=full scale=data",
    "mlp_given": "rows rank=2 share_trunk=false s3=low_rank s3_rank=2 s1.predicts=clean",
    "unet_first": "discs s2=none",
    "unet_diagonal_free": "discs s2=diagonal parameterisation=free patch=1 levels=3 blocks=2",
    "unet_colours": "colours rank=5 noise.sigma_max=1",
    "unet_low_rank_free_data_apart": "discs rank=3 parameterisation=free scale=data "
    "share_trunk=false",
    "unet_third_low_rank_apart": "colours rank=2 s3=low_rank s3_rank=3 share_trunk=false",
    "unet_third_diagonal": "discs s2=diagonal s3=diagonal patch=4 levels=1",
    "unet_third_low_rank_data": "discs rank=3 s3=low_rank s3_rank=2 patch=1 levels=1 scale=data",
    "unet_given": "discs rank=2 share_trunk=false s1.predicts=noise",
}


class GivenVectors(torch.nn.Module):
    def forward(self, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x / (1 + sigma[:, None] * sigma[:, None])


class GivenImages(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def train(command, data: Path, name: str, out: Path) -> None:
    """Three steps of one configuration."""
    table, *words = CONFIGURATIONS[name].split()
    family = name.split("_")[0]
    settings = [f"data.name={data / table}.npy", "data.validation=20", "train.steps=3"]
    settings += ["train.batch=16", "noise.sigma=0.3", "loss.variance_reduction=false"]
    settings += [f"model.{word}" for word in SMALL[family].split()]
    settings += [word if "." in word else f"model.{word}" for word in words]
    if "given" in name:
        torch.manual_seed(2)
        network = GivenVectors() if family == "mlp" else GivenImages()
        torch.jit.script(network).save(str(data / f"{family}.pt"))
        settings.append(f"s1.from={data / family}.pt")
    arguments = [word for setting in settings for word in ("--set", setting)]
    command("train", data / "config.toml", *arguments, "--out", out)


@pytest.fixture(scope="session")
def make_run(command, data, tmp_path_factory):
    """A run of a configuration, trained once; a copy of its own for each caller."""
    folder, made = tmp_path_factory.mktemp("runs"), []

    def make(name: str, out: Path) -> Path:
        if name not in made:
            train(command, data, name, folder / name)
            made.append(name)
        shutil.copytree(folder / name, out)
        return out

    return make


def points_file(name: str, data: Path = GOLDEN) -> Path:
    if name.startswith("mlp"):
        return data / "points.npy"
    table = CONFIGURATIONS.get(name, "discs").split()[0]
    return data / ("colours_points.npy" if table == "colours" else "disc_points.npy")


def points(net: nets.ScoreNet, file: Path) -> torch.Tensor:
    return torch.from_numpy(np.load(file)).view(-1, *net.sample_shape)


def stir(net: nets.ScoreNet, seed: int = 0) -> None:
    """Moves every weight, so that no head is left near its start."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in net.network.parameters():
            inputs = parameter[0].numel() if parameter.dim() > 1 else 16
            parameter.add_(0.7 * torch.randn_like(parameter) / inputs**0.5)


def arrays(net: nets.ScoreNet, x: torch.Tensor, sigma: float) -> dict[str, np.ndarray]:
    """Scores under the names that `scorejet score` gives them."""
    with torch.no_grad():
        jet = net.jet(x, sigma)
    result = {"s1": jet.s1.flatten(1)}
    if jet.s2 is not None:
        s2 = jet.s2
        if s2.factor is not None:
            result.update(s2_a=s2.diagonal, s2_b=s2.factor)
        else:
            result.update(
                {"s2": s2.matrix} if s2.diagonal is None else {"s2_diagonal": s2.diagonal}
            )
    if jet.s3 is not None:
        s3 = jet.s3
        if s3.factor is not None:
            result.update(s3_c=s3.diagonal, s3_gamma=s3.weights, s3_w=s3.factor)
        else:
            result.update(
                {"s3": s3.tensor} if s3.diagonal is None else {"s3_diagonal": s3.diagonal}
            )
    return {name: value.numpy() for name, value in result.items()}


def compare(found: dict[str, np.ndarray], expected, label: str) -> None:
    """Holds every array to TOLERANCE and prints the largest relative difference."""
    assert sorted(found) == sorted(expected)
    worst = {}
    for name in found:
        assert found[name].shape == expected[name].shape, name
        size = np.abs(expected[name]).max()
        worst[name] = np.abs(found[name].astype("f8") - expected[name]).max() / max(size, 1e-30)
    text = "  ".join(f"{name} {value:.1e}" for name, value in worst.items())
    print(f"\n{label}: {max(worst.values()):.1e}  ({text})")
    for name, value in worst.items():
        assert value < TOLERANCE, f"{label} {name} {value:.2e}"


def score(command, run: Path, file: Path, order: int, out: Path, sigma: float = 0.3):
    command("score", run, file, "--sigma", sigma, "--order", order, "--device", "cpu", "--out", out)
    return np.load(out)


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


@pytest.mark.parametrize("name", ["mlp_third", "unet_low_rank"])
def test_compiled_nets_give_the_same(name):
    if not hasattr(torch, "compile"):
        pytest.skip("this torch has no torch.compile")
    net = nets.load(GOLDEN / name)
    x, sigma = points(net, points_file(name)), torch.tensor(0.3)
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, sigma), net(x, sigma), rtol=1e-5, atol=1e-6)
    second = torch.compile(net.second_order, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(
        second(x, sigma).factor, net.second_order(x, sigma).factor, rtol=1e-5, atol=1e-6
    )


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


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", ["mlp_low_rank", "mlp_full", "unet_low_rank"])
def test_a_folder_is_read_as_it_was_written(name, dtype, tmp_path):
    net = nets.load(GOLDEN / name)
    net.save_pretrained(tmp_path / "out", dtype=dtype, license="mit")
    names = ["README.md", "config.json", "model.safetensors"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    again = nets.ScoreNet.from_pretrained(tmp_path / "out")
    assert again.options == net.options and again.sigma_range == net.sigma_range
    assert again.details == net.details
    tolerance = 0 if dtype == "float32" else 2e-3
    for key, value in net.state_dict().items():
        found = again.state_dict()[key]
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, value, rtol=tolerance, atol=tolerance / 10)
        if key.startswith("data_"):
            assert torch.equal(found, value)
    x = points(net, points_file(name))
    if dtype == "float32":
        assert torch.equal(again(x, 0.3), net(x, 0.3))

    sizes = {
        k: v.element_size() for k, v in read_safetensors(tmp_path / "out" / names[2])[0].items()
    }
    assert sizes["data_mean"] == 4 and sizes["network.s1.weight"] == (
        4 if dtype == "float32" else 2
    )
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["library_name"] == "scorejet" and config["dtype"] == dtype


def test_the_card_says_what_a_user_must_know(tmp_path):
    nets.load(GOLDEN / "mlp_low_rank").save_pretrained(tmp_path, license="cc-by-4.0")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\nlibrary_name: scorejet\ntags:\n- ")
    for part in ("rows.npy", "| sigma, in the same units | 0.3 |", "24 steps", "rank = 2"):
        assert part in card
    for part in ("scorejet train config.toml", "| 0.3 | 0.9 | 0.944 |", "## Limits", "value range"):
        assert part in card
    assert (
        "/"
        not in json.loads((tmp_path / "config.json").read_text())["details"]["settings"]["data"][
            "name"
        ]
    )


def test_the_safetensors_library_reads_an_export(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    net = nets.load(GOLDEN / "unet_low_rank")
    net.save_pretrained(tmp_path, dtype="float16")
    state = library.load_file(tmp_path / "model.safetensors")
    assert sorted(state) == sorted(net.state_dict())
    library.save_file(net.state_dict(), tmp_path / "theirs.safetensors")
    theirs, _ = read_safetensors(tmp_path / "theirs.safetensors")
    assert all(torch.equal(theirs[k], v) for k, v in net.state_dict().items())


def test_the_hub_is_pushed_what_is_saved(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub.hub_mixin")
    pushed = {}

    class Api:
        def __init__(self, **_):
            pass

        def create_repo(self, **_):
            return type("Repository", (), {"repo_id": "someone/some"})

        def upload_folder(self, folder_path, **_):
            pushed.update({p.name: p.read_bytes() for p in Path(folder_path).iterdir()})

    monkeypatch.setattr(hub, "HfApi", Api)
    net = nets.load(GOLDEN / "mlp_low_rank")
    choices = {"dtype": "float16", "license": "mit", "push_to_hub": True}
    net.save_pretrained(tmp_path / "some", repo_id="someone/some", **choices)
    assert pushed == {p.name: p.read_bytes() for p in (tmp_path / "some").iterdir()}
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: tmp_path / "some")
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: str(tmp_path / "some/config.json"))
    assert nets.ScoreNet.from_pretrained("someone/some").options == net.options


def test_a_name_of_the_hub_is_refused_without_it(tmp_path, monkeypatch):
    if nets.ScoreNet.__mro__[-2].__name__ != "_Folders":
        pytest.skip("huggingface_hub is here")
    with pytest.raises(
        ValueError, match="folder must be one where huggingface_hub is missing; got"
    ):
        nets.ScoreNet.from_pretrained("someone/some")
    with pytest.raises(ValueError, match="push_to_hub needs huggingface_hub"):
        nets.load(GOLDEN / "mlp_low_rank").save_pretrained(tmp_path, push_to_hub=True)


def test_float16_that_cannot_hold_a_weight_is_refused(tmp_path):
    net = nets.load(GOLDEN / "mlp_low_rank")
    with torch.no_grad():
        net.network.s1.bias[0] = 1e6
    with pytest.raises(ValueError, match="finite in float16; got 1e[+]06 in network.s1.bias"):
        net.save_pretrained(tmp_path / "out", dtype="float16")
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    with pytest.raises(ValueError, match='dtype must be float32 or float16; got "int8"'):
        net.save_pretrained(tmp_path / "out", dtype="int8")


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
    tensors = {"none": torch.zeros(0, 3), "one": torch.tensor(2.5), "half": torch.ones(3).half()}
    write_safetensors(tmp_path / "a", tensors, {})
    found, metadata = read_safetensors(tmp_path / "a")
    assert metadata == {} and all(torch.equal(found[k], v) for k, v in tensors.items())


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
    file = edited_checkpoint(tmp_path, scale=None)
    net = nets.load(file)
    assert net.options["scale"] == "noise" and net.options["s3"] == "none"
    assert net.sigma_range is None


def test_a_run_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="last.safetensors is missing"):
        nets.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        nets.load(tmp_path / "none")


X = torch.zeros(2, 5)


@pytest.mark.parametrize(
    "x, sigma, message",
    [
        (torch.zeros(2, 4), 0.3, r"x must have shape \[B, 5\]; got \[2, 4\]"),
        (torch.zeros(5), 0.3, r"x must have shape \[B, 5\]; got \[5\]"),
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


@pytest.mark.parametrize("damage", ["[]", "{", '{"format": "other"}', '{"format": FORMAT}'])
def test_a_damaged_folder_is_refused_in_one_line(damage, tmp_path):
    nets.load(GOLDEN / "mlp_low_rank").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(damage.replace("FORMAT", '"scorejet network 1"'))
    with pytest.raises(RuntimeError, match="config.json: ") as error:
        nets.ScoreNet.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)
