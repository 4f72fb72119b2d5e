"""Parts of the contract of a model, each on one thing that it can say of itself."""
