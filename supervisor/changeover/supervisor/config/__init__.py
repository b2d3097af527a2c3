"""Configuration: settings out of flags, CHANGEOVER_* and `changeover.toml`, every error at once."""
