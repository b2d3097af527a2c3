"""An authorization service: who may do what follows from facts, rules and policies.

The three are resources of the plugin, each reloadable alone. `engine` has what decides, `service`
what HTTP sees of it.
"""

from authz.service import Authz, Config

__all__ = ["Authz", "Config"]
