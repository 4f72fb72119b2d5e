"""Where data sets come from: arrays, files, scikit-learn, torchvision."""
