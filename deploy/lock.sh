#!/usr/bin/env bash
# Writes the lock files from pyproject.toml: exact versions with hashes, for `pip install --no-deps`.
# PyTorch stays out of them: its CPU build comes from a wheel folder or from PyTorch's own index
# (deploy/install.sh), and each place has a hash of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
[ -x "$uv" ] || .venv/bin/pip install -q uv
out=deploy/requirements
compile() {
  "$uv" pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
    --no-annotate --custom-compile-command "make lock" "$@"
}
compile --extra cpu --override $out/cpu-overrides.txt -o $out/cpu.txt
compile --extra cuda -o $out/cuda.txt
# The other two take its versions. Not of what cryptography asks for: with its markers for PyPy uv finds no solution.
versions=$(mktemp)
trap 'rm -f "$versions"' EXIT
python3 - $out/cpu.txt >"$versions" <<'PY'
import pathlib, re, sys
print(re.sub(r"^(?:cffi|pycparser)==[^\n]*\n(?:    --hash[^\n]*\n)*", "", pathlib.Path(sys.argv[1]).read_text(), flags=re.M))
PY
compile -c "$versions" -o requirements.txt
compile -c "$versions" --extra dev -o $out/dev.txt
# A package that is never installed has no place in a lock.
python3 - $out/cpu.txt <<'PY'
import pathlib, re, sys
path = pathlib.Path(sys.argv[1])
kept = re.sub(r"^[^\s#]+==\S+ ; [^\n]*sys_platform == 'never'[^\n]*\n(?:    --hash[^\n]*\n)*", "", path.read_text(), flags=re.M)
path.write_text(kept)
PY
