"""Settings of a training run: strict, nested, printable. A recipe is a function that returns them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from demix.config import Settings
from mtv_train.data.settings import DataSettings
from mtv_train.diffusion.conditioning import CleanFrameSettings, DropSettings
from mtv_train.model.config import MTVSettings

Activation = Literal["none", "projections", "selective", "full"]
"""Modes of activation checkpointing, from most memory to most time."""


class BackboneSettings(Settings):
    """CogVideoX's transformer, in the names of its `config.json`. The defaults are THUDM/CogVideoX-5b-I2V."""

    num_attention_heads: int = 48
    """Attention heads; times attention_head_dim: the model's width."""
    attention_head_dim: int = 64
    """Width of a head."""
    num_layers: int = 42
    """Blocks."""
    in_channels: int = 32
    """Channels of the latents, twice for the image-to-video backbones."""
    out_channels: int = 16
    """Channels of the prediction."""
    time_embed_dim: int = 512
    """Width of the timestep embedding."""
    text_embed_dim: int = 4096
    """Width of the text embedding."""
    max_text_seq_length: int = 226
    """Text tokens."""
    patch_size: int = 2
    """Latent pixels on a side of a token."""
    sample_width: int = 90
    """Latent width that the positions were made for."""
    sample_height: int = 60
    """Latent height that the positions were made for."""
    sample_frames: int = 49
    """Video frames that the positions were made for."""
    use_rotary_positional_embeddings: bool = True
    """3D rotary positions (5B models); sinusoidal ones otherwise."""
    use_learned_positional_embeddings: bool = True
    """Learned positions besides (5b-I2V)."""

    @property
    def config(self) -> dict[str, Any]:
        """As `CogVideoXTransformer3DModel` takes it."""
        return self.model_dump()

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim


class RandomEncoders(Settings):
    """Shapes of the frozen encoders where they are made at random instead of loaded (`model.weights: random`)."""

    vae_channels: tuple[int, int, int, int] = (128, 256, 256, 512)
    """Channels of the VAE's four levels."""
    vae_layers: int = 3
    """Layers a level."""
    text_layers: int = 24
    """Layers of T5; its width is the backbone's text_embed_dim."""
    text_heads: int = 64
    """Heads of T5, each 64 wide or less."""
    audio_heads: int = 12
    """Heads of wav2vec2; its width and depth are the model's feature_dim and feature_layers."""
    audio_channels: int = 512
    """Channels of wav2vec2's convolutions."""


class LoraSettings(Settings):
    """Low-rank adapters (LoRA) that are trained in place of the weights themselves."""

    rank: int = Field(default=0, ge=0)
    """Rank of the adapters; 0: none, weights are trained. They lie on the injection layers and, where train_backbone is
    `attention`, on the backbone's attention layers; nothing else is trained, so start from a trained MTV (model.init).
    `export` merges them into the weights."""
    alpha: float = Field(default=16.0, gt=0, allow_inf_nan=False)
    """What an adapter adds is multiplied by alpha / rank."""


class ModelSettings(Settings):
    """The model and the frozen encoders around it."""

    source: str = "THUDM/CogVideoX-5b-I2V"
    """The backbone's pipeline: a local folder, or a hub name where the hub can be reached. Holds transformer/, vae/,
    text_encoder/, tokenizer/."""
    revision: str = "main"
    """Revision of `source` on the hub."""
    audio_encoder: str = "facebook/wav2vec2-base-960h"
    """wav2vec2: a local folder or a hub name."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """`random` makes all of it from the shapes below and downloads nothing: for tests and for timing."""
    init: str = ""
    """Folder of an MTV whose weights training starts from, instead of the backbone's and new ones: what `mtv_train
    export` or `convert-sat` wrote. It must be the recipe's model. The encoders are those of `source`."""
    backbone: BackboneSettings = BackboneSettings()
    """Shape of the backbone; a pretrained one must have it."""
    encoders: RandomEncoders = RandomEncoders()
    """Shapes of the encoders where they are random."""
    mtv: MTVSettings = MTVSettings()
    """The multi-stream temporal ControlNet."""
    latent_scale: float = 0.7
    """Factor on the VAE's latents: 0.7 for the 5B models, 1.15258426 for 2B."""
    train_backbone: Literal["attention", "none", "all"] = "attention"
    """What is trained of the backbone besides the ControlNet: its attention layers (the paper), nothing (the ablation
    W/o TB), or everything."""
    lora: LoraSettings = LoraSettings()
    """Adapters, to train instead of weights."""
    official_alignment: bool = False
    """Hear as the authors' release does: its lengths, its padding when sampling, and audio features that are spread
    evenly over the frames instead of lying at their time stamps."""

    @model_validator(mode="after")
    def _adapts_something_trained(self) -> ModelSettings:
        if self.lora.rank and self.train_backbone == "all":
            raise ValueError(
                f"lora.rank={self.lora.rank} trains adapters in place of the weights, train_backbone=all all weights: "
                "choose one"
            )
        if self.lora.rank and not self.init and self.weights == "pretrained":
            raise ValueError(
                f"lora.rank={self.lora.rank} adapts a trained MTV, and a new ControlNet is none: give the folder "
                "of one as init"
            )
        return self


class DiffusionSettings(Settings):
    """Noise, objective, and what is kept from the model in training."""

    prediction: Literal["v", "noise"] = "v"
    """What is predicted: velocity (CogVideoX, the release) or noise (the paper's equation 1)."""
    snr_shift: float = Field(default=1.0, gt=0)
    """1 for the 5B models, 3 for 2B."""
    timesteps: Literal["stratified", "uniform"] = "stratified"
    """`stratified`: the samples of a global batch share the timesteps among them evenly, whatever the ranks."""
    clean_frames: CleanFrameSettings = CleanFrameSettings()
    """How often which frames are kept clean."""
    drops: DropSettings = DropSettings()
    """How often which conditions are left out."""


class OptimSettings(Settings):
    """The optimizer, and how the learning rate runs."""

    batch: int = Field(default=24, ge=1)
    """Samples a step, of all ranks together. The paper does not say; its 24 GPUs with one sample each make 24."""
    lr: float = Field(default=1e-5, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    """How the rate runs after the warm-up, over all stages together."""
    warmup_steps: int = Field(default=500, ge=0)
    """Steps over which the rate rises from 0; counted anew where a stage resets the optimizer."""
    final_share: float = Field(default=0.1, ge=0, le=1)
    """What is left of the rate at the end of `cosine` and `linear`."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's decay rates."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """AdamW's weight decay, on all trained parameters as in the release."""
    clip: float = Field(default=1.0, ge=0)
    """Bound of the gradient's norm; 0: none. The release takes 0.1."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of the moving average of the trained parameters; 0: none. Over the first steps it rises from 0.1 to this,
    as (1 + n) / (10 + n). The average costs 4 bytes a trained parameter."""


class StageSettings(Settings):
    """One training stage."""

    steps: int = Field(default=40_000, ge=1)
    """Optimizer steps."""
    weights: dict[str, float]
    """Subset -> weight of what the stage draws from."""
    replay: float = Field(default=0.0, ge=0, lt=1)
    """Share of samples from the subsets of earlier stages. The paper has none; 0.1 keeps lips from being forgotten."""
    reset_optimizer: bool = False
    """Begin with a fresh optimizer state and a new warm-up."""

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        if not value or min(value.values()) < 0 or sum(value.values()) <= 0:
            raise ValueError("give at least one subset a weight above 0, and none one below")
        return value


def five_stages(steps: int = 40_000, replay: float = 0.0) -> dict[str, StageSettings]:
    """The paper's course (section 5.1): each subset in turn, `steps` each."""
    names = ("basic_face", "single_character", "multiple_characters", "sound_event", "visual_mood")
    return {
        name: StageSettings(steps=steps, weights={name: 1.0}, replay=replay if position else 0.0)
        for position, name in enumerate(names)
    }


class ParallelSettings(Settings):
    """How the work is spread. Changes nothing in what is computed but the order of sums."""

    replicate: int = Field(default=1, ge=1)
    """Groups of ranks that each hold the whole model (HSDP); within a group it is sharded. 1: sharded over all."""
    micro_batch: int = Field(default=1, ge=1)
    """Samples a rank computes at once; more of its share of the batch are accumulated."""
    precision: Literal["bfloat16", "float32"] = "bfloat16"
    """Of computation and of frozen parameters. Trained parameters and sums of gradients are float32 always."""
    activation: Activation = "full"
    """What is computed again in the backward pass: nothing; all but the attentions' outputs and projections; all but
    the attentions' outputs; or whole blocks. From left to right less memory and more time."""
    compile: bool = False
    """torch.compile, block by block."""
    reshard_after_forward: bool = True
    """Free a block's gathered parameters after its forward pass (less memory, one more gather)."""
    defer_reduce: bool = False
    """Sum gradients over ranks once a step and not once a micro-batch: less traffic, but every rank holds all
    gradients of the trained parameters meanwhile (4 bytes each)."""
    reduction: Literal["backend", "tree"] = "backend"
    """Who sums gradients over ranks. `tree` adds them in pairs, neighbours first, so that for powers of two the sum
    does not depend on the number of ranks (with defer_reduce and at most two micro-batches a rank). Not with
    replicate."""
    timeout_minutes: float = Field(default=30.0, gt=0)
    """How long a rank waits for the others before it gives up."""


class CheckpointSettings(Settings):
    """When the state is saved, and which saves are kept."""

    every: int = Field(default=500, ge=1)
    """Steps between saves; the end of every stage is saved besides."""
    keep_last: int = Field(default=3, ge=1)
    """The newest so many are kept."""
    keep_every: int = Field(default=20_000, ge=0)
    """Those at multiples of so many steps are kept for good; 0: none."""
    wait: bool = False
    """Wait for each save to be committed before training goes on, instead of writing meanwhile."""
    on_damage: Literal["stop", "fall_back"] = "stop"
    """What is done when the newest save is not what was written: end with a message that names it, or put it aside with
    a warning and go on from the newest that is whole."""


class ValidationSettings(Settings):
    """Losses and videos of what is not trained on. With `optim.ema`, of the parameters and of their average."""

    every: int = Field(default=2_000, ge=0)
    """Steps between them; 0: never."""
    loss_samples: int = Field(default=16, ge=0)
    """Windows of each subset of the test split whose loss is measured, always at the same noise and timesteps; 0: none.
    They are encoded once and held in memory, about 10 MB a window of 49 x 480 x 720."""
    samples: int = Field(default=2, ge=0)
    """Videos each time, from windows of the test split (of the train split where there is none)."""
    steps: int = Field(default=50, ge=1)
    """Sampling steps."""
    guidance: float = Field(default=3.5, ge=1)
    """Classifier-free guidance, text and tracks together; 1: none."""


class LogSettings(Settings):
    """What is written down."""

    every: int = Field(default=10, ge=1)
    """Steps between log lines."""
    tensorboard: bool = True
    """Write RUN/tensorboard."""
    wandb: str = ""
    """Project of Weights & Biases to log to as well; needs the package wandb."""
    samples: bool = False
    """Note every sample trained on, with its loss, in RUN/samples-<rank>.jsonl."""
    profile_from: int = Field(default=0, ge=0)
    """Step at which torch's profiler starts; 0: never. Traces lie in RUN/profile."""
    profile_steps: int = Field(default=3, ge=1)
    """Steps that it watches."""
    peak_tflops: float = Field(default=0.0, ge=0)
    """What a device can do in the given precision, for MFU; 0: known by its name."""


class TrainSettings(Settings):
    """A whole training run."""

    seed: int = 0
    """Seed of everything: initial weights, order, and what is drawn per sample."""
    model: ModelSettings = ModelSettings()
    """The model."""
    data: DataSettings = DataSettings()
    """The dataset."""
    diffusion: DiffusionSettings = DiffusionSettings()
    """Noise and objective."""
    optim: OptimSettings = OptimSettings()
    """Optimizer."""
    stages: dict[str, StageSettings] = Field(default_factory=five_stages)
    """The stages, in order, by name."""
    parallel: ParallelSettings = ParallelSettings()
    """Ranks, precision, memory."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """Saves."""
    validation: ValidationSettings = ValidationSettings()
    """Sampled videos."""
    log: LogSettings = LogSettings()
    """Log."""

    @model_validator(mode="after")
    def _consistent(self) -> TrainSettings:
        if (self.data.window.frames - 1) % 4:
            raise ValueError(f"data.window.frames={self.data.window.frames} is not 1 + 4n, as the VAE groups frames")
        if self.data.window.height % 16 or self.data.window.width % 16:
            raise ValueError("data.window: height and width must be multiples of 16 (VAE 8, patches 2)")
        if self.data.window.audio_radius != self.model.mtv.audio_window:
            raise ValueError("data.window.audio_radius must equal model.mtv.audio_window")
        if set(self.model.mtv.tracks) != set(self.data.window.tracks):
            raise ValueError(f"data.window.tracks must be {list(self.model.mtv.tracks)}, what the model listens to")
        backbone, frames = self.model.backbone, self.data.window.frames
        made_for = (backbone.sample_frames, backbone.sample_height, backbone.sample_width)
        if backbone.use_learned_positional_embeddings and made_for != (frames, *self.latent_shape[2:]):
            raise ValueError(
                f"data.window gives latents of {(frames, *self.latent_shape[2:])} (frames, height, width), but this "
                f"backbone's learned positions are for {made_for}"
            )
        if self.parallel.reduction == "tree" and self.parallel.replicate > 1:
            raise ValueError("parallel.reduction=tree cannot be used with parallel.replicate above 1")
        if not self.stages:
            raise ValueError("stages: a run needs at least one")
        return self

    @property
    def latent_shape(self) -> tuple[int, int, int, int]:
        """(frames, channels, height, width) of a window's latents."""
        window = self.data.window
        return 1 + (window.frames - 1) // 4, self.model.backbone.out_channels, window.height // 8, window.width // 8

    @property
    def total_steps(self) -> int:
        return sum(stage.steps for stage in self.stages.values())


FREE = ("parallel.", "checkpoint.", "validation.", "log.", "data.loader.", "data.storage_options.", "data.index_cache")
"""Settings that may differ when a run goes on: they change how it runs, not what is learnt. Where the data lie
(`data.dataset`, `data.cache`) is free too: what they hold is compared by the dataset's fingerprint."""
_FREE_WHOLE = ("data.dataset", "data.cache", "data.cached")


def flat(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """A nested mapping as {"a.b": value}."""
    leaves: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            leaves.update(flat(value, f"{path}{key}."))
        else:
            leaves[f"{path}{key}"] = value
    return leaves


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between two runs and change what is learnt: name -> (before, after)."""
    old, new = flat(before), flat(after)
    names = [name for name in {**old, **new} if not name.startswith(FREE) and name not in _FREE_WHOLE]
    return {name: (old.get(name), new.get(name)) for name in names if old.get(name) != new.get(name)}
