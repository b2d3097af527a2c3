"""Everything of the operating system that the supervisor holds: sockets, directories, signals, zygotes."""
