"""The gateway, `zgateway`: the services over HTTP."""
