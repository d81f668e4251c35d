"""Every process whose law is known, one file each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "problems": ["TestProblem1", "TestProblem2"],
        "cancer": ["CancerSimulator"],
        "bank_queue": ["BankQueue"],
        "fm_location_scale": ["FMLocationScale"],
        "cross_border": ["CrossBorderSales"],
        "marketplace": ["Marketplace"],
        "lender_book": ["LenderBook", "LenderTables"],
    },
)
