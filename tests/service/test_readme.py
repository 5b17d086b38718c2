"""The README's command blocks that are marked for it run, in their order, against a real service."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readme import ROOT, marked_blocks
from tests.service.driving import clean_environment
from tests.service.pictures import write_classes

#: Where the README's commands find the service; replaced by where it really is.
_WRITTEN_ADDRESS = "localhost:8000"
_DEADLINE_S = 280

pytestmark = pytest.mark.service


def test_marked_blocks_of_the_readme_run(service):
    blocks = marked_blocks(ROOT / "README.md")
    assert len(blocks) >= 8, "the README lost its marks"
    write_pictures(service.data_root / "data")
    script = "\n".join(as_shell(block) for block in blocks).replace(_WRITTEN_ADDRESS, f"127.0.0.1:{service.port}")
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=service.data_root,
        env=environment_for(service),
        capture_output=True,
        text=True,
        timeout=_DEADLINE_S,
        check=False,
    )
    assert ran.returncode == 0, f"after {ran.stdout.rpartition('== ')[2]}\n{ran.stderr}"


def write_pictures(root):
    """As few as the commands can do with: they learn three times from them, and name the seventh and eighth of one class."""
    write_classes(root, ("fpv", "mini", "mavic", "noise"), train=2, valid=1)
    write_classes(root, ("fpv",), train=2, valid=8)


def as_shell(block):
    """A block as part of a script that names it first."""
    text = block.text if block.language == "bash" else f"python - <<'END_OF_BLOCK'\n{block.text}\nEND_OF_BLOCK"
    return f"echo '== {block.name}'\n{text.replace('curl -s', 'curl --fail-with-body -sS')}\necho"


def environment_for(service):
    """A shell of a user who has activated the environment and gave the service's address."""
    environ = clean_environment()
    bin_folder = str(Path(sys.executable).parent)
    python_path = os.pathsep.join(filter(None, (str(ROOT), environ.get("PYTHONPATH"))))
    return environ | {"PATH": bin_folder + os.pathsep + environ["PATH"], "RFUAV_URL": service.url, "PYTHONPATH": python_path}
