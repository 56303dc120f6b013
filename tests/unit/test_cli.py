import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError

import pytest
import yaml

from ferlab import __version__, catalogue
from ferlab.catalogue import groups
from ferlab.cli import COMMANDS, FLAGS, Command, main
from ferlab.config import compose, plain, to_yaml
from ferlab.errors import BundleError, ConfigError, DataError


@pytest.fixture
def ferlab(capsys):
    """Run a command line in this process: exit code, standard output, standard error."""

    def run(*words):
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def command(monkeypatch):
    """Put a function in the place of `ferlab predict`."""

    def replace(function):
        module = type(sys)("ferlab.commands.stand_in")
        module.run = function
        monkeypatch.setitem(sys.modules, "ferlab.commands.stand_in", module)
        monkeypatch.setitem(COMMANDS, "predict", Command("stand_in:run", "predict", "stands in"))

    return replace


def failing(error):
    def run(invocation):
        raise error

    return run


# mistakes on the command line


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["xyz"], "unknown command 'xyz'; one of: train, evaluate, compare, predict, live, enroll, export, verify, "),
        (["enroll", "lst"], "'ferlab enroll' must be followed by key=value, list, remove or forget, got 'lst'; did"),
        (["model=se_resnet"], "unknown command 'model=se_resnet'"),
        (["--cfg", "train"], "unknown command '--cfg'"),
        (["data"], "'ferlab data' must be followed by what to do, got nothing; one of: verify, show, write"),
        (["data", "data=fer2013"], "'ferlab data' must be followed by what to do, got nothing; one of: verify,"),
        (["live", "make"], "'ferlab live' must be followed by key=value, decrypt, make-clip or evaluate, got"),
        (["data", "verfy"], "'ferlab data' must be followed by what to do, got verfy; did you mean 'verify'?"),
        (["train", "--hlep"], "unknown flag '--hlep'; did you mean '--help'?"),
        (["train", "--cfgg=x"], "unknown flag '--cfgg'; did you mean '--cfg'?"),
        (["train", "-x"], "unknown flag '-x'"),
        (["train", "--from"], "--from must name a run's folder, got nothing; add outputs/…"),
        (["train", "--from="], "--from must name a run's folder, got nothing; add outputs/…"),
        (["predict", "--from", "x"], "--from repeats a training run, got it for 'predict'; use 'ferlab train"),
        (["train", "--cfg", "model=se_resnt"], "unknown model 'se_resnt'; did you mean 'se_resnet'?"),
        (["train", "--cfg", "seeds=1"], "unknown key 'seeds' for ferlab train; did you mean 'seed'?"),
        (["train", "--cfg", "optimizer.lr=fast"], "'optimizer.lr' must be a number, got fast; --cfg shows its default"),
        (["train", "--cfg", "seed=${sede}"], "there is no key 'sede' to take a value from; did you mean 'seed'?"),
        (["train", "--cfg", "epochs"], "an argument must read key=value, got 'epochs'; see 'ferlab --help'"),
        (["train", "--cfg", "--from", "nowhere"], "--from must be a run's folder, got nowhere, which does not exist;"),
        (["ui", "port=99999"], "port must be from 1 to 65535, got 99999; 5000 is the default"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(ferlab, words, message):
    code, out, err = ferlab(*words)
    assert code == 2
    assert out == ""
    assert err.startswith(f"ferlab: {message}")
    assert err.count("\n") == 1


# help and config


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command_group_and_flag(ferlab, words):
    code, out, err = ferlab(*words)
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines()]
    for name, each in COMMANDS.items():
        assert any(line.startswith(name) and line.endswith(each.summary) for line in lines)
    for group, options in groups("train").items():
        assert f"{group} {', '.join(options)} " in f"{' '.join(' '.join(lines).split())} "
    for flag in FLAGS:
        assert any(line.startswith(flag) for line in lines)
    assert max(map(len, lines)) <= 120


def test_the_examples_of_the_help_are_right(ferlab):
    out = ferlab("--help")[1]
    examples = [line.split() for line in out.splitlines() if line.startswith("  ferlab ")]
    assert len(examples) >= 3
    for _, name, *words in examples:
        assert name in COMMANDS
        compose(COMMANDS[name].config, [word for word in words if "=" in word])


@pytest.mark.parametrize("words", [["train", "--help"], ["train", "-h"], ["train", "--help", "--cfg"]])
def test_help_of_a_command_shows_its_keys(ferlab, words):
    code, out, err = ferlab(*words)
    assert (code, err) == (0, "")
    assert COMMANDS["train"].summary in out.splitlines()[0]
    text = " ".join(out.split())
    assert "model=small_resnet Halves the picture in its first layer" in text
    assert "one of: custom_cnn, mlp," in text
    assert "experiment=null a whole recipe; one of: affectnet_resnet18_multitask," in text
    assert "trainer.clip=null largest gradient norm" in text
    assert "trainer.device=auto cpu, cuda or mps trainer" in text  # the comment has all the names
    assert max(map(len, out.splitlines())) <= 120


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_each_command_has_a_line_for_each_key(ferlab, name):
    code, out, _ = ferlab(*name.split(), "--help")
    assert code == 0
    shown = [line.split("=")[0].strip() for line in out.splitlines()[2:] if re.match(r"  [\w.]+=", line)]
    wanted = leaves(plain(compose(file, []))) if (file := COMMANDS[name].config) else []
    assert set(wanted) <= set(shown)
    assert len(shown) == len(set(shown))


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        elif not key.startswith("_"):
            yield f"{prefix}{key}"


def test_help_shows_the_keys_of_the_options_that_are_chosen(ferlab):
    out = ferlab("train", "model=timm", "--help")[1]
    assert "model=timm" in out
    assert "model.options.drop_path=0.0" in out


def test_every_option_says_what_it_is():
    for group, options in groups("train").items():
        for option in options:
            assert catalogue.meaning(group, option), f"conf/{group}/{option}.yaml has no comment at its top"


def test_list_names_every_option_and_format(ferlab):
    code, out, _ = ferlab("list")
    assert code == 0
    for group in ("model", "data", "loss", "experiment"):
        for option in groups("train")[group]:
            assert f"{group}={option} " in out
    assert re.search(r"loss=focal +Lin et al\. 2017", out)
    assert re.search(r"format=tflite_int8 +TFLite, 8 bit", out)
    assert ferlab("list", "x=1")[::2] == (2, "ferlab: 'ferlab list' takes no keys, got 'x=1'; leave it out\n")


def test_doctor_says_what_is_there_and_what_is_missing(ferlab, monkeypatch, tmp_path):
    def without(package):
        if package == "onnxscript":
            raise PackageNotFoundError(package)
        return "1.0"

    monkeypatch.chdir(tmp_path)
    (tmp_path / "data" / "rafdb" / "Image").mkdir(parents=True)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host")
    monkeypatch.setattr("ferlab.commands.doctor.version", without)
    code, out, _ = ferlab("doctor")
    assert code == 0
    for said in (
        r"device=auto +\w+: \S", "trainer.precision=auto +(32-true|bf16-mixed|16-mixed)", r"torch +1\.0",
        r"onnx +missing onnxscript: pip install 'ferlab\[onnx\]' gives format=onnx, format=onnx_int8",
        r"data=rafdb +\S+/data/rafdb: ferlab data verify data=rafdb", "data=fer2013 .*: not there; data.root=",
        "tracker +http://…@host, as MLFLOW_TRACKING_URI says",
    ):  # fmt: skip
        assert re.search(said, out), said
    assert "secret" not in out


def test_help_of_several_commands_is_asked_for_by_their_first_word(ferlab):
    assert ferlab("data", "--help")[:2] == ferlab("data", "verify", "--help")[:2]


def test_cfg_prints_the_config_that_would_run(ferlab):
    words = ["model=small_resnet", "optimizer.lr=0.3", "name=über"]
    code, out, err = ferlab("train", "--cfg", *words)
    assert (code, err) == (0, "")
    shown = yaml.safe_load(out)
    assert shown["optimizer"]["lr"] == 0.3
    assert shown["name"] == "über"
    assert shown["model"]["name"] == "small_resnet"
    assert shown == plain(compose("train", words))


def test_cfg_of_a_repeated_run_is_that_runs(ferlab, tmp_path):
    (tmp_path / "config.yaml").write_text(to_yaml(compose("train", ["model=small_resnet", "seed=7"])))
    code, out, _ = ferlab("train", "--from", str(tmp_path), "optimizer.lr=0.3", "--cfg")
    shown = yaml.safe_load(out)
    assert code == 0
    assert (shown["model"]["name"], shown["seed"], shown["optimizer"]["lr"]) == ("small_resnet", 7, 0.3)


def test_the_version(ferlab):
    assert ferlab("--version") == (0, f"ferlab {__version__}\n", "")


# running a command


def test_a_command_gets_its_overrides(ferlab, command):
    seen = []
    command(seen.append)
    assert ferlab("predict", "bundle=b", "source=a b.png") == (0, "", "")
    (invocation,) = seen
    assert list(invocation.overrides) == ["bundle=b", "source=a b.png"]
    assert invocation.repeat is None


@pytest.mark.parametrize("words", [["--from", "outputs/x"], ["--from=outputs/x"]])
def test_train_gets_the_run_to_repeat(monkeypatch, ferlab, command, words):
    seen = []
    command(seen.append)
    monkeypatch.setitem(COMMANDS, "train", COMMANDS["predict"])
    assert ferlab("train", *words, "seed=1")[0] == 0
    assert seen[0].repeat == "outputs/x"
    assert list(seen[0].overrides) == ["seed=1"]


@pytest.mark.parametrize("code", [0, 1, 130, 143])
def test_the_code_of_a_command_is_the_exit_code(ferlab, command, code):
    command(lambda invocation: code)
    assert ferlab("predict") == (code, "", "")


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("a"), 2), (DataError("a"), 1), (BundleError("a"), 1)],
    ids=lambda value: repr(value),
)
def test_an_error_of_ferlabs_is_one_line(ferlab, command, error, code):
    command(failing(error))
    assert ferlab("predict") == (code, "", "ferlab: a\n")


def test_an_unexpected_error_is_one_line_too(ferlab, command):
    command(failing(ZeroDivisionError("division\n  by zero")))
    expected = "ferlab: unexpected ZeroDivisionError: division by zero; run again with --debug and report it\n"
    assert ferlab("predict") == (1, "", expected)


def test_a_command_that_is_interrupted_says_so(ferlab, command):
    command(failing(KeyboardInterrupt()))
    assert ferlab("predict") == (130, "", "ferlab: stopped\n")


def test_an_interrupt_that_python_cannot_raise_is_not_lost(ferlab, command):
    class Swallows:
        def __del__(self):
            raise KeyboardInterrupt

    def run(invocation):
        Swallows()
        time.sleep(30)

    command(run)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may have it off
    try:
        assert ferlab("predict") == (130, "", "ferlab: stopped\n")
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [DataError("a"), ZeroDivisionError("b"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("words", [["predict", "--debug"], ["--debug", "predict"]])
def test_debug_shows_where_it_happened(command, error, words):
    command(failing(error))
    with pytest.raises(type(error)) as caught:
        main(words)
    assert caught.value is error
    assert caught.traceback[-1].name == "run"


def test_debug_is_no_override(ferlab, command):
    seen = []
    command(seen.append)
    assert ferlab("predict", "--debug", "bundle=b")[0] == 0
    assert list(seen[0].overrides) == ["bundle=b"]


def test_no_text_from_elsewhere_moves_the_cursor(ferlab, command):
    def fail(invocation):
        raise DataError("the label 'ang\x1b[2Jry\u202e' and caf\udce9.png\nferlab: all is well, 日本 é")

    command(fail)
    error = ferlab("predict", "bundle=b")[2]
    assert error == "ferlab: the label 'ang\\x1b[2Jry\\u202e' and caf\\udce9.png\\nferlab: all is well, 日本 é\n"


def test_a_long_line_is_cut_and_what_to_do_stays(ferlab, command):
    command(failing(DataError(f"a label must be a name, got '{'x' * 100_000}'; correct it")))
    error = ferlab("predict")[2]
    assert len(error) < 2100
    assert error.startswith("ferlab: a label must be a name, got 'xxx")
    assert error.endswith("x'; correct it\n")


@pytest.mark.parametrize("words", [["help", "train"], ["train", "help"], ["help", "data", "show"], ["data", "help"]])
def test_help_is_a_word_too(ferlab, words):
    code, out, _ = ferlab(*words)
    assert code == 0
    assert out.startswith("ferlab train [key=value …]: " if "train" in words else "ferlab data ")


# in a process of its own


def in_a_process(code, **options):
    return subprocess.run([sys.executable, "-c", code], text=True, timeout=120, check=False, **options)


def test_help_loads_none_of_the_heavy_libraries():
    heavy = [
        "torch",
        "hydra",
        "omegaconf",
        "rich",
        "numpy",
        "cv2",
        "mlflow",
        "albumentations",
        "lightning_fabric",
        "yaml",
    ]
    code = (
        "import sys\nfrom ferlab.cli import main\n"
        "codes = [main(['--help']), main(['--version']), main(['trian']), main(['train', '--hlep'])]\n"
        f"print('LOADED', [m for m in {heavy} if m in sys.modules], codes)"
    )
    done = in_a_process(code, capture_output=True)
    assert done.stdout.splitlines()[-1] == "LOADED [] [0, 0, 2, 2]", done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_no_error(unbuffered):
    """As in `ferlab --help | head -0`: nothing on stderr, neither from ferlab nor from Python's exit."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        code = "import sys\nfrom ferlab.cli import main\nsys.exit(main(['--help']))"
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = in_a_process(code, stdout=writer, stderr=subprocess.PIPE, env=environment)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_mistake_in_train_is_told_before_torch_is_imported():
    """That takes ten seconds on a slow machine."""
    mistakes = [
        "trainer.epoks=3", "trainer.epochs=0", "model=se_resnt", "data.root=/nowhere", "resume=/nowhere",
        "trainer.device=gpu", "trainer.precision=bf16", "trainer.sampler=wieghted", "trainer.monitor=ccc",
        "model.name=resnt", "loss=focl", "trainer.feed=stream", "model.heads=[expresion]", "tracker.name=wandb",
    ]  # fmt: skip
    code = (
        "import sys; from ferlab.cli import main\n"
        f"codes = [main(['train', word]) for word in {mistakes!r}]\n"
        "print(codes, sorted({'torch', 'mlflow', 'matplotlib', 'albumentations'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{[2, 2, 2, 1, *[2] * 10]} []\n", done.stderr
    assert done.stderr.count("\n") == len(mistakes)
