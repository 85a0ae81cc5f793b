"""Ends this process when the one that started it ends: for the processes that hold models, which nobody else would stop."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1


def end_with_parent(parent: int) -> None:
    """By the kernel's signal on Linux, and by looking, which works everywhere. `parent` is the pid it must have."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(128 + signal.SIGHUP)

    if os.getppid() != parent:
        os._exit(128 + signal.SIGHUP)
    threading.Thread(target=watch, name="parent", daemon=True).start()
