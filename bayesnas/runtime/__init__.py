"""State of the process: devices, random streams, interrupts, matmul precision, Pyro's globals."""
