"""What loggers write, compared with the history of the fit and what is measured after it."""

from __future__ import annotations

import sys
import types
from contextlib import nullcontext
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch

import bayesnas as bn
from bayesnas.cli.main import main
from bayesnas.loggers import CSVLogger, Logger, MLflowLogger, TensorBoardLogger, logger_of
from bayesnas.runtime.interrupt import InterruptedFitWarning

OPTIONS = {"steps": 12, "batch_size": 8, "progress": False, "lr": 0.01}
NAMES = ("loss", "expected_log_lik", "kl", "kl_weight")


@pytest.fixture
def data():
    x = torch.randn(30, 2, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


@pytest.fixture
def model():
    return bn.models.GaussianNet(bn.nn.mlp([2, 2]))


def test_csv_holds_the_history_of_every_chain(model, data, tmp_path):
    with CSVLogger(tmp_path / "logs" / "a.csv", every=3) as logger:
        post = bn.fit(model, data, restarts=2, on_step=logger, **OPTIONS)
    table = pd.read_csv(tmp_path / "logs" / "a.csv")
    history = post.history()
    for name in NAMES:
        wide = table[table["name"] == name].pivot(index="chain", columns="step", values="value")
        assert list(wide.columns) == [3, 6, 9, 12]
        assert np.allclose(wide, history[name][:, 2::3], rtol=1e-6)


def test_validation_is_that_of_evaluate_and_changes_nothing(model, data, tmp_path):
    validation = (data[0][:10], data[1][:10])
    with CSVLogger(tmp_path / "a.csv", validation=validation, validate_every=12) as logger:
        post = bn.fit(model, data, on_step=logger, **OPTIONS)
    table = pd.read_csv(tmp_path / "a.csv").set_index("name")["value"]
    actual = post.evaluate(validation, draws=8)
    assert table["validation/nll"] == pytest.approx(actual["nll"], rel=1e-6)
    assert table["validation/accuracy"] == actual["accuracy"]
    assert "validation/elbo" not in table.index
    alone = bn.fit(model, data, **OPTIONS)
    assert torch.equal(alone.predict(data[0], 3), post.predict(data[0], 3))


def test_a_file_that_is_there_is_kept(tmp_path):
    logger = CSVLogger(tmp_path / "a.csv")
    logger.log({"nll": 1.0}, step=1)
    logger.close()
    with pytest.raises(FileExistsError):
        CSVLogger(tmp_path / "a.csv")
    with CSVLogger(tmp_path / "a.csv", append=True) as more:
        more.log({"nll": 0.5}, step=2)
    assert pd.read_csv(tmp_path / "a.csv")["value"].tolist() == [1.0, 0.5]
    (tmp_path / "b.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match="must begin with chain,step,name,value"):
        CSVLogger(tmp_path / "b.csv", append=True)


def test_tensorboard_reads_the_numbers(model, data, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with TensorBoardLogger(tmp_path / "logs") as logger:
        post = bn.fit(model, data, on_step=logger, **OPTIONS)
    read = EventAccumulator(str(tmp_path / "logs" / "chain0"))
    read.Reload()
    assert set(read.Tags()["scalars"]) == set(NAMES)
    values = [event.value for event in read.Scalars("loss")]
    assert [event.step for event in read.Scalars("loss")] == list(range(1, 13))
    assert np.allclose(values, post.history()["loss"][0], rtol=1e-5)


class Client:
    """As much of MLflow's client as is called, with its limits."""

    made: ClassVar[list[Client]] = []

    def __init__(self, tracking_uri=None):
        self.uri, self.metrics, self.params, self.ended = tracking_uri, [], [], []
        Client.made.append(self)

    def get_experiment_by_name(self, name):
        return None

    def create_experiment(self, name):
        return f"id of {name}"

    def create_run(self, experiment_id, run_name):
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id=f"run of {run_name}"))

    def log_batch(self, run_id, metrics=(), params=()):
        assert len(metrics) <= 1000
        self.metrics += [(run_id, *metric) for metric in metrics]
        self.params += [(run_id, *param) for param in params]

    def set_terminated(self, run_id, status):
        self.ended.append((run_id, status))


def test_mlflow_gets_every_number(monkeypatch):
    entities = types.SimpleNamespace(
        Metric=lambda key, value, timestamp, step: (key, value, step),
        Param=lambda key, value: (key, value),
    )
    monkeypatch.setitem(sys.modules, "mlflow", types.SimpleNamespace(MlflowClient=Client))
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    with MLflowLogger("http://here", params={"kl_weight": 2.0}) as logger:
        for step in range(700):
            logger.log({"loss": float(step)}, step)
        logger.log({"loss": float("nan")}, 700)
    client = Client.made[-1]
    assert client.uri == "http://here"
    assert client.metrics == [("run of chain0", "loss", float(s), s) for s in range(700)]
    assert client.params == [("run of chain0", "kl_weight", "2.0")]
    assert client.ended == [("run of chain0", "FINISHED")]


@pytest.mark.filterwarnings("ignore")  # of mlflow and its data base
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (ValueError, "FAILED"),
        (KeyboardInterrupt, "KILLED"),
        (InterruptedFitWarning, "KILLED"),
    ],
)
def test_a_real_store_of_mlflow(tmp_path, model, data, error, status):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    uri = f"sqlite:///{tmp_path}/runs.db"
    with (
        pytest.raises(error) if error else nullcontext(),
        MLflowLogger(uri, params={"kl_weight": 1.0}) as logger,
    ):
        post = bn.fit(model, data, restarts=2, on_step=logger, **OPTIONS)
        if error is not None:
            raise error
    client = mlflow.MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name("bayesnas")
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_name for run in runs} == {"chain0", "chain1"}
    for run in runs:
        assert (run.info.status, run.data.params) == (status, {"kl_weight": "1.0"})
        course = client.get_metric_history(run.info.run_id, "loss")
        chain = int(run.info.run_name.removeprefix("chain"))
        actual = [metric.value for metric in sorted(course, key=lambda metric: metric.step)]
        if error is None:
            assert np.allclose(actual, post.history()["loss"][chain], rtol=1e-6)
        assert len(actual) == 12


@pytest.mark.parametrize(
    ("module", "make"),
    [
        ("mlflow", lambda path: MLflowLogger()),
        ("torch.utils.tensorboard", lambda path: TensorBoardLogger(path)),
    ],
)
def test_a_missing_package_is_named(monkeypatch, tmp_path, module, make):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'bayesnas\["):
        make(tmp_path)


@pytest.mark.parametrize("word", ["csv", "csv:", "xml:a", "", "tensorboard:"])
def test_wrong_words_are_named(word):
    with pytest.raises(ValueError, match="word must be csv:FILE"):
        logger_of(word)


def test_wrong_arguments_are_named(tmp_path):
    for option in ("every", "validate_every"):
        with pytest.raises(ValueError, match=option):
            CSVLogger(tmp_path / "a.csv", **{option: 0})
    with pytest.raises(TypeError, match="Logger does not define log"):
        Logger().log({}, 0)


def test_on_the_command_line(tmp_path, capsys):
    words = ["fit", "gaussian-net", "--hidden", "none", "--steps", "20", "--validation", "0.1"]
    words += ["--log", f"csv:{tmp_path / 'a.csv'}", "--log-every", "2", "--draws", "2", "--quiet"]
    assert main(words) == 0
    table = pd.read_csv(tmp_path / "a.csv")
    assert table[table["name"] == "loss"]["step"].tolist() == list(range(2, 21, 2))
    assert table[table["name"] == "validation/nll"]["step"].tolist() == [20]
    assert main([*words[:-3], "--log", "xml:a"]) == 2
    assert "--log must be csv:FILE" in capsys.readouterr().err
