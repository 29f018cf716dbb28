"""The needs of every page: the visitor, the templates, and the headers and errors that all replies have."""
