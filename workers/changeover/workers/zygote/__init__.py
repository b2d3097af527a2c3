"""The zygote: a program of one thread that holds preloaded code and forks workers from it."""
