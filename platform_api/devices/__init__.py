"""Sites, gateways, devices and their series."""
