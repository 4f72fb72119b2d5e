"""Hooks that write the course of a fit where people look at it.

>>> import bayesnas as bn
>>> from bayesnas.loggers import CSVLogger
>>> data = bn.data.load("digits")
>>> model = bn.models.GaussianNet(bn.nn.mlp([64, 10]))
>>> with CSVLogger("course.csv", every=5) as logger:
...     post = bn.fit(model, data.train, steps=10, on_step=logger)
>>> logger.path.read_text().splitlines()[0]
'chain,step,name,value'
"""

from bayesnas.loggers.base import Logger
from bayesnas.loggers.csv_file import CSVLogger
from bayesnas.loggers.from_words import logger_of
from bayesnas.loggers.mlflow import MLflowLogger
from bayesnas.loggers.tensorboard import TensorBoardLogger

__all__ = ["CSVLogger", "Logger", "MLflowLogger", "TensorBoardLogger", "logger_of"]
