"""What is recorded of the studies of cross-border sales is what the code gives today."""

import pytest

from qrgmm.studies.runner import STUDIES, check

OF_CROSS_BORDER = [study for study in STUDIES if study.startswith("cross_border")]


@pytest.mark.parametrize("study", OF_CROSS_BORDER)
def test_replication_0_of_size_tiny_is_what_is_recorded(study):
    assert check([study])
