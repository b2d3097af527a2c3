"""What operators hear of: one typed record per fact, subject by subject.

One subscriber words them, another counts them, a third streams them. All times are seconds on
the monotonic clock unless said otherwise; `slot`, `pid` and `incarnation` always name one worker.
"""
