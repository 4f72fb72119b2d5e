"""The network of mixed width: what Γ keeps of it, against random search and under noise.

Four layers whose options, the identity and several widths, share one weight each. One fit by the
generalised objective chooses an option a layer; the network of these is trained from fresh weights,
and so are those of a random search.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bayesnas.report.figure import write_figure
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.mixed_width.figures import mixed_width_figure
from bayesnas.reproductions.mixed_width.fits import Compared, Study
from bayesnas.reproductions.mixed_width.settings import NOISE, Settings, images, settings_of
from bayesnas.reproductions.tables import mean_and_error, write_comparisons

REFERENCE = (
    "Bakhteev, Strijov, Deep learning model selection of suboptimal complexity, 2018; the network "
    "of mixed width of Bakhteev, Choice of the structure of a deep learning model, lecture, 2019"
)
PROPOSED, RANDOM = "chosen by Γ", "random search"


def run(request: Request) -> Reproduced:
    """Search, train, and write tables and the picture.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: a data set is not there and can't be downloaded.
    """
    settings = settings_of(request)
    loaded = [images(name, settings, request.root) for name in settings.data]
    claim(request.out, settings.to_dict())
    by_data = {}
    for each in loaded:
        study = Study(each, settings, request)
        by_data[each.name] = [study.compared(start) for start in range(settings.starts)]
    comparisons = [c for name, starts in by_data.items() for c in compare(name, starts)]
    files = write_comparisons(request.out, comparisons)
    files["mixed-width.png"] = request.out / "mixed-width.png"
    write_figure(mixed_width_figure(by_data), files["mixed-width.png"])
    words = remarks(settings, by_data)
    return Reproduced("mixed-width", settings.to_dict(), words, comparisons, files)


REPRODUCTION = Reproduction(
    "a network of mixed width, chosen by the generalised objective", REFERENCE, run
)


def compare(name: str, starts: Sequence[Compared]) -> Iterator[Comparison]:
    """Accuracies by noise, sizes, and their ratio; a value a start."""
    chosen = {
        PROPOSED: [start.proposed for start in starts],
        RANDOM: [start.best for start in starts],
    }
    for network, trained in chosen.items():
        for i, noise in enumerate(NOISE):
            labels = {"data": name, "network": network, "noise": f"{noise:g}"}
            yield Comparison(labels, "test accuracy", None, tuple(t.test[i] for t in trained))
    for network, trained in chosen.items():
        sizes = tuple(float(t.parameters) for t in trained)
        yield Comparison({"data": name, "network": network}, "parameters", None, sizes)
    shares = tuple(start.share for start in starts)
    yield Comparison({"data": name}, "share of random search's parameters", None, shares)


def remarks(settings: Settings, by_data: Mapping[str, Sequence[Compared]]) -> list[str]:
    """What was run, and by data set the differences from random search with standard errors."""
    said = [
        f"Images of {settings.side} × {settings.side} pixels, {settings.layers} layers, options "
        f"identity and {', '.join(map(str, settings.widths))}; at most {settings.train:,} training "
        f"images, {settings.validation:,} held out, {settings.steps:,} steps; λ lik of Q 1, λ "
        f"prior of Q and of L m / {settings.sample:,.0f} for m training images; random search of "
        f"{settings.trials} networks a start. Every network is trained from fresh weights by the "
        "same objective and steps."
    ]
    for name, starts in by_data.items():
        options = "; ".join(", ".join(start.proposed.options) for start in starts)
        shares = [start.share for start in starts]
        clean, *_, noisy = (
            [100 * (start.proposed.test[i] - start.best.test[i]) for start in starts]
            for i in range(len(NOISE))
        )
        said.append(
            f"{name}: chosen {options}; {mean_and_error(shares)} of random search's parameters; "
            f"accuracy less random search's, in points: {mean_and_error(clean)}, with noise of "
            f"{NOISE[-1]:g} {mean_and_error(noisy)}."
        )
    return said
