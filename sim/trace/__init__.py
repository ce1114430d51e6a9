"""Pictures of time: a window of a run as a Perfetto or Chrome trace, a waterfall or waves."""
