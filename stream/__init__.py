"""The dataflow: frames in, facts out."""
