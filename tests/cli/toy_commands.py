"""How tests give commands, and the pictures that they give them."""

import io
import subprocess
import sys
import sysconfig
import warnings
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPTS = Path(sysconfig.get_path("scripts"))


def call(*arguments: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Give a command; fail with all it printed where it ends by another code.

    In this process: each of some hundreds would load PyTorch in one of its own. The tests of README and of docs/operations.md run
    them as installed.
    """
    result = _here(*map(str, arguments), cwd=cwd)
    assert result.returncode == code, result.stdout + result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    return result


def refused(*arguments: object, cwd: Path) -> str:
    """Give a command that must be refused: exit code 2, nothing on stdout, one sentence on stderr, which is returned."""
    result = call(*arguments, cwd=cwd, code=2)
    assert result.stdout == "", result.stdout
    lines = [line for line in result.stderr.splitlines() if line.strip() and "━" not in line]
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("Error: "), lines[0]
    return lines[0]


def _here(command: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    main = import_module(f"{command}_cli.main").main
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", [command, *arguments])
        patch.setenv("COLUMNS", "200")
        patch.setenv("NO_COLOR", "1")
        patch.chdir(cwd)
        with warnings.catch_warnings(action="default"):  # printed, as to whoever gives a command
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return subprocess.CompletedProcess([command, *arguments], code, out.getvalue(), err.getvalue())


def save(path: Path, seed: int, *, bright: bool = False, side: int = 40) -> None:
    """Save a noisy grey picture, with a bright stripe or without."""
    pixels = np.random.default_rng(seed).integers(60, 120, (side, side)).astype(np.uint8)
    if bright:
        pixels[side // 3 : side // 2] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
