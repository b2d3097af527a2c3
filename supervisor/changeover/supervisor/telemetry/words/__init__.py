"""Words for records, in modules of the same names as those of the records."""
