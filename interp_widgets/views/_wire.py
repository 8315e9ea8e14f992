"""Arrays on the wire."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from interp_widgets.views.protocol.common import Dtype, WireArray


def wire_array(array: NDArray[Any], dtype: Dtype) -> WireArray:
    """Describe an array as the page reads it: C order, little-endian."""
    data = np.ascontiguousarray(array, dtype=np.dtype(dtype).newbyteorder("<"))
    return {"dtype": dtype, "shape": list(array.shape), "data": data.tobytes()}
