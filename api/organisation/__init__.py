"""Who belongs where and when: levels, areas, one-stop units, counters; transactions; samples."""
