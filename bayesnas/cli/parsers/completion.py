"""What ``bayesnas completion`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import Commands, add_command

SHELLS = ("bash", "zsh", "tcsh")

_DESCRIPTION = """
Print a script that completes commands, options, names and paths in a shell. It needs shtab:
pip install 'bayesnas[completion]'.
"""
_EXAMPLE = """
eval "$(bayesnas completion bash)"
bayesnas completion zsh > ~/.zsh/completions/_bayesnas
"""


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "completion",
        summary="completion of commands in a shell",
        description=_DESCRIPTION,
        example=_EXAMPLE,
    )
    parser.add_argument("shell", choices=SHELLS, help=", ".join(SHELLS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
