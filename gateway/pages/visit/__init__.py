"""What every page needs: who visits, the templates, and the headers and errors that all answers have."""
