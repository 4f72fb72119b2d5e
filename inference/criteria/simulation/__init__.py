"""Calibration of a posterior by simulated data: is the truth where the posterior says it is?"""
