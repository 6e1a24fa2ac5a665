"""A Jupyter kernel. `python -m stellar.jupyter install` installs a kernel with options.

cells       execution, completion and help within cells
kernel      Jupyter's protocol
kernelspec  kernel specifications
lexer       highlighting with Pygments
"""
