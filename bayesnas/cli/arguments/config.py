"""Options from a TOML file, beneath those of the command line.

A key is the name of an option without its hyphens in front, or ``model``; a value is what would
stand on the command line::

    model = "gaussian-net"
    data = "digits"
    hidden = [300, 100]
    kl-weight = "0.1:100"
    standardise = true
"""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bayesnas.words import did_you_mean

CONFIG = "run.toml"
"""Name of the file in the folder of a run."""

_NOT_KEPT = ("config", "resume", "json", "quiet")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e[+-]?\d+)?", re.IGNORECASE)


def takes_config(parser: argparse.ArgumentParser) -> bool:
    """Whether a command has an option ``--config``."""
    return any(action.dest == "config" for action in parser._actions)


def with_config(parser: argparse.ArgumentParser, words: Sequence[str]) -> list[str]:
    """The words of a command with those of its ``--config`` file, where they say nothing else.

    Args:
        parser: of the command.
        words: of the command line, without the name of the command.

    Raises:
        ValueError: the file is no TOML, or holds what is no option of the command.
        OSError: it is not there, or can't be read.
    """
    given = _given(parser, words)
    if "config" not in given:
        return list(words)
    path = Path(given["config"])
    if not path.is_file():
        raise FileNotFoundError(f"config: there is no file {path}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of TOML, or of UTF-8
        raise ValueError(f"config: {path} must be TOML, got: {error}") from error
    positional, options = _words(parser, path, content, _taken(parser, given))
    return [*positional, *words, *options]  # an option of many words would take what follows it


def config_text(parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """The words of a command as TOML, which :func:`with_config` reads.

    >>> parser = argparse.ArgumentParser()
    >>> _ = parser.add_argument("--lr", type=float), parser.add_argument("--hidden", nargs="+")
    >>> print(config_text(parser, ["--lr", "0.01", "--hidden", "300", "100"]), end="")
    lr = 0.01
    hidden = [300, 100]
    """
    given = _given(parser, words)
    lines = [
        f"{name.replace('_', '-')} = {_toml(value)}\n"
        for name, value in given.items()
        if name not in _NOT_KEPT
    ]
    return "".join(lines)


def _given(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, Any]:
    """What stands on the command line, by destination: words as they came, or True of a flag."""
    changed = [(a, a.default, a.type) for a in parser._actions]
    defaults = dict(parser._defaults)
    try:
        parser._defaults.clear()
        for action in parser._actions:
            action.default, action.type = argparse.SUPPRESS, None
        return vars(parser.parse_args(list(words)))
    finally:
        parser._defaults.update(defaults)
        for action, default, kind in changed:
            action.default, action.type = default, kind


def _taken(parser: argparse.ArgumentParser, given: Mapping[str, Any]) -> set[str]:
    """Destinations that the command line has decided, those that exclude each other together."""
    groups = [{a.dest for a in g._group_actions} for g in parser._mutually_exclusive_groups]
    return set(given).union(*(group for group in groups if group & given.keys()))


def _words(
    parser: argparse.ArgumentParser, path: Path, content: Mapping[str, Any], taken: set[str]
) -> tuple[list[str], list[str]]:
    """Words without and with an option in front."""
    actions = {action.dest: action for action in parser._actions}
    names = sorted(set(actions) - {"help", "config"})
    positional: list[str] = []
    options: list[str] = []
    for key, value in content.items():
        name = key.replace("-", "_")
        if name not in names:
            hint = did_you_mean(_as_option(key), map(_as_option, names))
            raise ValueError(f"config: {path} has {key!r}, which is no option of a fit{hint}")
        if name not in taken:
            option = _option(actions[name], path, key, value)
            (options if actions[name].option_strings else positional).extend(option)
    return positional, options


def _as_option(name: str) -> str:
    return name.replace("_", "-")


def _option(action: argparse.Action, path: Path, key: str, value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    flag = action.nargs == 0
    fits = isinstance(value, bool) if flag else all(_is_word(each) for each in values)
    if not fits or not values:
        expected = "true or false" if flag else "a number, a text, or a list of them"
        raise ValueError(f"config: {path} must give {key} {expected}, got {value!r}")
    if flag:
        return [action.option_strings[0]] if value else []
    if not action.option_strings:
        return [str(values[0])]
    if action.nargs == "+":
        return [action.option_strings[0], *map(str, values)]
    return [f"{action.option_strings[0]}={','.join(map(str, values))}"]


def _is_word(value: object) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if value is True:
        return "true"
    if _NUMBER.fullmatch(value):
        return str(value)
    # A string of JSON is one of TOML but for the delete character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
