"""Estimates of when jobs start and end: pure functions of plain data."""
