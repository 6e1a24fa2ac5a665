#!/bin/sh
# Models run in the foreground: exec, so that who ends this script ends the model
exec "${PYTHON:-python3}" dga.py
