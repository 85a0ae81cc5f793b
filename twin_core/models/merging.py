"""Merges base and adapter in a process of its own: `python -m twin_core.models.merging BASE ADAPTER FOLDER FINGERPRINT`.

Whoever deploys an adapter holds no torch, and gets the memory back when this ends.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from twin_core.errors import TwinError
from twin_core.models import bases
from twin_core.settings import settings


def main(arguments: Sequence[str]) -> int:
    """Write the merged model whole or not at all."""
    base, adapter, folder, fingerprint = arguments
    target = Path(folder)
    draft = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        found = bases.find_base(settings(), base)
        bases.merge(found, Path(adapter), draft, fingerprint_of_base=fingerprint)
        draft.chmod(0o755)
        draft.rename(target)
    except TwinError as error:
        print(error, file=sys.stderr)  # noqa: T201  the reason, for the process that asked
        return error.exit_code
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
