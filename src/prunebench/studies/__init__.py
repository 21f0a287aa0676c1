"""Studies: grids of runs, their work as jobs, and what does them."""
