#!/bin/sh
# Models run in the foreground: exec, so that who ends this script ends the model
exec perl dga.pl
