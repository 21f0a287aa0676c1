"""Solvers: they prune one weight by what it is multiplied with, and change what stays so that its output does.

Of a weight W (rows, columns) and the Gram matrix H = Σ x xᵀ of what it reads, they look for a mask and a Ŵ that is zero
where the mask is False, with little ‖W x − Ŵ x‖² = tr((W − Ŵ) H (W − Ŵ)ᵀ) over the samples.

Doors:
    sparsegpt  column after column, the error passed on to the columns to the right
    obs        weight after weight, with all that are left solved for: the reference on small layers
"""
