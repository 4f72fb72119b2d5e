"""Data sets: by name, from files, from arrays, or read row by row.

Example:
    >>> import bayesnas.data
    >>> data = bayesnas.data.load("digits")
    >>> data.train.x.shape, data.test.y.dtype
    (torch.Size([1437, 64]), torch.int64)
"""

from bayesnas.data.catalogue import available, load
from bayesnas.data.dataset import DataSet
from bayesnas.data.info import DataInfo
from bayesnas.data.inputs import Inputs
from bayesnas.data.provenance import DataSource
from bayesnas.data.sources.arrays import from_arrays
from bayesnas.data.sources.glyphs import glyph_images
from bayesnas.data.sources.load_folder import load_streamed
from bayesnas.data.sources.new_rows import read_rows
from bayesnas.data.split import Split
from bayesnas.data.standardisation import Standardisation
from bayesnas.data.streams.from_dataset import from_dataset
from bayesnas.data.streams.streamed_split import StreamedSplit
from bayesnas.data.tables.encoding import TableEncoding, UnseenCellWarning

__all__ = [
    "DataInfo",
    "DataSet",
    "DataSource",
    "Inputs",
    "Split",
    "Standardisation",
    "StreamedSplit",
    "TableEncoding",
    "UnseenCellWarning",
    "available",
    "from_arrays",
    "from_dataset",
    "glyph_images",
    "load",
    "load_streamed",
    "read_rows",
]
