"""What a worker process does to itself."""

import platform
import subprocess
import sys

import pytest

COUNT_FAULTS = """
import resource, sys
import numpy as np
from actors.workers.process import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()
def work():
    for _ in range(50):
        [np.ones(1 << 18) for _ in range(8)]  # 8 times 2 MB, freed together
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these bounds")
def test_memory_that_was_freed_is_used_again_without_asking_the_kernel():
    kept, usual = (
        int(subprocess.run([sys.executable, "-c", COUNT_FAULTS, mode], check=True, capture_output=True, text=True).stdout)
        for mode in ("keep", "usual")
    )
    assert kept < 1000 < usual, "each array was given fresh pages, or nothing had to be done"
