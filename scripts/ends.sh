#!/bin/sh
# Runs the tests on the lowest, or the highest, version that every requirement admits, all of them together:
#
#   scripts/ends.sh lowest python3.10
#   scripts/ends.sh highest python3.13 tests/models -k cache    (what follows goes to pytest)
#
# Each end has its own environment, .venv-ends/lowest-3.10 and so on, brought up to date at every run, its
# versions in .venv-ends/lowest-3.10.txt.
# UV_TORCH_BACKEND=cpu takes PyTorch's builds for the CPU, without CUDA's gigabytes.
set -eu

usage() { sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

[ $# -ge 2 ] || usage
case "$1" in
    lowest) resolution=lowest-direct ;;  # of what requirements.txt names; what those need is the newest
    highest) resolution=highest ;;
    *) usage ;;
esac
version=$("$2" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
ends=.venv-ends
env=$ends/$1-$version
python=$2
shift 2

[ -x "$ends/uv/bin/uv" ] || { "$python" -m venv "$ends/uv" && "$ends/uv/bin/pip" install --quiet uv; }
[ -x "$env/bin/python" ] || "$ends/uv/bin/uv" venv --quiet --python "$python" "$env"
"$ends/uv/bin/uv" pip compile --quiet --no-header --no-annotate --python "$env/bin/python" --only-binary :all: \
    --resolution "$resolution" requirements.txt requirements-test.txt requirements-ray.txt >"$env.txt"
"$ends/uv/bin/uv" pip sync --quiet --python "$env/bin/python" --only-binary :all: "$env.txt"
cat "$env.txt"
exec "$env/bin/python" -m pytest -m "not browser" -p no:cacheprovider "${@:-tests}"
