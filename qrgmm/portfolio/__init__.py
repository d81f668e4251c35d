"""Many loans at once: copulas that tie sellers together, the loss of all loans, and the largest portfolio."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "copula": [
            "ClaytonCopula",
            "EllipticalCopula",
            "VineCopula",
            "estimate_theta",
            "fit_copula",
            "pseudo_observations",
        ],
        "loading": ["Loading", "cautious_level", "common_loading", "pair_correlation", "vintage_share"],
        "loans": [
            "LargestPortfolio",
            "allocate_cvar",
            "largest_portfolio",
            "loss_measures",
            "portfolio_loss",
            "revenue_scenarios",
            "stress",
            "tail_weights",
        ],
    },
)
