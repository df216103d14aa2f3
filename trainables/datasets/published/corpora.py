"""The four affect corpora of MultiBench: files, sizes, default encoders, and what their stand-ins plant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from trainables.datasets.base import MultimodalData
from trainables.datasets.files.pickles import read_pickle
from trainables.datasets.files.reading import find_file
from trainables.datasets.generated.stand_in import STAND_IN, StandInPlan, mark
from trainables.datasets.published.affect import assemble_corpus, stand_in_corpus
from trainables.datasets.table import Dataset, Option
from trainables.spec import EncoderSpec

_STEPS = 50
_ORIGIN = (
    "the Google Drive folders linked in the READMEs of github.com/pliang279/MultiBench and "
    "github.com/MeganTj/multimodal_alignment"
)


def _corpus(
    name: str,
    *,
    title: str,
    file: str,
    licence: str,
    task: str,
    pooling: Literal["mean", "cls"],
    plan: StandInPlan,
) -> Dataset:
    """The line of one corpus; encoders as in Tjandrasuwita et al. 2025: width = features, one head."""

    def load_corpus(options: Mapping[str, Any]) -> MultimodalData:
        """Vision, audio and text (N, T, d) with a mask (N, T), and one target for all three."""
        if options["stand_in"]:
            sized = plan.sized(options["stand_in"])
            return mark(assemble_corpus(name, stand_in_corpus(sized, binary=task == "classes"), options), sized)
        return assemble_corpus(name, read_pickle(find_file(options["path"], origin=_ORIGIN)), options)

    return Dataset(
        load=load_corpus,
        description=title,
        licence=licence,
        shapes=plan.shapes,
        encoders={
            modality: EncoderSpec(kind="transformer", layers=2, width=shape[1], heads=1, pooling=pooling, dropout=0.1)
            for modality, shape in plan.shapes.items()
        },
        options={
            "path": Option(doc="the MultiBench pickle", types=(str,), default=f"data/{file}"),
            "task": Option(
                doc="classes: positive or not; regression: real target, scored by sign accuracy",
                types=(str,),
                default=task,
                choices=("classes", "regression"),
            ),
            "steps": Option(doc="of a sequence that are kept", types=(int,), default=_STEPS, bounds=(1, 10_000)),
            "align": Option(doc="start all modalities at the first step with text", types=(bool,), default=True),
            "imputation": Option(
                doc="what replaces missing values", types=(str,), default="none", choices=("none", "zero")
            ),
            "stand_in": STAND_IN,
        },
        origin=_ORIGIN,
    )


def _shapes(vision: int, audio: int, text: int) -> dict[str, tuple[int, ...]]:
    return {"vision": (_STEPS, vision), "audio": (_STEPS, audio), "text": (_STEPS, text)}


def _shared(vision_audio: float, vision_text: float, audio_text: float) -> dict[tuple[str, str], float]:
    return {("vision", "audio"): vision_audio, ("vision", "text"): vision_text, ("audio", "text"): audio_text}


# The planted profiles are near those that Fang et al. 2026 (MOSEI, MUStARD) and Liang et al. 2023 (MOSI, UR-FUNNY)
# report, as near as three normal directions can come.
MOSEI_PLAN = StandInPlan(
    rows=(16326, 1871, 4659),
    shapes=_shapes(35, 74, 300),
    classes=2,
    relevance={"vision": 0.62, "audio": 0.56, "text": 0.86},
    given_score=_shared(0.59, 0.27, 0.28),
    sequences=True,
)
MOSEI = _corpus(
    "mosei",
    title="CMU-MOSEI sentiment: facial, acoustic and word features of 22,856 utterances",
    file="mosei_senti_data.pkl",
    licence="CMU-MOSEI licence: research use (Zadeh et al. 2018)",
    task="regression",
    pooling="mean",
    plan=MOSEI_PLAN,
)
MOSI = _corpus(
    "mosi",
    title="CMU-MOSI sentiment: facial, acoustic and word features of 2,199 utterances",
    file="mosi_data.pkl",
    licence="CMU-MOSI licence: research use (Zadeh et al. 2016)",
    task="regression",
    pooling="mean",
    plan=StandInPlan(
        rows=(1284, 229, 686),
        shapes=_shapes(20, 5, 300),
        classes=2,
        relevance={"vision": 0.41, "audio": 0.36, "text": 0.36},
        given_score=_shared(-0.6, -0.6, 0.1),
        sequences=True,
    ),
)
MUSTARD = _corpus(
    "mustard",
    title="MUStARD sarcasm: facial, acoustic and word features of 690 utterances",
    file="sarcasm.pkl",
    licence="MIT for the annotations (Castro et al. 2019); the clips are the broadcasters'",
    task="classes",
    pooling="cls",
    plan=StandInPlan(
        rows=(414, 138, 138),
        shapes=_shapes(371, 81, 300),
        classes=2,
        relevance={"vision": 0.66, "audio": 0.65, "text": 0.64},
        given_score=_shared(-0.3, -0.45, -0.5),
        sequences=True,
    ),
)
UR_FUNNY = _corpus(
    "ur_funny",
    title="UR-FUNNY humour: facial, acoustic and word features of TED talk punchlines",
    file="humor.pkl",
    licence="research use (Hasan et al. 2019)",
    task="classes",
    pooling="cls",
    plan=StandInPlan(
        rows=(8074, 1034, 1058),
        shapes=_shapes(371, 81, 300),
        classes=2,
        relevance={"vision": 0.3, "audio": 0.14, "text": 0.14},
        given_score=_shared(-0.6, -0.6, 0.1),
        sequences=True,
    ),
)
