"""Networks without a prior: trained by maximum likelihood, their weights removed or shared."""
