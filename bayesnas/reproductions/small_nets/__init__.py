"""Error against bytes on disk: LeNet-300-100 and LeNet-5-Caffe made as small as they go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

import bayesnas as bn
from bayesnas.files import write_atomically
from bayesnas.report.figure import write_figure
from bayesnas.report.tables import rows_as_csv
from bayesnas.reproductions.base import Comparison, Reproduced, Reproduction, Request, claim
from bayesnas.reproductions.small_nets import published
from bayesnas.reproductions.small_nets.codes import Codes
from bayesnas.reproductions.small_nets.figures import frontier_figure
from bayesnas.reproductions.small_nets.measure import Point, point
from bayesnas.reproductions.small_nets.settings import SMALL, WHOLE, SmallNet
from bayesnas.reproductions.tables import write_comparisons

STARTS = 3


def run(request: Request) -> Reproduced:
    """Make, measure and write the files, the tables ``comparison`` and ``points``, the picture.

    Raises:
        ValueError: where the folder holds a reproduction with other settings.
        FileNotFoundError: MNIST is not there and can't be downloaded.
    """
    nets = SMALL if request.quick else WHOLE
    starts = request.seeds or (1 if request.quick else STARTS)
    claim(request.out, {small.key: small.to_dict() for small in nets})
    points = [each for small in nets for each in _points(small, starts, request)]
    comparisons = list(compare(points))
    files = write_comparisons(request.out, comparisons)
    files |= {name: request.out / name for name in ("points.csv", "frontier.png")}
    rows = rows_as_csv([each.to_dict() for each in points])
    write_atomically(files["points.csv"], rows.encode())
    write_figure(frontier_figure(points, nets), files["frontier.png"])
    settings = {small.key: small.to_dict() for small in nets} | {"starts": starts}
    return Reproduced("small-nets", settings, remarks(points, nets), comparisons, files)


REPRODUCTION = Reproduction(
    "error against bytes on disk, LeNet-300-100 and LeNet-5-Caffe", published.REFERENCE, run
)


def compare(points: Sequence[Point]) -> Iterator[Comparison]:
    """Errors, bytes and weights by what has been done; published nets are in the remarks."""
    keys = dict.fromkeys((each.net, each.done, each.prior) for each in points)
    for quantity, name in _QUANTITIES.items():
        for net, done, prior in keys:
            ours = [p for p in points if (p.net, p.done, p.prior) == (net, done, prior)]
            labels = {"net": net, "done": done, "prior": prior}
            yield Comparison(labels, quantity, None, tuple(getattr(p, name) for p in ours))


_QUANTITIES = {"test error, %": "error", "bytes on disk": "size", "weights in matrices": "weights"}


def remarks(points: Sequence[Point], nets: Sequence[SmallNet]) -> list[str]:
    """What was run, the published nets, and which goals are met."""
    return [text for small in nets for text in _remarks(points, small)]


def _remarks(points: Sequence[Point], small: SmallNet) -> Iterator[str]:
    title, how = small.recipe.title, small.coding
    mine = [each for each in points if each.net == title]
    yield (
        f"{title} on {small.recipe.data}, {len({p.seed for p in mine})} starts: groups are removed "
        f"in {len(small.recipe.groups)} stages, then the posterior of what is left is coded, "
        f"{how.fit_epochs + how.epochs + how.coding_epochs} epochs. Errors are those of the nets "
        "read from the files."
    )
    if small.published:
        yield f"Published: {'; '.join(map(str, small.published))}."
    for size, goal in small.goals.items():
        for prior in small.priors:
            errors = [p.error for p in mine if p.prior == prior and p.done == _coded(size)]
            mean = fmean(errors)
            said = "met" if mean <= goal else f"missed by {mean - goal:.2f} points"
            yield f"At most {goal:g} % in {size:,} bytes, {prior}: {mean:.2f} %, {said}."


def _coded(size: int) -> str:
    return f"coded, {size:,} bytes"


def _points(small: SmallNet, starts: int, request: Request) -> Iterator[Point]:
    flatten = small.recipe.shape is not None
    data = bn.data.load(small.recipe.data, root=request.root, flatten=flatten)
    assert data.test is not None
    title = small.recipe.title
    for seed in range(starts):
        for prior in small.priors:
            for done, path in Codes(small, prior, seed, data.train, request).files():
                reached = point(path, title, prior, seed, done, data.test)
                request.say(
                    f"{title}, {prior}, seed {seed}, {done}: {reached.architecture}, "
                    f"{reached.size:,} bytes, test error {reached.error:.2f} %"
                )
                yield reached
