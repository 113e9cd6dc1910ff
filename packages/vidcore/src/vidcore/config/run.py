"""The configuration of a run: everything needed to repeat it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vidcore.config.augment import AugmentConfig
from vidcore.config.durations import seconds
from vidcore.config.grid import GridConfig
from vidcore.config.search import tunable


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


def with_weights(name: str) -> tuple[str, str | None]:
    """``NAME=FILE`` as the name and the weights; without them ``None``."""
    bare, equals, weights = name.partition("=")
    return (bare, weights) if equals and weights else (bare, None)


class Choice(_Section):
    """A component by name, and its options."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)


class LoraOptions(_Section):
    """Low-rank adapters beside the linear layers of a Transformer extractor; the extra ``lora`` has what they need."""

    rank: int = Field(8, ge=1)
    """Width of the bottleneck."""
    alpha: float = Field(16.0, gt=0)
    """The adapters' output is scaled by alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    """Dropout before each adapter."""
    targets: tuple[str, ...] = ()
    """Names of the linear layers, such as query, value; empty: all of them."""


class ExtractorChoice(Choice):
    """An extractor, its options, and how much of it is trained. ``NAME=FILE`` names its weights as well."""

    freeze: bool | None = None
    """Keep its parameters fixed; by default where it has published weights, or no parameters, and nothing below says
    otherwise."""
    unfreeze_blocks: int | None = Field(None, ge=1)
    """Train its last blocks only, so many, and what comes after them."""
    lora: LoraOptions | None = None
    """Train low-rank adapters beside its linear layers only: extractors.0.lora.rank=8"""

    @model_validator(mode="before")
    @classmethod
    def _weights_in_the_name(cls, data: Any) -> Any:
        if not isinstance(data, dict) or "=" not in str(data.get("name")):
            return data
        name, weights = with_weights(str(data["name"]))
        options = dict(data.get("options") or {})
        if options.setdefault("weights", weights) != weights:
            raise ValueError(f"{data['name']} names weights, and options.weights names others: {options['weights']}")
        return {**data, "name": name, "options": options}

    @model_validator(mode="after")
    def _one_way_of_training(self) -> ExtractorChoice:
        ways = [name for name in ("unfreeze_blocks", "lora") if getattr(self, name) is not None]
        if len(ways) == 2:
            raise ValueError("unfreeze_blocks and lora are two ways of training an extractor; give one of them")
        if ways and self.freeze:
            raise ValueError(f"freeze=true leaves nothing for {ways[0]} to train; give one of them")
        return self


class HeadChoice(Choice):
    """One of several heads that are trained at once."""

    label: str | None = Field(None, pattern=r"^[\w -]+$")
    """What its scores are called: letters, digits, _, - and blanks; by default its name."""
    weight: float = Field(1.0, gt=0)
    """Its loss counts so many times."""
    readout: Choice | None = None
    """A readout of its own; by default it reads what the run's readout gives, as all heads do that have none."""
    source: str | None = None
    """Data of its own, as data.source; by default the run's."""
    source_options: dict[str, Any] = Field(default_factory=dict)
    """Options of a named data set or a published layout."""
    source_layout: str | None = None
    """Layout of that data, as data.layout."""

    @property
    def title(self) -> str:
        """The label, or the name."""
        return self.label or self.name

    @model_validator(mode="after")
    def _options_of_a_source(self) -> HeadChoice:
        if (self.source_options or self.source_layout) and self.source is None:
            raise ValueError(
                "source_options and source_layout are those of a source; name it: heads.0.source=trajectories"
            )
        return self


class DataConfig(_Section):
    """What is trained on and how clips are cut from it."""

    source: str = "trajectories"
    """A folder with one subfolder per class, a CSV or JSONL manifest, a published data set as it lies on the disk, or a
    data set's name."""
    layout: str | None = None
    """Layout of a published data set (ucf101, kinetics, ...; vidcore data layouts lists them), or plain for none; by
    default it is recognised by its files."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of a named data set or a published layout: data.options.videos=FOLDER, data.options.split=2."""
    frames: int | None = Field(None, ge=1)
    """Frames per clip, the same for all extractors; without a sampling they are spread evenly (sampling=uniform). By
    default each extractor sees what its pace asks for; with another sampling the most that one of them takes, or 16."""
    sampling: Literal["published", "uniform", "dense", "strided"] | None = None
    """published: each extractor sees the segment at the pace it was trained at, in as many windows as needed, and one
    without a published pace 16 frames spread evenly; the default. uniform: centres of equal segments; dense:
    neighbouring frames; strided: every stride-th frame; with these three all extractors see the same frames."""
    stride: int = Field(1, ge=1)
    """Frames between two frames of a clip, for sampling=strided."""
    windows: int = Field(10, ge=1)
    """With sampling=published: the most windows an extractor reads of one clip, spread evenly over longer ones."""
    size: int | None = Field(None, ge=16)
    """Side in pixels for extractors that take any size; by default the videos' own, which must then be one."""
    jitter: bool | None = None
    """Draw training clips at random within what the sampling allows; by default where an extractor is trained or
    clips are augmented. Evaluation never does."""
    val_fraction: float = Field(0.15, ge=0, lt=1)
    """Share of the rows for validation where the manifest has no split column."""
    test_fraction: float = Field(0.15, ge=0, lt=1)
    """Share of the rows for the final test where the manifest has no split column."""
    balance: Literal["size", "sqrt", "equal"] = "size"
    """Which data set training clips come from, where heads have data of their own. size: each clip once an epoch;
    sqrt, equal: as many clips an epoch, drawn from each set by the square root of its size, or from all alike."""
    on_error: Literal["stop", "skip"] = "stop"
    """Corrupt videos: stop before training with the list of them all, or skip and count them."""
    workers: int | None = Field(None, ge=0)
    """Loader processes; by default one per core but one, at most 8."""
    store: Path | None = None
    """Feature store of frozen extractors; by default the one in the cache folder, which all runs share."""
    runtime: Literal["eager", "compiled", "openvino", "auto"] = "eager"
    """What runs frozen extractors when their features are stored; see vidcore benchmark."""

    @model_validator(mode="after")
    def _published_frames_are_the_extractors(self) -> DataConfig:
        if self.sampling == "published" and self.frames is not None:
            raise ValueError(
                f"frames={self.frames} goes with sampling=uniform, dense or strided; with sampling=published each "
                "extractor has its own number (vidcore info NAME): leave out one of the two"
            )
        return self

    @model_validator(mode="after")
    def _fractions_leave_training_rows(self) -> DataConfig:
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError(
                f"val_fraction + test_fraction is {self.val_fraction + self.test_fraction:g}; must be below 1"
            )
        return self


class TrainConfig(_Section):
    """Optimisation."""

    standardise: bool = True
    """Bring the features of frozen extractors to mean 0 and standard deviation 1 per channel, by the training rows."""
    solver: Literal["auto", "exact", "adamw"] = "auto"
    """exact: a linear head on frozen features is solved to convergence (L-BFGS), its penalty and the scales of the
    streams chosen on inner folds of the training and validation rows; nothing below up to warmup is read. adamw:
    gradient steps. auto: exact where the model allows it and neither epochs, lr nor grid is given."""
    epochs: int | None = Field(None, ge=1)
    """Null: as many as the number of clips asks for, with an early end; the header says how many."""
    batch_size: int = Field(16, ge=1)
    """Clips per optimiser step, over all processes and accumulation steps."""
    accumulate: int = Field(1, ge=1)
    """Micro-batches that one step is made of."""
    lr: float | None = Field(None, gt=0, json_schema_extra=tunable(1e-4, 1e-2, log=True))
    """Peak learning rate of the parts trained from scratch. Null: 1e-3."""
    extractor_lr_scale: float = Field(1.0, ge=0)
    """Learning rate of extractors relative to lr."""
    weight_decay: float = Field(0.05, ge=0, json_schema_extra=tunable(1e-4, 0.3, log=True))
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises linearly; then a cosine to zero."""
    clip_norm: float | None = Field(1.0, gt=0)
    """Largest gradient norm; null: no clipping."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Null: bf16-mixed on a GPU that has it, else 32-true."""
    folds: Annotated[int, Field(ge=2)] | Literal["group"] | None = None
    """Cross-validation: so many models after each other, each tested on rows that it has not seen; every row is tested
    once. group: one model per group, which tests it (leave one group out). Rows whose split is 'test' stay out of it,
    and no other test rows are drawn. Null: one model."""
    refit: bool = True
    """With folds: train the model that is shipped on the rows of all folds, for the median of their best epochs.
    False: ship the model of the fold with the lowest validation loss."""
    grid: GridConfig | None = None
    """Learning rates and weight decays that are trained at once on stored features, each with every seed; the
    combination with the lowest validation loss is the one that is trained and tested: "lr=1e-4,1e-3 wd=0,0.05"."""
    patience: int | None = Field(None, ge=1)
    """Epochs without a lower validation loss after which training stops. Null: never where epochs is given, else a
    fifth of the epochs, at least 10."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights, which is what is validated and shipped; null: none."""
    time_budget: float | None = Field(None, gt=0)
    """Longest time of a sitting, in seconds or as 2h, 90m, 1h30m; then training stops at a step, with the best model so
    far, and can be gone on with. Null: no limit."""
    checkpoint_seconds: float = Field(60.0, ge=0)
    """Longest time between two resumable checkpoints; 0: after every step."""
    deterministic: bool = False
    """Only operations that give the same bits every time, on a GPU too; slower, and some have no such form."""
    compile: bool = False
    """Compile the parts of the model with torch.compile: minutes at the start, then faster steps."""
    gradient_checkpointing: bool = False
    """Recompute the blocks of trained extractors in the backward pass instead of keeping their activations."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning rate of each block of an extractor relative to the block after it."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of weights, order, clips, dropout and split."""
    device: str = "auto"
    """auto, cpu, cuda."""
    devices: int | Literal["auto"] = 1
    """Processes on each machine that train one model together, a device each; auto: one per GPU."""
    nodes: int = Field(1, ge=1)
    """Machines."""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """How several processes share the work: ddp: each has the whole model; fsdp: each holds a part of it."""
    trackers: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ("tensorboard",)
    """Who is told the numbers besides metrics.csv."""

    @field_validator("time_budget", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return seconds(value)

    @field_validator("devices")
    @classmethod
    def _some_devices(cls, value: int | str) -> int | str:
        if value != "auto" and int(value) < 1:
            raise ValueError("give a number of processes, 1 or more, or auto")
        return value


class RunConfig(_Section):
    """A whole run."""

    extractors: tuple[ExtractorChoice, ...] = (ExtractorChoice(name="basic/keypoints"),)
    fusion: Choice = Choice(name="concat")
    readout: Choice = Choice(name="mean")
    head: Choice = Choice(name="classification")
    heads: tuple[HeadChoice, ...] = ()
    """Several heads at once, instead of head: heads.0.name=classification heads.1.name=regression"""
    data: DataConfig = DataConfig()
    augment: AugmentConfig = AugmentConfig()
    train: TrainConfig = TrainConfig()
    out: Path = Path("runs")
    """Folder in which the run's own folder is made."""
    name: str | None = None
    """Name of the run's folder; by default the extractors, the data and the time."""

    @property
    def head_title(self) -> str:
        """The head, or all of them, in words."""
        return " & ".join(choice.title for choice in self.heads) or self.head.name

    @property
    def redraws_clips(self) -> bool:
        """Whether training clips are others in every epoch, so that what is known of them cannot be kept."""
        return bool(self.data.jitter) or self.augments

    @property
    def augments(self) -> bool:
        """Whether training clips are changed, or mixed with each other."""
        return self.augment.changes_clips or self.augment.mixes

    @field_validator("extractors")
    @classmethod
    def _at_least_one(cls, value: tuple[ExtractorChoice, ...]) -> tuple[ExtractorChoice, ...]:
        if not value:
            raise ValueError("at least one extractor is needed; list them with: vidcore list-models")
        return value

    @field_validator("heads")
    @classmethod
    def _distinct_heads(cls, value: tuple[HeadChoice, ...]) -> tuple[HeadChoice, ...]:
        for number, choice in enumerate(value):
            if choice.title in [other.title for other in value[:number]]:
                raise ValueError(
                    f"two heads are called {choice.title!r}; tell them apart: heads.{number}.label=another_name"
                )
        return value

    @model_validator(mode="after")
    def _head_or_heads(self) -> RunConfig:
        if self.heads and self.head != RunConfig.model_fields["head"].default:
            raise ValueError(f"give head or heads, not both; head is {self.head.name!r}")
        own = {choice.source for choice in self.heads}
        if self.data.balance != "size" and len(own) < 2:
            raise ValueError(f"data.balance={self.data.balance} weighs data sets, and there is one; "
                             "give heads data of their own: heads.1.source=other.csv")  # fmt: skip
        if self.heads and self.augment.mixes:
            raise ValueError("mixup and cutmix mix the targets of one head; they do not go with heads")
        return self
