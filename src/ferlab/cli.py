"""`ferlab <command> [key=value …]`: finds the command, runs it, and turns errors into one line and an exit code."""

import _thread
import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

from ferlab import __version__, config
from ferlab.commands.help import explain, overview
from ferlab.errors import ConfigError, FerlabError, printable, suggest


@dataclass(frozen=True)
class Command:
    """A command.

    Attributes:
        function: the module under `ferlab.commands` and its function.
        config: under conf/; "" if it takes no keys.
        summary: one line of help.
        schema: of the config, in the same module.
    """

    function: str
    config: str
    summary: str
    schema: str = ""


COMMANDS: dict[str, Command] = {
    "train": Command("train:train", "train", "train a model, track the run and write a bundle", "TrainConfig"),
    "evaluate": Command(
        "evaluate:evaluate", "evaluate", "score a bundle on a dataset, with a report", "EvaluateConfig"
    ),
    "compare": Command(
        "compare:compare", "compare", "score several bundles on one split, in one table", "CompareConfig"
    ),
    "predict": Command(
        "predict:predict", "predict", "answer for every face in pictures and videos, or for face crops", "PredictConfig"
    ),
    "live": Command("live:live", "live", "watch the faces in front of a camera, in a page of its own", "LiveConfig"),
    "live decrypt": Command(
        "live:decrypt", "live_decrypt", "read a session that was encrypted, with its key", "DecryptConfig"
    ),
    "live make-clip": Command(
        "live_clip:make_clip", "live_clip", "make videos of faces whose expressions are known", "LiveClipConfig"
    ),
    "live evaluate": Command(
        "live_evaluate:evaluate",
        "live_evaluate",
        "how right, steady and quick live is, with a report",
        "LiveEvaluateConfig",
    ),
    "enroll": Command(
        "enroll:enroll",
        "enroll",
        "put a person's pictures into a gallery, which ferlab live asks who it is",
        "EnrollConfig",
    ),
    "enroll list": Command("enroll:show", "gallery", "who is in a gallery", "GalleryConfig"),
    "enroll remove": Command("enroll:remove", "enroll_remove", "take a person out of a gallery", "RemoveConfig"),
    "enroll forget": Command("enroll:forget_all", "gallery_forget", "delete a gallery whole", "ForgetConfig"),
    "export": Command(
        "export:export", "export", "write a bundle in other formats, each verified on real faces", "ExportConfig"
    ),
    "verify": Command(
        "verify:verify", "verify", "whether exported files still answer like their bundle", "VerifyConfig"
    ),
    "data verify": Command(
        "data:verify", "data", "check a dataset: counts, labels, duplicates, unreadable files", "DataConfig"
    ),
    "data show": Command("data:show", "data", "draw a dataset: classes, samples, mean faces", "DataConfig"),
    "data write": Command(
        "data:write", "data_write", "write drawn faces to disk in a dataset's official layout", "WriteConfig"
    ),
    "benchmark train": Command("benchmark:train", "benchmark", "images/s, the bound, and where the time goes"),
    "benchmark feeds": Command("benchmark:feeds", "benchmark", "faces resident, packed and streamed: time, memory"),
    "benchmark export": Command(
        "benchmark:export", "benchmark_export", "which exported file serves this machine", "ExportBenchmarkConfig"
    ),
    "models": Command("models:models", "models", "the trained models in the box and on disk", "ModelsConfig"),
    "list": Command("listing:show", "", "what there is to choose from: models, datasets, losses, formats …"),
    "doctor": Command("doctor:doctor", "", "this machine: device, packages, extras, caches, data"),
    "ui": Command("ui:ui", "ui", "open MLflow to compare runs", "UiConfig"),
}
LONGEST = 2000  # characters of an error
FLAGS = {
    "--help": "show this, or a command's keys",
    "--cfg": "print the composed config and stop",
    "--from": "train only: repeat the run in this folder, with what follows changed",
    "--debug": "show tracebacks",
    "--version": "show the version",
}


@dataclass(frozen=True)
class Invocation:
    """One call of a command: its `key=value` overrides and, for train, the run to repeat."""

    command: Command
    overrides: Sequence[str]
    repeat: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 failed, 2 misused, 130 or 143 stopped by a signal."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    try:
        with _no_interrupt_lost():
            code = _dispatch([w for w in words if w != "--debug"])
        sys.stdout.flush()  # a reader that left, as in `ferlab … | head`, shows here instead of at exit
        return code
    except FerlabError as error:
        if debug:
            raise
        _say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        if debug:
            raise
        _say("stopped")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python fails again at its own exit
        return 1
    except OSError as error:
        if debug:
            raise
        full = error.errno == errno.ENOSPC
        remedy = "free some space and run again" if full else "run again with --debug to see where"
        _say(f"{error.filename or 'a file'}: {error.strerror or error}; {remedy}")
        return 1
    except Exception as error:
        if debug:
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        _say(f"unexpected {reason}; run again with --debug and report it")
        return 1


@contextmanager
def _no_interrupt_lost() -> Iterator[None]:
    """Raise a KeyboardInterrupt again that fell where Python raises none, as in weakrefs' callbacks of an import."""
    before = sys.unraisablehook

    def hook(lost: "sys.UnraisableHookArgs") -> None:
        if lost.exc_type is KeyboardInterrupt:
            threading.Timer(0.01, _interrupt).start()  # after the hook, in which it would be lost again
        else:
            before(lost)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    if sys.platform == "win32":
        _thread.interrupt_main()
    else:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)  # also wakes one that sleeps


def _say(error: str) -> None:
    """One line on standard error; what it quotes may hold anything, and much of it. What to do stands last."""
    line = printable(error)
    cut = line if len(line) <= LONGEST else f"{line[: LONGEST * 3 // 4]} … {line[-LONGEST // 4 :]}"
    print(f"ferlab: {cut}", file=sys.stderr)


def _dispatch(words: list[str]) -> int:
    if words[:1] == ["help"]:  # ferlab help train
        words = [*words[1:], "--help"]
    if not words or words[0] in ("--help", "-h"):
        print(overview(COMMANDS, FLAGS))
        return 0
    if words[0] == "--version":
        print(f"ferlab {__version__}")
        return 0
    name, rest = _find(words)
    command = COMMANDS[name]
    overrides, repeat, flags = _split(name, rest)
    module, function = command.function.split(":")
    if "--help" in flags:
        schema = getattr(import_module(f"ferlab.commands.{module}"), command.schema) if command.schema else None
        print(explain(name, command.summary, command.config, schema, overrides))
        return 0
    if not command.config and (overrides or "--cfg" in flags):
        raise ConfigError(f"'ferlab {name}' takes no keys, got '{(*overrides, '--cfg')[0]}'; leave it out")
    if "--cfg" in flags:
        for_training = command.config == "train"
        composed = config.for_training(overrides, repeat) if for_training else config.compose(command.config, overrides)
        print(config.to_yaml(composed), end="")
        return 0
    run = getattr(import_module(f"ferlab.commands.{module}"), function)
    return int(run(Invocation(command, overrides, repeat)) or 0)


def _find(words: list[str]) -> tuple[str, list[str]]:
    """The command that the first one or two words name, and the words after it."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if len(words) >= length and name in COMMANDS:
            _check_second(name, words[length:])
            return name, words[length:]
    parts = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    if parts:
        got = words[1] if len(words) > 1 and "=" not in words[1] else "nothing"
        if got in ("--help", "-h", "help"):
            return parts[0], ["--help"]
        near = suggest(got, [p.split()[1] for p in parts])
        raise ConfigError(f"'ferlab {words[0]}' must be followed by what to do, got {got}; {near}")
    raise ConfigError(f"unknown command '{words[0]}'; {suggest(words[0], [n.split()[0] for n in COMMANDS])}")


def _check_second(name: str, rest: list[str]) -> None:
    """Raise a ConfigError if a command of one word, such as live, is followed by what should be one of its second."""
    parts = [each.removeprefix(f"{name} ") for each in COMMANDS if each.startswith(f"{name} ")]
    if parts and rest and "=" not in rest[0] and not rest[0].startswith("-") and rest[0] != "help":
        known = f"{', '.join(['key=value', *parts[:-1]])} or {parts[-1]}"
        got = f"'ferlab {name}' must be followed by {known}, got '{rest[0]}'"
        raise ConfigError(f"{got}; {suggest(rest[0], parts)}")


def _split(name: str, words: list[str]) -> tuple[list[str], str | None, set[str]]:
    """Overrides, the value of --from, and the other flags."""
    overrides: list[str] = []
    repeat = None
    flags: set[str] = set()
    rest = iter(words)
    for word in rest:
        flag, equals, value = word.partition("=")
        if word in ("-h", "help"):
            flags.add("--help")
        elif not word.startswith("-"):
            overrides.append(word)
        elif flag not in FLAGS:
            raise ConfigError(f"unknown flag '{flag}'; {suggest(flag, FLAGS)}")
        elif flag == "--from":
            if name != "train":
                raise ConfigError(f"--from repeats a training run, got it for '{name}'; use 'ferlab train --from RUN'")
            repeat = value if equals else next(rest, None)
            if not repeat:
                raise ConfigError("--from must name a run's folder, got nothing; add outputs/…")
        else:
            flags.add(flag)
    return overrides, repeat, flags
