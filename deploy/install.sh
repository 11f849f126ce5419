#!/usr/bin/env bash
# Installs what the gateway needs into .venv, once for each state of the lock files.
#   deploy/install.sh [dev]     dev adds the tools of `make check`
# GATEWAY_ENGINE=cuda takes vLLM's CUDA build, cpu its CPU build; without it, cuda where nvidia-smi finds a GPU.
set -euo pipefail
cd "$(dirname "$0")/.."

engine=${GATEWAY_ENGINE:-}
if [ -z "$engine" ]; then
  if command -v nvidia-smi >/dev/null && nvidia-smi -L 2>/dev/null | grep -q GPU; then engine=cuda; else engine=cpu; fi
fi
case "$engine" in
  cpu | cuda) ;;
  *) echo "GATEWAY_ENGINE should be cpu or cuda" >&2; exit 78 ;;
esac

locks=("deploy/requirements/$engine.txt")
[ "${1:-}" != dev ] || locks+=(deploy/requirements/dev.txt)

# `--no-deps`: a lock names everything, and leaves out on purpose what vLLM asks for and nothing uses.
install_lock() {
  .venv/bin/python -m pip --disable-pip-version-check install --no-deps --require-hashes --progress-bar off -r "$1" |
    awk -v total="$(grep -c '==' "$1")" -v terminal="$([ -t 2 ] && echo 1)" '
      function show(text) { printf terminal ? "\r  %s\033[K" : "  %s\n", text > "/dev/stderr" }
      /^(Collecting|Processing) / { n++; sub(".*/", "", $2); if (terminal || n % 25 == 0) show(n " of " total " packages, " $2) }
      /^Installing collected/ { show("unpacking " n " packages") }
      END { if (terminal) printf "\n" > "/dev/stderr" }'
}
install_torch() {
  .venv/bin/python -m pip --disable-pip-version-check --quiet install --no-deps torch==2.13.0+cpu "$@"
}

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.11 python3.12 python3.13 python3; do
    if [ -n "$candidate" ] && "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "Python 3.11 or later (up to 3.14) is needed: install it, or name it with PYTHON=/path/to/python3." >&2
  return 1
}

for lock in "${locks[@]}"; do
  mark=".venv/.installed-$(basename "$lock" .txt)"
  wanted=$(cat "$lock" "$0" | sha256sum)
  [ "$(cat "$mark" 2>/dev/null)" != "$wanted" ] || continue
  started=$SECONDS
  if [ ! -x .venv/bin/python ]; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)" >&2
    "$python" -m venv .venv
  fi
  echo "installing $lock: $(grep -c '==' "$lock") packages; the first time takes a few minutes …" >&2
  install_lock "$lock"
  if [ "$lock" = deploy/requirements/cpu.txt ]; then
    # The CPU build of PyTorch is not in the common index: first what pip is set up with, then PyTorch's own index.
    echo "installing PyTorch's CPU build …" >&2
    install_torch 2>/dev/null || install_torch --index-url https://download.pytorch.org/whl/cpu
  fi
  echo "$wanted" >"$mark"
  echo "installed $lock in $((SECONDS - started)) s" >&2
done
