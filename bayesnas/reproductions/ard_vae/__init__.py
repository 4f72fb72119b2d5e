"""How many latent dimensions: the ARD-VAE on MNIST, on linear-Gaussian data, and along λ.

Beside the variational autoencoder of Burda, Grosse and Salakhutdinov (2016): bound, likelihood and
active dimensions; the same networks without γ and p(W) at the same budget; factors found where
their number is known; the curve of active dimensions that one fit over λ gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from bayesnas.files import write_atomically
from bayesnas.models.autoencoders.active_units import MEASURES
from bayesnas.plots.structure.latents import latents_figure
from bayesnas.report.figure import write_figure
from bayesnas.report.latent_findings import latents_of
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.ard_vae import published
from bayesnas.reproductions.ard_vae.figures import curve_figure
from bayesnas.reproductions.ard_vae.fits import Fits
from bayesnas.reproductions.ard_vae.results import Results, measured_results
from bayesnas.reproductions.ard_vae.settings import KINDS, Settings, prepare
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.tables import write_comparisons

_FILES = ("curve.csv", "latents.png", "curve.png")


def run(request: Request) -> Reproduced:
    """Fit, measure, and write tables and pictures.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    settings, data = prepare(request)
    assert data.test is not None
    claim(request.out, {**settings.to_dict(), "fingerprint": data.train.fingerprint})
    fits = Fits(settings, data.train.x[: settings.examples], request)
    test = data.test.x[: settings.tested]
    results = measured_results(request, settings, fits, test)
    comparisons = list(compare(results))
    files = write_comparisons(request.out, comparisons)
    files |= {name: request.out / name for name in _FILES}
    rows = [{"kl_weight": at, **asdict(point)} for at, point in results.by_kl_weight.items()]
    write_atomically(files["curve.csv"], rows_as_csv(rows).encode())
    latents = latents_of(fits.at_one("ard", settings.seeds[0]).model, test)
    assert latents is not None
    assert latents.frames is not None
    picture = latents_figure(latents.measures, latents.shown, latents.frames)
    write_figure(picture, files["latents.png"])
    write_figure(curve_figure(results.by_kl_weight, results.curve), files["curve.png"])
    return Reproduced("ard-vae", settings.to_dict(), remarks(settings), comparisons, files)


REPRODUCTION = Reproduction(
    "latent dimensions that a variational autoencoder needs", published.REFERENCE, run
)


def compare(results: Results) -> Iterator[Comparison]:
    """Put every figure beside the published or the exact one."""
    for kind, rows in results.images.items():
        is_theirs = kind == "plain"
        figures = (
            ("negative bound", None, [row.negative_bound for row in rows]),
            ("negative log-likelihood", published.NLL, [row.nll for row in rows if row.nll]),
            ("KL of z", None, [row.latent_kl for row in rows]),
            ("KL of γ and W", None, [row.shared_kl for row in rows]),
        )
        for name, theirs, values in figures:
            labels = {"model": KINDS[kind], "figure": name}
            yield Comparison(labels, "nats an image", theirs if is_theirs else None, tuple(values))
    for kind, rows in results.images.items():
        for by in MEASURES:
            theirs = published.ACTIVE if kind == "plain" and by == "variance" else None
            counts = tuple(float(row.active[by]) for row in rows)
            yield Comparison({"model": KINDS[kind], "by": by}, "active dimensions", theirs, counts)
    yield from _compare_along(results)
    for factors, counts_by_seed in results.factors.items():
        for by in MEASURES:
            counts = tuple(float(row[by]) for row in counts_by_seed)
            labels = {"factors": str(factors), "by": by}
            yield Comparison(labels, "factors found", float(factors), counts)
    for point in results.curve:
        at = f"{point.kl_weight:g}"
        for fit, active, bound in (
            ("one fit over λ", point.active, point.bound),
            ("a fit at each", point.separate_active, point.separate_bound),
        ):
            labels = {"fit": fit, "λ": at}
            exact = float(point.exact)
            yield Comparison(labels, "active dimensions, linear", exact, (float(active),))
            yield Comparison(labels, "bound, linear", None, (bound,))


def _compare_along(results: Results) -> Iterator[Comparison]:
    for kl_weight, row in results.by_kl_weight.items():
        for name, value in (
            ("active by variance", float(row.active["variance"])),
            ("−E log p(x | z)", -row.log_likelihood),
            ("KL of z", row.latent_kl),
            ("negative bound at λ = 1", row.negative_bound),
        ):
            labels = {"figure": name, "λ": f"{kl_weight:g}"}
            yield Comparison(labels, "one fit over λ", None, (value,))


def remarks(settings: Settings) -> list[str]:
    """What was run, and what is not as in the source."""
    return [
        f"{settings.data}, {settings.examples:,} training and {settings.tested:,} test images, "
        f"pixels drawn anew at every sight; {settings.latents} latents, "
        f"{'–'.join(map(str, settings.hidden))} tanh units; {settings.epochs} epochs of Adam, "
        f"minibatches of {settings.batch_size}, learning rate {settings.lr:g} (cosine), λ rising "
        f"over {settings.kl_warmup:.0%} of the steps; seeds {settings.seeds}. The source: "
        f"{published.EPOCHS:,} epochs.",
        "Bound: E log p(x | z) − KL(z), test images; the KL of γ and W, a cost of all training "
        "images together, is in a column of its own, by their number. Likelihood: "
        f"{settings.importance_draws:,} importance samples an image at the means of γ and W; the "
        f"source takes {published.IMPORTANCE_DRAWS:,}.",
        "Linear-Gaussian data: the exact numbers in brackets.",
    ]
