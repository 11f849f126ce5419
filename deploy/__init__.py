"""How the gateway is installed, started and run."""
