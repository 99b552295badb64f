"""Nets in folders of their own: config.json, model.safetensors and the model card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from net_runs import GOLDEN, points, points_file

from scorejet import nets
from scorejet._files import read_safetensors


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


@pytest.mark.parametrize("damage", ["[]", "{", '{"format": "other"}', '{"format": FORMAT}'])
def test_a_damaged_folder_is_refused_in_one_line(damage, tmp_path):
    nets.load(GOLDEN / "mlp_low_rank").save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(damage.replace("FORMAT", '"scorejet network 1"'))
    with pytest.raises(RuntimeError, match="config.json: ") as error:
        nets.ScoreNet.from_pretrained(tmp_path)
    assert "\n" not in str(error.value)
