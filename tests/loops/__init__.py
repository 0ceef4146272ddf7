"""What controllers do when their world breaks: another process dies, the API server goes away, history is compacted."""
