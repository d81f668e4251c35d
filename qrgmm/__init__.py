"""Conditional generative models of sales, read as exact credit risk: the package beside the book."""
