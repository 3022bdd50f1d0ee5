"""Play one seed of test_crash_points.py again and tell all that happens: python tests/service/crash.py SEED"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from service.conftest import new_database
from support.crash_play import Play

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        Play(int(sys.argv[1]), new_database(Path(folder)), Path(folder), print).run()
