"""The systems that are compared: three nodes of each, on the loopback interface."""
