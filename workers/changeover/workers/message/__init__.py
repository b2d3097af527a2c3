"""Raw message protocols: what plugins say of them, on connections that switch generations between two messages."""
