"""Networks that searches grow: graphs of single neurons, sums of subnetworks."""
