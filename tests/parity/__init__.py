"""Parity: one request sequence goes to the real kube-apiserver and to ours, and the answers are compared field by field."""
