"""AdaNet: subnetworks join a weighted sum as long as its regularised loss falls."""
