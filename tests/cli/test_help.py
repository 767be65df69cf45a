"""Every command and verb explains itself, quickly and without heavy imports."""

import subprocess
import sys
from importlib.metadata import version

import pytest

import distill_cli.main
import embedstore_cli.main

COMMANDS = {"embedstore": embedstore_cli.main.app, "distill": distill_cli.main.app}
VERBS = [
    (name, str(command.callback.__name__))
    for name, app in COMMANDS.items()
    for command in app.registered_commands
    if command.callback
]
HEAVY = ("torch", "open_clip", "timm", "sklearn", "scipy", "faiss", "pyarrow")


def run_module(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as installed, and print which heavy modules it imported as the last line of stderr."""
    code = (
        f"import sys; from {command}_cli.main import main; sys.argv = {[command, *arguments]!r}\n"
        "try:\n    main()\n"
        f"finally:\n    print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("command", "verb"), VERBS)
def test_every_verb_has_help_with_an_example(command: str, verb: str) -> None:
    result = run_module(command, verb, "--help")
    assert result.returncode == 0
    assert f"Example: {command} {verb} " in " ".join(result.stdout.split())
    assert result.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_command_lists_its_verbs(command: str) -> None:
    result = run_module(command, "--help")
    assert result.returncode == 0
    for verb in {verb for _, verb in VERBS}:  # both commands have an `export`
        assert (f"\n  {verb} " in result.stdout) == ((command, verb) in VERBS)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_tells_its_release(command: str) -> None:
    result = run_module(command, "--version")
    assert (result.returncode, result.stdout) == (0, f"embedstore {version('embedstore')}\n")
    assert result.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_unknown_option_is_refused_with_usage(command: str) -> None:
    result = run_module(command, VERBS[0][1] if command == "embedstore" else "train", "--no-such-option")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
