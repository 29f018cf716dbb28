"""The program `zclient`; start reading in `main`."""
