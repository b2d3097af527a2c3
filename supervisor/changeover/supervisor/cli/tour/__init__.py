"""The tour that `changeover demo` gives: a real server, changed under load that counts what it sees."""
