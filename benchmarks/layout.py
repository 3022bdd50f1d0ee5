"""How long a large layout takes to load: CPU seconds, best of five. Usage: layout.py [LAYOUT]

Without LAYOUT one of the size of a large real site is made up. The target is 1.5 s.
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from support import site_layout

from zuul_launcher.layout.load import Loaded, content_hash, load

TARGET = 1.5  # seconds


def measured(path: Path) -> tuple[float, Loaded]:
    before = time.process_time()
    loaded = load(path, site_layout.CONNECTIONS)
    return time.process_time() - before, loaded


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(sys.argv[1]) if len(sys.argv) > 1 else site_layout.write_site(Path(directory))
        seconds, loaded = min((measured(path) for _ in range(5)), key=lambda one: one[0])
        layout = loaded.layout
        before = time.process_time()
        content_hash(layout)
        hashing = time.process_time() - before
    print(f"{path}: {len(layout.projects):,} projects, {loaded.entries:,} job entries, {len(layout.jobs):,} jobs")
    print(f"load {seconds:.3f} s (target {TARGET}), hash {hashing:.3f} s")
    sys.exit(seconds > TARGET)


if __name__ == "__main__":
    main()
