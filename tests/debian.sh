#!/usr/bin/env bash
# Runs both README commands on a bare Debian 12, twice, and times them: tests/debian.sh [COMMAND...]
#
# For developers: root, debootstrap and a network; not part of scripts/check. The system is made in a temporary folder
# ($TMPDIR) and gets a clean clone of the last commit, an empty cache and this machine's package configuration (apt's,
# pip's, its own certificates). The logs stay in build/debian/. ENTROL_KEEP=1 leaves the system there to look into.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo "debian.sh: needs root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "debian.sh: needs debootstrap" >&2; exit 2; }
[ $# -gt 0 ] || set -- scripts/demo scripts/check

logs=$PWD/build/debian
system=$(mktemp -d "${TMPDIR:-/tmp}/entrol-debian.XXXXXX")
clean_up() {
    umount "$system/proc" "$system/dev/shm" "$system/dev/pts" "$system/dev" 2>/dev/null || true
    # Never through a mount that would not go.
    if [ -n "${ENTROL_KEEP:-}" ] || mountpoint -q "$system/dev"; then
        echo "left in $system"
    else
        rm -rf --one-file-system "$system"
    fi
}
trap clean_up EXIT
mkdir -p "$logs"

chmod 755 "$system"
debootstrap --variant=minbase bookworm "$system" >"$logs/debootstrap.log"
git clone --quiet . "$system/root/entrol"
# Copies what the machine has of these; none of them is required.
for path in /etc/apt/apt.conf.d /etc/pip.conf /etc/resolv.conf /usr/local/share/ca-certificates; do
    [ ! -e "$path" ] || { mkdir -p "$system$(dirname "$path")" && cp -RL "$path" "$system$(dirname "$path")/"; }
done
mount -t proc proc "$system/proc"
mount --bind /dev "$system/dev"
mount -t devpts devpts "$system/dev/pts"
mkdir -p "$system/dev/shm"
mount -t tmpfs tmpfs "$system/dev/shm"

mapfile -t settings < <(env | grep -E '^(PIP_[A-Z_]+|https?_proxy|HTTPS?_PROXY|no_proxy|NO_PROXY)=')
failures=0
for run in 1 2; do
    for command in "$@"; do
        log=$logs/$(basename "$command")-$run.log
        start=$SECONDS status=0
        chroot "$system" /usr/bin/env -i HOME=/root TERM=xterm PATH=/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" \
            bash -c "cd /root/entrol && exec $command" 2>&1 <<<'' | tee "$log" || status=$?
        [ "$status" = 0 ] || failures=$((failures + 1))
        echo "debian.sh: run $run: $command: exit $status, $((SECONDS - start)) s: $(tail -n 1 "$log")" | tee -a "$logs/timings"
    done
done
echo "debian.sh: $failures of $((2 * $#)) failed; logs in $logs"
exit $((failures > 0))
