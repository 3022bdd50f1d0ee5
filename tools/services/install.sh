#!/bin/sh
# Installs the real parts that the tests talk to, as Debian packages. Does nothing when all are there.
# None of them is started: the tests start private ones, on ports and in folders of their own.
set -eu

packages=
need() { # need PROGRAM PACKAGE...: unless the program is here
    program=$1
    shift
    PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null || packages="$packages $*"
}
need gearmand gearman-job-server
need gearadmin gearman-tools libgearman-dev
[ -n "$(find /usr/lib/postgresql -name initdb 2>/dev/null)" ] || need initdb postgresql
need mariadbd mariadb-server-core
need my_print_defaults mariadb-client-core
need sshd openssh-server
need ssh openssh-client
need ip iproute2
need chromium chromium
need chromedriver chromium-driver
need mvn maven
need javac "JDK"
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "install these by hand, there is no apt-get here:$packages" >&2
    exit 1
fi
jdk() { # Gerrit runs on 17 and 21; each Debian has one of them
    for version in 17 21; do
        name=openjdk-$version-jdk-headless
        apt-cache show "$name" >/dev/null 2>&1 && echo "$name" && return
    done
    echo default-jdk-headless
}
if [ "$(id -u)" != 0 ]; then
    echo "as root: apt-get update && apt-get install --no-install-recommends$(echo "$packages" | sed "s/JDK/$(jdk)/")" >&2
    echo "then, as you: make services" >&2
    exit 1
fi

apt-get -q update
packages=$(echo "$packages" | sed "s/JDK/$(jdk)/")

policy=/usr/sbin/policy-rc.d # asked by Debian before a package starts its service
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
# shellcheck disable=SC2086 -- a list of words
DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $packages
