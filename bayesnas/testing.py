"""The contract that every model of the zoo keeps, as a test class to inherit.

>>> import torch, bayesnas as bn
>>> from bayesnas.testing import ModelContract
>>> class TestMyModel(ModelContract):
...     def make_model(self):
...         return bn.models.GaussianNet(bn.nn.mlp([4, 6, 3]))
...     def make_data(self):
...         return torch.randn(20, 4), torch.arange(20) % 3

pytest then runs the tests below on ``MyModel``.
"""

from __future__ import annotations

import abc
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from pyro import poutine
from torch import Tensor

import bayesnas as bn
from bayesnas.inference.config.settings import StepKLWeight, make_settings
from bayesnas.inference.elbo.bound import bound_terms
from bayesnas.inference.elbo.messengers import DrawnWeights
from bayesnas.inference.elbo.sites import split_sites
from bayesnas.inference.steps.step import Step
from bayesnas.models.base import BayesianModel
from bayesnas.runtime.pyro_context import pyro_session
from bayesnas.runtime.random_state import RandomStream

Data = tuple[Tensor, Tensor]

_MIDDLE = 10**0.5  # of the range of λ 0.1…100, where every map starts


class ModelContract(abc.ABC):
    """What a model must keep; inherit as ``TestX`` and define the two makers.

    Attributes:
        steps: optimiser steps of the fits.
        kl_draws: draws behind the Monte Carlo KL.
        svi: whether ``model.model`` and ``model.guide`` train under plain ``pyro.infer.SVI``.
    """

    steps = 8
    kl_draws = 200
    svi = True
    _fitted: bn.Posterior

    @abc.abstractmethod
    def make_model(self) -> BayesianModel:
        """Return a small model, not fitted; built equally at every call."""

    @abc.abstractmethod
    def make_data(self) -> Data:
        """Return a few examples ``(x, y)`` that the model takes."""

    def fit(self, **options: Any) -> bn.Posterior:
        """Fit a fresh model for a few steps."""
        defaults: dict[str, Any] = {"steps": self.steps, "batch_size": 8, "lr": 1e-2}
        options = {**defaults, "device": "cpu", "progress": False, **options}
        post: bn.Posterior = bn.fit(self.make_model(), self.make_data(), **options)
        return post

    def fitted(self) -> bn.Posterior:
        """The posterior of :meth:`fit` with its defaults, made once for the tests that read it."""
        kind = type(self)
        if "_fitted" not in vars(kind):
            kind._fitted = self.fit()
        return kind._fitted

    def prepared_model(self) -> tuple[BayesianModel, Tensor, Tensor]:
        """Return a model that has seen data, with that data, as a fit has it before step 0."""
        model, (x, y) = self.make_model(), self.make_data()
        with pyro_session(RandomStream(0, x.device), validate=True):
            model.prepare(x, y)
            model.reset()
        return model, x, y

    def test_the_state_dict_is_complete_before_the_first_call(self) -> None:
        """A new model's parameters are all there: the names don't grow by using it."""
        names = list(self.make_model().state_dict())
        post = self.fitted()
        assert list(post.model.state_dict()) == names

    def test_model_and_guide_sample_the_same_latent_sites(self) -> None:
        """Site for site, with the same shapes, and the targets observed."""
        model, x, y = self.prepared_model()
        with pyro_session(RandomStream(0, x.device)):
            guide, _ = split_sites(poutine.trace(model.guide).get_trace(x, y))
            latent, observed = split_sites(poutine.trace(model.model).get_trace(x, y))
        guide = {n: s for n, s in guide.items() if not s["infer"].get("is_auxiliary")}
        assert observed
        assert {n: s["value"].shape for n, s in guide.items()} == {
            n: s["value"].shape for n, s in latent.items()
        }

    @pytest.mark.parametrize("kl_weight", [0.0, 1e-3, 1.0, 1e3])
    def test_gradients_are_finite(self, kl_weight: float) -> None:
        """Every parameter's gradient of the λ-weighted bound is finite, and one is not zero."""
        model, x, y = self.prepared_model()
        with pyro_session(RandomStream(0, x.device)):
            bound = bound_terms(model, x, y, data_scale=3.0).bound(kl_weight)
            bound.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients
        assert all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        assert any(bool((gradient != 0).any()) for gradient in gradients)

    def test_the_traced_step_equals_the_eager_one(self) -> None:
        """Terms and gradients of a step traced at λ = 1 hold at other λ, within 1e-6."""
        step, x, y = self._step(None, compile="trace")
        for kl_weight in (0.03, 40.0):
            with pyro_session(RandomStream(0, x.device)):
                assert step.traced.difference(x, y, kl_weight) < 1e-6, kl_weight

    @pytest.mark.parametrize("amortize", ["linear", "piecewise", "low-rank", "curvature"])
    def test_every_amortisation_equals_the_constant_one_at_a_kl_weight(self, amortize: str) -> None:
        """A first step in the middle of the range: same terms, same gradient by the parameters."""
        steps = []
        for kind in (None, amortize):
            step, x, y = self._step(kind, compile=False)
            with pyro_session(RandomStream(0, x.device)):
                row = step(x, y, StepKLWeight(_MIDDLE, _MIDDLE), 0.0)
            gradients = [group.flat.gradient for group in step.trained.groups]
            steps.append((row, torch.cat([g.double() for g in gradients])))
            pulled = step.trained.use(_MIDDLE).gradients
            if kind in ("linear", "piecewise") and len(step.trained.groups) == 1:
                assert torch.allclose(sum(pulled, torch.zeros(())), gradients[0], atol=1e-6)
        (row, gradient), (other_row, other_gradient) = steps
        assert torch.allclose(row, other_row, rtol=1e-5)  # a map may come back to θ by way of ln σ
        largest = float(gradient.abs().max())  # to its rounding small ones are known
        assert torch.allclose(gradient, other_gradient, rtol=1e-5, atol=1e-5 * largest)

    def test_one_fit_serves_a_range_of_kl_weights(self, tmp_path: Path) -> None:
        """Every λ of the range has a finite bound, also after saving; outside it is refused."""
        post = bn.fit(
            self.make_model(), self.make_data(), kl_weight=bn.LogUniform(0.5, 20.0),
            steps=self.steps, batch_size=8, lr=1e-2, device="cpu", progress=False,
        )  # fmt: skip
        post.save(tmp_path / "run")
        loaded = bn.load(
            tmp_path / "run", model=self._model_for_loading(post.at(1.0)), device="cpu"
        )
        assert isinstance(loaded, bn.inference.AmortizedPosterior)
        data = self.make_data()
        for kl_weight in (0.5, 3.0, 20.0):
            metrics = post.at(kl_weight).evaluate(data, draws=2)
            assert metrics["elbo"] == metrics["elbo"]
            assert metrics == loaded.at(kl_weight).evaluate(data, draws=2)
        with pytest.raises(ValueError, match=r"fitted range \[0.5, 20\]"):
            post.at(21.0)

    def _step(self, amortize: str | None, compile: str | bool) -> tuple[Step, Tensor, Tensor]:
        """Return a step not taken yet, its model at the start of a fit, and its data."""
        model, x, y = self.prepared_model()
        settings = make_settings(
            examples=len(x), kl_weight=1.0 if amortize is None else bn.LogUniform(0.1, 100.0),
            kl_warmup=0.0, amortize=amortize, epochs=None, steps=100, batch_size=len(x), lr=1e-3,
            schedule="constant", clip=None, restarts=1, patience=None, seed=0, compile=compile,
        )  # fmt: skip
        stream = RandomStream(0, x.device)
        with pyro_session(stream):
            taken = Step(model, torch.optim.Adam, settings, len(x), stream, lambda: "in a test")
        return taken, x, y

    def test_the_kl_equals_its_monte_carlo_estimate(self) -> None:
        """The KL of the bound is the mean of log q − log p, within five standard errors."""
        model = self.fitted().model
        x, y = self.make_data()
        with torch.no_grad(), pyro_session(RandomStream(1, x.device)):
            # The KL of the bound varies less than the ratio, or not at all: fewer draws of it do.
            closed = [
                float(bound_terms(model, x, y).kl_divergence()) for _ in range(self.kl_draws // 4)
            ]
            sampled = [_log_ratio(model, x, y) for _ in range(self.kl_draws)]
        exact = torch.tensor(closed, dtype=torch.float64)
        estimate = torch.tensor(sampled, dtype=torch.float64)
        spread = (exact.var() / len(exact) + estimate.var() / len(estimate)).sqrt()
        assert abs(exact.mean() - estimate.mean()) < 5 * spread + 1e-5 * exact.mean().abs()

    def test_two_fits_with_one_seed_agree_exactly(self) -> None:
        """Bit for bit, in parameters and in history; another seed gives other numbers."""
        first, second, other = self.fitted(), self.fit(seed=0), self.fit(seed=4)
        for name, value in first.model.state_dict().items():
            assert torch.equal(value, second.model.state_dict()[name]), name
        assert first.history().equals(second.history())
        assert not first.history().equals(other.history())

    def test_a_fit_leaves_no_trace(self) -> None:
        """The model given, Pyro's store and torch's random state are as they were."""
        model, data = self.make_model(), self.make_data()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        stored, random = set(pyro.get_param_store().keys()), torch.get_rng_state()
        bn.fit(model, data, steps=2, device="cpu", progress=False)
        assert all(torch.equal(value, before[n]) for n, value in model.state_dict().items())
        assert set(pyro.get_param_store().keys()) == stored
        assert torch.equal(torch.get_rng_state(), random)

    def test_save_and_load_round_trip(self, tmp_path: Path) -> None:
        """A loaded run has the same parameters, history and predictions."""
        post, (x, _) = self.fitted(), self.make_data()
        post.save(tmp_path / "run")
        loaded = bn.load(tmp_path / "run", model=self._model_for_loading(post), device="cpu")
        for name, value in post.model.state_dict().items():
            assert torch.equal(value, loaded.model.state_dict()[name]), name
        assert post.history().equals(loaded.history())
        assert torch.equal(post.predict(x, draws=3), loaded.predict(x, draws=3))

    def test_export_round_trip(self, tmp_path: Path) -> None:
        """The ArviZ tree has chains, draws and named dims, and survives netCDF."""
        import xarray as xr

        post = self.fit(restarts=2)
        tree = post.to_arviz(draws=5, data=self.make_data())
        tree.to_netcdf(tmp_path / "post.nc")
        with xr.open_datatree(tmp_path / "post.nc") as read:
            assert read["posterior"].sizes["chain"] == 2
            assert read["posterior"].sizes["draw"] == 5
            exported, stored = tree["posterior"].to_dataset(), read["posterior"].to_dataset()
            for name, values in exported.data_vars.items():
                assert stored[name].equals(values)
                assert values.dims[2:] == post.model.site_dims().get(str(name), values.dims[2:])
            assert set(tree.children) <= set(read.children)

    def test_structure_has_named_dims_and_values_in_the_unit_interval(self) -> None:
        """One variable a structural site, no default dim names, no value outside [0, 1]."""
        structure = self.fitted().structure()
        for variable in structure.data_vars.values():
            assert float(variable.min()) >= 0.0
            assert float(variable.max()) <= 1.0
            assert not any(str(dim).startswith("dim_") for dim in variable.dims)

    def test_means_and_scales_of_weights_are_plain_numbers(self) -> None:
        """Detached, finite, of the shapes of the masks; scales not negative."""
        model = self.fitted().model
        masks = model.keep_masks()
        for site, (loc, scale) in model.weight_posteriors().items():
            assert not any(value.requires_grad for value in (loc, scale)), site
            assert loc.shape == scale.shape == masks[site].shape
            assert bool(loc.isfinite().all() and scale.isfinite().all() and (scale >= 0).all())

    def test_plain_pyro_trains_it(self) -> None:
        """``pyro.infer.SVI`` on ``model.model`` and ``model.guide`` changes the parameters."""
        if not self.svi:
            pytest.skip("the model says that it does not train under pyro.infer.SVI")
        model, (x, y) = self.make_model(), self.make_data()
        before = {name: value.clone() for name, value in model.named_parameters()}
        pyro.clear_param_store()
        with torch.random.fork_rng(devices=[]):
            optimizer = pyro.optim.PyroOptim(torch.optim.Adam, {"lr": 1e-2})
            svi = pyro.infer.SVI(
                model.model, model.guide, optimizer, pyro.infer.TraceMeanField_ELBO()
            )
            losses = [svi.step(x, y) for _ in range(3)]
        pyro.clear_param_store()
        assert all(loss == loss for loss in losses)
        assert any(not torch.equal(p, before[name]) for name, p in model.named_parameters())

    def _model_for_loading(self, post: bn.Posterior) -> BayesianModel | None:
        """Return a model to load into where a run can't rebuild its own."""
        try:
            post.model.config()
        except TypeError:
            return self.make_model()
        return None


def _log_ratio(model: BayesianModel, x: Tensor, y: Tensor) -> float:
    """Log q − log p at one draw, summed over all latent sites."""
    with DrawnWeights():
        guide_trace = poutine.trace(model.guide).get_trace(x, y)
    model_trace = poutine.trace(poutine.replay(model.model, trace=guide_trace)).get_trace(x, y)
    latent, _ = split_sites(model_trace)
    log_q = sum(
        float(site["fn"].log_prob(site["value"]).double().sum())
        for site in split_sites(guide_trace)[0].values()
    )
    log_p = sum(
        float(site["fn"].log_prob(site["value"]).double().sum()) for site in latent.values()
    )
    return log_q - log_p
