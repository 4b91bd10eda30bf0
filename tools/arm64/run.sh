#!/usr/bin/env bash
# Shows on a PC that the wheel works on 64-bit Arm: makes a Debian 12 arm64 root, installs the wheel there from a folder
# of downloaded packages, as on a board without a network, and runs driver, simulator and a notebook under qemu.
#
#   tools/arm64/run.sh ROOT [LOG]     as root; ROOT is a folder outside the checkout (about 1.5 GB), kept between calls
#
# Needs: apt-get install debootstrap qemu-user-static binfmt-support, and PYTHON with pip and setuptools
# (default: .venv/bin/python of `make install`).
set -euo pipefail
cd "$(dirname "$0")/../.."

root=$(realpath -m "${1:?"usage: tools/arm64/run.sh ROOT [LOG]"}")
log=${2:-$root.log}
python=${PYTHON:-.venv/bin/python}
pins=constraints/board-py311-pynq400.txt # Debian 12 has Python 3.11
notebook=03_cifar10_on_the_board.ipynb   # runs from a kept model: PyTorch under qemu takes too long

[ "$(id -u)" = 0 ] || { echo "root is needed: debootstrap and chroot"; exit 1; }
for tool in debootstrap qemu-aarch64-static update-binfmts; do
    command -v $tool >/dev/null || { echo "$tool is missing: apt-get install debootstrap qemu-user-static binfmt-support"; exit 1; }
done
# A container mounts no binfmt_misc, and starts no service that would register qemu.
[ -e /proc/sys/fs/binfmt_misc/status ] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64

if [ ! -e "$root/etc/debian_version" ]; then
    debootstrap --arch=arm64 --variant=minbase --include=python3-venv,g++ bookworm "$root"
fi

# What `pip install 'pynq-qsnn[board]'` would fetch, and the tools of the tests. Sources stay sources: pynq has no wheels.
packages=$root/root/packages
rm -rf "$packages" "$root/root/check"
mkdir -p "$packages" "$root/root/check"
sources='pynq|pynqmetadata|pynqutils'
arm=(--only-binary=:all: --python-version 3.11 --implementation cp)
for tag in manylinux_2_17 manylinux2014 manylinux_2_28; do arm+=(--platform "${tag}_aarch64"); done
download=("$python" -m pip download --disable-pip-version-check --quiet --dest "$packages")
grep -E "^($sources)==" $pins >"$packages/sources.txt"
grep -Ev "^(#|($sources)==)" $pins >"$packages/wheels.txt"
"${download[@]}" --no-deps --no-binary :all: --no-build-isolation -r "$packages/sources.txt"
"${download[@]}" --no-deps "${arm[@]}" -r "$packages/wheels.txt"
"${download[@]}" "${arm[@]}" -c constraints/host-py311.txt nbclient ipykernel matplotlib
"$python" -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$packages" .
# No package beside the tests: they must find the installed one.
cp -r tests pyproject.toml tools/arm64/inside.sh "$root/root/check"

# A mount namespace, so that nothing stays mounted. No qemu option is set: aarch64 programs start as on a board.
unshare --mount bash -ec "mount -t proc proc '$root/proc'; mount --bind /dev '$root/dev'
    exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 OMP_NUM_THREADS=1 \
        chroot '$root' /bin/bash /root/check/inside.sh $notebook" 2>&1 | tee "$log"
