"""What ``bayesnas models`` is told."""

from __future__ import annotations

from bayesnas.cli.arguments.shared import Commands, add_command


def add_parser(commands: Commands) -> None:
    """Describe the command."""
    parser = add_command(
        commands,
        "models",
        summary="list the models",
        description="List the models: title, source, and what is structural in each.",
        example="bayesnas models",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
