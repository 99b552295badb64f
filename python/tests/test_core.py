"""What a newcomer would check: exact answers, memory shared, nothing global changed, clear errors."""

from __future__ import annotations

import copy
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

scorejet = pytest.importorskip("scorejet")
pytest.importorskip("scorejet._core")

SIGMA = 0.5


def gaussian_denoiser(dim: int = 6, dtype=torch.float64, seed: int = 3, values=None):
    """E[clean | x] of N(0, V), V of known eigenvectors: x -> V (V + sigma^2 I)^-1 x."""
    generator = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(dim, dim, generator=generator, dtype=torch.float64))
    if values is None:
        values = torch.linspace(0.2, 3.0, dim, dtype=torch.float64)
    prior = (basis * values) @ basis.T

    def gain(sigma):
        return torch.linalg.solve(prior + sigma**2 * torch.eye(dim, dtype=torch.float64), prior)

    def f(x, sigma):
        return x @ gain(float(sigma[0])).to(x.dtype).T

    covariance = SIGMA**2 * gain(SIGMA)
    return f, covariance.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("layout", ["plain", "transposed", "expanded", "fortran", "negative"])
def test_components_of_a_linear_denoiser_are_exact(dtype, layout):
    f, covariance = gaussian_denoiser(dtype=dtype)
    x = torch.randn(4, 6, dtype=dtype)
    if layout == "transposed":
        x = x.T.contiguous().T
    elif layout == "expanded":
        x = x[:1].expand(4, 6)
    elif layout == "fortran":
        x = np.asfortranarray(x.numpy())
    elif layout == "negative":
        x = x.numpy()[::-1, ::-1]
    found = scorejet.components(scorejet.field(f, (6,)), x, SIGMA, count=3)
    values, vectors = torch.linalg.eigh(covariance)
    tolerance = 1e-10 if dtype == torch.float64 else 1e-5
    assert torch.allclose(found.values, values.flip(0)[:3].expand(4, 3), atol=tolerance)
    cosines = (found.vectors @ vectors.flip(1)[:, :3]).diagonal(dim1=1, dim2=2).abs()
    assert (cosines > 1 - 1e-4).all()
    assert found.converged


def test_exact_posterior_is_that_of_the_mixture():
    density = scorejet.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.6], [0.6, 2.0]]])
    x = torch.randn(3, 2)
    known = scorejet.posterior(density, x, SIGMA)
    traced = scorejet.posterior(scorejet.field(density.mean, (2,)), x, SIGMA)
    assert torch.allclose(known.mean, traced.mean, atol=1e-5)
    assert torch.allclose(known.covariance.dense(), traced.covariance.dense(), atol=1e-5)
    lower, upper = known.interval(0.9)
    assert torch.allclose((upper - lower) / known.std, torch.full((3, 2), 2 * 1.6448536), atol=1e-4)
    draws = known.sample(20000, seed=1)
    # 20,000 draws: a mean is off by more than 5 standard errors once in 1.7 million
    assert ((draws.mean(1) - known.mean).abs() < 5 * known.std / 20000**0.5).all()
    assert torch.equal(draws[2], scorejet.posterior(density, x[2:], SIGMA).sample(20000, seed=1, first_row=2)[0])
    region = known.region(torch.tensor([1]))
    assert torch.allclose(region.mean[:, 0], known.mean[:, 1])
    assert known.log_prob(known.mean).shape == (3,)


def test_memory_is_shared_and_gradients_flow():
    seen = []

    def f(x, sigma):
        seen.append(x.data_ptr())
        return 0.5 * x

    field = scorejet.field(f, (4,))
    x = torch.randn(3, 4)
    field.score(x, SIGMA)
    assert seen == [x.data_ptr()]
    array = x.numpy()
    field.score(array, SIGMA)
    assert seen[1] == x.data_ptr()
    image = scorejet.field(f, (1, 2, 2))
    image.score(x.reshape(3, 1, 2, 2), SIGMA)
    assert seen[2] == x.data_ptr()
    leaf = x.clone().requires_grad_()
    field.mean(leaf, SIGMA).sum().backward()
    assert torch.allclose(leaf.grad, torch.full((3, 4), 0.5))


def test_a_gigabyte_is_not_copied():
    x = torch.zeros(1 << 14, 1 << 14)  # 1 GB
    field = scorejet.field(lambda x, sigma: x, (1 << 14,))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with torch.no_grad():
        scorejet.field(lambda x, sigma: x, (1 << 14,), predicts="score").score(x, 1.0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 300, f"{grown:.0f} MB more for an x of 1024 MB"
    assert field.shape == (1 << 14,)


class Broken:
    """Denoisers that must be refused, never answered with zeros."""

    @staticmethod
    @torch.no_grad()
    def no_grad(x, sigma):
        return 0.5 * x

    @staticmethod
    def detached(x, sigma):
        return 0.5 * x.detach()

    @staticmethod
    def through_numpy(x, sigma):
        return torch.as_tensor(0.5 * x.detach().numpy())

    @staticmethod
    def half_detached(x, sigma):
        return 0.1 * x + 0.4 * x.detach()

    @staticmethod
    def clamped(x, sigma):
        return (0.5 * x).clamp(-1e-9, 1e-9) + 0.5 * x.detach()

    @staticmethod
    def dropout(x, sigma):
        return torch.nn.functional.dropout(0.5 * x, 0.3, True)

    @staticmethod
    def sees_neighbours(x, sigma):
        return 0.5 * (x - x.mean(0, keepdim=True))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("no_grad", "without graph"),
        ("detached", "without graph"),
        ("through_numpy", "without graph"),
        ("half_detached", "autograd's derivative"),
        ("clamped", "autograd's derivative"),
        ("dropout", "two answers"),
        ("sees_neighbours", "beside another"),
    ],
)
def test_a_denoiser_that_cannot_be_differentiated_is_refused(name, said):
    field = scorejet.field(getattr(Broken, name), (8,))
    with pytest.raises(ValueError, match=said):
        scorejet.components(field, torch.randn(3, 8), SIGMA)
    with pytest.raises(ValueError, match=said):
        scorejet.posterior(field, torch.randn(3, 8), SIGMA)


def test_forward_only_needs_no_graph():
    spectrum = 0.5 * 0.7 ** torch.arange(64, dtype=torch.float64)
    f, covariance = gaussian_denoiser(64, seed=5, values=spectrum)

    @torch.no_grad()
    def blind(x, sigma):
        return f(x, sigma)

    x = torch.randn(2, 64)
    found = scorejet.components(scorejet.field(blind, (64,)), x, SIGMA, count=3, forward_only=True)
    values, vectors = torch.linalg.eigh(covariance)
    assert found.difference_error < 1e-2
    assert torch.allclose(found.values, values.flip(0)[:3].float().expand(2, 3), rtol=0.02)
    leading = vectors.flip(1)[:, :3].float()
    cosines = (found.vectors @ leading).diagonal(dim1=1, dim2=2).abs()
    assert (cosines > 0.99).all()


@pytest.mark.parametrize(
    ("f", "error", "said"),
    [
        (lambda x, s: [1, 2], ValueError, "torch.Tensor; got list"),
        (lambda x, s: x.numpy(), ValueError, "got ndarray"),
        (lambda x, s: x[:, :3], ValueError, r"shape \[2, 8\]; got \[2, 3\]"),
        (lambda x, s: x.to(torch.int64), ValueError, "real numbers"),
        (lambda x, s: x.to("meta"), ValueError, "x's device cpu; got meta"),
        (lambda x, s: x.mul_(0.5), ValueError, "in place"),
        (lambda x, s: {}["missing"], KeyError, "missing"),
    ],
)
def test_what_a_callable_does_wrong_is_said(f, error, said):
    with pytest.raises(error, match=said):
        scorejet.field(f, (8,)).score(torch.randn(2, 8), SIGMA)


def test_arguments_that_make_no_sense_are_refused():
    field = scorejet.field(lambda x, s: 0.5 * x, (1, 2, 4), sigma_range=(0.1, 1.0))
    x = torch.randn(2, 1, 2, 4)
    for call, error, said in [
        (lambda: field.score(x[0], SIGMA), ValueError, r"x\[None\]"),
        (lambda: field.score(torch.randn(2, 9), SIGMA), ValueError, r"\[B, 1, 2, 4\]; got \[2, 9\]"),
        (lambda: field.score(x, 0.0), ValueError, "sigma"),
        (lambda: field.score(x, 3.0), ValueError, "0.1 to 1, which f is good for; got 3"),
        (lambda: field.score(x, torch.ones(3)), ValueError, r"\[2\]; got \[3\]"),
        (lambda: field.score(x * float("nan"), SIGMA), ValueError, "NaN|finite"),
        (lambda: field.score(x.to(torch.complex64), SIGMA), ValueError, "real"),
        (lambda: field.score("words", SIGMA), TypeError, "array of numbers; got str"),
        (lambda: field.covariance(x, SIGMA), ValueError, "second order"),
        (lambda: scorejet.components(field, x, SIGMA, count=9), ValueError, "8 coordinates; got 9"),
        (lambda: scorejet.field(3, (2,)), TypeError, "callable; got int"),
        (lambda: scorejet.field(field.mean, ()), ValueError, "shape"),
        (lambda: scorejet.density("two-moon"), ValueError, "two-moons"),
        (lambda: scorejet.sample(field, x, SIGMA, kernel="osaki"), ValueError, "ozaki"),
    ]:
        with pytest.raises(error, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_grad_modes_around_the_call():
    f, covariance = gaussian_denoiser()
    field = scorejet.field(f, (6,))
    with torch.no_grad():
        found = scorejet.components(field, torch.randn(2, 6, dtype=torch.float64), SIGMA)
    assert found.converged
    with torch.inference_mode(), pytest.raises((ValueError, RuntimeError)):
        scorejet.components(field, torch.randn(2, 6, dtype=torch.float64), SIGMA)


def test_chains_of_a_gaussian_have_its_moments():
    density = scorejet.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.6], [0.6, 2.0]]])
    steps = []
    chains = scorejet.sample(
        density,
        torch.zeros(64, 2, dtype=torch.float64),
        SIGMA,
        kernel="ozaki",
        step_size=1.0,
        steps=400,
        callback=lambda step, x: steps.append((step, tuple(x.shape))),
    )
    assert steps[0] == (1, (64, 2)) and len(steps) == 400
    summary = chains.summary(burn_in=0.1)
    assert (summary["rhat"] < 1.02).all()
    # Ozaki is exact on a Gaussian: the mean lies within 5 of its own standard errors
    assert (summary["mean"].abs() < 5 * summary["mcse_mean"]).all()
    target = torch.tensor([1.0, 2.0], dtype=torch.float64) + SIGMA**2
    assert torch.allclose(summary["sd"].square(), target, rtol=0.06)
    alone = scorejet.sample(density, torch.zeros(1, 2, dtype=torch.float64), SIGMA, step_size=1.0, steps=10)
    assert torch.equal(alone.positions[0], chains.positions[0, :11])


@pytest.mark.parametrize("what", ["sample", "components"])
def test_ctrl_c_comes_through_within_a_second(what):
    def slow(x, sigma):
        time.sleep(0.02)
        return 0.5 * x

    field = scorejet.field(slow, (64,))
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    start = time.monotonic()
    if what == "sample":
        with pytest.warns(UserWarning, match="interrupted"):
            chains = scorejet.sample(field, torch.randn(2, 64), SIGMA, kernel="langevin", steps=100000)
        assert chains.interrupted and chains.positions.shape[1] > 1
    else:
        with pytest.raises(KeyboardInterrupt):
            scorejet.components(field, torch.randn(8, 64), SIGMA, count=8, max_points=1, tolerance=1e-12)
    assert time.monotonic() - start < 1.5


def test_other_threads_run_meanwhile():
    count, done = [0], threading.Event()

    def tick():
        while not done.is_set():
            count[0] += 1
            time.sleep(0.001)

    ticker = threading.Thread(target=tick)
    ticker.start()
    density = scorejet.density("rings")
    start = time.monotonic()
    while time.monotonic() - start < 0.5:
        scorejet.sample(density, torch.zeros(2000, 2, dtype=torch.float64), 0.3, kernel="ozaki", steps=20)
    done.set()
    ticker.join()
    assert count[0] > 50


def test_training_learns_a_gaussian_and_leaves_the_seed_alone():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5000, 2, generator=generator) @ torch.tensor([[1.0, 0.0], [0.6, 0.8]]).T
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    net = scorejet.train(
        x, 0.5, steps=600, batch=256, seed=1, model={"s2": "full", "width": 32}, learning_rate=5e-3
    )
    assert torch.equal(torch.rand(3), expected), "the caller's random numbers must not move"
    posterior = scorejet.posterior(net, torch.zeros(1, 2), 0.5)
    prior = torch.tensor([[1.0, 0.6], [0.6, 1.0]])
    exact = 0.25 * torch.linalg.solve(prior + 0.25 * torch.eye(2), prior)
    assert torch.allclose(posterior.covariance.dense()[0], exact, atol=0.03)
    again = scorejet.train(
        x, 0.5, steps=600, batch=256, seed=1, model={"s2": "full", "width": 32}, learning_rate=5e-3
    )
    assert torch.equal(net(x[:4], 0.5), again(x[:4], 0.5))
    copied = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    assert torch.equal(net(x[:4], 0.5), copied(x[:4], 0.5))
    with pytest.raises(ValueError, match="nearest: model.width"):
        scorejet.train(x, 0.5, model={"widht": 3})


@pytest.fixture(scope="module")
def small_net():
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(4))
    return scorejet.train(x, 0.5, steps=30, seed=1, model={"s2": "low_rank", "rank": 2, "width": 16})


def test_other_types_of_numbers_are_taken_in_the_networks_own(small_net):
    x = np.random.default_rng(0).normal(size=(4, 3))  # float64, NumPy's default
    expected = scorejet.posterior(small_net, torch.as_tensor(x).float(), 0.5)
    for given in (x, x.astype(np.float16), torch.as_tensor(x)):
        found = scorejet.posterior(small_net, given, 0.5)
        assert torch.allclose(found.mean, expected.mean, atol=2e-3)
        assert scorejet.components(small_net, given, 0.5, count=2).values.dtype == torch.float32
        assert scorejet.sample(small_net, given, 0.5, steps=2).positions.shape == (4, 3, 3)
    double = torch.nn.Linear(3, 3).double()

    class Wrapped(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = double

        def forward(self, x, sigma):
            return self.inner(x)

    assert scorejet.field(Wrapped(), (3,)).mean(x.astype(np.float32), 0.5).dtype == torch.float64


def test_a_sigma_outside_training_is_said(small_net):
    x = torch.zeros(2, 3)
    for call in (
        lambda: scorejet.posterior(small_net, x, 5.0),
        lambda: scorejet.components(small_net, x, 5.0, count=1),
        lambda: scorejet.denoise(small_net, x, 5.0),
        lambda: scorejet.sample(small_net, x, 5.0, steps=1),
    ):
        with pytest.warns(UserWarning, match="sigma = 5 lies outside .* trained on: 0.5"):
            call()


def test_an_exported_folder_loads(small_net, tmp_path):
    small_net.save_pretrained(tmp_path / "net")
    loaded = scorejet.load(tmp_path / "net")
    assert torch.equal(loaded(torch.ones(2, 3), 0.5), small_net(torch.ones(2, 3), 0.5))


def test_scalars_that_make_no_sense_are_one_line(small_net):
    x = torch.zeros(2, 3)
    posterior = scorejet.posterior(small_net, x, 0.5)
    for call, error, said in [
        (lambda: scorejet.components(small_net, x, 0.5, count=2.5), TypeError, "count must be an integer"),
        (lambda: posterior.sample(2, seed=-1), ValueError, "seed must be at least 0; got -1"),
        (lambda: posterior.sample(2, seed="a"), TypeError, "seed must be an integer; got str"),
        (lambda: posterior.interval("0.9"), ValueError, "level must be a finite number"),
        (lambda: posterior.region([0, 1, 0]), ValueError, "distinct indices"),
        (lambda: scorejet.train(x, 0.0), ValueError, "sigma must be positive"),
        (lambda: scorejet.train(x, 0.5, steps=0), ValueError, "steps must be at least 1"),
        (lambda: scorejet.train(x, 0.5, model="full"), TypeError, "dict of settings; got str"),
        (lambda: scorejet.train(torch.randn(9, 3), 0.5, model={"s2": "ful"}), ValueError, "low_rank"),
        (lambda: scorejet.field(lambda x, s: x, 7), ValueError, "like \\(1, 28, 28\\); got 7"),
        (lambda: scorejet.denoise(small_net, x, float("inf")), ValueError, "finite"),
    ]:
        with pytest.raises(error, match=said) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_negative_variances_are_said():
    field = scorejet.field(lambda x, s: -x, (4,))
    with pytest.warns(UserWarning, match="variances below 0"):
        scorejet.components(field, torch.zeros(2, 4), 0.5)


def test_import_changes_nothing_and_fork_works():
    code = """
import torch, os
before = (torch.get_num_threads(), torch.get_rng_state(), torch.get_default_dtype())
import scorejet
after = (torch.get_num_threads(), torch.get_rng_state(), torch.get_default_dtype())
assert before[0] == after[0] and torch.equal(before[1], after[1]) and before[2] == after[2]
torch.set_num_threads(1)
field = scorejet.field(lambda x, s: 0.5 * x, (64,))
one = scorejet.components(field, torch.ones(2, 64), 0.5).values
assert torch.get_num_threads() == 1
loader = torch.utils.data.DataLoader(torch.arange(8.0), num_workers=1, multiprocessing_context="fork")
assert sum(float(v) for v in loader) == 28
print("fine", os.getpid())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0 and "fine" in found.stdout, found.stderr


def test_another_torch_is_refused_with_the_command_that_mends_it(monkeypatch):
    from scorejet import _version

    monkeypatch.setattr(_version._built, "TORCH", "1.99.0")
    with pytest.raises(ImportError, match=r"built for PyTorch 1\.99, this is .*pip install --force"):
        _version.check_torch()


def test_things_show_themselves():
    density = scorejet.density("two-moons")
    posterior = scorejet.posterior(density, torch.zeros(5, 2), SIGMA)
    assert "Posterior(5 of shape (2,)" in repr(posterior)
    assert "Components(2 of 5 samples, converged" in repr(
        scorejet.components(density, torch.zeros(5, 2), SIGMA, count=2)
    )
    assert "order 3" in repr(density)
    assert "Returns" in scorejet.calibrate.__doc__ or "Fits" in scorejet.calibrate.__doc__


def test_calibration_of_an_exact_posterior_changes_nothing():
    density = scorejet.gaussian_mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.6], [0.6, 2.0]]])
    clean = density.sample(4000, seed=2)
    found = scorejet.calibrate(density, clean[:2000], clean[2000:], SIGMA)
    # the mean of 2,000 chi-squared of two degrees over two: sd 0.022
    assert abs(found["temperature"] - 1) < 0.1
    assert abs(found["raw"]["coverage"][2] - 0.9) < 0.03
