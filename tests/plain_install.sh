#!/usr/bin/env bash
# Installs the project as a stranger would: a wheel, into an empty environment outside the project, with the newest
# packages that its requirements allow. Then makes a film and indexes it there.
#
#     tests/plain_install.sh [PYTHON ...]       # default: one that the project supports
#
# Needs uv (UV, else the machine's, else .uv/bin/uv). Packages come from the machine's own index settings and uv's cache.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
uv=${UV:-$(command -v uv || echo "$project/.uv/bin/uv")}
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
unset PYTHONPATH VIRTUAL_ENV

"$uv" build --quiet --wheel --out-dir "$away/wheel" "$project"
cd "$away"  # nothing of the project can be imported by accident from here on
for python in "${@:->=3.11,<3.14}"; do
    rm -rf env dataset
    "$uv" venv --quiet --no-project --python "$python" env
    "$uv" pip install --quiet --python env/bin/python wheel/*.whl
    said=$(env/bin/python --version)
    echo "$said: $(env/bin/demix --version), $(env/bin/python -c 'import av, demix, numpy, torch, torchvision
assert "site-packages" in demix.__file__, demix.__file__
print(f"av {av.__version__}, numpy {numpy.__version__}, torch {torch.__version__}, torchvision {torchvision.__version__}")')"
    env/bin/demix doctor </dev/null
    ffmpeg=$(env/bin/python -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
    "$ffmpeg" -y -v error -f lavfi -i testsrc2=s=320x240:r=25:d=4 -f lavfi -i mandelbrot=s=320x240:r=25 \
        -f lavfi -i sine=440:r=48000:d=8 -filter_complex '[1]trim=duration=4[b];[0][b]concat[v]' -map '[v]' -map 2 film.mp4
    env/bin/demix index film.mp4 --output dataset --address local </dev/null
    env/bin/python - <<'END'
import pyarrow.parquet as pq
clips = pq.read_table("dataset/.work/clips.parquet").num_rows
assert clips == 2, f"{clips} clips of a film with one cut"
END
    echo "$said: a plain installation indexes a film"
done
