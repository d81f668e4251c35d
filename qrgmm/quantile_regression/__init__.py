"""Linear quantile regression on a whole grid of levels: exact, certified, one optimum on every machine."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "grid": ["QuantileGridFit", "fit_quantile_grid"],
        "inference": [
            "plane_covariance",
            "rank_score_interval",
            "rank_score_test",
            "rank_scores",
            "sandwich_interval",
        ],
    },
)
