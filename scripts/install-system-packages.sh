#!/bin/sh
# Installs the system packages that the tests need and that are missing: a browser, a real Redis server, nginx, Node.js.
# Usage: scripts/install-system-packages.sh chromium redis-server nginx
# Where it may not or cannot install, it says which programs to bring, and fails.
set -eu

program_of() {
    case "$1" in
        chromium) echo "chromium chromium-browser google-chrome" ;;
        nodejs) echo "node" ;;
        *) echo "$1" ;;
    esac
}

is_there() {
    for program in $(program_of "$1"); do
        PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null 2>&1 && return 0
    done
    return 1
}

missing=""
for package in "$@"; do
    is_there "$package" || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

give_up() {
    echo "The tests need these programs:$missing." >&2
    echo "$1" >&2
    exit 1
}

if command -v apt-get >/dev/null 2>&1; then
    as_root=""
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || give_up "Not root, and sudo wants a password: sudo apt-get install$missing"
        as_root="sudo -n"
    fi
    echo "installing$missing"
    $as_root apt-get update -qq || give_up "apt-get update failed: see above"
    # Debian starts a server that it installs; these are for the tests alone, which start their own.
    $as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install -y -qq --no-install-recommends $missing >/dev/null \
        || give_up "apt-get install$missing failed: see above"
elif command -v brew >/dev/null 2>&1; then
    for package in $missing; do
        case "$package" in
            chromium) brew install --cask chromium ;;
            redis-server) brew install redis ;;
            nodejs | npm) brew install node ;;
            *) brew install "$package" ;;
        esac
    done
else
    give_up "There is neither apt-get nor brew here: install them in your system's way."
fi

for package in $missing; do
    is_there "$package" || give_up "$package was installed but is not on the PATH."
done
