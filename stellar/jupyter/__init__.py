"""The notebook: a kernel for Jupyter. `python -m stellar.jupyter install` puts one beside others, with its options.

cells       what a cell means, and what may be asked of a place in it
kernel      answers Jupyter's protocol
kernelspec  how Jupyter finds it
lexer       the colours of Stellar, where Pygments is asked for them
"""
