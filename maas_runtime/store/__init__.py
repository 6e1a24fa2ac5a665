"""The model store: the files of models, in a directory or in HDFS."""
