#!/bin/sh
# Downloads the artifacts of the Gerrit that the tests run, into .services/gerrit of the project.
# Needs mvn and a JDK 17; does nothing when everything is there. `make services` calls it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$here/../../.services/gerrit
[ -e "$target/complete" ] && exit 0
for program in mvn javac; do
    command -v "$program" >/dev/null || {
        echo "fetch.sh: $program is missing; install it with: apt-get install maven openjdk-17-jdk-headless" >&2
        exit 1
    }
done
mkdir -p "$target/lib" "$target/classes"
mvn --batch-mode --quiet --file "$here/pom.xml" \
    org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies \
    "-DoutputDirectory=$target/lib"
javac -d "$target/classes" "$here/RunGerrit.java"
touch "$target/complete"
