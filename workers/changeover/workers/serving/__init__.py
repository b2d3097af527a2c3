"""The request path: contract, leases, pipelines, router, services, applications."""
