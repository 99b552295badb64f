"""Each adapter against a fake with an exact answer; and against the package where it is installed."""

from __future__ import annotations

import json
import math
import shutil
import struct
import subprocess
from types import SimpleNamespace

import pytest
import torch

scorejet = pytest.importorskip("scorejet")
pytest.importorskip("scorejet._core")
from scorejet import adapters, events  # noqa: E402

V = 2.0  # of the Gaussian that every fake denoises: E[clean | x] = V/(V + sigma^2) x


def shrink(x, sigma):
    level = torch.as_tensor(sigma, dtype=x.dtype).reshape(-1, *[1] * (x.dim() - 1))
    return V / (V + level.square()) * x


def test_deepinv_both_ways():
    class Denoiser(torch.nn.Module):
        def forward(self, x, sigma):
            return shrink(x, sigma)

    field = adapters.from_deepinv(Denoiser(), (1, 2, 2))
    x = torch.randn(3, 1, 2, 2)
    assert torch.allclose(field.mean(x, 0.5), shrink(x, 0.5), atol=1e-6)
    back = adapters.ForDeepinv(field)
    assert torch.allclose(back(x, 0.5), shrink(x, 0.5), atol=1e-6)
    clipping = Denoiser()
    clipping.clip_output = True
    with pytest.raises(ValueError, match="clip_output=False"):
        adapters.from_deepinv(clipping, (1, 2, 2))


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_diffusers(kind):
    kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)
    scheduler = SimpleNamespace(config=SimpleNamespace(prediction_type=kind), alphas_cumprod=kept)
    logs = 0.5 * ((1 - kept.double()) / kept.double()).log()

    def unet(z, t):  # z = x / sqrt(1 + sigma^2), sigma from t as a table between whole steps
        low = t.floor().long().clamp(0, 998)
        sigma = (logs[low] + (t.double() - low) * (logs[low + 1] - logs[low])).exp().to(z.dtype)
        level = sigma.reshape(-1, 1, 1, 1)
        x = z * (1 + level.square()).sqrt()
        clean = shrink(x, sigma)
        noise = (x - clean) / level
        scale = (1 + level.square()).rsqrt()
        output = {
            "epsilon": noise,
            "sample": clean,
            "v_prediction": scale * noise - level * scale * clean,
        }[kind]
        return SimpleNamespace(sample=output)

    denoiser = adapters.FromDiffusers.__new__(adapters.FromDiffusers)
    torch.nn.Module.__init__(denoiser)
    module = torch.nn.Module()
    module.forward = unet
    adapters.FromDiffusers.__init__(denoiser, module, scheduler)
    x = torch.randn(2, 1, 4, 4)
    for sigma in (0.05, 0.5, 5.0):
        assert torch.allclose(denoiser(x, torch.full((2,), sigma)), shrink(x, sigma), atol=1e-4)
    with pytest.raises(ValueError, match="those of the scheduler"):
        denoiser(x, torch.full((2,), 1e4))


def test_edm():
    class Net:
        sigma_min, sigma_max = 0.1, 2.0

        def __call__(self, x, sigma):
            return shrink(x, sigma)

    field = scorejet.field(adapters.from_edm(Net()), (4,))
    x = torch.randn(2, 4)
    assert torch.allclose(field.mean(x, 0.5), shrink(x, 0.5), atol=1e-6)
    with pytest.raises(ValueError, match="0.1 to 2"):
        field.mean(x, 5.0)


def test_score_of_a_log_density():
    field = scorejet.field(adapters.score_of(lambda t: -0.5 * t.square().sum(1) / V), (3,), predicts="score")
    x = torch.randn(4, 3, dtype=torch.float64)
    assert torch.allclose(field.score(x, 1.0), -x / V)
    found = scorejet.posterior(field, x, 0.3)  # differentiates it
    expected = (0.09 - 0.0081 / V) * torch.eye(3, dtype=torch.float64)
    assert torch.allclose(found.covariance.dense(), expected.expand(4, 3, 3))


STAN = r"""
#include <stdlib.h>
typedef int bs_model;
bs_model* bs_model_construct(const char* data, unsigned seed, char** error) {
  if (data[0] == '!') { *error = "bad data"; return 0; }
  return malloc(sizeof(int));
}
int bs_param_unc_num(const bs_model* m) { return 3; }
int bs_log_density(const bs_model* m, _Bool p, _Bool j, const double* t, double* v, char** e) {
  *v = 0; for (int i = 0; i < 3; ++i) *v -= 0.5 * (i + 1) * t[i] * t[i];
  return 0;
}
int bs_log_density_gradient(const bs_model* m, _Bool p, _Bool j, const double* t, double* v,
                            double* g, char** e) {
  if (t[0] > 100) { *e = "too far"; return -1; }
  bs_log_density(m, p, j, t, v, e);
  for (int i = 0; i < 3; ++i) g[i] = -(i + 1) * t[i];
  return 0;
}
int bs_log_density_hessian(const bs_model* m, _Bool p, _Bool j, const double* t, double* v,
                           double* g, double* h, char** e) {
  for (int i = 0; i < 9; ++i) h[i] = i % 4 ? 0 : -(i / 4 + 1);
  return bs_log_density_gradient(m, p, j, t, v, g, e);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_bridgestan(tmp_path):
    (tmp_path / "model.c").write_text(STAN)
    library = tmp_path / "model.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "model.c"], check=True)
    model = adapters.BridgeStan(library)
    field = scorejet.field(model, (model.dim,), predicts="score")
    x = torch.randn(5, 3, dtype=torch.float64)
    precisions = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.allclose(field.score(x, 1.0), -precisions * x)
    assert field.max_order == 2
    assert torch.allclose(model.log_density(x), -0.5 * (precisions * x.square()).sum(1))
    chains = scorejet.sample(field, x, 1.0, kernel="ozaki", step_size=0.5, steps=3)
    assert chains.positions.shape == (5, 4, 3)
    with pytest.raises(ValueError, match="row 0: too far"):
        model(torch.full((1, 3), 1e3), torch.ones(1))
    with pytest.raises(ValueError, match="bad data"):
        adapters.BridgeStan(library, data="!")


def test_arviz(tmp_path):
    density = scorejet.density("two-moons")
    chains = scorejet.sample(
        density, torch.zeros(4, 2, dtype=torch.float64), 0.3, kernel="mala", warmup=20, steps=50
    )
    chains.save(tmp_path / "chains.npz")
    pytest.importorskip("arviz_base")
    tree = adapters.to_arviz(chains)
    assert tree["posterior"]["x"].shape == (4, 50, 2)
    assert tree["sample_stats"]["acceptance_rate"].shape == (4, 50)
    assert tree.attrs["diverged_chains"] == 0


def test_events(tmp_path):
    assert events.crc32c(b"123456789") == 0xE3069283
    rows = [{"step": 1, "seconds": 0.5, "loss_s1": 0.25, "loss_s3": None}, {"step": 300, "loss_s1": -2.5}]
    text = "\n".join(json.dumps(row) for row in rows) + '\n{"step": 3'
    (tmp_path / "metrics.jsonl").write_text(text)
    file = events.write_events(tmp_path)
    data, records = file.read_bytes(), []
    while data:
        size = struct.unpack("<Q", data[:8])[0]
        records.append(data[12 : 12 + size])
        data = data[16 + size :]
    assert len(records) == 3 and b"brain.Event:2" in records[0]
    assert struct.pack("<f", -2.5) in records[2]
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    values = [
        (event.step, value.tag, value.tensor.float_val[0] if value.HasField("tensor") else value.simple_value)
        for event in loader.EventFileLoader(str(file)).Load()
        for value in event.summary.value
    ]
    assert [(s, t) for s, t, _ in values] == [(1, "loss_s1"), (300, "loss_s1")]
    assert math.isclose(values[1][2], -2.5)
