"""The folder of a run: what was fitted on what, and its result. No pickle."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bayesnas.data import DataInfo
from bayesnas.data.inputs import AnyInputs, Inputs
from bayesnas.files import partial_of, path_of
from bayesnas.inference.config.settings import FitSettings
from bayesnas.inference.runs.chain_record import (
    ChainRecord,
    ChainState,
    check_records,
    read_records,
)
from bayesnas.inference.runs.checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from bayesnas.inference.runs.compatibility import check_format, check_same_model, check_same_run
from bayesnas.inference.runs.description import RunDescription
from bayesnas.inference.runs.schema import check_schema
from bayesnas.likelihoods import LikelihoodContract
from bayesnas.memory import MemoryLimit
from bayesnas.models.base import BayesianModel
from bayesnas.models.registry import zoo_class
from bayesnas.nn.hypernetworks.options import Amortize
from bayesnas.nn.modules.parameter_names import below
from bayesnas.runtime.random_state import random_state_kept
from bayesnas.tensor_files import (
    read_json,
    read_tensors,
    write_json,
    write_tensors,
)

RUN = "run.json"
RESULT = "posterior.safetensors"

Example = tuple[AnyInputs, Tensor]
"""Inputs and targets of some rows of the training data."""


class RunFolder:
    """A folder that belongs to one run.

    ``run.json`` says from the first step on what is fitted on what; a run is finished when its
    status says so, which is written after the result.

    Attributes:
        path: the folder.
        finished: whether the run in it is done.
    """

    def __init__(self, path: Path, run: RunDescription, stored: dict[str, Any] | None) -> None:
        """Hold a folder; see :meth:`open`."""
        self.path = path
        self.finished = stored is not None and stored["status"] == "finished"
        self._content = run.to_dict("running") if stored is None else stored
        self._holds_run = stored is not None

    @classmethod
    def open(cls, out: str | Path, run: RunDescription, *, resume: bool = False) -> RunFolder:
        """Look whether a folder can take a run, or holds it already; nothing is written.

        Raises:
            FileExistsError: if it holds a run and ``resume`` is false.
            NotADirectoryError: if it is a file.
            FileNotFoundError: if it holds parts of a run that say nothing of what was fitted.
            ValueError: if the run in it is another one; the message says in what.
        """
        path = path_of("out", out)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"out must be a folder, got the file {path}")
        files = [name for name in (RUN, RESULT, CHECKPOINT) if (path / name).exists()]
        if not files:
            return cls(path, run, None)
        if not resume:
            raise run_is_there(path, files)
        if RUN not in files:
            raise FileNotFoundError(f"out: {path} holds {', '.join(files)} but no {RUN}")
        content = read_json(path / RUN)
        check_same_run(path / RUN, content, run)
        return cls(path, run, content)

    def begin(self) -> None:
        """Create the folder and say in it what is being fitted.

        Raises:
            OSError: where it can't be written; then it is as it was.
        """
        if self._holds_run:
            return
        with self._left_as_it_was_on_failure():
            write_json(self.path / RUN, self._content)
        self._holds_run = True

    def checkpoint(self) -> tuple[list[ChainRecord], list[ChainState]] | None:
        """Last checkpoint, or None where there is none yet."""
        return read_checkpoint(self.path) if (self.path / CHECKPOINT).exists() else None

    def write_checkpoint(
        self, finished: Sequence[ChainRecord], running: Sequence[ChainState]
    ) -> bool:
        """Write where the fit stands; see :mod:`bayesnas.inference.runs.checkpoint`."""
        return write_checkpoint(self.path, finished, running)

    def finish(self, records: Sequence[ChainRecord], example: Example) -> None:
        """Write the result; only then is the run finished and the checkpoint removed.

        Raises:
            OSError: where it can't be written; a checkpoint is intact, and a folder that held
                no run holds none.
        """
        tensors, names = _named_example(example)
        for index, record in enumerate(records):
            tensors |= record.tensors(f"chain{index}/")
        nll = [record.validation_nll for record in records]
        with contextlib.nullcontext() if self._holds_run else self._left_as_it_was_on_failure():
            metadata = {"validation_nll": nll, "run": _digest(self._content), **names}
            write_tensors(self.path / RESULT, tensors, metadata)
            write_json(self.path / RUN, {**self._content, "status": "finished"})
        self.finished = True
        self.tidy()

    def tidy(self) -> None:
        """Remove what a finished run has no use for: its checkpoint, files cut off by a kill."""
        # What can't be removed does no harm: a finished run is never read from it.
        with contextlib.suppress(OSError):
            (self.path / CHECKPOINT).unlink(missing_ok=True)
            for name in (RUN, RESULT, CHECKPOINT):
                partial_of(self.path / name).unlink(missing_ok=True)

    @contextlib.contextmanager
    def _left_as_it_was_on_failure(self) -> Any:
        new = not self.path.exists()
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            yield
        except OSError:
            with contextlib.suppress(OSError):  # the first error tells more
                (self.path / RESULT).unlink(missing_ok=True)
                if new:
                    self.path.rmdir()
            raise


def run_is_there(folder: Path, files: Sequence[str]) -> FileExistsError:
    """The error of a new run for a folder that holds files of another."""
    return FileExistsError(
        f"out: {folder} already holds a run ({', '.join(files)}); "
        "give another folder, or resume=True to go on with it"
    )


def warn_not_saved(error: OSError, more: str = "") -> None:
    """Warn, where who called the caller's caller stands, that a fit is in memory alone."""
    warnings.warn(
        f"the fit is done but not saved: {error}. The posterior is returned all the same "
        f"(post.save(folder) writes it){more}",
        RuntimeWarning,
        stacklevel=5,
    )


def read_run(
    path: str | Path,
    model: BayesianModel | None = None,
    amortize: Amortize | None = None,
    likelihood: LikelihoodContract | None = None,
) -> tuple[RunDescription, list[ChainRecord], Example]:
    """Read a finished run.

    Args:
        path: its folder.
        model: an equally built model, for one that can't be rebuilt from its description.
        amortize: map of the user's own, which can't be rebuilt from a description either.
        likelihood: likewise, one of the user's own.

    Raises:
        FileNotFoundError: naming what is missing; for an interrupted run, how to go on.
        ValueError: for a truncated or damaged file, a run of a later version, or another model.
    """
    folder = path_of("path", path)
    if not (folder / RUN).exists():
        raise FileNotFoundError(f"{folder} holds no run: {RUN} is missing")
    content = read_json(folder / RUN)
    check_format(folder / RUN, content)
    check_schema(folder / RUN, content)
    if content["status"] != "finished":
        at = "midway" if (folder / CHECKPOINT).exists() else "before its first checkpoint"
        raise FileNotFoundError(
            f"the run in {folder} was interrupted {at}, its result is missing; fit with the same "
            "arguments, out= and resume=True to go on"
        )
    if not (folder / RESULT).exists():
        raise FileNotFoundError(f"{folder / RESULT} is missing")
    if amortize is not None and content["settings"]["amortization"] is None:
        raise ValueError(f"amortize goes with a run over a range, got it for {folder}")
    given = model is not None or likelihood is not None
    if model is None:
        model = _rebuild_model(folder / RUN, content["model"], likelihood)
    elif likelihood is not None:
        raise ValueError("likelihood goes without model, which has one: give either, got both")
    if given:
        model = copy.deepcopy(model)
        model.size_for(content["data"].get("classes"))
        check_same_model(folder / RUN, content["model"], model)
    run = _read_description(folder / RUN, content, model, amortize)
    tensors, metadata = read_tensors(folder / RESULT)
    try:
        records = read_records(tensors, metadata["validation_nll"])
        check_records(records, run.settings.steps)
        example = _read_example(tensors, metadata)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{folder / RESULT} is no result of a fit: it lacks {error}") from error
    if metadata.get("run", "") not in ("", _digest(content)):
        raise ValueError(
            f"{folder / RUN} is damaged or of another run: {RESULT} was written with other content"
        )
    return run, records, example


def _digest(content: Mapping[str, Any]) -> str:
    """Of a description, status and date left out: what shows that one number has changed."""
    kept = {key: value for key, value in content.items() if key not in ("status", "created")}
    text = json.dumps(kept, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _named_example(example: Example) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors by name in the file, and of several inputs what the net calls them."""
    x, y = example
    if not isinstance(x, Inputs):
        return {"example/x": x, "example/y": y}, {}
    by_name = {f"example/x/{place}": leaf for place, leaf in enumerate(x.leaves)}
    return {**by_name, "example/y": y}, {"inputs": x.names}


def _read_example(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> Example:
    if "inputs" not in metadata:
        return tensors["example/x"], tensors["example/y"]
    by_place = below("example/x/", tensors)
    leaves, names = [by_place[str(place)] for place in range(len(by_place))], metadata["inputs"]
    x = Inputs(leaves if names is None else dict(zip(names, leaves, strict=True)))
    return x, tensors["example/y"]


def _read_description(
    path: Path, content: dict[str, Any], model: BayesianModel, amortize: Amortize | None
) -> RunDescription:
    try:
        return RunDescription(
            model,
            FitSettings.from_dict(content["settings"], amortize),
            DataInfo.from_dict(content["data"]),
            content["fingerprint"],
            content["validation"],
            content["start"],
            content.get("weights", ""),
        )
    except Exception as error:  # whatever a damaged description leads to
        raise ValueError(f"{path} is damaged: {error}") from error


def _rebuild_model(
    path: Path, content: dict[str, Any], likelihood: LikelihoodContract | None
) -> BayesianModel:
    if content.get("config") is None:
        raise ValueError(f"{path}: {content.get('reason', 'the model is not described')}")
    config = dict(content["config"])
    if likelihood is not None:
        if not isinstance(config.get("likelihood"), dict) or "own" not in config["likelihood"]:
            raise ValueError(
                f"likelihood is for a run with a likelihood of one's own, got one for {path} with "
                f"likelihood={config.get('likelihood')!r}"
            )
        config["likelihood"] = likelihood
    try:
        with random_state_kept(), MemoryLimit():
            model = zoo_class(content["class"]).from_config(config)
            return model.double() if content.get("dtype") == "float64" else model
    except Exception as error:  # whatever a damaged description leads to
        raise ValueError(
            f"{path}: the {content.get('class')} can't be rebuilt from its description ({error}); "
            "pass an equally built one to bayesnas.load(path, model=...)"
        ) from error
