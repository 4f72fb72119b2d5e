"""The zoo as scikit-learn's estimators, for pipelines, cross-validation and searches.

>>> import sklearn.datasets
>>> x, y = sklearn.datasets.load_breast_cancer(return_X_y=True)
>>> net = BayesianStructureClassifier(hidden=(10,), epochs=20, random_state=0).fit(x, y)
>>> net.score(x, y) > 0.9
True
"""

from bayesnas.sklearn.classifier import BayesianStructureClassifier
from bayesnas.sklearn.regressor import BayesianStructureRegressor

__all__ = ["BayesianStructureClassifier", "BayesianStructureRegressor"]
