#!/bin/sh
# Downloads the artifacts of the Gerrit that the tests run, into .services/gerrit of the project.
# Does nothing when everything is there. `make services` calls it.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
exec python3 -I "$root/zuul_launcher/sim/gerrit/fetch.py" "$root/.services/gerrit"
