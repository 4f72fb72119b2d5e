"""The command line, run in this process; one test starts it as a program."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import bayesnas as bn
import bayesnas.inference.runs.run_folder
from bayesnas.cli.arguments.names import MODEL_OPTIONS
from bayesnas.cli.errors import in_option_words
from bayesnas.cli.main import build_parser, main

FIT = ["fit", "gaussian-net", "--hidden", "16", "--lr", "0.01", "--draws", "4"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of the command line; not to be changed."""
    folder = tmp_path_factory.mktemp("runs") / "a"
    assert main([*FIT, "--epochs", "10", "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture
def run(finished, tmp_path):
    """A copy of it."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# models --------------------------------------------------------------------------------------


def test_models_are_those_of_the_registry(call, call_json):
    output = call_json("models")
    assert output.keys() == bn.models.available().keys()
    code, out, _ = call("models")
    assert code == 0
    for name, record in bn.models.available().items():
        assert output[name]["title"] == record.title
        assert name in out
        assert record.reference in out


# fit -----------------------------------------------------------------------------------------


def test_fit_gives_the_numbers_of_the_library(call_json, tmp_path):
    out = tmp_path / "run"
    words = ["--steps", 40, "--kl-weight", 0.5, "--prior-scale", "1,0.5", "--batch-size", 128]
    output = call_json(*FIT, *words, "--seed", 3, "--out", out)
    data = bn.data.load("digits")
    model = bn.models.GaussianNet(bn.nn.mlp([64, 16, 10]), prior_scale=[1, 0.5])
    post = bn.fit(model, data.train, kl_weight=0.5, steps=40, batch_size=128, lr=0.01, seed=3)
    for part in ("train", "test"):
        assert output["metrics"][part] == post.evaluate(getattr(data, part), draws=4)
    assert bn.load(out).evaluate(data.test, draws=4) == output["metrics"]["test"]
    assert output["out"] == str(out)


def test_fit_prints_a_table_and_speaks_on_stderr(call):
    code, out, err = call(*FIT, "--steps", 5)
    assert code == 0
    assert out.splitlines()[0] == "GaussianNet 64–16–10 on digits, λ = 1, 5 steps, seed 0"
    header, accuracy = out.splitlines()[1:3]
    assert header.split() == ["train", "test"]
    assert len(accuracy) == len(header)
    assert accuracy.startswith("accuracy")
    assert "1,437 train, 360 test" in err
    assert "nothing is saved" in err
    assert call(*FIT, "--steps", 5, "--quiet") == (0, out, "")


def test_without_out_nothing_is_written(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call(*FIT, "--steps", 2)[0] == 0
    assert files(tmp_path) == []


def test_json_is_json_also_where_there_is_no_number(call_json):
    output = call_json(*FIT, "--steps", 2, "--draws", 0)
    assert output["metrics"]["test"]["elbo_error"] is None  # one draw has no standard error


@pytest.mark.parametrize(
    ("words", "model"),
    [
        (["--hidden", "7", "5"], "64–7–5–10"),
        (["--hidden", "7,5"], "64–7–5–10"),
        (["--hidden", "none"], "64–10"),
        (["--data", "breast-cancer", "--likelihood", "bernoulli"], "30–16–1"),
        (["--data", "breast-cancer", "--standardise"], "30–16–2"),
        (["--data", "diabetes", "--standardise"], "10–16–1"),
    ],
)
def test_the_net_fits_options_and_data(call_json, words, model):
    assert call_json(*FIT, "--steps", 2, *words)["model"] == f"GaussianNet {model}"


def test_a_table_of_the_users(call_json, tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x @ [2.0, -1.0] * 10 + 50
    rows = "\n".join(f"{a},{b},{c}" for (a, b), c in zip(x, y, strict=True))
    (tmp_path / "t.csv").write_text(f"a,b,c\n{rows}\n")
    words = ["--data", tmp_path / "t.csv", "--target", "c", "--standardise", "--test", "0.25"]
    fit = ["fit", "gaussian-net", "--hidden", "none", "--steps", 800, "--lr", "0.02"]
    output = call_json(*fit, *words)
    assert output["data"] == {"name": "t.csv", "train": 45, "test": 15}
    assert output["metrics"]["test"]["rmse"] < 0.15  # the relation is exactly linear


def test_validation_stops_early(call_json):
    words = ["--epochs", 40, "--validation", 0.2, "--patience", 1, "--lr", 0.3]
    output = call_json(*FIT, *words)
    assert output["steps"] < output["settings"]["steps"]
    assert output["data"] == {"name": "digits", "train": 1077, "validation": 360, "test": 360}


def test_a_learned_prior_and_restarts(call_json):
    words = ["--prior-scale", "learned", "--restarts", 2, "--steps", 3, "--estimator", "weight"]
    assert call_json(*FIT, *words)["chains"] == 2


# fit: what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "gaussain-net"], "did you mean 'gaussian-net'"),
        (["fit", "pyro-pair"], "fit it from Python"),
        ([*FIT, "--data", "mnits"], "unknown data set 'mnits'; did you mean 'mnist'"),
        ([*FIT, "--data", "absent.csv"], "there is no data file absent.csv"),
        ([*FIT, "--kl-weight", "-1"], "--kl-weight must be a finite number >= 0, got -1"),
        ([*FIT, "--kl-weight", "nan"], "--kl-weight must be a finite number >= 0, got nan"),
        ([*FIT, "--batch-size", "0"], "--batch-size must be a whole number >= 1, got 0"),
        ([*FIT, "--draws", "-1"], "--draws must be a whole number >= 0, got -1"),
        ([*FIT, "--test", "1.5"], "--test must be a fraction in [0, 1), got 1.5"),
        ([*FIT, "--split-seed", "-1"], "--split-seed must be a whole number >= 0, got -1"),
        ([*FIT, "--patience", "3"], "--patience needs --validation"),
        ([*FIT, "--prior-scale", "1,2,3"], "--prior-scale must have one value for each of the 2"),
        ([*FIT, "--activation", "rleu"], "did you mean 'relu'?"),
        ([*FIT, "--likelihood", "gaussian"], "likelihood is for regression"),
        ([*FIT, "--noise-scale", "1"], "goes with --likelihood='gaussian'"),
        ([*FIT, "--resume"], "--resume needs out"),
        ([*FIT, "--target", "c"], "target goes with a file of your own"),
    ],
)
def test_bad_input_is_a_line_and_writes_nothing(call, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    more = [] if "--resume" in words else ["--out", "run"]
    code, out, err = call(*words, *more)
    assert code == 2
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("bayesnas: error: ")
    assert message in last
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fti"], "invalid choice: 'fti'; did you mean 'fit' or"),
        ([*FIT, "--kl-weigth", "1"], "--kl-weigth 1; did you mean '--kl-weight'"),
        ([*FIT, "-lr", "1"], "-lr 1; did you mean '--lr'"),
        ([*FIT, "--likelihood", "gausian"], "'gausian'; did you mean 'gaussian'?"),
        (["fit"], "the following arguments are required: model"),
        ([*FIT, "--hidden", "0"], "must be whole numbers >= 1"),
        ([*FIT, "--prior-scale", "wide"], "'learned' or 'ard', got 'wide'"),
        (["fit", "bayesian-compression", "--prior", "cauchy"], "invalid choice: 'cauchy'"),
        ([*FIT, "--steps", "1", "--epochs", "1"], "not allowed with argument"),
        (["prune", "run", "--fraction", "1", "--threshold", "1"], "not allowed with argument"),
        (["prune", "run", "--by", "magnitud"], "'magnitud'; did you mean 'magnitude'?"),
    ],
)
def test_words_that_make_no_command(capsys, words, message):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    said, where = capsys.readouterr().err.splitlines()
    assert message in said
    assert where.endswith("--help lists what it takes")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ([*FIT, "--out", "{}/run"], "--out"),
        ([*FIT, "--log", "csv:{}/course.csv"], "--log"),
        (["search", "--vary", "lr=0.1,0.2", "--out", "{}/run", "gaussian-net"], "--out"),
        (["sweep", "--vary", "lr=0.1,0.2", "--out", "{}/a/run", "gaussian-net"], "--out"),
        (["compress", "--out", "{}/net.pt2"], "--out"),
        (["compress", "--encode", "{}/net.bin"], "--encode"),
        (["frontier", "run", "--csv", "{}/a.csv"], "--csv"),
        (["prune", "run", "--fraction", "0.5", "--compact", "{}/net.pt2"], "--compact"),
        (["report", "run", "--out", "{}/a.png"], "--out"),
        (["export", "run", "--format", "pt2", "--out", "{}/net.pt2"], "--out"),
        (["reproduce", "ibp", "--quick", "--out", "{}/ibp"], "--out"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_place_that_cannot_be_written_is_named_at_once(
    call, tmp_path, monkeypatch, words, option
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    code, out, err = call(*(word.format("file") for word in words))
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith(f"bayesnas: error: {option}: can't write file/")
    assert line.endswith(": file is no folder")
    assert files(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_of_somebody_else(call, tmp_path):
    (tmp_path / "closed").mkdir(mode=0o500)
    code, _, err = call(*FIT, "--out", tmp_path / "closed" / "run")
    assert code == 2
    assert "closed takes no file (Permission denied)" in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(call):
    code, _, err = call(*FIT, "--device", "cuda", "--steps", 2)
    assert code == 2
    assert "torch finds no GPU" in err


def test_a_folder_with_another_run_is_left_alone(call, run):
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, _, err = call(*FIT, "--epochs", 10, "--seed", 1, "--out", run)
    assert code == 2
    assert "already holds a run" in err
    assert "or --resume to go on with it" in err
    code, _, err = call(*FIT, "--epochs", 10, "--seed", 1, "--out", run, "--resume")
    assert code == 2
    assert "settings --seed=0, got --seed=1" in err
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


def test_a_finished_run_resumes_to_itself(call, call_json, run):
    output = call_json(*FIT, "--epochs", 10, "--out", run, "--resume")
    data = bn.data.load("digits")
    assert output["metrics"]["test"] == bn.load(run).evaluate(data.test, draws=4)


def test_a_run_resumes_where_its_data_has_moved(call, tmp_path):
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        rows = [f"{i},{i % 5},{i % 2}" for i in range(40)]
        (tmp_path / folder / "t.csv").write_text("\n".join(rows))
    words = [*FIT, "--steps", 2, "--out", tmp_path / "run", "--data"]
    code, out, _ = call(*words, tmp_path / "old" / "t.csv")
    assert code == 0
    assert call(*words, tmp_path / "new" / "t.csv", "--resume")[:2] == (0, out)


def test_a_run_that_diverges_fails_with_1(call):
    code, out, err = call(*FIT, "--lr", "1e30", "--steps", 50)
    assert (code, out) == (1, "")
    assert "log-likelihood of site 'y'" in err
    assert "--kl-weight=1" in err


@pytest.mark.filterwarnings("default")
def test_a_result_that_cannot_be_saved_fails_with_1(call, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "could not write posterior.safetensors: No space left")

    monkeypatch.setattr(bayesnas.inference.runs.run_folder, "write_tensors", full)
    code, out, err = call(*FIT, "--steps", 3, "--out", tmp_path / "run")
    assert code == 1
    assert "accuracy" in out  # the numbers are not lost
    assert "bayesnas: warning: the fit is done but not saved" in err
    assert "No space left" in err
    assert err.splitlines()[-1].startswith("bayesnas: error: the fit is done but not saved")


def interrupt_at(monkeypatch, step):
    """Ctrl-C during a step of the optimiser."""
    taken = []
    before = torch.optim.Adam.step

    def stepped(self, *arguments, **options):
        taken.append(None)
        if len(taken) == step:
            signal.raise_signal(signal.SIGINT)
        return before(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.Adam, "step", stepped)


def test_ctrl_c_says_how_to_resume_and_that_gives_the_unbroken_fit(
    call, call_json, tmp_path, monkeypatch
):
    words = [*FIT, "--steps", "30", "--out", str(tmp_path / "with a space"), "--quiet"]
    with monkeypatch.context() as patch:
        interrupt_at(patch, 12)
        code, out, err = call(*words)
    assert (code, out) == (130, "")
    first, second = err.splitlines()
    assert re.fullmatch(r"bayesnas: stopped at step 1\d of 30 of chain 0", first)
    again = shlex.split(second.removeprefix("go on with: "))
    assert again == ["bayesnas", *words, "--resume"]
    resumed = call_json(*again[1:])
    unbroken = call_json(*FIT, "--steps", 30)
    assert resumed["metrics"] == unbroken["metrics"]
    assert files(tmp_path / "with a space") == [
        "posterior.safetensors",
        "run.json",
        "run.toml",
    ]


def test_ctrl_c_without_a_folder_keeps_nothing(call, monkeypatch):
    interrupt_at(monkeypatch, 3)
    code, out, err = call(*FIT, "--steps", 30, "--quiet")
    assert (code, out) == (130, "")
    first, second = err.splitlines()
    assert re.fullmatch(r"bayesnas: interrupted at step \d of 30 of chain 0", first)
    assert second == "nothing is saved: with --out DIR a fit can be resumed"


# prune ---------------------------------------------------------------------------------------


def test_prune_prints_before_and_after_and_saves(call_json, run, tmp_path):
    output = call_json("prune", run, "--fraction", 0.5, "--out", tmp_path / "b", "--draws", 4)
    assert output["weights"]["before"] == {"parameters": 1210, "kept": 1210}
    assert output["weights"]["after"] == {"parameters": 1210, "kept": 605}
    test = bn.data.load("digits").test
    assert output["metrics"]["before"] == bn.load(run).evaluate(test, draws=4)
    assert output["metrics"]["after"] == bn.load(tmp_path / "b").evaluate(test, draws=4)


def test_prune_by_threshold_and_magnitude(call_json, run):
    output = call_json("prune", run, "--threshold", 0.1, "--by", "magnitude")
    means = [loc.abs() > 0.1 for loc, _ in bn.load(run).model.weight_posteriors().values()]
    assert output["weights"]["after"]["kept"] == sum(int(kept.sum()) for kept in means)


def test_prune_by_the_evidence_needs_no_amount_and_by_damage_the_data_of_the_run(call_json, run):
    output = call_json("prune", run, "--by", "evidence", "--draws", 0)
    post = bn.load(run)
    assert (
        output["weights"]["after"]["kept"]
        == post.prune(by="evidence").complexity()["parameters_kept"]
    )
    output = call_json("prune", run, "--by", "obd", "--fraction", 0.5, "--keep-biases")
    assert output["weights"]["after"]["kept"] == 1210 - round(0.5 * (1210 - 26))


def test_the_pruned_net_as_few_bytes(call, run, tmp_path):
    path = tmp_path / "net.bin"
    code, out, _ = call("prune", run, "--fraction", 0.9, "--encode", path, "--draws", 0)
    assert code == 0
    assert f"compact network in {path.stat().st_size:,} bytes, {path}" in out
    x = bn.data.load("digits").test.x
    assert torch.equal(bn.decode(path)(x), bn.load(run).prune(fraction=0.9).compact()(x))
    code, out, err = call("prune", run, "--fraction", 0.9, "--encode", path)
    assert (code, out) == (2, "")
    assert "--encode" in err
    assert "is there already" in err


@pytest.mark.parametrize("suffix", [".safetensors", ".pt2"])
def test_the_compact_net_predicts_like_the_pruned_run(call, run, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    code, out, _ = call("prune", run, "--fraction", 0.9, "--compact", path, "--draws", 0)
    assert code == 0
    assert f"weights in {path}" in out
    x = bn.data.load("digits").test.x
    expected = bn.load(run).prune(fraction=0.9).compact()(x)
    net = bn.nn.load_net(path) if suffix == ".safetensors" else torch.export.load(path).module()
    torch.testing.assert_close(net(x), expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "fraction or threshold must be given"),
        (["--fraction", "2"], "--fraction must be in [0, 1], got 2.0"),
        (
            ["--fraction", "0.5", "--by", "relevance", "--groups"],
            "--groups must be False for --by='relevance'",
        ),
        (["--threshold", "2"], "threshold must be in [0, 1]"),
        (["--fraction", "0.5", "--compact", "net.pkl"], "--compact must end in .safetensors"),
        (["--fraction", "0.5", "--compact", "there.pt2"], "there.pt2 is there already"),
        (["--fraction", "0.5", "--out", "run"], "--out: run holds another run"),
        (["--fraction", "0.5", "--test", "0.1"], "--test must come with --data NAME|PATH"),
        (["--fraction", "0.5", "--data", "diabetes"], "is not what the run in run was fitted on"),
    ],
)
def test_prune_refuses_bad_input(call, run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.pt2").write_text("mine")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    code, out, err = call("prune", "run", *words)
    assert (code, out) == (2, "")
    assert message in err
    assert files(tmp_path) == ["run", "there.pt2"]
    assert (tmp_path / "there.pt2").read_text() == "mine"
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


# report --------------------------------------------------------------------------------------


def test_report_needs_the_folder_alone(call, run):
    code, out, _ = call("report", run, "--draws", 4)
    assert code == 0
    assert out.rstrip().endswith(f"picture: {run / 'report.png'}")
    with Image.open(run / "report.png") as image:
        image.load()
        assert image.format == "PNG"
        assert len(image.getcolors(maxcolors=10**6)) > 50
    for part in ("fitted to digits", "weights removed", "by random", "mdl_bits", "layer2"):
        assert part in out


def test_report_as_json(call_json, run, tmp_path):
    output = call_json("report", run, "--draws", 4, "--out", tmp_path / "here.png")
    assert output["picture"] == str(tmp_path / "here.png")
    assert (tmp_path / "here.png").stat().st_size > 10_000
    assert files(run) == [
        "posterior.safetensors",
        "run.json",
        "run.toml",
    ]
    assert output["metrics"]["test"] == bn.load(run).evaluate(bn.data.load().test, draws=4)
    assert len(output["pruning"]["accuracy"]["density"]) == len(output["pruning"]["fraction"])


def test_report_of_arrays_needs_the_data(call, tmp_path):
    x, y = torch.rand(30, 4), torch.arange(30) % 3
    post = bn.fit(bn.models.GaussianNet(bn.nn.mlp([4, 3])), (x, y), steps=3, out=tmp_path / "run")
    assert post.data.source is None
    code, _, err = call("report", tmp_path / "run")
    assert code == 2
    assert "give the data with --data NAME|PATH" in err
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    code, out, _ = call("report", tmp_path / "run", "--data", tmp_path / "d.npz", "--draws", 2)
    assert code == 0
    assert "30 training and 9 test examples" in out.replace("\n", " ")


def test_data_that_has_changed_is_noticed(call, tmp_path):
    path = tmp_path / "t.csv"
    rows = [f"{i},{i % 5},{i % 2}" for i in range(40)]
    path.write_text("\n".join(rows))
    assert call(*FIT, "--data", path, "--steps", 2, "--out", tmp_path / "run")[0] == 0
    assert call("report", tmp_path / "run", "--draws", 2)[0] == 0
    path.write_text("\n".join([*rows[:-1], "39,7,1", "40,0,1"]))
    code, _, err = call("report", tmp_path / "run")
    assert code == 2
    assert "its fingerprint is" in err


@pytest.mark.parametrize(
    ("name", "message"),
    [("posterior.safetensors", "truncated"), ("run.json", "truncated or not JSON")],
)
def test_a_truncated_run_is_named(call, run, name, message):
    path = run / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    code, _, err = call("report", run)
    assert code == 2
    assert name in err
    assert message in err


def test_a_run_that_is_not_there(call, tmp_path):
    code, _, err = call("report", tmp_path / "absent")
    assert code == 2
    assert "holds no run" in err


# the program ---------------------------------------------------------------------------------


def test_as_a_program(tmp_path):
    command = [sys.executable, "-m", "bayesnas", *FIT, "--steps", "3", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["steps"] == 3
    assert "\r" not in done.stderr  # no progress bar where there is no terminal
    assert files(tmp_path) == []


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"bayesnas {bn.__version__}\n"


@pytest.mark.parametrize("model", sorted(MODEL_OPTIONS))
def test_the_help_of_a_model_shows_its_options_and_its_example(model, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fit", model, "--help"])
    assert stop.value.code == 0
    options, _, examples = capsys.readouterr().out.partition("example:")
    shown = set(re.findall(r"--[a-z][a-z-]*", options))
    taken = {f"--{name.replace('_', '-')}" for name in MODEL_OPTIONS[model]}
    others = {f"--{name.replace('_', '-')}" for names in MODEL_OPTIONS.values() for name in names}
    assert shown & others == taken
    lines = [line.strip() for line in examples.splitlines() if model in line]
    assert len(lines) == 1
    args = build_parser().parse_args(shlex.split(lines[0])[1:])
    args.check(args)
    assert (args.model, str(args.out)) == (model, "runs/a")


def test_every_help_shows_an_example_that_can_be_read(capsys):
    parser = build_parser()
    commands = re.findall(r"^    (\w+)", parser.format_help(), re.MULTILINE)
    assert {"models", "fit", "predict", "reproduce"} <= set(commands)
    for command in commands:
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        shown = capsys.readouterr().out
        assert "--json" in shown
        examples = shown.partition("example:")[2].replace("\\\n", " ").splitlines()
        lines = [line.strip() for line in examples if f"bayesnas {command}" in line]
        assert lines, command
        for line in lines:
            words = re.search(rf"bayesnas ({command}.*?)( >.*|\)\"|:)?$", line).group(1)
            assert build_parser().parse_args(shlex.split(words)).command == command


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("lr must be > 0", "--lr must be > 0"),
        ("a smaller lr or clip= may help", "a smaller lr or --clip may help"),
        ("no file /data/lr=1/x.csv", "no file /data/lr=1/x.csv"),
        ("out: runs/lr holds a run; resume=True", "--out: runs/lr holds a run; --resume"),
        ("xlr must be > 0", "xlr must be > 0"),
        ("device='cuda' is absent", "--device='cuda' is absent"),
    ],
)
def test_messages_name_options(message, expected):
    assert in_option_words(message, ["lr", "clip", "out", "resume", "device"]) == expected


def test_of_several_processes_the_first_speaks(monkeypatch, capsys):
    """As torchrun starts them; a fit needs the others, so words alone are tried here."""
    two = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1", "RANK": "0"}
    for name, value in two.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("bayesnas.runtime.processes.opening.says_first", lambda text: True)
    assert main(["models"]) == 2
    assert "several processes share a fit, not bayesnas models" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("bayesnas.runtime.processes.opening.says_first", lambda text: False)
    assert main(["models"]) == 2
    with pytest.raises(SystemExit) as refused:
        main(["fit", "gaussian-net", "--noise", "common"])
    assert refused.value.code == 2
    assert capsys.readouterr() == ("", "")
