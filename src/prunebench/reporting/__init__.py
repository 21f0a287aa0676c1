"""One self-contained page about runs: figures gathered from records, a document of them, and the page around it."""
