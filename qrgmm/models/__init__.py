"""Everything that learns a law: the encoder, QRGMM, QRGMM-dagger, generative networks, and other people's models."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "encoding": ["FieldEncoder"],
        "metamodel": ["QRGMM", "QRGMMChain"],
        "resampling": ["bootstrap_curves", "left_out_laws", "left_out_levels"],
        "deepfm": ["DeepFMQRGMM"],
        "generators": ["ConditionalWGAN"],
        "paths": ["ConditionalDiffusion", "RectifiedFlow"],
        "trees": ["BoostedQuantiles", "CatBoostQuantiles", "QuantileForest"],
        "peers": ["BayesianFM", "Engression", "PenalisedQuantiles", "SplineFlow"],
        "two_part": ["TwoPart"],
        "conformal": ["Conformalised"],
        "own_past": ["OwnPast"],
    },
)
