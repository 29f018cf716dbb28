"""What the page costs in a browser, and how soon it shows what has happened."""
