"""What editors, shells and commands show about expressions: lexing, formatting, lints, explanation, completion."""
