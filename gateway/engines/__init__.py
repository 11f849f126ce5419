"""The engines behind the port in `gateway.engine`."""
