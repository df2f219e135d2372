"""Weights of the evaluation's metrics (role `metric`) and of MTV's own encoders (role `backbone`)."""

from __future__ import annotations

from demix.weights.registry import WeightFile, Weights, hub_files

_CLIP_TOKENIZER = hub_files("openai/clip-vit-large-patch14", "main", {"tokenizer": "tokenizer.json"})

ENTRIES: tuple[Weights, ...] = (
    Weights(
        name="i3d_torchscript",
        role="metric",
        about="I3D on Kinetics-400 as StyleGAN-V scripted it: FVD",
        home="https://github.com/universome/stylegan-v",
        licence="Apache-2.0",
        files=(
            WeightFile(
                "model",
                "i3d_torchscript.pt",
                "https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1",
            ),
        ),
    ),
    Weights(
        name="i3d_kinetics400",
        role="metric",
        about="I3D on Kinetics-400 as a state dict: FVD with `fvd.i3d: state_dict`",
        home="https://github.com/songweige/content-debiased-fvd",
        licence="Apache-2.0",
        files=(WeightFile("model", "i3d_pretrained_400.pt"),),
        by_hand="VideoGPT, TATS and cd-fvd link to the file `i3d_pretrained_400.pt`.",
    ),
    Weights(
        name="clip_vit_b32",
        role="metric",
        about="OpenAI's CLIP ViT-B/32: Temp-C",
        home="https://huggingface.co/openai/clip-vit-base-patch32",
        licence="MIT",
        files=hub_files(
            "openai/clip-vit-base-patch32", "main", {"config": "config.json", "model": "pytorch_model.bin"}
        ),
    ),
    Weights(
        name="clip_vit_l14",
        role="metric",
        about="OpenAI's CLIP ViT-L/14: Temp-C with `clip: clip_vit_l14`",
        home="https://huggingface.co/openai/clip-vit-large-patch14",
        licence="MIT",
        files=hub_files(
            "openai/clip-vit-large-patch14", "main", {"config": "config.json", "model": "model.safetensors"}
        ),
    ),
    Weights(
        name="videoclip_xl",
        role="metric",
        about="VideoCLIP-XL, with CLIP's tokenizer: Text-C",
        home="https://huggingface.co/alibaba-pai/VideoCLIP-XL",
        licence="CC-BY-NC-SA-4.0",
        forbids="commercial use",
        files=(*hub_files("alibaba-pai/VideoCLIP-XL", "main", {"model": "VideoCLIP-XL.bin"}), *_CLIP_TOKENIZER),
    ),
    Weights(
        name="imagebind_huge",
        role="metric",
        about="ImageBind-Huge: Audio-C",
        home="https://github.com/facebookresearch/ImageBind",
        licence="CC-BY-NC-SA-4.0",
        forbids="commercial use",
        files=(
            WeightFile("model", "imagebind_huge.pth", "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth"),
        ),
    ),
    Weights(
        name="syncnet_v2",
        role="metric",
        about="SyncNet: Sync-C and Sync-D",
        home="https://github.com/joonson/syncnet_python",
        licence="MIT",
        files=(
            WeightFile(
                "model",
                "syncnet_v2.model",
                "http://www.robots.ox.ac.uk/~vgg/software/lipsync/data/syncnet_v2.model",
            ),
        ),
    ),
)
