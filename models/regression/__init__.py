"""Linear and logistic regression with sparse priors."""
