"""Weights of the person and face detectors (roles `persons` and `faces`)."""

from __future__ import annotations

from demix.weights.registry import WeightFile, Weights, hub_files

_AGPL = "using it in a product or service that is not itself under AGPL-3.0, unless you hold the vendor's licence."
_YUNET = "models/face_detection_yunet/face_detection_yunet_2023mar.onnx"


def _rtdetr(name: str, repository: str, backbone: str) -> Weights:
    files = {"model": "model.safetensors", "config": "config.json", "processor": "preprocessor_config.json"}
    return Weights(
        name=name,
        role="persons",
        about=f"RT-DETRv2 with a {backbone} backbone, trained on COCO",
        home=f"https://huggingface.co/{repository}",
        licence="Apache-2.0",
        files=hub_files(repository, "main", files),
    )


def _yolo(name: str) -> Weights:
    url = f"https://github.com/ultralytics/assets/releases/download/v8.3.0/{name}.pt"
    return Weights(
        name=name,
        role="persons",
        about="Ultralytics YOLO11, trained on COCO",
        home="https://github.com/ultralytics/ultralytics",
        licence="AGPL-3.0",
        forbids=_AGPL,
        files=(WeightFile("model", f"{name}.pt", url),),
    )


ENTRIES: tuple[Weights, ...] = (
    _rtdetr("rtdetr_v2_r18", "PekingU/rtdetr_v2_r18vd", "ResNet-18"),
    _rtdetr("rtdetr_v2_r50", "PekingU/rtdetr_v2_r50vd", "ResNet-50"),
    _yolo("yolo11n"),
    _yolo("yolo11m"),
    _yolo("yolo11x"),
    Weights(
        name="yunet",
        role="faces",
        about="YuNet, OpenCV's face detector, March 2023",
        home="https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet",
        licence="MIT",
        files=(
            WeightFile(
                "model",
                "face_detection_yunet_2023mar.onnx",
                f"https://media.githubusercontent.com/media/opencv/opencv_zoo/main/{_YUNET}",
                232_589,
                "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
            ),
        ),
    ),
    Weights(
        name="s3fd",
        role="faces",
        about="S3FD trained on WIDER FACE: the detector of the active-speaker nets' demos",
        home="https://www.robots.ox.ac.uk/~vgg/software/lipsync/",
        licence="none stated",
        forbids="passing the weights on: nobody granted it.",
        files=(
            WeightFile("model", "sfd_face.pth", "https://www.robots.ox.ac.uk/~vgg/software/lipsync/data/sfd_face.pth"),
        ),
    ),
)
