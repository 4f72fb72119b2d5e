"""Trials in a study of Optuna: who takes which, where they are kept, what they came to."""
