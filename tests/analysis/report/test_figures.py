"""What the figures are computed from."""

import pandas as pd
import pytest

from tune_kmixup.analysis.report.figures import pool_bins
from tune_kmixup.core.rows import Bin


def test_reliability_bins_of_several_runs_are_pooled_by_their_rows() -> None:
    separate = pool_bins(pd.Series([(Bin(10, 0.6, 0.5), Bin(30, 0.95, 1.0)), (Bin(30, 0.61, 0.7),)]))
    assert list(separate["rows"]) == [10, 30, 30], "0.6000 is the upper end of its bin"
    (pooled,) = pool_bins(pd.Series([(Bin(10, 0.61, 0.5),), (Bin(30, 0.65, 0.7),)])).to_dict("records")
    assert pooled["rows"] == 40 and pooled["accuracy"] == pytest.approx((5 + 21) / 40)
