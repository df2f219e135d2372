"""`mtv_train assemble`: a whole pipeline from a transformer and its encoders."""

from __future__ import annotations

import argparse
from pathlib import Path

EPILOG = """\
example, with the authors' weights:
  python -m mtv_train convert-sat mp_rank_00_model_states.pt TRANSFORMER
  python -m mtv_train assemble TRANSFORMER MODEL --backbone CogVideoX-5b-I2V --audio-encoder wav2vec2-base-960h
  python -m mtv_train sample MODEL --scheduler release --prompt "..." --speech s.wav -o out.mp4
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog, parser.formatter_class = EPILOG, argparse.RawDescriptionHelpFormatter
    parser.add_argument("transformer", type=Path, metavar="TRANSFORMER", help="the transformer's folder")
    parser.add_argument("out", type=Path, metavar="OUT", help="the folder to write")
    parser.add_argument("--backbone", type=Path, required=True, metavar="DIR", help="a CogVideoX pipeline's folder")
    parser.add_argument("--audio-encoder", type=Path, required=True, metavar="DIR", help="wav2vec2-base-960h's folder")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16", help="(default: bfloat16)")


def run(args: argparse.Namespace) -> int:
    """Writes the pipeline's folder."""
    from mtv_train.sample.device import PRECISIONS
    from mtv_train.sample.model_folder import assemble, check_new, save_whole

    check_new(args.out)
    pipeline = assemble(args.transformer, args.backbone, args.audio_encoder, PRECISIONS[args.precision])
    save_whole(pipeline, args.out)
    print(f"{args.out}: a whole pipeline")
    return 0
